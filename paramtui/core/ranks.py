"""Exact order statistics of many numbers, found by reading them again: each time 65,536 times as finely.

Numbers are told apart by their float64 patterns, put in order as whole numbers. What two neighbouring numbers
of the element type are can be is known, so that four readings are enough for float64 and one for float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from paramtui.core.dtypes import DTYPES
from paramtui.core.sums import wanted_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from paramtui.core.levels import Levels

_BINS: Final = 1 << 16
_SIGN: Final = 1 << 63


class Interval(NamedTuple):
    """Numbers among which some ranks are looked for.

    Attributes:
        low, high: The least and the largest that they can be.
        before: How many numbers are less than `low`.
    """

    low: float
    high: float
    before: int


class RankCounts:
    """Counts numbers of some intervals in 65,536 parts each.

    Args:
        bounds: Ascending, disjoint pairs of the least and the largest number of an interval.
    """

    def __init__(self, bounds: Sequence[tuple[float, float]]) -> None:
        self._low = np.array([low for low, _ in bounds])
        self._high = np.array([high for _, high in bounds])
        self._first = _ordered(self._low)
        self._shift = [shift_of(low, high) for low, high in bounds]
        self.table: npt.NDArray[np.int64] = np.zeros(_BINS * len(bounds), np.int64)

    def add(self, numbers: npt.NDArray[Any]) -> None:
        """Counts the numbers of a piece; complex ones by magnitude."""
        flat = numbers.reshape(-1)
        for at in range(0, flat.size, 4 * _BINS):
            part = flat[at : at + 4 * _BINS]
            with np.errstate(over="ignore", invalid="ignore"):
                real = np.abs(part.astype(np.complex128)) if part.dtype.kind == "c" else part
            self._add(real)

    def add_zeros(self, count: int) -> None:
        """Counts zeros that are stored nowhere."""
        place = int(np.searchsorted(self._low, 0.0, "right")) - 1
        if place >= 0 and self._high[place] >= 0:
            zero = int(_ordered(np.zeros(1))[0]) - int(self._first[place])
            self.table[place * _BINS + (zero >> self._shift[place])] += count

    def _add(self, real: npt.NDArray[Any]) -> None:
        # Most numbers lie in no interval: few are made wide.
        near = np.zeros(real.size, bool)
        for low, high in zip(self._low, self._high, strict=True):
            near |= (real >= low) & (real <= high)
        wide = real[near].astype(np.float64)
        places = np.searchsorted(self._low, wide, "right") - 1
        codes = _ordered(wide)
        for place, shift in enumerate(self._shift):
            own = codes[(places == place) & (wide <= self._high[place])]
            if own.size:
                parts = ((own - self._first[place]) >> np.uint64(shift)).astype(np.intp)
                begin = place * _BINS
                self.table[begin : begin + _BINS] += np.bincount(parts, minlength=_BINS)


def _ordered(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Patterns as whole numbers in the order of the numbers; zeros of both signs are one."""
    codes = (np.ascontiguousarray(numbers) + 0.0).view(np.uint64)
    negative = codes >= np.uint64(_SIGN)
    return np.where(negative, ~codes, codes | np.uint64(_SIGN))


def _numbers(codes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """What `_ordered` has put in order."""
    bits = np.where(codes >= np.uint64(_SIGN), codes ^ np.uint64(_SIGN), ~codes)
    return bits.view(np.float64)


def shift_of(low: float, high: float) -> int:
    """By how many bits patterns are cut so that an interval has at most 65,536 parts."""
    first, last = (int(code) for code in _ordered(np.array([low, high])))
    return max((last - first).bit_length() - 16, 0)


def parts_of(
    low: float, high: float, counts: npt.NDArray[np.int64], dtype: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The parts of an interval of `RankCounts` that hold any numbers.

    Args:
        low: Lower bound of the interval.
        high: Upper bound.
        counts: What was counted in its parts.
        dtype: Element type, which tells what numbers there can be.

    Returns:
        The least and the largest number that each can hold, and how many it does.
    """
    places = np.flatnonzero(counts)
    first, shift = _ordered(np.array([low]))[0], np.uint64(shift_of(low, high))
    least = _numbers(first + (places.astype(np.uint64) << shift))
    most = np.minimum(
        _numbers(first + ((places.astype(np.uint64) + np.uint64(1)) << shift) - np.uint64(1)), high
    )
    return (*clipped(least, most, dtype), counts[places])


def clipped(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], dtype: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The least and the largest numbers of an element type between pairs of others."""
    if DTYPES[dtype].family in ("int", "uint"):
        # Larger whole numbers are not all of them float64.
        near = np.maximum(np.abs(low), np.abs(high)) < 2.0**53
        return np.where(near, np.ceil(low), low), np.where(near, np.floor(high), high)
    if dtype != "float32":
        return low, high
    with np.errstate(over="ignore"):
        first, last = low.astype(np.float32), high.astype(np.float32)
        first = np.where(first.astype(np.float64) < low, np.nextafter(first, np.float32(np.inf)), first)
        last = np.where(last.astype(np.float64) > high, np.nextafter(last, np.float32(-np.inf)), last)
    return first.astype(np.float64), last.astype(np.float64)


class RankSearch:
    """Narrows the numbers of all wanted ranks down, reading by reading.

    Args:
        levels: Of the finite numbers.
        dtype: Element type, which tells what numbers there can be.
    """

    def __init__(self, levels: Levels, dtype: str) -> None:
        self._dtype = dtype
        self._found: dict[int, float] = {}
        self._open: dict[int, Interval] = {}
        ends = np.cumsum(levels.count)
        for below, above, _ in wanted_ranks(int(ends[-1])):
            for rank in (below, above):
                place = int(np.searchsorted(ends, rank, "right"))
                before = int(ends[place] - levels.count[place])
                self._put(rank, float(levels.low[place]), float(levels.high[place]), before)

    def _put(self, rank: int, low: float, high: float, before: int) -> None:
        low, high = (float(bound[0]) for bound in clipped(np.array([low]), np.array([high]), self._dtype))
        if low == high:
            self._found[rank] = low
            self._open.pop(rank, None)
        else:
            self._open[rank] = Interval(low, high, before)

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Intervals to count in next; none when all is known."""
        return sorted({(each.low, each.high) for each in self._open.values()})

    def take(self, table: npt.NDArray[np.int64]) -> None:
        """Narrows by what `RankCounts` has counted in `bounds`."""
        bounds = self.bounds
        for rank, interval in list(self._open.items()):
            low, high = interval.low, interval.high
            place = bounds.index((low, high))
            ends = np.cumsum(table[place * _BINS : (place + 1) * _BINS])
            part = int(np.searchsorted(ends, rank - interval.before, "right"))
            before = interval.before + (int(ends[part - 1]) if part else 0)
            first = int(_ordered(np.array([low]))[0])
            shift = shift_of(low, high)
            least, most = _numbers(
                np.array([first + (part << shift), first + ((part + 1) << shift) - 1], np.uint64)
            ).tolist()
            most = min(most, high)
            self._put(rank, least, most, before)

    @property
    def order(self) -> dict[int, float]:
        """The numbers by rank."""
        return self._found
