"""Two tensors of one source, element by element: where they differ, by how much, and whether only in bits."""

from __future__ import annotations

import asyncio
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from paramtui.core.dtypes import DTYPES
from paramtui.core.raw_cells import split_picks
from paramtui.core.text import safe_text, shape_text
from paramtui.core.ties import ALIAS, APART, OVERLAP, relation
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.core.encoding import Number
    from paramtui.core.listing import Listing
    from paramtui.core.source import Reader, Window

SAME_MEMORY = "same memory"
EQUAL_BITS = "equal bits"
EQUAL_VALUES = "equal values"
DIFFERENT = "different"


class Difference(NamedTuple):
    """One pair of elements that differ.

    Attributes:
        amount: How much: of two whole numbers an exact integer, else in float64.
        index: Where, in all dimensions; the first such place in row-major order. ``float4_e2m1fn_x2`` has one
            more of size 2.
        one, other: The two numbers.
    """

    amount: float
    index: tuple[int, ...]  # type: ignore[assignment]  # a tuple has a method of this name
    one: Number
    other: Number


class Picture(NamedTuple):
    """Where two tensors differ, in few entries.

    The tensor is seen as a matrix in row-major order: the columns are its last dimension or its last few,
    the rows all others one after the other. Narrow rows may stand side by side in a line, a power of two of
    them, and what would be one row (a vector) and is longer than the picture is wide is folded into lines of
    a power of two; the last line may then be shorter. `paramtui.core.picture_folding` chooses what fills the
    room best and tells which it is.

    Attributes:
        rows, columns: Entries of the picture down and across.
        cell: Rows and columns of the matrix that an entry stands for; the last ones may stand for fewer.
        counts: Elements that differ, by entry.
        largest: The largest absolute difference, by entry; NaN where a number is NaN in one alone.
        width: Columns of the matrix.
    """

    rows: int
    columns: int
    cell: tuple[int, int]
    counts: tuple[tuple[int, ...], ...]
    largest: tuple[tuple[float, ...], ...]
    width: int


class Comparison(NamedTuple):
    """What two tensors have in common.

    Two elements are equal if their numbers are, or if both are NaN (a complex number is NaN if a part of it
    is). Numbers of different types are compared exactly, as if both were widened without loss.

    Attributes:
        one, other: Their ids.
        relation: In memory, see `paramtui.core.ties.relation`.
        elements: Of each.
        different: Elements that differ.
        other_bits: Elements that are equal and whose bits differ: 0.0 and -0.0, or NaN of two patterns. 0
            where bits cannot be told.
        nan_only: How many are NaN in the first alone, and in the second alone. They differ, and have no
            amount.
        largest: The largest absolute difference ``|a - b|``, of complex numbers the magnitude of ``a - b``;
            None where none has an amount. Infinity differs from all others by infinity.
        relative: The largest relative difference ``|a - b| / max(|a|, |b|)``; infinite where one is infinite.
            Its amount is a float for whole numbers too.
        first: Where the first element lies that differs.
        picture: Where they differ; None for tensors without elements.
        untold: Why bits cannot be told, in words; empty where they were compared.
        nan_both: Whether some elements are NaN in both; False for the same memory, which is not read.
    """

    one: int
    other: int
    relation: str
    elements: int
    different: int
    other_bits: int
    nan_only: tuple[int, int]
    largest: Difference | None
    relative: Difference | None
    first: tuple[int, ...] | None
    picture: Picture | None
    untold: str = ""
    nan_both: bool = False

    @property
    def verdict(self) -> str:
        """``same memory``, ``equal bits``, ``equal values`` or ``different``."""
        if self.relation == ALIAS:
            return SAME_MEMORY
        if self.different:
            return DIFFERENT
        return EQUAL_VALUES if self.other_bits or self.untold else EQUAL_BITS

    @property
    def words(self) -> str:
        """The verdict in sentences for a person."""
        elements = f"{self.elements:,} element{'s' if self.elements != 1 else ''}"
        if self.verdict == SAME_MEMORY:
            return "Both are the same elements of the same memory."
        said = []
        if self.verdict == EQUAL_BITS:
            said.append(f"All {elements} have equal bits.")
        elif self.verdict == EQUAL_VALUES:
            said.append(f"All {elements} have equal values.")
            if self.untold:
                said.append(f"Bits were not compared: {self.untold}.")
        else:
            share = 100 * self.different / self.elements
            percent = "under 0.01" if share < 0.01 else f"{share:.3g}"
            said.append(f"{self.different:,} of {elements} differ ({percent} %).")
            if self.largest is not None:
                said.append(f"The largest difference is {_pair(self.largest)}.")
            if self.relative is not None:
                said.append(f"The largest relative difference is {_pair(self.relative)}.")
        if self.other_bits:
            count = f"{self.other_bits:,} equal {'numbers have' if self.other_bits > 1 else 'number has'}"
            said.append(f"{count} other bits: zeros of two signs, or NaN of two patterns.")
        if any(self.nan_only):
            here, there = self.nan_only
            said.append(f"{here:,} are NaN in the first alone, {there:,} in the second alone.")
        if self.relation == OVERLAP:
            said.append("They have bytes in common, but are not the same elements.")
        elif self.relation == APART:
            said.append("They lie in one storage and have no byte in common.")
        elif not self.different and self.elements:
            said.append("They lie in memory of their own: copies, not shared.")
        return " ".join(said)


def _pair(found: Difference) -> str:
    index = f" at [{', '.join(map(str, found.index))}]" if found.index else ""
    one, other = number_texts(found.one, found.other)
    return f"{number_text(found.amount)}{index}: {one} and {other}"


def number_text(number: Number, digits: int = 6) -> str:
    """A number with so many digits that count; whole ones exactly."""
    if isinstance(number, bool):
        return str(number)
    return f"{number:,}" if isinstance(number, int) else f"{number:.{digits}g}"


def number_texts(one: Number, other: Number) -> tuple[str, str]:
    """Two numbers with as few digits as tell them apart."""
    short = number_text(one), number_text(other)
    if one == other or short[0] != short[1]:
        return short
    texts = number_text(one, 9), number_text(other, 9)
    return texts if texts[0] != texts[1] else (number_text(one, 17), number_text(other, 17))


async def compare(
    reader: Reader,
    one: int,
    other: int,
    *,
    rows: int = 32,
    columns: int = 64,
    progress: Callable[[int, int], None] | None = None,
    differing: Callable[[int], None] | None = None,
) -> Comparison:
    """Compares two tensors of a source, reading windows of bounded size.

    The task can be cancelled between pieces.

    Args:
        reader: The source.
        one: Id of a tensor.
        other: Id of the other one.
        rows: Entries of the picture down, at most.
        columns: Entries of the picture across, at most.
        progress: Told how many elements were compared, and how many there are.
        differing: Told before `progress` how many of those that were compared differ.

    Raises:
        ValuesError: Their shapes differ, or their values cannot be read or compared; the message says why.
    """
    listing = reader.listing
    shape = _shape(listing, one, other)
    related = relation(listing, one, other)
    # Two numbers share an element of this type.
    numbers = (*shape, 2) if listing.dtype[one] == "float4_e2m1fn_x2" else shape
    from paramtui.core.differing import Tally

    tally = Tally(numbers, rows, columns, bits=not (untold := _untold(listing, one, other)))
    total = prod(numbers)
    if related != ALIAS:
        for picks in split_picks([range(size) for size in shape]):
            windows = await asyncio.gather(reader.window(one, picks), reader.window(other, picks))
            await asyncio.to_thread(tally.add, *map(_values, windows))
            if differing is not None:
                differing(tally.different)
            if progress is not None:
                progress(tally.compared, total)
    return Comparison(
        one,
        other,
        related,
        total,
        tally.different,
        tally.other_bits,
        (tally.nan_here, tally.nan_there),
        tally.largest,
        tally.relative,
        tally.first,
        tally.picture(),
        untold,
        tally.nan_both,
    )


def _values(window: Window) -> Any:  # noqa: ANN401  an array of any type
    if window.values is None:
        raise ValuesError("a ragged tensor has no elements that could be compared one by one")
    return window.values


def _shape(listing: Listing, one: int, other: int) -> tuple[int, ...]:
    """The shape of both; refuses what cannot be compared."""
    for tensor in (one, other):
        extra = listing.extras.get(tensor)
        if extra is not None and extra.problem:
            raise ValuesError(extra.problem)
        ragged = extra is not None and extra.layout in ("nested", "jagged")
        if ragged or None in listing.shape[tensor]:
            raise ValuesError("a ragged tensor has no elements that could be compared one by one")
    here, there = listing.shape[one], listing.shape[other]
    if here != there:
        raise ValuesError(f"shapes differ: {shape_text(here)} and {shape_text(there)}")
    paired = [listing.dtype[tensor] == "float4_e2m1fn_x2" for tensor in (one, other)]
    if paired[0] != paired[1]:
        raise ValuesError("an element of float4_e2m1fn_x2 is two numbers, one of the other tensor is one")
    return tuple(size or 0 for size in here)


def _untold(listing: Listing, one: int, other: int) -> str:
    """Why equal numbers do not tell whether their bits are equal; empty where they do."""
    dtypes = listing.dtype[one], listing.dtype[other]
    if dtypes[0] != dtypes[1]:
        return f"one is {safe_text(dtypes[0])}, the other {safe_text(dtypes[1])}"
    flags = []
    for tensor in (one, other):
        extra = listing.extras.get(tensor)
        flags.append((extra.conj, extra.neg) if extra is not None else (False, False))
        if extra is not None and extra.layout is not None:
            return f"the layout {safe_text(extra.layout, 40)} can store the same numbers in several ways"
        if extra is not None and extra.quantizer is not None:
            return "quantised numbers are compared by what they stand for"
    family = DTYPES[dtypes[0]].family
    if family == "quantized":
        return "quantised numbers are compared by what they stand for"
    if family == "bool":
        return "any byte but 0 stands for True"
    if flags[0] != flags[1]:
        return "one of them is a lazily conjugated or negated view"
    return ""
