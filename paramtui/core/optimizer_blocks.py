"""Which blocks of a checkpoint are states of optimizers, and which may be models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.text import key_text

if TYPE_CHECKING:
    from paramtui.core.geometry import Shape
    from paramtui.core.listing import Listing

FIRST_NAMES: Final = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
# Names of what the optimizers of torch.optim keep in the shape of the parameter.
_SHAPED: Final = (
    *FIRST_NAMES,
    *("exp_inf", "square_avg", "grad_avg", "acc_delta", "sum", "prev", "step_size", "ax"),
)
COUNTERS: Final = ("step", "eta", "mu", "mu_product", "lr")
# Factored second moments: Transformers' Adafactor leaves a dimension out, torch's keeps it as 1.
_FACTORS: Final = (("exp_avg_sq_row", "exp_avg_sq_col", 0), ("row_var", "col_var", 1))
_NEVER: Final = ("running_mean", "running_var", "num_batches_tracked")


class Entry(NamedTuple):
    """One parameter as an optimizer knows it; `node` is -1 where it has no state."""

    node: int
    shape: Shape | None
    name: str | None


class Optimizer(NamedTuple):
    """What ``torch.optim.Optimizer.state_dict()`` gave."""

    node: int
    where: str
    groups: list[list[Entry]]

    @property
    def size(self) -> int:
        """Number of entries."""
        return sum(map(len, self.groups))


class Model(NamedTuple):
    """A block of tensors that may be parameters; aliases are listed once, under the first.

    `ordered` says whether they stand in the order of the model's parameters.
    """

    node: int
    where: str
    tensors: list[int]
    names: list[str]
    ordered: bool


class Blocks:
    """Optimizers and models of a listing.

    Attributes:
        optimizers: In the order of the file.
        models: In the order of the file; none where there is no optimizer.
        aliases: All tensors outside optimizers that are the same memory, by the first of them.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.aliases: dict[int, list[int]] = {}
        self.optimizers: list[Optimizer] = []
        self.models: list[Model] = []
        self._kids: dict[int, list[int]] = {}
        self._tensor_at: dict[int, int] = {}
        self._value_at: dict[int, object] = {}
        heads = {
            parent
            for parent, key in zip(listing.node_parent, listing.node_key, strict=True)
            if type(key) is str and key == "param_groups"
        }
        if heads:
            self._read(heads)

    def _read(self, heads: set[int]) -> None:
        listing = self.listing
        parents = listing.node_parent
        for node in range(1, len(parents)):
            self._kids.setdefault(parents[node], []).append(node)
        self._tensor_at = {node: tensor for tensor, node in enumerate(listing.node)}
        self._value_at = {found.node: found.value for found in listing.values}
        inside = bytearray(len(parents))
        for node, above in enumerate(parents):
            if above >= 0 and inside[above]:
                inside[node] = 1
            elif node in heads and "state" in self.below(node):
                inside[node] = 1
                self.optimizers.append(self._optimizer(node))
        if self.optimizers:
            self._find_models(inside)

    def below(self, node: int) -> dict[object, int]:
        """The nodes directly below a node, by key; keys that are neither text nor integers are left out."""
        keys = self.listing.node_key
        return {keys[kid]: kid for kid in self._kids.get(node, ()) if type(keys[kid]) in (str, int)}

    def tensors_below(self, node: int) -> dict[str, int]:
        """The tensors directly below a node, by key."""
        keys = self.listing.node_key
        kids = [kid for kid in self._kids.get(node, ()) if kid in self._tensor_at]
        return {key_text(keys[kid]): self._tensor_at[kid] for kid in kids}

    def value(self, node: int) -> object:
        """The plain value at a node; None where there is none."""
        return self._value_at.get(node)

    def _list(self, node: int | None) -> list[object]:
        """The items of a list, which is one value, or a node for each item."""
        if node is None:
            return []
        whole = self._value_at.get(node)
        if isinstance(whole, list):
            return whole
        return [self._value_at.get(kid) for kid in self._kids.get(node, ())]

    def _optimizer(self, head: int) -> Optimizer:
        below = self.below(head)
        states = self.below(below["state"])
        groups: list[list[Entry]] = []
        for group in self._kids.get(below["param_groups"], ()):
            fields = self.below(group)
            names = self._list(fields.get("param_names"))
            entries: list[Entry] = []
            for place, key in enumerate(self._list(fields.get("params"))):
                name = names[place] if place < len(names) else key
                node = states.get(key, -1) if type(key) in (str, int) else -1
                if node not in self._kids:
                    node = -1
                entries.append(Entry(node, self._shape(node), name if type(name) is str else None))
            groups.append(entries)
        return Optimizer(head, self.listing.node_name(head), groups)

    def _shape(self, node: int) -> Shape | None:
        """The shape of the parameter that an entry is for, as far as its tensors tell."""
        if node < 0:
            return None
        shapes = {name: self.listing.shape[tensor] for name, tensor in self.tensors_below(node).items()}
        for row, column, kept in _FACTORS:
            if row in shapes and column in shapes:
                return shapes[row][: len(shapes[row]) - kept] + shapes[column][-1:]
        likely = {shapes[name] for name in _SHAPED if name in shapes}
        if not likely:
            likely = {shape for name, shape in shapes.items() if name not in COUNTERS and shape}
        return likely.pop() if len(likely) == 1 else None

    def _find_models(self, inside: bytearray) -> None:
        listing = self.listing
        alias: dict[int, int] = {}
        first_at: dict[tuple[object, ...], int] = {}
        blocks: dict[int, list[int]] = {}
        tops: dict[int, int] = {}
        for tensor, node in enumerate(listing.node):
            above = listing.node_parent[node]
            if inside[node] or above < 0 or above in self._tensor_at:
                continue
            first = tensor
            if listing.location[tensor] >= 0 and listing.nbytes[tensor] and tensor not in listing.extras:
                first = first_at.setdefault(tuple(listing.geometry(tensor)), tensor)
            alias[tensor] = first
            self.aliases.setdefault(first, []).append(tensor)
            if above not in tops:
                tops[above] = self._outermost(above)
            blocks.setdefault(tops[above], []).append(tensor)
        self.models = [self._model(node, tensors, alias) for node, tensors in blocks.items()]

    def _outermost(self, node: int) -> int:
        """The whole module that a module is part of; any other node itself."""
        modules = self.listing.module_nodes
        if node not in modules:
            return node
        top = at = node
        for _ in range(1000):
            at = self.listing.node_parent[at]
            if at < 0:
                break
            top = at if at in modules else top
        return top

    def _model(self, node: int, tensors: list[int], alias: dict[int, int]) -> Model:
        listing = self.listing
        where = listing.node_name(node)
        cut = len(where) + 1 if node else 0
        told = any(listing.kind[tensor] == "parameter" for tensor in tensors)
        names: dict[int, str] = {}
        for tensor in tensors:
            name = listing.names[tensor][cut:]
            if told:
                wanted = listing.kind[tensor] == "parameter"
            else:
                wanted = listing.kind[tensor] != "buffer" and name.rpartition(".")[2] not in _NEVER
            if wanted:
                names.setdefault(alias[tensor], name)
        # safetensors are sorted by name, and large tensors of a model in shards have files of their own.
        first, last = listing.node[tensors[0]], listing.node[tensors[-1]]
        places = {listing.location[tensor] for tensor in tensors}
        ordered = not any(first < shard.first_node <= last for shard in listing.shards)
        ordered = ordered and not any(at >= 0 and listing.locations[at].key is None for at in places)
        return Model(node, where, list(names), list(names.values()), ordered)
