"""Count, mean, spread and extremes of numbers that come piece by piece, and their histogram."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

# Elements that are turned into float64 at once: 8 MiB.
MAX_PIECE: Final = 1 << 20


class Summary(NamedTuple):
    """What a set of numbers is like, in float64.

    Complex numbers count by their magnitude, truth values as 0 and 1.

    Attributes:
        numel: How many, NaN and infinities among them.
        mean, std, min, max: Of the finite ones, None where there are none. `std` is the sample's (divided by
            one less than their number, as ``torch.std``), None for a single one. `mean` and `std` are None
            too where float64 cannot hold the sums.
        nan, inf: How many are NaN, and infinite of either sign.
    """

    numel: int
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    nan: int
    inf: int


def summarise(pieces: Iterable[npt.NDArray[Any]]) -> Summary:
    """Sums up pieces in float64, by Chan, Golub and LeVeque's merging of means and sums of squares (1979)."""
    numel = nan = inf = count = 0
    shift = mean = squares = 0.0
    low, high = float("inf"), float("-inf")
    for numbers in _reals(pieces):
        finite = numbers[np.isfinite(numbers)]
        numel += numbers.size
        nans = int(np.count_nonzero(np.isnan(numbers)))
        nan += nans
        inf += numbers.size - finite.size - nans
        added = finite.size
        if not added:
            continue
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        with np.errstate(over="ignore", invalid="ignore"):
            if not count:
                # Means are kept relative to a number among the first ones: those of weights around 1e9
                # would lose the digits that tell one piece's from another's.
                shift = float(finite[0])
            moved = finite - shift
            own = float(moved.mean())
            own_squares = float(np.square(moved - own).sum())
        count += added
        delta = own - mean
        mean += delta * (added / count)
        squares += own_squares + delta * ((count - added) * (added / count)) * delta
    if not count:
        return Summary(numel, None, None, None, None, nan, inf)
    std = sqrt(squares / (count - 1)) if count > 1 and isfinite(squares) else None
    average = shift + mean
    return Summary(numel, average if isfinite(average) else None, std, low, high, nan, inf)


def histogram(pieces: Iterable[npt.NDArray[Any]], low: float, high: float, bins: int) -> tuple[int, ...]:
    """How many numbers lie in each of `bins` intervals of one width from `low` to `high`.

    The last one holds `high` too, as ``torch.histc``; what lies outside, and NaN, is not counted. Where `low`
    is `high`, all that is equal to it is in the middle one.

    Raises:
        ValueError: Bounds that are not finite or in the wrong order, or no bins.
    """
    if not (isfinite(low) and isfinite(high) and low <= high and bins > 0):
        raise ValueError(f"no histogram of {bins} bins from {low} to {high}")
    counts = np.zeros(bins, np.int64)
    for numbers in _reals(pieces):
        inside = numbers[(numbers >= low) & (numbers <= high)]
        if low == high:
            counts[bins // 2] += inside.size
            continue
        # All of float64 is wider than a float64 holds; halves of the smallest numbers are 0.
        scale = 1.0 if isfinite(high - low) else 0.5
        places = (inside * scale - low * scale) / (high * scale - low * scale) * bins
        counts += np.bincount(np.minimum(places.astype(np.int64), bins - 1), minlength=bins)
    return tuple(int(each) for each in counts)


def _reals(pieces: Iterable[npt.NDArray[Any]]) -> Iterator[npt.NDArray[np.float64]]:
    """Flat float64 arrays of bounded size."""
    for piece in pieces:
        flat = piece.reshape(-1)
        for first in range(0, flat.size, MAX_PIECE):
            part = flat[first : first + MAX_PIECE]
            # A signalling NaN that becomes a quiet one, or an infinite magnitude, is worth no warning.
            with np.errstate(over="ignore", invalid="ignore"):
                # In float32 the magnitude of a large complex64 would overflow.
                real = np.abs(part.astype(np.complex128)) if part.dtype.kind == "c" else part
                wide: npt.NDArray[np.float64] = real.astype(np.float64)
            yield wide
