"""What ``print(block)`` would say: the nest of a module, with its classes where the file tells them.

The form is that of ``torch.nn.Module.__repr__`` and, for lists of equal modules, of
``torch.nn.ModuleList.__repr__``. Blocks of a state dict have no classes; their tensors are named
instead, and equal neighbours are one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.layer_text import layer_text
from paramtui.core.text import safe_text, shape_text

if TYPE_CHECKING:
    from paramtui.core.tree import Tree

MAX_LINES: Final = 400
MAX_DEPTH: Final = 24

_LIST: Final = "torch.nn.modules.container.ParameterList"
_DICT: Final = "torch.nn.modules.container.ParameterDict"
# What ``Tensor.type()`` calls a dtype.
_TYPES: Final = {
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "float16": "HalfTensor",
    "bfloat16": "BFloat16Tensor",
}


def block_text(tree: Tree, row: int) -> list[str]:
    """Lines for a block, safe for a terminal; the last one says so if there are more."""
    lines: list[str] = []
    _write(tree, row, "", lines, 0)
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], "…"]
    return lines


def _short_class(tree: Tree, row: int) -> str:
    name = tree.class_name(row)
    return safe_text(name.rsplit(".", 1)[-1], 60) if name else ""


def _is_module(tree: Tree, row: int) -> bool:
    return tree.node[row] in tree.listing.module_nodes


def _values(tree: Tree, row: int) -> dict[str, object]:
    listing = tree.listing
    return {
        tree.label[child]: listing.values[tree.value[child]].value
        for child in tree.children(row)
        if tree.value[child] >= 0 and not tree.is_block(child)
    }


def extra_repr(tree: Tree, row: int) -> str:
    """The arguments that a layer's ``extra_repr()`` gives; of a file, as far as it holds them."""
    live = tree.listing.live
    if live is not None:
        return safe_text(live.text.get(tree.node[row], ""), 400)
    bias = any(tree.label[child] == "bias" and tree.tensor[child] >= 0 for child in tree.children(row))
    return layer_text(tree.class_name(row) or "", _values(tree, row), bias=bias)


def _parameters(tree: Tree, row: int) -> list[str]:
    """The lines of a ParameterList or ParameterDict; of no other class any."""
    kind = tree.class_name(row)
    if kind not in (_LIST, _DICT):
        return []
    listing = tree.listing
    lines: list[str] = []
    for child in tree.children(row)[: MAX_LINES + 1]:
        tensor = tree.tensor[child]
        if tensor >= 0:
            dtype = safe_text(listing.dtype[tensor], 40)
            size = "x".join(map(str, listing.shape[tensor]))
            words = f"torch.{dtype if kind == _LIST else _TYPES.get(dtype, dtype)} of size {size}"
            lines.append(f"({safe_text(tree.label[child], 80)}): Parameter containing: [{words}]")
    return lines


def _write(tree: Tree, row: int, lead: str, lines: list[str], depth: int) -> None:
    """Adds the lines of a block; `lead` is what stands before its name."""
    indent = "  " * depth
    if len(lines) > MAX_LINES:
        return
    if depth > MAX_DEPTH:
        lines.append(f"{indent}{lead}…")
        return
    module = _is_module(tree, row)
    name = _short_class(tree, row)
    below = [
        child
        for child in tree.children(row)
        if (_is_module(tree, child) if module else tree.tensors[child] or _is_module(tree, child))
    ]
    extra = extra_repr(tree, row) if module else ""
    parameters = _parameters(tree, row) if module else []
    if len(parameters) == 1:
        lines.append(f"{indent}{lead}{name}(  {parameters[0]})")
        return
    if parameters:
        lines += [f"{indent}{lead}{name}(", *(f"{indent}    {line}" for line in parameters), f"{indent})"]
        return
    if not below:
        lines.append(f"{indent}{lead}{name}({extra})")
        return
    lines.append(f"{indent}{lead}{name}(")
    if extra:
        lines.append(f"{indent}  {extra}")
    for first, last in _folded(tree, below, fold=not module or name == "ModuleList"):
        if len(lines) > MAX_LINES:
            return
        child = below[first]
        label = safe_text(tree.label[child], 80)
        count = last - first + 1
        if count > 1:
            label = f"({label}-{safe_text(tree.label[below[last]], 80)}): {count} x "
        else:
            label = f"({label}): "
        tensor = tree.tensor[child]
        if tensor >= 0 and not tree.is_block(child):
            listing = tree.listing
            lines.append(
                f"{indent}  {label}{safe_text(listing.dtype[tensor])} {shape_text(listing.shape[tensor])}"
            )
        else:
            _write(tree, child, label, lines, depth + 1)
    lines.append(f"{indent})")


def _folded(tree: Tree, rows: list[int], *, fold: bool) -> list[tuple[int, int]]:
    """First and last place of each run of blocks that are equal below their names."""
    runs: list[tuple[int, int]] = []
    for place, row in enumerate(rows):
        if fold and runs and tree.is_block(row) and _same(tree, rows[runs[-1][0]], row):
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
            if len(runs) > MAX_LINES:
                break
    return runs


def _same(tree: Tree, one: int, other: int) -> bool:
    """Whether two blocks have the same names, classes, shapes and types below them."""
    size = tree.end[one] - one
    if (
        tree.end[other] - other != size
        or tree.label[one + 1 : one + size] != tree.label[other + 1 : other + size]
    ):
        return False
    listing = tree.listing
    for offset in range(size):
        a, b = tree.tensor[one + offset], tree.tensor[other + offset]
        if (a < 0) != (b < 0):
            return False
        if a >= 0:
            if listing.shape[a] != listing.shape[b] or listing.dtype[a] != listing.dtype[b]:
                return False
        elif tree.class_name(one + offset) != tree.class_name(other + offset):
            return False
        x, y = tree.value[one + offset], tree.value[other + offset]
        if (x < 0) != (y < 0) or (x >= 0 and listing.values[x].value != listing.values[y].value):
            return False
    return True
