"""The axis of a histogram: linear, or logarithmic on either side of zero; the whole, or a part of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from paramtui.core.levels import Levels

# The part that is seen is no smaller than this share of the whole.
LEAST_SHARE: Final = 2.0**-30
# Powers of ten that a logarithmic axis reaches below the largest magnitude, at most.
MOST_DECADES: Final = 12
_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """Where numbers stand, from 0 at the left end to 1 at the right one.

    Attributes:
        low, high: The whole: least and largest number, `low` below `high`.
        threshold: The axis is linear between it and its negative, and logarithmic outside, where a power of
            ten is as wide as from zero to it; 0.0 where all is linear.
        first, last: The part of the whole that is seen, as shares of it.
    """

    low: float
    high: float
    threshold: float = 0.0
    first: float = 0.0
    last: float = 1.0

    @property
    def whole(self) -> bool:
        """Whether all of it is seen."""
        return (self.first, self.last) == (0.0, 1.0)

    def zoomed(self, factor: float) -> ValueAxis:
        """Seen `factor` times larger, about the same centre as far as the ends allow."""
        span = min(max((self.last - self.first) / factor, LEAST_SHARE), 1.0)
        return self._seen((self.first + self.last - span) / 2, span)

    def moved(self, share: float) -> ValueAxis:
        """Seen further right by a share of what is seen."""
        span = self.last - self.first
        return self._seen(self.first + share * span, span)

    def _seen(self, first: float, span: float) -> ValueAxis:
        first = min(max(first, 0.0), 1.0 - span)
        return replace(self, first=first, last=first + span)

    def edges(self, count: int) -> npt.NDArray[np.float64]:
        """Bounds of `count` intervals that are equally wide on the axis; the ends of the whole are exact."""
        start, end = self._forward(np.array([self.low, self.high]))
        places = start + np.linspace(self.first, self.last, count + 1) * (end - start)
        found = self._backward(places)
        if self.first == 0.0:
            found[0] = self.low
        if self.last == 1.0:
            found[-1] = self.high
        return np.maximum.accumulate(np.clip(found, self.low, self.high))

    def place(self, number: float) -> float:
        """Where a number stands in what is seen: 0 at its left end, 1 at its right one, or outside."""
        start, end, at = self._forward(np.array([self.low, self.high, number]))
        return float(((at - start) / (end - start) - self.first) / (self.last - self.first))

    @property
    def _scale(self) -> float:
        return max(abs(self.low), abs(self.high))

    def _forward(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if not self.threshold:
            # By the largest magnitude, for the range of float64 is wider than a float64 holds.
            return numbers / self._scale
        size = np.abs(numbers) / self.threshold
        return np.asarray(np.sign(numbers) * np.where(size <= 1, size, 1 + np.log10(np.maximum(size, 1))))

    def _backward(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if not self.threshold:
            return places * self._scale
        with np.errstate(over="ignore"):
            far = 10.0 ** np.maximum(np.abs(places) - 1, 0)
            return np.sign(places) * np.where(np.abs(places) <= 1, np.abs(places), far) * self.threshold


def axis_over(ends: Sequence[tuple[float, float]], threshold: float = 0.0) -> ValueAxis | None:
    """The axis that shows all of some ranges; one number alone stands in its middle. None for no ranges."""
    if not ends:
        return None
    low, high = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    if low == high:
        room = abs(low) / 2 or 1.0
        low, high = max(low - room, -_LARGEST), min(high + room, _LARGEST)
    return ValueAxis(low, high, threshold)


def threshold_of(levels: Sequence[Levels]) -> float:
    """Where a logarithmic axis begins: the least magnitude of any level that is not zero.

    It lies at most `MOST_DECADES` powers of ten below the largest; 1.0 where all is zero.
    """
    least, most = np.inf, 0.0
    for found in levels:
        ends = np.abs(np.concatenate([found.low, found.high]))
        ends = ends[ends > 0]
        if len(ends):
            least, most = min(least, float(ends.min())), max(most, float(ends.max()))
    return max(least, most * 10.0**-MOST_DECADES) if most else 1.0
