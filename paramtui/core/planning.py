"""Which tensors an initialiser is for, in which order, and which are left out for which reason."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.dtypes import DTYPES
from paramtui.core.edits import Call, Initialise, Step
from paramtui.core.lookup import path_text, written_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from paramtui.core.listing import Listing
    from paramtui.core.tree import Tree

ALL: Final = "all"
WEIGHTS: Final = "weights"
BIASES: Final = "biases"

# What a state dict holds besides parameters, by the names that torch.nn gives them.
_BUFFER_NAMES: Final = frozenset({"running_mean", "running_var", "num_batches_tracked"})


class Scope(NamedTuple):
    """Where an initialiser is to be applied.

    Attributes:
        row: Row of the tree: a tensor, or a block with all below it.
        only: Glob over full dotted names; empty for all.
        layer: Class of the layers that are meant, ``Linear``; empty for all.
        part: `ALL`, `WEIGHTS` or `BIASES`.
    """

    row: int
    only: str = ""
    layer: str = ""
    part: str = ALL


class Target(NamedTuple):
    """A tensor that would change.

    Attributes:
        tensor: Its id.
        call: What is done to it.
        also: Ids of the others that share memory with it.
    """

    tensor: int
    call: Call
    also: tuple[int, ...]


class Plan(NamedTuple):
    """What would change, in order, and what is left out with the reason."""

    targets: tuple[Target, ...]
    left: tuple[tuple[int, str], ...]

    def edit(self, listing: Listing, seed: int) -> Initialise:
        """The edit that carries it out."""
        return Initialise(
            tuple(Step(address(listing, target.tensor), target.call) for target in self.targets), seed
        )

    def without(self, refused: Mapping[int, str]) -> Plan:
        """The plan without some tensors, which are left out for a reason each."""
        return Plan(
            tuple(target for target in self.targets if target.tensor not in refused),
            (
                *self.left,
                *((each.tensor, refused[each.tensor]) for each in self.targets if each.tensor in refused),
            ),
        )


def address(listing: Listing, tensor: int) -> str:
    """What names a tensor for sure: its dotted name, or its key path where others have that name."""
    name = listing.names[tensor]
    if len(listing.ids_named(name)) == 1 and written_path(name) is None:
        return name
    return path_text(listing, tensor)


def is_bias(name: str) -> bool:
    """Whether a name ends as torch.nn names a bias: ``bias``, ``bias_ih_l0``, ``in_proj_bias``."""
    last = name.rpartition(".")[2]
    return last == "bias" or last.startswith("bias_") or last.endswith("_bias")


def make_plan(
    tree: Tree,
    scope: Scope,
    weights: Call | None,
    biases: Call | None,
    reason: Callable[[int], str],
) -> Plan:
    """What an initialiser would change.

    Parameters are visited in the order of ``named_parameters()``, which is that of the listing, or in what
    comes closest where a file has lost it (`order_note`); memory that several names share is visited once,
    under its first name.

    Args:
        tree: The rows.
        scope: Where.
        weights: For all that is no bias; None leaves them.
        biases: For biases; None leaves them.
        reason: Why a tensor cannot be changed; empty where it can.
    """
    listing = tree.listing
    alone = tree.tensor[scope.row] if not tree.is_block(scope.row) else -1
    chosen = [alone] if alone >= 0 else sorted(tree.tensors_below(scope.row))
    if order_note(listing):
        chosen = _as_registered(tree, chosen)
    chosen = _narrowed(tree, scope, chosen)
    groups: dict[int, tuple[int, ...]] = {}
    for group in listing.sharing.groups:
        for member in group.members:
            groups[member] = group.members
    targets: list[Target] = []
    left: list[tuple[int, str]] = []
    seen: set[tuple[object, ...]] = set()
    for tensor in chosen:
        call = biases if is_bias(listing.names[tensor]) else weights
        if call is None:
            continue
        why = reason(tensor) or ("" if tensor == alone else _not_meant(listing, tensor))
        if why:
            left.append((tensor, why))
            continue
        place = memory_key(listing, tensor)
        if place in seen:
            continue
        seen.add(place)
        targets.append(Target(tensor, call, tuple(id_ for id_ in groups.get(tensor, ()) if id_ != tensor)))
    return Plan(tuple(targets), tuple(left))


def order_note(listing: Listing) -> str:
    """What a person should know about the order of parameters; empty where the file keeps the model's."""
    if not listing.format.startswith("safetensors"):
        return ""
    return (
        "a .safetensors file sorts its names: where the model's own order is another one, the same seed gives"
        " other numbers than on the model"
    )


def _as_registered(tree: Tree, tensors: list[int]) -> list[int]:
    """Sorted names in the order that is likely: numbered layers by number, the weight before the bias."""
    names = tree.listing.names
    rows = sorted((tree.row_of(tensor) or 0, tensor) for tensor in tensors)
    out: list[int] = []
    layer: list[int] = []
    around = -1
    for row, tensor in rows:
        if tree.parent[row] != around:
            out += sorted(layer, key=lambda each: is_bias(names[each]))
            layer, around = [], tree.parent[row]
        layer.append(tensor)
    return out + sorted(layer, key=lambda each: is_bias(names[each]))


def thin_note(listing: Listing, plan: Plan) -> str:
    """A warning where weights of normalisation layers, which begin at 1, would change among matrices."""
    thin = [
        target.tensor
        for target in plan.targets
        if len(listing.shape[target.tensor]) == 1 and not is_bias(listing.names[target.tensor])
    ]
    if not thin or len(thin) == len(plan.targets):
        return ""
    what = listing.names[thin[0]] + (f" and {len(thin) - 1:,} more" if len(thin) > 1 else "")
    return f"{what} of one dimension too: weights of normalisation layers are usually left at 1"


def memory_key(listing: Listing, tensor: int) -> tuple[object, ...]:
    """Equal for tensors that are the same elements of the same memory."""
    location = listing.location[tensor]
    if location < 0:
        return (tensor,)
    shape, stride = listing.shape[tensor], listing.stride[tensor] or ()
    return location, listing.begin[tensor], listing.dtype[tensor], shape, stride


def _narrowed(tree: Tree, scope: Scope, tensors: list[int]) -> list[int]:
    names = tree.listing.names
    if scope.part != ALL:
        tensors = [tensor for tensor in tensors if is_bias(names[tensor]) == (scope.part == BIASES)]
    if scope.only:
        tensors = [tensor for tensor in tensors if fnmatchcase(names[tensor], scope.only)]
    if scope.layer:
        from paramtui.core.layers import owner_classes

        wanted = scope.layer.rpartition(".")[2]
        classes = owner_classes(tree, tensors)
        tensors = [tensor for tensor in tensors if classes.get(tensor, "").rpartition(".")[2] == wanted]
    return tensors


def _not_meant(listing: Listing, tensor: int) -> str:
    """Why a tensor of a block is no parameter to be initialised with the others; empty where it is."""
    kind, dtype = listing.kind[tensor], listing.dtype[tensor]
    if kind == "optimizer":
        return "state of an optimizer"
    if kind == "buffer" or listing.names[tensor].rpartition(".")[2] in _BUFFER_NAMES:
        return "not a parameter but a buffer"
    if DTYPES[dtype].family not in ("float", "complex"):
        return f"{dtype}: not a parameter that could be trained"
    if not listing.numel(tensor):
        return "has no elements"
    stride = listing.stride[tensor]
    if stride is not None and any(
        not step and (size or 0) > 1 for size, step in zip(listing.shape[tensor], stride, strict=True)
    ):
        return "several of its elements are the same memory"
    return ""


def layer_types(tree: Tree, row: int) -> list[str]:
    """Classes of the layers at and below a row, as `Scope.layer` takes them, in order of first use."""
    from paramtui.core.layers import owner_classes

    found: Iterable[str] = owner_classes(tree, tree.tensors_below(row)).values()
    return list(dict.fromkeys(name.rpartition(".")[2] for name in found))
