"""Counts differing elements of two tensors that come piece by piece in row-major order, exactly."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from paramtui.core.comparing import Difference, Picture
from paramtui.core.picture_folding import matrix_width

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    Truth: TypeAlias = npt.NDArray[np.bool_]


# Elements that are handled at once: what is made of them stays in the processor's cache.
PIECE: Final = 1 << 16


class Tally:
    """Sums up what differs.

    Args:
        shape: Of the tensors.
        rows, columns: Entries of the picture, at most.
        bits: Whether equal numbers of one type tell their bits.

    Attributes:
        compared: Elements that were added.
        different, other_bits, nan_here, nan_there, nan_both, largest, relative, first: As in `Comparison`.
    """

    def __init__(self, shape: tuple[int, ...], rows: int, columns: int, *, bits: bool) -> None:
        self._shape = shape
        self._bits = bits
        self.compared = 0
        self.different = 0
        self.other_bits = 0
        self.nan_here = 0
        self.nan_there = 0
        self.nan_both = False
        self.largest: Difference | None = None
        self.relative: Difference | None = None
        self.first: tuple[int, ...] | None = None
        count = prod(shape)
        self._width = matrix_width(shape, rows, columns)
        lines = max(-(-count // self._width), 1)
        self._cell = -(-lines // rows), -(-self._width // columns)
        self._entries = -(-lines // self._cell[0]), -(-self._width // self._cell[1])
        self._counts = np.zeros(self._entries, np.int64)
        self._amounts = np.zeros(self._entries, np.float64)

    def picture(self) -> Picture | None:
        """Where they differ; None for tensors without elements."""
        if not prod(self._shape):
            return None
        return Picture(
            *self._entries,
            self._cell,
            tuple(map(tuple, self._counts.tolist())),
            tuple(map(tuple, self._amounts.tolist())),
            self._width,
        )

    def add(self, one: Array, other: Array) -> None:
        """Compares the next elements of both: arrays of one shape, of any numeric types."""
        here, there = np.ascontiguousarray(one).reshape(-1), np.ascontiguousarray(other).reshape(-1)
        start = self.compared
        self.compared += here.size
        # Numbers that overflow, and signalling NaN, are worth no warning.
        with np.errstate(all="ignore"):
            for at in range(0, here.size, PIECE):
                self._compare(here[at : at + PIECE], there[at : at + PIECE], start + at)

    def _compare(self, here: Array, there: Array, start: int) -> None:
        bits: Truth | None = None
        if self._bits:
            raw = _as_bits(here), _as_bits(there)
            if np.array_equal(*raw):
                self.nan_both = self.nan_both or bool(_nan(here).any())
                return
            bits = np.not_equal(*raw)
            if here.dtype.kind == "c":
                bits = bits[::2] | bits[1::2]
        nan_here, nan_there = _nan(here), _nan(there)
        both = nan_here & nan_there
        self.nan_both = self.nan_both or bool(both.any())
        differs = ~(_equal(here, there) | both)
        if bits is not None:
            self.other_bits += int(np.count_nonzero(bits & ~differs))
        count = int(np.count_nonzero(differs))
        if not count:
            return
        self.different += count
        if self.first is None:
            self.first = self._index(start + int(differs.argmax()))
        self.nan_here += int(np.count_nonzero(nan_here & ~nan_there))
        self.nan_there += int(np.count_nonzero(nan_there & ~nan_here))
        self._measure(here, there, np.flatnonzero(differs), start)

    def _measure(self, here: Array, there: Array, places: npt.NDArray[np.int64], start: int) -> None:
        """Amounts of the elements that differ."""
        here, there = here[places], there[places]
        known = ~(_nan(here) | _nan(there))
        high, low = _amounts(here, there)
        # What has no amount counts as no difference here: all others differ by more.
        high[~known], low[~known] = 0, 0
        amounts = _as_floats(high, low)
        # Where one is NaN, the picture says so whatever else is there.
        self._draw(places + start, np.where(known, amounts, np.nan))
        if not known.any():
            return
        best = _argmax(high, low)
        whole = low.dtype.kind == "u"
        amount: float = (int(high[best]) << 64) + int(low[best]) if whole else float(low[best])
        if self.largest is None or amount > self.largest.amount:
            self.largest = self._difference(amount, start + int(places[best]), here[best], there[best])
        relative = _relative(amounts, here, there)
        relative[~known] = 0
        best = int(relative.argmax())
        if self.relative is None or relative[best] > self.relative.amount:
            self.relative = self._difference(
                float(relative[best]), start + int(places[best]), here[best], there[best]
            )

    def _difference(self, amount: float, place: int, one: Any, other: Any) -> Difference:  # noqa: ANN401
        return Difference(amount, self._index(place), one.item(), other.item())

    def _index(self, place: int) -> tuple[int, ...]:
        return tuple(int(each) for each in np.unravel_index(place, self._shape))

    def _draw(self, places: npt.NDArray[np.int64], amounts: npt.NDArray[np.float64]) -> None:
        lines, columns = np.divmod(places, self._width)
        entries = lines // self._cell[0] * self._entries[1] + columns // self._cell[1]
        # Neighbours mostly lie in one entry: each run of them is summed up first.
        starts = np.flatnonzero(np.diff(entries, prepend=-1))
        runs = entries[starts]
        np.add.at(self._counts.reshape(-1), runs, np.diff(starts, append=len(entries)))
        np.maximum.at(self._amounts.reshape(-1), runs, np.maximum.reduceat(amounts, starts))


def _as_bits(numbers: Array) -> Array:
    """The parts of numbers as unsigned integers."""
    size = numbers.dtype.itemsize // (2 if numbers.dtype.kind == "c" else 1)
    return numbers.view(f"u{size}")


def _nan(numbers: Array) -> Truth:
    if numbers.dtype.kind not in "fc":
        return np.zeros(numbers.shape, np.bool_)
    found: Truth = np.isnan(numbers)
    return found


def _plain(numbers: Array) -> Array:
    """Real numbers as float64, int64 or uint64, without loss."""
    kind = numbers.dtype.kind
    if kind == "f":
        return numbers.astype(np.float64, copy=False)
    if kind == "u" and numbers.dtype.itemsize == 8:
        return numbers
    return numbers.astype(np.int64, copy=False)


def _equal(here: Array, there: Array) -> Truth:
    """Whether numbers are equal, whatever their types; NaN is equal to none."""
    if here.dtype == there.dtype:
        found: Truth = here == there
        return found
    if "c" in (here.dtype.kind, there.dtype.kind):
        real: Truth = _equal(here.real, there.real)
        return real & _equal(_imaginary(here), _imaginary(there))
    high, low = _amounts(here, there)
    found = np.equal(high, 0)
    found &= np.equal(low, 0)
    return found


def _imaginary(numbers: Array) -> Array:
    return numbers.imag if numbers.dtype.kind == "c" else np.zeros(numbers.shape, np.float64)


def _amounts(here: Array, there: Array) -> tuple[Array, Array]:
    """Absolute differences: of whole numbers exactly, as ``high * 2**64 + low``; else float64 in `low`."""
    none = np.zeros(here.shape, np.uint8)
    if "c" in (here.dtype.kind, there.dtype.kind):
        parts = (here.real, there.real), (_imaginary(here), _imaginary(there))
        real, imaginary = (_as_floats(*_amounts(one, other)) for one, other in parts)
        return none, np.hypot(real, imaginary)
    one, other = _plain(here), _plain(there)
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        gap: Array = np.abs(one - other)
        # Infinity minus itself is NaN.
        gap[one == other] = 0
        return none, gap
    if one.dtype.kind == "f":
        return none, _from_whole(one, other)
    if other.dtype.kind == "f":
        return none, _from_whole(other, one)
    if one.dtype == other.dtype:
        larger = one > other
        left, right = one.view(np.uint64), other.view(np.uint64)
        return none, np.where(larger, left - right, right - left)
    signed, unsigned = (one, other) if one.dtype.kind == "i" else (other, one)
    wrapped = unsigned - signed.view(np.uint64)
    below = (signed >= 0) & (signed.view(np.uint64) > unsigned)
    low: Array = np.where(below, np.uint64(0) - wrapped, wrapped)
    # Of a negative number what is added to the other may pass 2**64.
    return ((signed < 0) & (wrapped < unsigned)).astype(np.uint8), low


def _from_whole(floats: Array, whole: Array) -> npt.NDArray[np.float64]:
    """Absolute differences of float64 and int64 or uint64 numbers, 0 only where they are equal."""
    gap: npt.NDArray[np.float64] = np.abs(floats - whole.astype(np.float64))
    low, high = (-(2.0**63), 2.0**63) if whole.dtype.kind == "i" else (0.0, 2.0**64)
    # Where float64 may have rounded the whole number, both are whole.
    near = (floats >= low) & (floats < high) & (np.abs(floats) >= 2.0**52)
    if near.any():
        gap[near] = _as_floats(*_amounts(floats[near].astype(whole.dtype), whole[near]))
    # The first float past the end of the type, and a whole number that was rounded to it.
    past = (floats == high) & (gap == 0)
    if past.any():
        gap[past] = np.uint64(int(high) % 2**64) - whole[past].view(np.uint64)
    return gap


def _as_floats(high: Array, low: Array) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = low.astype(np.float64)
    return found + high * 2.0**64 if high.any() else found


def _argmax(high: Array, low: Array) -> int:
    if high.any():
        # Those with a high part are larger than all others.
        places = np.flatnonzero(high)
        return int(places[low[places].argmax()])
    return int(low.argmax())


def _relative(amounts: npt.NDArray[np.float64], here: Array, there: Array) -> npt.NDArray[np.float64]:
    one, other = _magnitude(here), _magnitude(there)
    larger = np.maximum(one, other)
    found: npt.NDArray[np.float64] = amounts / larger
    found[np.isinf(larger)] = np.inf
    # Two finite numbers whose difference float64 cannot hold.
    far = np.isinf(amounts) & np.isfinite(larger)
    if far.any():
        wide = here.dtype.kind == "c" or there.dtype.kind == "c"
        kind = np.complex128 if wide else np.float64
        found[far] = np.abs(here[far].astype(kind) / 2 - there[far].astype(kind) / 2) / (larger[far] / 2)
    return found


def _magnitude(numbers: Array) -> npt.NDArray[np.float64]:
    wide = numbers.astype(np.complex128) if numbers.dtype.kind == "c" else _plain(numbers).astype(np.float64)
    found: npt.NDArray[np.float64] = np.abs(wide)
    return found
