"""What the numbers of a tensor are like: figures, quantiles and a histogram, as plain data."""

from __future__ import annotations

from math import inf, log10
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from paramtui.core.levels import Levels

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_DIGITS: Final = 12
# Intervals of the histogram that goes with the figures.
BINS: Final = 64


class Histogram(NamedTuple):
    """Counts by interval.

    Attributes:
        edges: Ascending, one more than there are counts; the first is the least number, the last the largest.
            Each interval holds its lower edge, the last one its upper edge too. Those in between lie where
            counts are exact, so that widths may differ a little.
        counts: Elements by interval; together all finite elements.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Statistics(NamedTuple):
    """Figures of a set of numbers, in float64.

    All but the counts are over the finite elements, and None where there are none. Complex numbers count by
    their magnitude, truth values as 0 and 1, quantised ones by what they stand for.

    Attributes:
        numel: How many numbers; of ``float4_e2m1fn_x2`` two an element.
        nan, posinf, neginf: How many are NaN, infinite and above zero, infinite and below; a complex number
            with a NaN part is NaN, else one with an infinite part is infinite and above zero.
        zero: How many are zero of either sign.
        subnormal: How many are below the least normal number of their dtype and not zero; 0 for integers.
        min, max: Least and largest; whole numbers of integer types.
        mean: Their sum by their number.
        std: The sample's, divided by one less than their number as ``torch.std``; None for a single one.
        l1, l2: Sum of magnitudes; square root of the sum of squares.
        abs_max: Largest magnitude.
        quantiles: At `QUANTILES`, between neighbours linearly as ``torch.quantile``.
        quantile_error: How far a quantile may be off, relative to it; 0.0 where they are exact.
        histogram: None where there are no finite elements.
        sampled: Elements that were looked at, where these were not all; else 0. Counts are of those alone.
    """

    numel: int
    nan: int
    posinf: int
    neginf: int
    zero: int
    subnormal: int
    min: float | int | None
    max: float | int | None
    mean: float | None
    std: float | None
    l1: float | None
    l2: float | None
    abs_max: float | int | None
    quantiles: tuple[float, ...] | None
    quantile_error: float
    histogram: Histogram | None
    sampled: int = 0

    @property
    def inf(self) -> int:
        """How many are infinite."""
        return self.posinf + self.neginf

    @property
    def finite(self) -> int:
        """How many are neither NaN nor infinite."""
        return (self.sampled or self.numel) - self.nan - self.inf


class Measured(NamedTuple):
    """Figures of a tensor, and its numbers by level, from which any other histogram is drawn."""

    statistics: Statistics
    levels: Levels


def digits_apart(low: float, high: float, least: int) -> int:
    """How many digits tell numbers between two others apart: `least`, or more where these are close."""
    apart, largest = float(high) - float(low), max(abs(low), abs(high))
    if not (0 < apart < largest < inf):
        return least
    return min(least + int(log10(largest / apart)), MOST_DIGITS)


def plain_statistics(found: Statistics) -> list[Any]:
    """Figures as lists, to be written as JSON that Python reads back (infinities are its own words)."""
    plain: list[Any] = list(found)
    if found.histogram is not None:
        plain[Statistics._fields.index("histogram")] = list(found.histogram)
    return plain


def statistics_from(plain: list[Any]) -> Statistics:
    """What `plain_statistics` wrote.

    Raises:
        ValueError: It is not such.
    """
    try:
        found = Statistics(*plain)
        return found._replace(
            quantiles=None if found.quantiles is None else tuple(found.quantiles),
            histogram=None
            if found.histogram is None
            else Histogram(tuple(found.histogram[0]), tuple(found.histogram[1])),
        )
    except (TypeError, IndexError) as error:
        raise ValueError(f"no statistics: {error}") from None
