"""Goes through the blocks below a row and says what each is: one module, with its tensors and facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.layer_inference import Found, infer
from paramtui.core.layer_table import BLOCK, LAYERS, RECURRENT, own_name, weight_parts
from paramtui.core.listing import ATTRIBUTE, BUFFER, PARAMETER, SUBMODULE
from paramtui.core.literals import is_name
from paramtui.core.recipe import LayerBlock, Recipe, joined
from paramtui.core.text import safe_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from paramtui.core.layer_sight import Sight

MAX_DEPTH: Final = 400
"""Levels of blocks; torch visits modules recursively."""
MAX_NAME: Final = 200
MAX_PATH: Final = 3000
"""Letters in the names on the way to a block, which `literal_text` writes whole."""
_BUFFER_NAMES: Final = frozenset({"inv_freq"})
_LAYER_LIKE: Final = ("weight", "bias")
_NORMS: Final = frozenset(name for name in LAYERS if "Norm" in name)


def survey(sight: Sight, row: int) -> Recipe:
    """The modules at and below a row of `sight`, which must be a block with tensors of a model.

    Raises:
        ValuesError: A class is unknown or ambiguous, or a tensor cannot be a parameter.
    """
    return _Survey(sight, row).recipe()


class _Survey:
    """Goes through the blocks below a row."""

    def __init__(self, sight: Sight, row: int) -> None:
        self.sight = sight
        self.row = row
        self.listing = sight.listing
        self._first_at: dict[tuple[object, ...], int] = {}

    def recipe(self) -> Recipe:
        sight = self.sight
        places: dict[int, int] = {}
        above: list[int] = []
        blocks: list[LayerBlock] = []
        stack: list[tuple[int, int, tuple[str, ...]]] = [(self.row, -1, ())]
        while stack:
            row, parent, path = stack.pop()
            if len(path) > MAX_DEPTH or sum(map(len, path)) > MAX_PATH:
                raise ValuesError(
                    "blocks are nested too deep, or their names are too long", where=sight.where(row)
                )
            block, children = self._block(row, path)
            place = places[row] = len(blocks)
            blocks.append(block)
            above.append(parent)
            labels: set[str] = set()
            below: list[tuple[int, int, tuple[str, ...]]] = []
            for child in children:
                label = sight.tree.label[child]
                self._check_label(child, label)
                if label in labels or label in block.parameters or label in block.buffers:
                    raise ValuesError("has the name of something else beside it", where=sight.where(child))
                labels.add(label)
                below.append((child, place, (*path, label)))
            stack += reversed(below)
        ordered = not sight.is_sorted(self.row) or len(blocks) == 1
        return Recipe(joined(blocks, above), safe_text(sight.tree.name(self.row)), ordered)

    def _check_label(self, row: int, label: str) -> None:
        if not label or "." in label or len(label) > MAX_NAME or not label.isprintable():
            raise ValuesError("has a name that no module can have", where=self.sight.where(row))

    def _block(self, row: int, path: tuple[str, ...]) -> tuple[LayerBlock, list[int]]:
        """A block, and the rows of those in it."""
        if self.sight.is_module(row):
            return self._known(row, path)
        sight = self.sight
        own = sight.own(row)
        children = sight.blocks(row)
        floating = [name for name, tensor in own.items() if sight.is_floating(tensor)]
        if own and sight.tree.class_name(row):
            name = safe_text(sight.tree.class_name(row) or "", 80)
            raise ValuesError(
                f"is an object of {name}, no module whose class is known", where=sight.where(row)
            )
        if not floating or (not children and set(floating) <= _BUFFER_NAMES):
            if "weight" in own:
                infer(sight, row)  # integers in the place of a weight: says so
            buffers = self._ids(row, own)
            return LayerBlock(path, BLOCK, "inferred", {}, {}, buffers), children
        return self._inferred(row, path, infer(sight, row), own), children

    def _inferred(self, row: int, path: tuple[str, ...], found: Found, own: dict[str, int]) -> LayerBlock:
        ids = self._ids(row, own)
        kept = {name: ids[name] for name in own if name.startswith(("running_", "num_batches"))}
        parameters = {name: ids[name] for name in own if name not in kept}
        arguments = found.arguments
        frozen = self._frozen(own, parameters)
        return LayerBlock(
            path, found.class_name, "inferred", arguments, parameters, kept, frozen, untold=found.untold
        )

    def _known(self, row: int, path: tuple[str, ...]) -> tuple[LayerBlock, list[int]]:
        """A module of a pickle. Its own attributes that are no modules are not visited by ``apply``."""
        sight, tree, listing = self.sight, self.sight.tree, self.listing
        parameters: dict[str, int] = {}
        buffers: dict[str, int] = {}
        values: dict[str, object] = {}
        children: list[tuple[int, int]] = []
        for child in tree.children(row):
            node, tensor, label = tree.node[child], tree.tensor[child], tree.label[child]
            step = listing.node_step[node]
            if step == SUBMODULE:
                if not sight.is_module(child):
                    raise ValuesError(self._no_module(child), where=sight.where(child))
                children.append((node, child))
            elif step in (PARAMETER, BUFFER) and tensor >= 0:
                (parameters if step == PARAMETER else buffers)[label] = tensor
            elif step in (PARAMETER, BUFFER) and not self._is_none(child):
                raise ValuesError("is no readable tensor", where=sight.where(child))
            elif step == ATTRIBUTE and tensor < 0:
                found = self._plain(child)
                if found is not None:
                    values[label] = found[0]
        full = tree.class_name(row) or ""
        name = own_name(full)
        rows = [child for _, child in sorted(children)]
        called = ""
        if name is None:
            self._check_own_class(row, full, parameters, has_children=bool(rows))
            name, called = BLOCK, full.rsplit(".", 1)[-1]
            called = called if is_name(called) else ""
        arguments = self._arguments(row, name, parameters, values) if name in LAYERS else {}
        if name == "ParameterDict":
            values["_keys"] = dict.fromkeys(parameters)
        taken = {*parameters, *buffers, *arguments, *(tree.label[child] for child in rows), "training"}
        values = {key: value for key, value in values.items() if key not in taken and is_name(key)}
        block = LayerBlock(
            path,
            name,
            "known",
            arguments,
            self._ids(row, parameters),
            self._ids(row, buffers),
            self._frozen(parameters, parameters),
            values,
            called=called,
        )
        return block, rows

    def _no_module(self, row: int) -> str:
        index = self.sight.tree.value[row]
        value = self.listing.values[index].value if index >= 0 else None
        if isinstance(value, str) and value.startswith("the same object as"):
            return f"is {safe_text(value, 100)}, so the module holds itself or is used too often to be listed"
        return "stands among the submodules and is no module whose class is known"

    def _is_none(self, row: int) -> bool:
        index = self.sight.tree.value[row]
        return index >= 0 and self.listing.values[index].value is None

    def _plain(self, row: int) -> tuple[object] | None:
        """The plain value at a row, in a tuple; None where it is no such value."""
        index = self.sight.tree.value[row]
        if index < 0:
            return None
        _, kind, value = self.listing.values[index]
        if isinstance(value, list):
            plain = kind in ("tuple", "list") and all(_is_plain(item) for item in value)
            return (tuple(value),) if plain else None
        if not _is_plain(value):
            return None
        # The text that stands for another object or for a huge integer has another type than its own.
        return (value,) if kind == type(value).__name__ or kind.startswith("numpy.") else None

    def _check_own_class(
        self, row: int, full: str, parameters: dict[str, int], *, has_children: bool
    ) -> None:
        """A class of the model's own may hold others and parameters beside them, and be no layer itself."""
        layer_like = [name for name in parameters if name.startswith(_LAYER_LIKE)]
        if layer_like or (parameters and not has_children):
            shown = ", ".join(safe_text(name, 60) for name in (layer_like or list(parameters))[:4])
            raise ValuesError(
                f"holds {shown}, and its class {safe_text(full, 100)} is none of torch.nn's own layers",
                where=self.sight.where(row),
            )

    def _arguments(
        self, row: int, name: str, parameters: dict[str, int], values: dict[str, object]
    ) -> dict[str, object]:
        form = LAYERS[name]
        where = self.sight.where(row)
        missing = [part for part in form.parameters if part not in parameters]
        if missing or weight_parts(parameters):
            shown = ", ".join(safe_text(part, 60) for part in list(parameters)[:4]) or "none"
            part = (missing or ["weight"])[0]
            raise ValuesError(
                f"is a {name} whose {part} is no parameter (it holds {shown}): it is computed or removed",
                where=where,
            )
        arguments: dict[str, object] = {}
        for key in form.needed:
            if key not in values:
                raise ValuesError(f"is a {name}, and the file does not tell its {key}", where=where)
            arguments[key] = values[key]
        arguments |= {key: values[key] for key in form.options if key in values}
        if name == "MultiheadAttention":
            arguments = {
                key: value
                for key, value in arguments.items()
                if key not in ("kdim", "vdim") or value != values["embed_dim"]
            }
        for key, part in form.flags.items():
            # A norm without weight has no bias to speak of, and older torch knows no such argument.
            if key != "bias" or "weight" in parameters or name not in _NORMS:
                arguments[key] = part in parameters
        if name in _NORMS and name != "LayerNorm" and arguments.get("bias") is True:
            del arguments["bias"]
        if name in RECURRENT:
            self._check_recurrent(where, name, arguments, parameters)
        return arguments

    def _check_recurrent(
        self, where: str, name: str, arguments: dict[str, object], parameters: dict[str, int]
    ) -> None:
        """The constructor makes as many layers as it is told: they must all be there."""
        count = arguments.get("num_layers", 1)
        kinds = 2 + 2 * bool(arguments.get("bias")) + bool(arguments.get("proj_size"))
        both = 1 + bool(arguments.get("bidirectional"))
        found = sum(part.startswith(("weight_", "bias_")) for part in parameters)
        if type(count) is not int or count < 1 or count * kinds * both != found:
            raise ValuesError(
                f"is a {name} with {found} weights, which its attributes do not fit", where=where
            )

    def _frozen(self, tensors: dict[str, int], parameters: dict[str, int]) -> tuple[str, ...]:
        listing = self.listing
        return tuple(
            name
            for name, tensor in tensors.items()
            if name in parameters
            and (
                not self.sight.is_floating(tensor)
                or (listing.kind[tensor] == "parameter" and not listing.requires_grad[tensor])
            )
        )

    def _ids(self, row: int, tensors: dict[str, int]) -> dict[str, int]:
        """Ids by name; exact aliases have the id of the one that was met first."""
        return {name: self._first(row, name, tensor) for name, tensor in tensors.items()}

    def _first(self, row: int, name: str, tensor: int) -> int:
        listing = self.listing
        if not name or "." in name or len(name) > MAX_NAME or not name.isprintable():
            raise ValuesError(
                f"holds {safe_text(name)}, a name that no parameter can have", where=self.sight.where(row)
            )
        extra = listing.extras.get(tensor)
        if extra is not None and (extra.problem or extra.quantizer or extra.layout):
            kind = "quantized" if extra.quantizer else extra.layout or extra.problem or ""
            raise ValuesError(
                f"its {safe_text(name, 60)} is no ordinary tensor ({safe_text(kind, 80)})",
                where=self.sight.where(row),
            )
        if listing.location[tensor] < 0 or not listing.nbytes[tensor]:
            return tensor
        shape = listing.shape[tensor]
        stride = listing.stride[tensor] or ()
        # The stride of a dimension of size 1 says nothing.
        moving = tuple(step for size, step in zip(shape, stride, strict=True) if size != 1)
        key = (listing.location[tensor], listing.begin[tensor], listing.dtype[tensor], shape, moving)
        return self._first_at.setdefault(key, tensor)


def _is_plain(value: object) -> bool:
    return value is None or type(value) in (bool, int, float, str)
