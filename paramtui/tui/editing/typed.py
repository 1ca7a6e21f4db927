"""What a typed line would change, before it is done: cells, other names for them, and the PyTorch for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.cell_arithmetic import check_arithmetic
from paramtui.core.decoding import decode
from paramtui.core.edit_text import parse_edit, reached_name
from paramtui.core.edits import SetCells, edit_text, literal_text
from paramtui.core.encoding import encode
from paramtui.core.indexing import apply_index, parse_index
from paramtui.core.planning import address
from paramtui.core.raw_cells import picked
from paramtui.core.text import safe_text, shape_text
from paramtui.core.touching import touched_by
from paramtui.errors import EditError, NameLookupError
from paramtui.tui.opened import expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.listing import Listing
    from paramtui.tui.opened import Opened

MAX_NAMES: Final = 3
# A relative difference that is worth a word.
COARSE: Final = 0.02
_LAST_NUMBER: Final = re.compile(r"(.+)\[\s*(-?\d+)\s*\]")


class Meant(NamedTuple):
    """What a line means.

    Attributes:
        edit: The change.
        tensor: Id of the tensor that it names.
        cells: How many elements change.
        also: Ids of the other tensors that have some of them.
        declared: The name by which the tensor was meant, where that is not stored and is declared to be it.
    """

    edit: SetCells
    tensor: int
    cells: int
    also: tuple[int, ...]
    declared: str = ""


def meant(opened: Opened, text: str, tensor: int, cell: str | None, declared: str = "") -> Meant:
    """What a line would change.

    Args:
        opened: The target.
        text: The line.
        tensor: Id of the tensor that is meant where the line names none; -1 for none.
        cell: Index of the cell that is meant where the line says none; None for the whole tensor.
        declared: The name by which `tensor` is meant, where that is declared to be it.

    Raises:
        ParamtuiError: The line is no change, or cannot be carried out.
    """
    typed = parse_edit(text)
    listing = opened.listing
    here = not typed.reach
    if not here:
        tensor, before, declared = _reached(opened, typed.reach)
        if before:
            typed = typed._replace(index=f"{before}, {typed.index}" if typed.index else before)
    elif tensor < 0:
        raise EditError("no tensor is under the cursor", hint=f"name one, as in {_example(opened)}")
    dtype, sizes = listing.dtype[tensor], listing.shape[tensor]
    reason = opened.editor.edit_reason(tensor) if opened.editor is not None else "it can only be looked at"
    if reason:
        raise EditError(reason, where=safe_text(listing.names[tensor]))
    cells = typed.index
    if cells is None:
        cells = cell if here and cell is not None else "..." if sizes else ""
    shape = tuple(size or 0 for size in sizes)
    selection = apply_index(parse_index(cells), shape)
    count = 1
    for pick in selection.picks:
        count *= len(pick)
    if not count:
        raise EditError(f"[{cells}] selects nothing of {shape_text(sizes)}")
    if typed.operator == "=":
        encode(typed.number, dtype)
    else:
        check_arithmetic(dtype, typed.operator, typed.number)
    geometry = listing.geometry(tensor)
    changed = geometry
    if geometry.location >= 0 and len(geometry.stride) == len(shape):
        changed = picked(geometry, selection.picks)
    also = tuple(other for other in touched_by(listing, tensor, changed) if other != tensor)
    edit = SetCells(address(listing, tensor), cells, typed.operator, typed.number)
    return Meant(edit, tensor, count, also, declared)


def _reached(opened: Opened, reach: str) -> tuple[int, str, str]:
    """The tensor that a text names, and numbers in brackets behind it, which are the first of its index.

    Third the name that was meant, where that is declared to be the tensor.
    """
    listing = opened.listing
    name, numbers = _named(reach, listing.names)
    if name is None:
        declared = {
            _ghost_name(listing, value): tied.members[0] for value, tied in opened.ties.ghosts.items()
        }
        ghost, behind = _named(reach, [*declared])
        if ghost is not None:
            return declared[ghost], behind, ghost
        ends = [other for other in listing.names if other.endswith(f".{reach}")]
        name = ends[0] if len(ends) == 1 else None
    if name is not None:
        ids = listing.ids_named(name)
        if len(ids) == 1:
            return ids[0], numbers, ""
        raise NameLookupError(f"{len(ids)} tensors are named {safe_text(name)}", hint="e on one of them")
    from difflib import get_close_matches

    near = get_close_matches(reach, listing.names[:20_000], 1)
    hint = f"did you mean {safe_text(near[0])}?" if near else f"name one as the tree does: {_example(opened)}"
    raise NameLookupError(f"no tensor is named {safe_text(reach, 80)}", hint=hint)


def _named(reach: str, names: Sequence[str]) -> tuple[str | None, str]:
    """The one of some names that a text means, and numbers in brackets behind it."""
    name, rest = reached_name(reach, names), reach
    numbers: list[str] = []
    while name is None and (found := _LAST_NUMBER.fullmatch(rest)):
        # ``weight[0][1]`` is ``weight[0, 1]``.
        rest = found[1]
        numbers.insert(0, found[2])
        name = reached_name(rest, names)
    return name, ", ".join(numbers) if name is not None else ""


def _ghost_name(listing: Listing, value: int) -> str:
    return listing.node_name(listing.values[value].node)


def _example(opened: Opened) -> str:
    names = opened.listing.names
    return f"{safe_text(names[0], 60) if names else 'weight'}[0] = 100"


def effect(opened: Opened, found: Meant) -> str:
    """``64 cells; also 4.weight``; of a name that is declared to be another one this first."""
    names = opened.listing.names
    words = "1 cell" if found.cells == 1 else f"{found.cells:,} cells"
    shape = opened.listing.shape[found.tensor]
    if found.cells > 1 and found.cells == opened.listing.numel(found.tensor):
        words += f", all of {shape_text(shape)}"
    others = [safe_text(names[other], 60) or "(tensor)" for other in found.also]
    changed = {found.tensor, *found.also}
    ghosts = [
        _ghost_name(opened.listing, value)
        for value, tied in opened.ties.ghosts.items()
        if not changed.isdisjoint(tied.members)
    ]
    others += [f"{safe_text(ghost, 60)} (declared)" for ghost in ghosts if ghost != found.declared]
    if others:
        more = len(others) - MAX_NAMES
        words += f"; also {', '.join(others[:MAX_NAMES])}" + (f" and {more:,} more" if more > 0 else "")
    stored = _stored(opened, found)
    words = f"{words}; stored as {stored}" if stored else words
    if not found.declared:
        return words
    name = safe_text(names[found.tensor], 60)
    return f"{safe_text(found.declared, 60)} is declared to be {name}: {name} changes; {words}"


def _stored(opened: Opened, found: Meant) -> str:
    """What the type makes of a number that it cannot hold; empty where it is that but for rounding."""
    number, dtype = found.edit.number, opened.listing.dtype[found.tensor]
    if found.edit.operator != "=" or isinstance(number, complex) or number != number:  # noqa: PLR0124
        return ""
    import numpy as np

    cell = decode(np.frombuffer(encode(number, dtype), np.uint8)[None], dtype).reshape(-1)
    kept = cell[0].item() if len(cell) == 1 else number
    if isinstance(kept, complex) or kept == number:
        return ""
    if isinstance(kept, float) and kept and abs(kept) != float("inf") and abs(kept / number - 1) < COARSE:
        return ""
    return str(kept)


def torch_line(opened: Opened, found: Meant) -> str:
    """The line of PyTorch that a change amounts to."""
    row, edit = opened.tree.row_of(found.tensor), found.edit
    way = expression(opened, row) if row is not None else ""
    if not way:
        return edit_text(edit)
    listing = opened.listing
    # Autograd refuses that a leaf is changed in place; its data is the same memory.
    data = ".data" if listing.requires_grad[found.tensor] or listing.kind[found.tensor] == "parameter" else ""
    return f"{way}{data}[{edit.cells or '...'}] {edit.operator} {literal_text(edit.number)}"
