"""Lines of a script that tie and untie the parameters of a live model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.expressions import MODEL, MODULE_NAMES, expression
from paramtui.core.listing import ROOT
from paramtui.core.literals import is_name, literal_text
from paramtui.errors import EditError

if TYPE_CHECKING:
    from paramtui.core.listing import Listing
    from paramtui.core.tree import Tree

_PARAMETER: Final = "torch.nn.parameter.Parameter"

# A module that other places have too gets a copy for this one, with tables and hooks of its own.
OWN_MODULE: Final = (
    "def own_module(model, *path):",
    '    """The module at a place, which no other place has: a shallow copy where others had it."""',
    '    tables = (*nn.Module().__dict__, "_flat_weights", "_flat_weight_refs")',
    "    module = model",
    "    for name in path:",
    "        parent, module = module, module._modules[name]",
    "        children = [child for each in model.modules() for child in each._modules.values()]",
    "        if sum(child is module for child in children) > 1:",
    "            own = object.__new__(type(module))",
    "            for key, value in module.__dict__.items():",
    "                copied = key in tables and isinstance(value, (dict, list, set))",
    "                own.__dict__[key] = value.copy() if copied else value",
    "            parent._modules[name] = module = own",
    "    return module",
)
NAMES: Final = frozenset({"copy", "dict", "isinstance", "list", "object", "own", "own_module", "set", "sum"})
"""What these lines call by these names."""


class Rewiring:
    """Writes lines that put other tensors in the place of those that stand there.

    Args:
        tree: Rows of a live model.

    Attributes:
        needs_own_module: Whether a line that was written calls `OWN_MODULE`.
        imports: Lines that must come first.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._listing: Listing = tree.listing
        self.needs_own_module = False
        self.imports: list[str] = []

    def tied(self, tensor: int, other: str) -> str:
        """A line that puts another parameter, given as an expression, in the place of one."""
        return self._put(tensor, self._owner(tensor), other)

    def untied(self, tensor: int) -> list[str]:
        """Lines that put a copy of a tensor in its place."""
        listing = self._listing
        path = self._path(tensor)
        out: list[str] = []
        owner = self._owner(tensor)
        live = listing.live
        if live is not None and not set(path).isdisjoint(live.replaced):
            self.needs_own_module = True
            names = "".join(f", {literal_text(str(listing.node_key[node]))}" for node in path)
            out.append(f"own = own_module({MODEL}{names})")
            owner = "own"
        held = self._held(tensor, owner)
        if listing.kind[tensor] != "parameter":
            copied = f"{held}.detach().clone()" + (
                ".requires_grad_()" if listing.requires_grad[tensor] else ""
            )
        elif live is not None and live.type_name[tensor] != _PARAMETER:
            copied = f"copy.deepcopy({held})"
            self.imports.append("import copy")
        else:
            copied = f"nn.Parameter({held}.detach().clone(), requires_grad={held}.requires_grad)"
        return [*out, self._put(tensor, owner, copied)]

    def _path(self, tensor: int) -> list[int]:
        """Nodes of the modules from below the model down to the one that owns a tensor."""
        listing = self._listing
        node = listing.node_parent[listing.node[tensor]]
        out = []
        while node != ROOT:
            out.append(node)
            node = listing.node_parent[node]
        return out[::-1]

    def _owner(self, tensor: int) -> str:
        """Python for the module that owns a tensor.

        Raises:
            EditError: There is none.
        """
        tree, listing = self._tree, self._listing
        wanted = listing.node_parent[listing.node[tensor]]
        row = tree.row_of(tensor)
        # Dots in the name of a parameter make rows between it and its module.
        while row is not None and row > 0 and tree.node[row] != wanted:
            row = tree.parent[row]
        text = expression(listing, tree, row) if row is not None else ""
        if not text:
            raise EditError(f"no line of Python reaches the module of {listing.names[tensor]}")
        return text

    def _held(self, tensor: int, owner: str) -> str:
        """Python for a tensor, by its module."""
        listing = self._listing
        name = str(listing.node_key[listing.node[tensor]])
        if is_name(name) and not name.startswith("__") and f" {name} " not in MODULE_NAMES:
            return f"{owner}.{name}"
        table = "_parameters" if listing.kind[tensor] == "parameter" else "_buffers"
        return f"{owner}.{table}[{literal_text(name)}]"

    def _put(self, tensor: int, owner: str, value: str) -> str:
        """A line that puts something in the place of a tensor."""
        return f"{self._held(tensor, owner)} = {value}"
