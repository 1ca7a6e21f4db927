"""The numbers of a tensor by level: how many lie in each of up to 65,536 narrow intervals.

Of 8- and 16-bit types every number is a level of its own, and so are the numbers of small tensors; of wider
types a level holds what has the upper 16 bits of its pattern in common. All histograms, at any zoom, and
quantiles come from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Levels(NamedTuple):
    """Counts of finite numbers by level.

    Attributes:
        low, high: Least and largest number that a level can hold, float64, ascending and disjoint; equal
            where it is one number.
        count: How many it holds, int64, each above zero.
    """

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]  # type: ignore[assignment]

    @property
    def total(self) -> int:
        """How many numbers there are."""
        return int(self.count.sum())

    @property
    def exact(self) -> bool:
        """Whether each level is one number."""
        return bool((self.low == self.high).all())


def spread(levels: Levels, edges: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How many numbers lie between edges, for a picture: a level that an edge cuts is shared out by width.

    Args:
        levels: The numbers.
        edges: Ascending. An interval holds its lower edge, the last one its upper edge too.

    Returns:
        One entry less than there are edges.
    """
    bounds = np.asarray(edges, np.float64)
    out = np.zeros(len(bounds) - 1)
    if not len(levels.count) or len(bounds) < 2:
        return out
    single = levels.low == levels.high
    places = np.searchsorted(bounds, levels.low, "right") - 1
    places[levels.low == bounds[-1]] = len(out) - 1
    inside = single & (places >= 0) & (places < len(out))
    np.add.at(out, places[inside], levels.count[inside])
    wide = ~single
    if wide.any():
        # Numbers below each edge, were they evenly spread within their level.
        low, high, count = levels.low[wide], levels.high[wide], levels.count[wide].astype(np.float64)
        heads = np.concatenate([[0.0], np.cumsum(count)])
        at = np.searchsorted(low, bounds, "right") - 1
        shown = np.clip(at, 0, None)
        # Halves: the whole range of float64 is wider than a float64 holds.
        width = high[shown] / 2 - low[shown] / 2
        share = np.clip((bounds / 2 - low[shown] / 2) / width, 0.0, 1.0)
        below = np.where(at < 0, 0.0, heads[shown] + share * count[shown])
        out += np.diff(below)
    return out


def levels_bytes(levels: Levels) -> bytes:
    """Levels as bytes."""
    return np.concatenate([levels.low, levels.high, levels.count.view(np.float64)]).tobytes()


def levels_from(data: bytes) -> Levels:
    """What `levels_bytes` wrote."""
    low, high, count = np.frombuffer(data, np.float64).reshape(3, -1)
    return Levels(low, high, count.view(np.int64))
