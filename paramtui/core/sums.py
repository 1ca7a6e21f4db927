"""Sums over finite numbers that come in pieces, merged without loss of digits; figures made from them.

Means and sums of squared deviations are merged by Chan, Golub and LeVeque's formulas (1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, ldexp, sqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from paramtui.core.dtypes import DTYPES
from paramtui.core.statistics import BINS, QUANTILES, Histogram, Statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from paramtui.core.levels import Levels

# Least normal numbers of the float types, as powers of two.
_TINY: Final = {
    "float64": -1022,
    "complex128": -1022,
    "float32": -126,
    "complex64": -126,
    "bfloat16": -126,
    "float16": -14,
    "complex32": -14,
    "float8_e4m3fn": -6,
    "float8_e4m3fnuz": -7,
    "float8_e5m2": -14,
    "float8_e5m2fnuz": -15,
    "float8_e8m0fnu": -127,
    "float4_e2m1fn_x2": 0,
}
# Squares of numbers beyond 2**500 overflow, of numbers below 2**-500 vanish: they are kept in other units.
_FAR: Final = 500
_UNIT: Final = 600


def smallest_normal(dtype: str) -> float:
    """The least normal number of a float type above zero; 0.0 for whole numbers."""
    return ldexp(1.0, _TINY[dtype]) if dtype in _TINY else 0.0


@dataclass(slots=True)
class Sums:
    """Counts of all numbers, and sums over the finite ones.

    Attributes:
        numel, nan, posinf, neginf, zero, subnormal: As in `Statistics`.
        count: How many are finite.
        minimum, maximum: Of the finite ones; infinities the wrong way round where there are none.
        mean, l1: Of the finite ones, in units of ``2**unit``.
        squares: Sum of squared deviations from their mean, in units of ``2**(2 * unit)``.
        unit: 0, but for numbers whose squares no float64 holds.
    """

    numel: int = 0
    nan: int = 0
    posinf: int = 0
    neginf: int = 0
    zero: int = 0
    subnormal: int = 0
    count: int = 0
    minimum: float | int = inf
    maximum: float | int = -inf
    mean: float = 0.0
    squares: float = 0.0
    l1: float = 0.0
    unit: int = 0

    def add(self, other: Sums) -> None:
        """Adds the sums over other numbers."""
        for name in ("numel", "nan", "posinf", "neginf", "zero", "subnormal"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if not other.count:
            return
        if not self.count:
            self.unit = other.unit
        unit = max(self.unit, other.unit)
        mean, squares, l1 = self._in(unit)
        mean2, squares2, l12 = other._in(unit)
        total = self.count + other.count
        delta = mean2 - mean
        self.mean = mean + delta * (other.count / total)
        self.squares = squares + squares2 + delta * (self.count * (other.count / total)) * delta
        self.l1 = l1 + l12
        self.count, self.unit = total, unit
        self.minimum, self.maximum = min(self.minimum, other.minimum), max(self.maximum, other.maximum)

    def _in(self, unit: int) -> tuple[float, float, float]:
        by = self.unit - unit
        if not by:
            return self.mean, self.squares, self.l1
        return ldexp(self.mean, by), ldexp(self.squares, 2 * by), ldexp(self.l1, by)

    def plain(self) -> list[Any]:
        """As a list for JSON; numbers too large for it come back as they were."""
        return [getattr(self, name) for name in self.__slots__]


def unit_of(largest: float) -> int:
    """In which unit numbers with this largest magnitude are summed up."""
    if largest > 2.0**_FAR:
        return _UNIT
    return -_UNIT if 0 < largest < 2.0**-_FAR else 0


def add_sums(
    sums: Sums, finite: npt.NDArray[Any], wide: npt.NDArray[np.float64], spare: npt.NDArray[np.float64]
) -> None:
    """Sums finite numbers up.

    Args:
        sums: Without any finite number yet.
        finite: The numbers, one or more.
        wide: The same in float64; overwritten.
        spare: As many numbers to be overwritten.
    """
    count = sums.count = finite.size
    low, high = finite.min().item(), finite.max().item()
    sums.minimum, sums.maximum = low, high
    sums.unit = unit_of(max(abs(low), abs(high)))
    if sums.unit:
        np.ldexp(wide, -sums.unit, out=wide)
    total = float(wide.sum())
    sums.mean = total / count
    if low >= 0 or high <= 0:
        sums.l1 = abs(total)
    else:
        np.abs(wide, out=spare)
        sums.l1 = float(spare.sum())
    wide -= sums.mean
    sums.squares = float(np.dot(wide, wide))


def finished(sums: Sums, levels: Levels, dtype: str, *, sampled: int = 0) -> Statistics:
    """Figures from sums and levels.

    Args:
        sums: Over all numbers.
        levels: Of the finite ones.
        dtype: Element type; tells whether bounds are whole numbers.
        sampled: As in `Statistics`; `sums.numel` is of the whole tensor then.
    """
    known = (sums.numel, sums.nan, sums.posinf, sums.neginf, sums.zero, sums.subnormal)
    if not sums.count:
        nothing = (None, None, None, None, None, None, None)
        return Statistics(*known, *nothing, None, 0.0, None, sampled)
    whole = DTYPES[dtype].family in ("int", "uint", "bool", "bits")
    low, high = (
        (int(sums.minimum), int(sums.maximum)) if whole else (float(sums.minimum), float(sums.maximum))
    )
    quantiles, error = quantiles_of(levels)
    count, unit = sums.count, sums.unit
    std = _scaled(sqrt(sums.squares / (count - 1)), unit) if count > 1 else None
    l2 = _scaled(sqrt(sums.squares + count * sums.mean * sums.mean), unit)
    return Statistics(
        *known,
        low,
        high,
        _scaled(sums.mean, unit),
        std,
        _scaled(sums.l1, unit),
        l2,
        max(abs(low), abs(high)),
        quantiles,
        error,
        histogram(levels),
        sampled,
    )


def _scaled(number: float, unit: int) -> float:
    try:
        return ldexp(number, unit)
    except OverflowError:
        return inf


def histogram(levels: Levels) -> Histogram:
    """Counts in about `BINS` intervals of about one width; edges are moved to where no level is cut."""
    low, high, count = levels
    first, last = float(low[0]), float(high[-1])
    if first == last:
        return Histogram((first, last), (int(count.sum()),))
    # Halves: the whole range of float64 is wider than a float64 holds.
    share = np.arange(1, BINS) / BINS
    edges = 2 * (first / 2 * (1 - share) + last / 2 * share)
    at = np.clip(np.searchsorted(low, edges, "right") - 1, 0, None)
    cut = (low[at] < edges) & (edges <= high[at])
    up = edges / 2 - low[at] / 2 > high[at] / 2 - edges / 2
    edges = np.where(cut, np.where(up, np.nextafter(high[at], inf), low[at]), edges)
    edges = edges[(edges > first) & (edges < last)]
    bounds = np.concatenate([[first], np.unique(edges), [last]])
    places = np.minimum(np.searchsorted(bounds, low, "right") - 1, len(bounds) - 2)
    counts = np.zeros(len(bounds) - 1, np.int64)
    np.add.at(counts, places, count)
    return Histogram(tuple(bounds.tolist()), tuple(counts.tolist()))


@lru_cache(maxsize=64)
def wanted_ranks(count: int) -> tuple[tuple[int, int, float], ...]:
    """For each of `QUANTILES` the ranks of its two neighbours, and how far it lies between them."""
    out = []
    for share in QUANTILES:
        place = share * (count - 1)
        below = min(int(place), count - 1)
        out.append((below, min(below + 1, count - 1), place - below))
    return tuple(out)


def exact_quantiles(count: int, order: Mapping[int, float]) -> tuple[float, ...]:
    """Quantiles of so many numbers, of which those of the wanted ranks are known."""
    return tuple(_between(order[below], order[above], share) for below, above, share in wanted_ranks(count))


def _between(first: float, second: float, share: float) -> float:
    """As torch.lerp, from the nearer end; the difference of huge numbers can overflow."""
    apart = second - first
    if apart == inf:
        return first * (1 - share) + second * share
    return first + apart * share if share < 0.5 else second - apart * (1 - share)


def quantiles_of(levels: Levels) -> tuple[tuple[float, ...], float]:
    """Quantiles, and how far their neighbours may be off relative to themselves."""
    ends = np.cumsum(levels.count)
    error = 0.0
    order: dict[int, float] = {}
    total = int(ends[-1])
    for rank in {rank for below, above, _ in wanted_ranks(total) for rank in (below, above)}:
        place = int(np.searchsorted(ends, rank, "right"))
        low, high = float(levels.low[place]), float(levels.high[place])
        order[rank] = low
        if low < high:
            count = int(levels.count[place])
            before = int(ends[place]) - count
            nearest = min(abs(low), abs(high))
            error = max(error, (high - low) / nearest if nearest else 1.0)
            order[rank] = low + (high - low) * ((rank - before + 0.5) / count)
    return exact_quantiles(total, order), error
