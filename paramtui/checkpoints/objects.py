"""Walks an inert object graph into a listing: containers become nodes, tensors and values rows.

The walk is iterative, so that a nest of any depth is walked; cycles are cut, and an object that
is reached again is listed again (as `named_parameters(remove_duplicate=False)` does) as far as the
budget goes, since a few hundred bytes of pickle can describe a graph of exponential size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.checkpoints.budget import STEP, Budget, SpentError, key_size, scalar_size, scalars_size
from paramtui.checkpoints.inert_objects import GlobalRef, HugeInt, InertSet, Pairs, PersistentRef, Record
from paramtui.checkpoints.object_children import (
    attributes,
    entries,
    is_module,
    module_parts,
    pair_list,
)
from paramtui.checkpoints.object_text import (
    SCALARS,
    call_text,
    plain_scalar,
    plain_value,
    short_text,
    type_name,
)
from paramtui.checkpoints.rebuild import Rebuilder
from paramtui.checkpoints.tensor_spec import DTYPE_ALIASES, MalformedError, TensorSpec, class_name, class_ref
from paramtui.core.dtypes import DTYPES
from paramtui.core.listing import ARGUMENT, ITEM, ROOT, Listing, Value
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.checkpoints.object_children import Child
    from paramtui.checkpoints.tensor_spec import Storages

MAX_MALFORMED_WARNINGS = 20
# Rows of repeated objects that say which object it is.
MAX_NAMED_REPEATS = 1000
# A tensor's usual facts take no more room than these.
USUAL_DIMS = 8
USUAL_TEXT = 100

# torch.compile's notes about a tensor's sizes say nothing about its contents.
_STATE_INTERNALS = ("_dynamo_", "_specialize_on", "_has_dynamo_dim_marking")


class _Frame:
    __slots__ = ("children", "ident", "node", "text")

    def __init__(self, node: int, ident: int, children: list[Child], text: int) -> None:
        self.node = node
        self.ident = ident
        # What the name of the node costs in each name below it.
        self.text = text
        children.reverse()
        self.children = children


class ObjectWalker:
    """Fills a listing from the object that a pickle describes.

    Args:
        listing: Gets the rows.
        storages: What is known of the bytes outside the pickle.
        nbytes: Of the pickle: what is listed grows with them.
    """

    def __init__(self, listing: Listing, storages: Storages, nbytes: int) -> None:
        self.listing = listing
        self.budget = Budget(nbytes)
        self.rebuilder = Rebuilder(storages, self.budget)
        self._open: dict[int, int] = {}
        self._first_node: dict[int, int] = {}
        self._malformed = 0
        self._in_part = 0
        self._not_again = 0
        self._unwritten = 0

    def walk(self, root: object) -> None:
        """Lists everything below `root`, which becomes the root."""
        add_node = self.listing.add_node
        visit = self._visit
        frames: list[_Frame] = []
        visit(root, ROOT, "tensor", frames)
        while frames:
            frame = frames[-1]
            children = frame.children
            above = frame.node
            depth = len(frames)
            while children:
                key, step, found, kind = children.pop()
                visit(found, add_node(above, key, step), kind, frames)
                if len(frames) > depth:
                    break
            else:
                frames.pop()
                self._open.pop(frame.ident, None)
        self._warn()

    def _warn(self) -> None:
        warnings = self.listing.warnings
        if self._malformed > MAX_MALFORMED_WARNINGS:
            words = f"{self._malformed - MAX_MALFORMED_WARNINGS:,} more tensors are malformed"
            warnings.append(Warned(words, "malformed-tensor"))
        if self._in_part:
            words = f"{self._in_part:,} objects are listed in part: their bytes describe more than that"
            warnings.append(Warned(words, "not-shown"))
        if self._not_again:
            words = (
                f"{self._not_again:,} entries repeat objects listed before and are not listed in full again"
            )
            warnings.append(Warned(words, "not-shown"))
        if self._unwritten:
            words = f"{self._unwritten:,} values and tensors are left out: they would be written out too long"
            warnings.append(Warned(words, "not-shown"))

    def _value(self, node: int, type_name: str, value: object, size: int = 0) -> None:
        """Adds a value, of so many characters; one that repeats too long a text is left out."""
        if len(type_name) > USUAL_TEXT:
            size += len(type_name)
        if size and not self.budget.write(size):
            self._unwritten += 1
            type_name = type_name[:USUAL_TEXT]
            value = f"{size:,} characters, not listed: the file repeats them too often"
        self.listing.values.append(Value(node, type_name, value))

    def _visit(self, found: object, node: int, kind: str, frames: list[_Frame]) -> None:
        shape_of = type(found)
        if shape_of in SCALARS:
            size = scalar_size(found)
            self._value(
                node, shape_of.__name__ if shape_of is not HugeInt else "int", plain_scalar(found), size
            )
            return
        try:
            if shape_of is Record or shape_of is PersistentRef:
                spec = self.rebuilder.tensor(found)
                if spec is not None:
                    self._tensor(spec, node, kind, frames)
                    return
            ident = id(found)
            if ident in self._open:
                first = self.listing.node_name(self._open[ident])
                self._value(node, type_name(found), f"the same object as {safe_text(first) or 'the whole'}")
                return
            children = self._children(found, node, kind)
        except MalformedError as error:
            self._broken(found, node, error)
            return
        except SpentError:
            self._repeated(found, node)
            return
        if not children:
            return
        if ident not in self._first_node:
            self._first_node[ident] = node
        elif not self.budget.repeat(len(children)):
            self._repeated(found, node)
            return
        elif self.listing.modules[-1:] == [node]:
            self.listing.repeated.add(node)
        self._enter(found, ident, node, children, frames)

    def _enter(
        self, found: object, ident: int, node: int, children: list[Child], frames: list[_Frame]
    ) -> None:
        """Goes on with what lies below a node, or with as many entries as may be listed."""
        text = 0
        if frames:
            key = self.listing.node_key[node]
            text = frames[-1].text + STEP + key_size(key)
        count = self.budget.entries([child[0] for child in children], text)
        if count < len(children):
            self._in_part += 1
            what = f"the first {count:,} entries are" if count else "nothing of it is"
            self._value(node, type_name(found), f"{what} listed")
            del children[count:]
        if children:
            self._open[ident] = node
            frames.append(_Frame(node, ident, children, text))

    def _broken(self, found: object, node: int, error: MalformedError) -> None:
        """A row for what should be a tensor."""
        self._malformed += 1
        if self._malformed <= MAX_MALFORMED_WARNINGS:
            name = self.listing.node_name(node)
            words = f"{safe_text(name) or 'the object'}: not a readable tensor: {error}"
            self.listing.warnings.append(Warned(words, "malformed-tensor", name))
        wanted = class_name(found) if type(found) is Record else "storage"
        self._value(node, wanted, f"not a readable tensor: {error}")

    def _repeated(self, found: object, node: int) -> None:
        """A row for an object that is not listed once more."""
        self._not_again += 1
        words = "not listed: the file repeats objects too often"
        first = self._first_node.get(id(found))
        if first is not None and self._not_again <= MAX_NAMED_REPEATS:
            words = f"the same object as {safe_text(self.listing.node_name(first)) or 'the whole'}"
        self._value(node, type_name(found), words)

    def _tensor(self, spec: TensorSpec, node: int, kind: str, frames: list[_Frame]) -> None:
        size = 40 * len(spec.shape) if len(spec.shape) > USUAL_DIMS else 0
        if spec.location >= 0:
            key = self.listing.locations[spec.location].key
            if key is not None and len(key) > USUAL_TEXT:
                size += len(key)
        if spec.extra is not None and spec.extra.class_name is not None:
            size += len(spec.extra.class_name)
        if size and not self.budget.write(size):
            self._unwritten += 1
            self._value(node, "torch.Tensor", "not listed: its shape or storage is too long to be repeated")
            return
        if kind == "tensor" and spec.is_parameter:
            kind = "parameter"
        self.listing.add_tensor(
            node,
            kind,
            spec.location,
            spec.begin,
            spec.dtype,
            spec.shape,
            spec.stride,
            spec.offset,
            spec.nbytes,
            spec.requires_grad,
            spec.extra,
        )
        if spec.state:
            self._below_tensor(spec.state, node, kind, frames)

    def _below_tensor(self, states: list[object], node: int, kind: str, frames: list[_Frame]) -> None:
        """What the pickle sets on a tensor."""
        ident = id(states[0])
        if ident in self._open:
            return
        children = [child for state in states for child in attributes(state, kind, self.budget)]
        children = [
            child
            for child in children
            if not (type(child[0]) is str and child[0].startswith(_STATE_INTERNALS))
        ]
        if not children:
            return
        if ident not in self._first_node:
            self._first_node[ident] = node
        elif not self.budget.repeat(len(children)):
            self._not_again += 1
            return
        self._enter(states[0], ident, node, children, frames)

    def _children(self, found: object, node: int, kind: str) -> list[Child]:
        """What lies below an object, or the first of it. What has nothing below it is listed as a value here.

        Raises:
            SpentError: It is looked at again and again.
        """
        if type(found) is Pairs:
            return self._dict(found, node, kind)
        if type(found) is list or type(found) is tuple:
            return self._sequence(found, node, type(found).__name__, ITEM, kind)
        if type(found) is InertSet:
            name = "frozenset" if found.frozen else "set"
            return self._sequence(found.items, node, name, ARGUMENT, kind)
        if type(found) is GlobalRef:
            name = DTYPE_ALIASES.get(found.name, found.name)
            if found.module == "torch" and name in DTYPES:
                self._value(node, "torch.dtype", f"torch.{name}")
            else:
                self._value(node, "global", found.full_name, len(found.full_name))
            return []
        if type(found) is Record:
            return self._record(found, node, kind)
        self._value(node, "persistent id", short_text(found))
        return []

    def _sequence(
        self, items: Sequence[object], node: int, type_name: str, step: int, kind: str
    ) -> list[Child]:
        self.budget.look(len(items))
        kinds = set(map(type, items))
        if kinds <= SCALARS:
            values = items if HugeInt not in kinds else [plain_scalar(item) for item in items]
            self._value(node, type_name, list(values), scalars_size(items, kinds))
            return []
        if step == ARGUMENT:
            self.listing.node_class[node] = type_name
        return [(index, step, item, kind) for index, item in enumerate(items[: self.budget.rows + 1])]

    def _dict(self, found: Pairs, node: int, kind: str) -> list[Child]:
        # state_dict() hangs its version numbers on the OrderedDict; PyTorch hides them too.
        state = found.state
        hidden = type(state) is Pairs and state.items[:1] == ["_metadata"] and len(state.items) == 2
        rest = [] if state is None or hidden else attributes(state, kind, self.budget)
        self.budget.look(len(found.items) >> 1)
        if not found.items and not rest:
            self._value(node, found.cls.full_name if found.cls else "dict", {})
            return []
        return entries(found.items[: 2 * (self.budget.rows + 1)], kind) + rest

    def _record(self, found: Record, node: int, kind: str) -> list[Child]:
        name = class_name(found)
        args = found.args if type(found.args) is tuple else (found.args,)
        first = args[0] if len(args) == 1 else None
        if type(first) is list and name == "collections.OrderedDict":
            self.budget.look(2 * len(first))
            pairs = pair_list(first)
            if pairs is not None:
                return entries(pairs + (found.pairs or []), kind)
        if type(first) is list and name in ("builtins.set", "builtins.frozenset"):
            return self._sequence(first, node, name.removeprefix("builtins."), ARGUMENT, kind)
        plain = plain_value(name, args, found, self.budget)
        if plain is not None:
            size = sum(map(scalar_size, plain[1])) if type(plain[1]) is list else scalar_size(plain[1])
            self._value(node, *plain, size)
            return []
        self.listing.node_class[node] = name
        self.budget.write(len(name))
        if is_module(found.state):
            self.listing.modules.append(node)
            return module_parts(found.state, self.budget)
        limit = self.budget.rows + 1
        self.budget.look(len(args))
        self.budget.look(len(found.items or ()) + (len(found.pairs or ()) >> 1))
        text = call_text(name, args)
        self._value(node, name, text, len(text))
        children: list[Child] = [
            (f"args[{index}]", ARGUMENT, arg, kind)
            for index, arg in enumerate(args[:limit])
            if type(arg) not in SCALARS
            and type(arg) is not GlobalRef
            and arg != ()
            and class_ref(arg) is None
        ]
        if found.kwargs is not None:
            children.append(("kwargs", ARGUMENT, found.kwargs, kind))
        if found.state is not None:
            children += attributes(found.state, kind, self.budget)
        if found.items:
            children += [(index, ITEM, item, kind) for index, item in enumerate(found.items[:limit])]
        if found.pairs:
            children += entries(found.pairs[: 2 * limit], kind)
        return children
