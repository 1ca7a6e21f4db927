"""Which modules a block of a file is made of: told by the file, inferred from names and shapes, or refused.

A whole pickled module names each module's class and keeps its plain attributes; a state dict has names and
shapes alone. Classes are looked up in a fixed table of ``torch.nn``'s own, and nothing of the file is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.layer_inference import infer
from paramtui.core.layer_sight import Sight, sight_of, whole_row
from paramtui.core.layer_survey import survey
from paramtui.core.layer_table import class_matches, public_name
from paramtui.core.recipe import LayerBlock, Recipe, recipe_from, words
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.tree import Tree

__all__ = [
    "LayerBlock",
    "Recipe",
    "class_matches",
    "layer_class",
    "layers_below",
    "owner_classes",
    "recipe_from",
    "words",
]


def layers_below(tree: Tree, row: int) -> Recipe:
    """The modules at and below a block.

    Args:
        tree: Of a checkpoint; a narrowed one stands for the whole file.
        row: The block's row.

    Raises:
        ValuesError: A class is unknown or ambiguous, or a tensor cannot be a parameter. The message names the
            layer and says why.
    """
    if tree.listing.live is not None:
        raise ValuesError("is a live model, whose own modules a function can be applied to")
    sight = sight_of(tree)
    row = row if sight.tree is tree else whole_row(tree, sight.tree, row)
    if sight.tree.tensor[row] >= 0:
        raise ValuesError("is a tensor; layers are told of blocks", where=sight.where(row))
    if not sight.useful(row):
        if sight.tree.tensors[row]:
            raise ValuesError("holds the state of an optimizer, which has no layers", where=sight.where(row))
        raise ValuesError("holds no tensors", where=sight.where(row))
    return survey(sight, row)


def layer_class(tree: Tree, row: int) -> tuple[str, str] | None:
    """The class of the layer that a row is, without its module, and how it is known; None for other rows.

    Returns:
        The name with ``known`` (a module of a pickle or of a live model) or with ``inferred``.
    """
    if tree.tensor[row] >= 0 or not tree.is_block(row):
        return None
    if tree.node[row] in tree.listing.module_nodes:
        name = tree.class_name(row)
        return (name.rsplit(".", 1)[-1], "known") if name else None
    sight = sight_of(tree)
    found = _class_at(sight, row if sight.tree is tree else whole_row(tree, sight.tree, row))
    return (found, "inferred") if found else None


def _class_at(sight: Sight, row: int) -> str | None:
    """The class that a block of a state dict is inferred to be of."""
    try:
        if sight.tree.class_name(row) or not any(map(sight.is_floating, sight.own(row).values())):
            return None
        return infer(sight, row).class_name
    except ValuesError:
        return None


def owner_classes(tree: Tree, tensors: Iterable[int]) -> dict[int, str]:
    """Class of the layer that each tensor belongs to, by tensor id; without those whose layer is unknown.

    The names are those that `class_matches` takes: ``torch.nn.Linear``, or the full name of another class.
    Time grows with the size of the file, not with its square.
    """
    sight = sight_of(tree)
    whole = sight.tree
    known: dict[int, str | None] = {}
    out: dict[int, str] = {}
    for tensor in tensors:
        row = whole.row_of(tensor)
        above = whole.parent[row] if row is not None else -1
        # Parts of a tensor subclass lie below the tensor.
        while above > 0 and whole.tensor[above] >= 0:
            above = whole.parent[above]
        if above < 0:
            continue
        if above not in known:
            if sight.is_module(above):
                known[above] = public_name(whole.class_name(above) or "") or None
            else:
                found = _class_at(sight, above)
                known[above] = f"torch.nn.{found}" if found else None
        name = known[above]
        if name is not None:
            out[tensor] = name
    return out
