"""Counts numbers that come piece by piece, for exact figures in bounded memory whatever the tensor's size.

Of 8- and 16-bit types the patterns are counted, which tells everything exactly. Of wider types sums are kept
in float64, and counts by the upper 16 bits of the pattern, as levels.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from paramtui.core.decoding import decode
from paramtui.core.dtypes import DTYPES
from paramtui.core.levels import Levels
from paramtui.core.statistics import Measured
from paramtui.core.sums import Sums, add_sums, finished, smallest_normal

if TYPE_CHECKING:
    import numpy.typing as npt

# Patterns of 16 bits, and the first of those of negative numbers.
TABLE: Final = 1 << 16
# Elements that are worked on at once: what they need stays in the cache of a core.
PIECE: Final = 1 << 18
NEGATIVE: Final = 0x8000
# Upper 16 bits from which on numbers are infinite or NaN, by the bytes of a float.
INFINITE: Final = {4: 0x7F80, 8: 0x7FF0}


def counts_patterns(dtype: str) -> bool:
    """Whether the bytes of a type are counted as they are stored."""
    found = DTYPES[dtype]
    return found.bits in (8, 16) and found.family in ("float", "int", "uint", "bool", "bits")


@cache
def pattern_numbers(dtype: str) -> npt.NDArray[np.float64]:
    """The numbers of all patterns of an 8- or 16-bit type: float64 [patterns], [256, 2] of pairs."""
    size = DTYPES[dtype].itemsize
    codes = np.arange(1 << (8 * size), dtype=f"<u{size}")
    with np.errstate(invalid="ignore"):
        numbers: npt.NDArray[np.float64] = decode(codes.view(np.uint8).reshape(-1, size), dtype).astype(
            np.float64
        )
    return numbers


class Tally:
    """Counts of one tensor, or of a part of it.

    Args:
        dtype: Element type.
        small: Whether there are at most `SMALL` numbers, which are kept as they are.
        patterns: Whether elements come as stored, where patterns of the type can be counted.
    """

    def __init__(self, dtype: str, *, small: bool = False, patterns: bool = True) -> None:
        self.dtype = dtype
        self.patterns = patterns and counts_patterns(dtype)
        self._size = 0
        self.table: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.sums = Sums()
        self._kept: list[npt.NDArray[np.float64]] | None = [] if small and not self.patterns else None
        self._wide: npt.NDArray[np.float64] = np.empty(0)
        self._spare: npt.NDArray[np.float64] = np.empty(0)

    def add_raw(self, raw: npt.NDArray[np.uint8]) -> None:
        """Adds elements as stored, little-endian: flat bytes. For types of which patterns are counted."""
        codes: npt.NDArray[Any] = raw.view("<u2") if DTYPES[self.dtype].itemsize == 2 else raw
        self._add_table(np.bincount(codes, minlength=1 << (8 * codes.itemsize)))

    def _add_table(self, counts: npt.NDArray[Any]) -> None:
        if len(self.table):
            self.table += counts
        else:
            self.table = counts.astype(np.int64)

    def add(self, numbers: npt.NDArray[Any]) -> None:
        """Adds decoded numbers, see `Window.values`, of a type of which patterns are not counted."""
        flat = numbers.reshape(-1)
        for first in range(0, flat.size, PIECE):
            self._add_piece(flat[first : first + PIECE])

    def add_zeros(self, count: int) -> None:
        """Adds numbers that are zero and stored nowhere, as of a sparse tensor."""
        if count:
            self.sums.add(Sums(numel=count, zero=count, count=count, minimum=0, maximum=0))

    def _add_piece(self, numbers: npt.NDArray[Any]) -> None:
        sums = Sums(numel=numbers.size)
        kind = numbers.dtype.kind
        if kind == "c":
            numbers = self._magnitudes(numbers, sums)
        elif kind != "f":
            # Whole numbers: all are finite.
            sums.zero = numbers.size - int(np.count_nonzero(numbers))
            wide = self._float64(numbers)
            self._count(wide)
            self._note(numbers, wide, sums)
            return
        elif numbers.dtype.itemsize < 4:
            numbers = numbers.astype(np.float32)
        counts = self._count(numbers)
        if counts is None or self._odd(counts):
            numbers = self._finite(numbers, sums)
        if counts is None or self._near_zero(counts, numbers.size):
            sums.zero = numbers.size - int(np.count_nonzero(numbers))
            sums.subnormal = int(np.count_nonzero(np.abs(numbers) < smallest_normal(self.dtype))) - sums.zero
        self._note(numbers, self._float64(numbers), sums)

    @staticmethod
    def _finite(numbers: npt.NDArray[Any], sums: Sums) -> npt.NDArray[Any]:
        """The finite ones; the others are counted."""
        finite = np.isfinite(numbers)
        nan = int(np.count_nonzero(np.isnan(numbers)))
        left = numbers.size - int(np.count_nonzero(finite)) - nan
        negative = int(np.count_nonzero(numbers == -np.inf)) if left else 0
        sums.nan += nan
        sums.neginf += negative
        sums.posinf += left - negative
        kept: npt.NDArray[Any] = numbers[finite]
        return kept

    def _magnitudes(self, numbers: npt.NDArray[Any], sums: Sums) -> npt.NDArray[np.float64]:
        """Magnitudes of the complex numbers without a NaN in them; the others are counted."""
        wide = numbers.astype(np.complex128)
        nan = np.isnan(wide)
        found = int(np.count_nonzero(nan))
        if found:
            sums.nan += found
            wide = wide[~nan]
        with np.errstate(over="ignore"):
            magnitudes: npt.NDArray[np.float64] = np.abs(wide)
        return magnitudes

    def _float64(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Numbers in a buffer that is used again: fresh memory each time costs more than the sums."""
        if numbers.size > len(self._wide):
            self._wide, self._spare = np.empty(numbers.size), np.empty(numbers.size)
        wide = self._wide[: numbers.size]
        np.copyto(wide, numbers)
        return wide

    def _note(self, finite: npt.NDArray[Any], wide: npt.NDArray[np.float64], sums: Sums) -> None:
        if finite.size:
            if self._kept is not None:
                self._kept.append(wide.copy())
            add_sums(sums, finite, wide, self._spare[: wide.size])
        self.sums.add(sums)

    # Levels of wide types

    def _count(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64] | None:
        """Counts floats by the upper 16 bits, but no zeros; None where numbers are kept instead."""
        if self._kept is not None:
            return None
        size = numbers.dtype.itemsize
        self._size = size
        numbers = np.ascontiguousarray(numbers)
        step = size // 2
        upper = numbers.view(np.uint16)[step - 1 :: step]
        counts: npt.NDArray[np.int64] = np.bincount(upper, minlength=TABLE)
        if counts[0] or counts[NEGATIVE]:
            bits = numbers.view(np.uint32 if size == 4 else np.uint64)
            counts[0] -= int(np.count_nonzero(bits == 0))
            counts[NEGATIVE] -= int(np.count_nonzero(bits == 1 << (8 * size - 1)))
        self._add_table(counts)
        return counts

    def _odd(self, counts: npt.NDArray[np.int64]) -> bool:
        """Whether NaN or infinities were counted."""
        first = INFINITE[self._size]
        return bool(counts[first:NEGATIVE].any() or counts[first | NEGATIVE :].any())

    def _near_zero(self, counts: npt.NDArray[np.int64], size: int) -> bool:
        """Whether there may be zeros, or numbers below the least normal one, among so many finite ones."""
        if smallest_normal(self.dtype) != smallest_normal("float32" if self._size == 4 else "float64"):
            return True
        past = 1 << (7 if self._size == 4 else 4)
        low = counts[:past].any() or counts[NEGATIVE : NEGATIVE | past].any()
        # Zeros were left out.
        return bool(low) or int(counts.sum()) != size or self._odd(counts)

    # The end

    def merge(self, table: npt.NDArray[np.int64], sums: Sums, size: int) -> None:
        """Adds what another tally of the same dtype has counted."""
        if len(table):
            self._size = size or self._size
            self._add_table(table)
        self.sums.add(sums)

    @property
    def size(self) -> int:
        """Bytes of the floats whose upper bits were counted; 0 where none were."""
        return self._size

    def levels(self) -> Levels:
        """The finite numbers by level."""
        if self.patterns:
            return self._pattern_levels()
        if self._kept is not None:
            numbers = np.concatenate(self._kept) if self._kept else np.empty(0)
            zeros = self.sums.count - numbers.size
            values, counts = np.unique(numbers + 0.0, return_counts=True)
            return _with_zeros(Levels(values, values, counts.astype(np.int64)), zeros)
        return self._upper_levels()

    def _pattern_levels(self) -> Levels:
        """Levels of counted patterns; works their sums out as well."""
        table = self.table
        numbers = pattern_numbers(self.dtype)
        counts = np.zeros(len(numbers), np.int64)
        counts[: len(table)] = table
        sums = self.sums = Sums()
        if numbers.ndim > 1:
            # Each byte is two numbers.
            counts = np.repeat(counts, numbers.shape[1])
            numbers = numbers.reshape(-1)
        there = counts > 0
        numbers, counts = numbers[there], counts[there]
        sums.numel = int(counts.sum())
        sums.nan = int(counts[np.isnan(numbers)].sum())
        sums.posinf = int(counts[numbers == np.inf].sum())
        sums.neginf = int(counts[numbers == -np.inf].sum())
        finite = np.isfinite(numbers)
        values, places = np.unique(numbers[finite] + 0.0, return_inverse=True)
        found = np.zeros(len(values), np.int64)
        np.add.at(found, places, counts[finite])
        if len(values):
            sums.count = int(found.sum())
            sums.zero = int(found[values == 0].sum())
            sums.subnormal = int(found[np.abs(values) < smallest_normal(self.dtype)].sum()) - sums.zero
            sums.subnormal = max(sums.subnormal, 0)
            sums.minimum, sums.maximum = values[0].item(), values[-1].item()
            sums.mean = float(np.dot(values, found)) / sums.count
            sums.squares = float(np.dot(np.square(values - sums.mean), found))
            sums.l1 = float(np.dot(np.abs(values), found))
        return Levels(values, values, found)

    def _upper_levels(self) -> Levels:
        table, size = self.table, self._size
        if not len(table):
            empty = np.empty(0)
            return _with_zeros(Levels(empty, empty, np.empty(0, np.int64)), self.sums.count)
        first = INFINITE[size]
        kind, up = (np.float32, 16) if size == 4 else (np.float64, 48)
        codes = np.flatnonzero(table[:first])
        below = np.flatnonzero(table[NEGATIVE : NEGATIVE | first])[::-1]
        unsigned = np.dtype(np.uint32 if size == 4 else np.uint64)
        rest = (1 << up) - 1
        least = (codes.astype(np.uint64) << np.uint64(up)).astype(unsigned)
        most = least | unsigned.type(rest)
        # Zero is a level of its own.
        least[codes == 0] = 1
        least2 = (below.astype(np.uint64) << np.uint64(up)).astype(unsigned)
        most2 = least2 | unsigned.type(rest)
        least2[below == 0] = 1
        low = np.concatenate([-most2.view(kind).astype(np.float64), least.view(kind).astype(np.float64)])
        high = np.concatenate([-least2.view(kind).astype(np.float64), most.view(kind).astype(np.float64)])
        counts = np.concatenate([table[NEGATIVE + below], table[codes]])
        if len(counts):
            low[0] = max(low[0], float(self.sums.minimum))
            high[-1] = min(high[-1], float(self.sums.maximum))
        return _with_zeros(Levels(low, high, counts), self.sums.zero)

    def measured(self, *, numel: int = 0) -> Measured:
        """Figures and levels.

        Args:
            numel: How many there are, where only some were looked at; else 0.
        """
        levels = self.levels()
        sampled = self.sums.numel if numel else 0
        if numel:
            self.sums.numel = numel
        return Measured(finished(self.sums, levels, self.dtype, sampled=sampled), levels)


def _with_zeros(levels: Levels, zeros: int) -> Levels:
    """Levels with zeros that were left out."""
    if not zeros:
        return levels
    at = int(np.searchsorted(levels.low, 0.0))
    if at < len(levels.low) and levels.low[at] == 0:
        counts = levels.count.copy()
        counts[at] += zeros
        return Levels(levels.low, levels.high, counts)
    return Levels(
        np.insert(levels.low, at, 0.0), np.insert(levels.high, at, 0.0), np.insert(levels.count, at, zeros)
    )
