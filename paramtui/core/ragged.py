"""Where the components of nested and jagged tensors lie, as their tables say: many can claim the same."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.claims import OVERLAP
from paramtui.core.countable import MIN_ROWS, ROW
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.windows import read_cells, refuse_claims
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.geometry import Extra, Geometry
    from paramtui.core.runs import ByteRuns

    Place = tuple[Geometry, list[range]]

# Elements that all components together may have of the smallest buffer.
FEW: Final = 1 << 12


def components(runs: ByteRuns, extra: Extra, rows: Sequence[int]) -> list[Place]:
    """Where some components lie: a strided tensor, and which cells of it.

    Args:
        runs: Where the bytes come from.
        extra: Of the nested or jagged tensor.
        rows: Which of its components.

    Raises:
        ValuesError: One reaches past what is stored, or they claim far more than that.
    """
    whole = extra.parts["buffer" if extra.layout == "nested" else "values"]
    held = sum(map(runs.nbytes, {part.location for part in extra.parts.values()}))
    if len(rows) > MIN_ROWS and len(rows) * ROW > held:
        raise ValuesError(f"it claims {len(rows):,} components, far more than the file holds")
    stored = prod(whole.shape)
    refuse_claims(runs, whole, stored)
    out = (_nested if extra.layout == "nested" else _jagged)(runs, extra, rows)
    claimed = 0
    for place, picks in out:
        count = prod(map(len, picks))
        refuse_claims(runs, place, count)
        claimed += count
    if claimed > OVERLAP * stored + FEW:
        times = claimed // max(stored, 1)
        raise ValuesError(f"its components claim {claimed:,} elements, {times:,} times what is stored of it")
    return out


def _nested(runs: ByteRuns, extra: Extra, rows: Sequence[int]) -> list[Place]:
    def numbers(name: str) -> list[Any]:
        table = extra.parts[name]
        found: list[Any] = read_cells(runs, table, [rows, *map(range, table.shape[1:])]).tolist()
        return found

    buffer = extra.parts["buffer"]
    itemsize, stored = ITEMSIZE[buffer.dtype], prod(buffer.shape)
    out: list[Place] = []
    for row, shape, stride, offset in zip(
        rows, numbers("sizes"), numbers("strides"), numbers("storage_offsets"), strict=True
    ):
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if min(*shape, *stride, offset, 0) < 0 or (0 not in shape and last >= stored):
            raise ValuesError(f"component {row} reaches past the buffer")
        place = buffer._replace(
            begin=buffer.begin + offset * itemsize, shape=tuple(shape), stride=tuple(stride)
        )
        out.append((place, list(map(range, shape))))
    return out


def _jagged(runs: ByteRuns, extra: Extra, rows: Sequence[int]) -> list[Place]:
    values, offsets = extra.parts["values"], extra.parts["offsets"]
    dim = extra.options["ragged"] - 1
    firsts = read_cells(runs, offsets, [rows]).tolist()
    if "lengths" in extra.parts:
        lengths = read_cells(runs, extra.parts["lengths"], [rows]).tolist()
        lasts = [first + length for first, length in zip(firsts, lengths, strict=True)]
    else:
        lasts = read_cells(runs, offsets, [[row + 1 for row in rows]]).tolist()
    out: list[Place] = []
    for row, first, last in zip(rows, firsts, lasts, strict=True):
        if not 0 <= first <= last <= values.shape[dim]:
            raise ValuesError(f"component {row} reaches past the values")
        spans = list(map(range, values.shape))
        spans[dim] = range(first, last)
        out.append((values, spans))
    return out
