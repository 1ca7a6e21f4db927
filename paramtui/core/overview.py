"""A picture of a whole tensor: blocks of its elements as one entry each; NaN wins, then infinities."""

from __future__ import annotations

import json
import struct
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from paramtui.core.picture_folding import matrix_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

# Elements that are worked on at once: what they need stays in the cache of a core.
PIECE: Final = 1 << 18


class Overview(NamedTuple):
    """Entries of a picture over a tensor seen as a matrix.

    Attributes:
        width: Columns of the matrix: elements in row-major order, see `picture_folding.matrix_width`.
        cell: Lines and columns of the matrix that one entry stands for; fewer at the ends.
        mean: Mean of the finite elements of each entry, float64 [rows, columns]; NaN where there are none.
        abs_max: Their largest magnitude, float64 [rows, columns]; NaN where there are none.
        nan, inf: How many elements are NaN, and infinite of either sign, int64 [rows, columns].
        elements: How many elements an entry has, int64 [rows, columns]; 0 past the end of the last line.
        odd: Place in row-major order of the first NaN of each entry, of one without NaN of the first
            infinite element, int64 [rows, columns]; -1 where all are finite.
    """

    width: int
    cell: tuple[int, int]
    mean: npt.NDArray[np.float64]
    abs_max: npt.NDArray[np.float64]
    nan: npt.NDArray[np.int64]
    inf: npt.NDArray[np.int64]
    elements: npt.NDArray[np.int64]
    odd: npt.NDArray[np.int64]


# Sums of larger numbers are kept divided by 2 to the 64th, so that they do not overflow.
_LARGE: Final = 1e290
_SCALE: Final = 2.0**64
# Lines narrower than this are put side by side before they are added up: short loops cost more than the sums.
_NARROW: Final = 512
_HEADER: Final = struct.Struct("<Q")
# What a tally adds up, by entry, 8 bytes each.
_ARRAYS: Final = ("_sum", "_large", "_max", "_finite", "_nan", "_inf", "_first_nan", "_first_inf")


class OverviewTally:
    """Adds up the numbers of a tensor by entry, piece by piece, in bounded memory.

    Complex numbers count by their magnitude, which is NaN where a part is; truth values as 0 and 1.

    Args:
        shape: Of the tensor; of ``float4_e2m1fn_x2`` with a last dimension of 2.
        rows: Entries of the picture down, at most.
        columns: Entries of the picture across, at most.
    """

    def __init__(self, shape: Sequence[int], rows: int, columns: int) -> None:
        self._asked = tuple(shape), rows, columns
        self._total = prod(shape)
        self.width = matrix_width(shape, rows, columns)
        lines = -(-self._total // self.width)
        self.cell = max(-(-lines // rows), 1), max(-(-self.width // columns), 1)
        self.entries = -(-lines // self.cell[0]), -(-self.width // self.cell[1]) if lines else 0
        self._starts = np.arange(0, self.width, self.cell[1])
        self._sum = np.zeros(self.entries)
        self._large = np.zeros(self.entries)
        self._max = np.zeros(self.entries)
        self._finite = np.zeros(self.entries, np.int64)
        self._nan = np.zeros(self.entries, np.int64)
        self._inf = np.zeros(self.entries, np.int64)
        # Where the first ones of these lie; past the end where there are none.
        self._first_nan = np.full(self.entries, self._total, np.int64)
        self._first_inf = np.full(self.entries, self._total, np.int64)

    def add(self, first_place: int, numbers: npt.NDArray[Any]) -> None:
        """Adds the elements from one place in row-major order on.

        Args:
            first_place: Place of the first of them.
            numbers: Numbers of any real or complex type, or truth values, in row-major order.
        """
        flat = numbers.reshape(-1)
        if first_place < 0 or first_place + flat.size > self._total:
            raise ValueError(f"{flat.size} elements from {first_place} on are not among {self._total}")
        for at in range(0, flat.size, PIECE):
            self._add_piece(first_place + at, flat[at : at + PIECE])

    def add_block(self, line: int, column: int, numbers: npt.NDArray[Any]) -> None:
        """Adds a block of the matrix.

        Args:
            line: Of the matrix, of the first element.
            column: Of the matrix, of the first element.
            numbers: As `add` takes them, [lines, columns].
        """
        lines, columns = numbers.shape
        outside = (
            column + columns > self.width or (line + lines - 1) * self.width + column + columns > self._total
        )
        if not numbers.size or line < 0 or column < 0 or outside:
            raise ValueError(f"{lines} x {columns} elements at {line}, {column} are no block of the matrix")
        step = max(PIECE // columns, 1)
        for at in range(0, lines, step):
            self._add_piece((line + at) * self.width + column, numbers[at : at + step])

    def _add_piece(self, place: int, numbers: npt.NDArray[Any]) -> None:
        """Adds elements that follow each other, or a block that is 2-dimensional."""
        # Signalling NaN are worth no warning.
        with np.errstate(invalid="ignore", over="ignore"):
            real = _real(numbers)
            low, high = real.min(), real.max()
            if np.isfinite(low) and np.isfinite(high):
                self._add_finite(place, real, max(-float(low), float(high)))
            else:
                self._add_odd(place, real)

    def add_at(self, places: npt.NDArray[np.int64], numbers: npt.NDArray[Any]) -> None:
        """Adds elements that lie apart, each once.

        Args:
            places: Of each in row-major order, in any order, int64 [n].
            numbers: As `add` takes them, [n].
        """
        if len(places) and not 0 <= places.min() <= places.max() < self._total:
            raise ValueError(f"some of these elements are not among {self._total}")
        for at in range(0, len(places), PIECE):
            where = places[at : at + PIECE]
            lines, columns = np.divmod(where, self.width)
            entries = lines // self.cell[0] * self.entries[1] + columns // self.cell[1]
            with np.errstate(invalid="ignore", over="ignore"):
                self._add_apart(where, entries, _real(numbers[at : at + PIECE]).astype(np.float64))

    def _add_apart(
        self, places: npt.NDArray[np.int64], entries: npt.NDArray[np.int64], real: npt.NDArray[np.float64]
    ) -> None:
        finite = np.isfinite(real)
        if not finite.all():
            nan = np.isnan(real)
            odd = (self._nan, self._first_nan, nan), (self._inf, self._first_inf, ~(nan | finite))
            for counts, first, chosen in odd:
                counts.reshape(-1)[:] += np.bincount(entries[chosen], minlength=counts.size)
                np.minimum.at(first.reshape(-1), entries[chosen], places[chosen])
            entries, real = entries[finite], real[finite]
        if not real.size:
            return
        self._finite += np.bincount(entries, minlength=self._finite.size).reshape(self.entries)
        sizes = np.abs(real)
        np.maximum.at(self._max.reshape(-1), entries, sizes)
        large = sizes > _LARGE
        for sums, chosen, scale in ((self._sum, ~large, 1.0), (self._large, large, _SCALE)):
            if chosen.any():
                found = np.bincount(entries[chosen], real[chosen] / scale, sums.size)
                sums.reshape(-1)[:] += found

    def fill(self) -> None:
        """Counts all elements that were not added as zeros, once the others are there."""
        self._finite = self._elements() - self._nan - self._inf

    def _add_finite(self, place: int, real: npt.NDArray[Any], largest: float) -> None:
        small = largest <= _LARGE
        for part, line, left in self._parts(place, real):
            starts, here = self._within(part, line, left)
            if small:
                self._sum[here] += np.add.reduceat(_down(np.add, part, np.float64), starts)
            high = np.maximum.reduceat(_down(np.maximum, part), starts).astype(np.float64)
            low = np.minimum.reduceat(_down(np.minimum, part), starts).astype(np.float64)
            np.maximum(self._max[here], np.maximum(high, -low), out=self._max[here])
            self._finite[here] += len(part) * np.diff(starts, append=part.shape[1])
        if not small:
            large = np.abs(real) > _LARGE
            for sums, chosen in (
                (self._sum, np.where(large, 0, real)),
                (self._large, np.where(large, real / _SCALE, 0)),
            ):
                for part, line, left in self._parts(place, chosen):
                    starts, here = self._within(part, line, left)
                    sums[here] += np.add.reduceat(_down(np.add, part, np.float64), starts)

    def _add_odd(self, place: int, real: npt.NDArray[Any]) -> None:
        """Adds numbers of which some are NaN or infinite, which are counted apart."""
        nan, finite = np.isnan(real), np.isfinite(real)
        infinite = ~(nan | finite)
        zeroed = np.where(finite, real, 0)
        self._add_finite(place, zeroed, float(np.abs(zeroed).max()))
        for counts, first, odd in (
            (self._nan, self._first_nan, nan),
            (self._inf, self._first_inf, infinite),
        ):
            for part, line, left in self._parts(place, odd.view(np.uint8)):
                starts, here = self._within(part, line, left)
                found = np.add.reduceat(_down(np.add, part, np.int64), starts)
                if found.any():
                    counts[here] += found
                    self._finite[here] -= found
                    places = self._firsts(line * self.width + left, part)
                    np.minimum(first[here], np.minimum.reduceat(places, starts), out=first[here])

    def _firsts(self, start: int, odd: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Where the first one stands in each column of a part, [lines, columns], that begins at a place."""
        line = odd.argmax(0)
        columns = np.arange(odd.shape[1])
        return np.where(odd[line, columns] > 0, start + line * self.width + columns, self._total)

    def _within(
        self, part: npt.NDArray[Any], line: int, left: int
    ) -> tuple[npt.NDArray[np.int64], tuple[int, slice]]:
        """Where entries begin among the columns of a part, and which entries these are."""
        size, column = part.shape[1], left // self.cell[1]
        if not left and size == self.width:
            starts = self._starts
        else:
            inside = self._starts[(self._starts > left) & (self._starts < left + size)] - left
            starts = np.concatenate([[0], inside])
        return starts, (line // self.cell[0], slice(column, column + len(starts)))

    def _parts(self, place: int, numbers: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], int, int]]:
        """Numbers by row of entries: [lines, columns], and the first line and column."""
        width, down = self.width, self.cell[0]
        if numbers.ndim > 1:
            first, left = divmod(place, width)
            line, end = first, first + len(numbers)
            while line < end:
                stop = min((line // down + 1) * down, end)
                yield numbers[line - first : stop - first], line, left
                line = stop
            return
        at = 0
        while at < numbers.size:
            line, left = divmod(place + at, width)
            whole = min((numbers.size - at) // width, (line // down + 1) * down - line)
            if left or not whole:
                # A part of one line.
                whole, size = 1, min(width - left, numbers.size - at)
            else:
                size = width
            yield numbers[at : at + whole * size].reshape(whole, size), line, left
            at += whole * size

    def merge(self, other: OverviewTally) -> None:
        """Adds what another one has added up of the same tensor, asked for in the same size.

        Raises:
            ValueError: It is of another picture.
        """
        if other._asked != self._asked:
            raise ValueError("two pictures of other shapes or sizes cannot be merged")
        self._sum += other._sum
        self._large += other._large
        np.maximum(self._max, other._max, out=self._max)
        self._finite += other._finite
        self._nan += other._nan
        self._inf += other._inf
        np.minimum(self._first_nan, other._first_nan, out=self._first_nan)
        np.minimum(self._first_inf, other._first_inf, out=self._first_inf)

    def finished(self) -> Overview:
        """The picture of what was added."""
        there = self._finite > 0
        count = np.where(there, self._finite, 1)
        # Divided first, so that no sum of large numbers overflows.
        mean = self._sum / count + self._large / count * _SCALE
        # A mean lies among the numbers, whatever was rounded.
        mean = np.clip(mean, -self._max, self._max) + 0.0
        odd = np.where(self._nan > 0, self._first_nan, np.where(self._inf > 0, self._first_inf, -1))
        return Overview(
            self.width,
            self.cell,
            np.where(there, mean, np.nan),
            np.where(there, self._max + 0.0, np.nan),
            self._nan.copy(),
            self._inf.copy(),
            self._elements(),
            odd,
        )

    def _elements(self) -> npt.NDArray[np.int64]:
        """Elements by entry, of the whole tensor."""
        across = np.diff(self._starts, append=self.width) if self.entries[1] else np.zeros(0, np.int64)
        lines = self._total // self.width
        full = np.clip(lines - np.arange(self.entries[0]) * self.cell[0], 0, self.cell[0])
        out: npt.NDArray[np.int64] = np.outer(full, across).astype(np.int64)
        short = self._total - lines * self.width
        if short:
            out[-1] += np.clip(short - self._starts, 0, across)
        return out

    def plain(self) -> bytes:
        """All that was added up, to be sent to another process; `from_plain` reads it."""
        head = json.dumps(self._asked).encode()
        arrays = [getattr(self, name) for name in _ARRAYS]
        return b"".join([_HEADER.pack(len(head)), head, *(array.tobytes() for array in arrays)])

    @classmethod
    def from_plain(cls, plain: bytes) -> OverviewTally:
        """What `plain` wrote.

        Raises:
            ValueError: It is not such.
        """
        try:
            (size,) = _HEADER.unpack_from(plain)
            shape, rows, columns = json.loads(plain[_HEADER.size : _HEADER.size + size])
            found = cls(shape, rows, columns)
        except (struct.error, TypeError, UnicodeDecodeError, ZeroDivisionError) as error:
            raise ValueError("these bytes are no picture that was added up") from error
        rest = memoryview(plain)[_HEADER.size + size :]
        nbytes = 8 * prod(found.entries)
        if len(rest) != nbytes * len(_ARRAYS):
            raise ValueError("these bytes are no picture that was added up")
        for place, name in enumerate(_ARRAYS):
            array = getattr(found, name)
            part = rest[place * nbytes : (place + 1) * nbytes]
            array[:] = np.frombuffer(part, array.dtype).reshape(found.entries)
        return found


def _real(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Real numbers of a type that is added up quickly and without loss of more than float64 loses."""
    kind, size = numbers.dtype.kind, numbers.dtype.itemsize
    if kind == "c":
        wide = numbers.astype(np.complex128)
        return np.where(np.isnan(wide), np.nan, np.abs(wide))
    if kind == "f" and size == 4:
        return numbers
    # Of other types one copy costs less than what is spared: numpy works on them slowly, or would overflow.
    return numbers.astype(np.float32 if kind == "f" and size < 4 else np.float64, copy=False)


def _down(
    operation: np.ufunc, part: npt.NDArray[Any], dtype: npt.DTypeLike | None = None
) -> npt.NDArray[Any]:
    """Lines [lines, columns] brought into one."""
    lines, size = part.shape
    if lines == 1:
        only: npt.NDArray[Any] = part[0] if dtype is None else part[0].astype(dtype)
        return only
    side = _NARROW // size
    if side > 1 and lines >= 2 * side:
        many = lines // side * side
        folded = operation.reduce(part[:many].reshape(-1, side * size), axis=0, dtype=dtype)
        rest = part[many:].astype(folded.dtype)
        part = np.concatenate([folded.reshape(side, size), rest])
    found: npt.NDArray[Any] = operation.reduce(part, axis=0, dtype=dtype)
    return found
