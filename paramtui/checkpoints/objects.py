"""Walks an inert object graph into a listing: containers become nodes, tensors and values rows.

The walk is iterative, so that a nest of any depth is walked; cycles are cut, and an object that
is reached again is listed again (as `named_parameters(remove_duplicate=False)` does) up to a cap,
since a few hundred bytes of pickle can describe a graph of exponential size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from paramtui.checkpoints.inert_objects import GlobalRef, HugeInt, InertSet, Pairs, PersistentRef, Record
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
from paramtui.core.listing import (
    ARGUMENT,
    ATTRIBUTE,
    BUFFER,
    ITEM,
    PARAMETER,
    ROOT,
    SUBMODULE,
    Key,
    Listing,
    Value,
)
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned

if TYPE_CHECKING:
    from paramtui.checkpoints.tensor_spec import Storages

# Rows that repeat objects listed before; beyond it a repeated object is one row that says so.
MAX_REPEATED = 100_000
# Keys in all listed paths together, once paths are deeper than `DEEP`: bounds the text of names.
MAX_PATH_KEYS = 5_000_000
DEEP = 1_000
MAX_MALFORMED_WARNINGS = 20

# What torch.nn.Module.__init__ puts into an instance for its own use.
_MODULE_INTERNALS = frozenset(
    {
        "_parameters",
        "_buffers",
        "_modules",
        "_non_persistent_buffers_set",
        "_backward_pre_hooks",
        "_backward_hooks",
        "_is_full_backward_hook",
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
        "_backend",
    }
)
# torch.compile's notes about a tensor's sizes say nothing about its contents.
_STATE_INTERNALS = ("_dynamo_", "_specialize_on", "_has_dynamo_dim_marking")


# Key, step, object and kind: what a node gets from the container around it.
_Child: TypeAlias = tuple[Key, int, object, str]


class _Frame:
    __slots__ = ("children", "ident", "node")

    def __init__(self, node: int, ident: int, children: list[_Child]) -> None:
        self.node = node
        self.ident = ident
        children.reverse()
        self.children = children


class ObjectWalker:
    """Fills a listing from the object that a pickle describes."""

    def __init__(self, listing: Listing, storages: Storages) -> None:
        self.listing = listing
        self.rebuilder = Rebuilder(storages)
        self._open: dict[int, int] = {}
        self._first_node: dict[int, int] = {}
        self._repeated = 0
        self._depth = 0
        self._path_keys = 0
        self._malformed = 0
        self._too_deep = 0
        self._too_often = 0
        self._left = 0

    def walk(self, root: object, nbytes: int) -> None:
        """Lists everything below `root`, which becomes the root, of a pickle of so many bytes."""
        # Each entry takes a byte of the pickle, unless it is listed again.
        self._left = nbytes + MAX_REPEATED
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
                self._depth = depth
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
        if self._too_deep:
            words = f"{self._too_deep:,} entries nested deeper than {DEEP:,} levels are left out of the list"
            warnings.append(Warned(words, "not-shown"))
        if self._too_often:
            words = (
                f"{self._too_often:,} entries repeat objects listed before and are not listed in full again"
            )
            warnings.append(Warned(words, "not-shown"))

    def _affordable(self) -> bool:
        """Whether the name of one more row at the present depth may still be listed."""
        if self._depth > DEEP:
            self._path_keys += self._depth
            if self._path_keys > MAX_PATH_KEYS:
                self._too_deep += 1
                return False
        return True

    def _value(self, node: int, type_name: str, value: object) -> None:
        if self._depth > DEEP and not self._affordable():
            return
        self.listing.values.append(Value(node, type_name, value))

    def _visit(self, found: object, node: int, kind: str, frames: list[_Frame]) -> None:
        shape_of = type(found)
        if shape_of in SCALARS:
            self._value(node, shape_of.__name__ if shape_of is not HugeInt else "int", plain_scalar(found))
            return
        if shape_of is Record or shape_of is PersistentRef:
            try:
                spec = self.rebuilder.tensor(found)
            except MalformedError as error:
                self._malformed += 1
                if self._malformed <= MAX_MALFORMED_WARNINGS:
                    name = self.listing.node_name(node)
                    words = f"{safe_text(name) or 'the object'}: not a readable tensor: {error}"
                    self.listing.warnings.append(Warned(words, "malformed-tensor", name))
                wanted = class_name(found) if type(found) is Record else "storage"
                self._value(node, wanted, f"not a readable tensor: {error}")
                return
            if spec is not None:
                self._tensor(spec, node, kind, frames)
                return
        ident = id(found)
        if ident in self._open:
            first = self.listing.node_name(self._open[ident])
            self._value(node, type_name(found), f"the same object as {safe_text(first) or 'the whole'}")
            return
        if self._left < 0:
            self._too_often += 1
            self._value(node, type_name(found), "not listed: the file repeats objects too often")
            return
        children = self._children(found, node, kind)
        if not children:
            return
        # Calls can have one and the same long tuple, and objects the same state.
        self._left -= len(children)
        if ident in self._first_node:
            self._repeated += len(children)
            if self._repeated > MAX_REPEATED:
                self._too_often += 1
                first = safe_text(self.listing.node_name(self._first_node[ident]))
                self._value(node, type_name(found), f"the same object as {first}")
                return
            if self.listing.modules[-1:] == [node]:
                self.listing.repeated.add(node)
        else:
            self._first_node[ident] = node
        self._open[ident] = node
        frames.append(_Frame(node, ident, children))

    def _tensor(self, spec: TensorSpec, node: int, kind: str, frames: list[_Frame]) -> None:
        if self._depth > DEEP and not self._affordable():
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
        if spec.state and self._left >= 0:
            children = [child for state in spec.state for child in _state(state, kind)]
            children = [
                child
                for child in children
                if not (type(child[0]) is str and child[0].startswith(_STATE_INTERNALS))
            ]
            if children:
                self._left -= len(children)
                ident = id(spec.state[0])
                if ident not in self._open:
                    self._open[ident] = node
                    frames.append(_Frame(node, ident, children))

    def _children(self, found: object, node: int, kind: str) -> list[_Child]:
        """What lies below an object. What has nothing below it is listed as a value here."""
        if type(found) is Pairs:
            return self._dict(found, node, kind)
        if type(found) is list or type(found) is tuple:
            if SCALARS.issuperset(map(type, found)):
                self._value(node, type(found).__name__, [plain_scalar(item) for item in found])
                return []
            return [(index, ITEM, item, kind) for index, item in enumerate(found)]
        if type(found) is InertSet:
            return self._set(found.items, node, kind, "frozenset" if found.frozen else "set")
        if type(found) is GlobalRef:
            name = DTYPE_ALIASES.get(found.name, found.name)
            if found.module == "torch" and name in DTYPES:
                self._value(node, "torch.dtype", f"torch.{name}")
            else:
                self._value(node, "global", found.full_name)
            return []
        if type(found) is Record:
            return self._record(found, node, kind)
        self._value(node, "persistent id", short_text(found))
        return []

    def _dict(self, found: Pairs, node: int, kind: str) -> list[_Child]:
        items = found.items
        # state_dict() hangs its version numbers on the OrderedDict; PyTorch hides them too.
        state = found.state
        hidden = type(state) is Pairs and state.items[:1] == ["_metadata"] and len(state.items) == 2
        rest = [] if state is None or hidden else _state(state, kind)
        if not items and not rest:
            self._value(node, found.cls.full_name if found.cls else "dict", {})
            return []
        if found.cls and found.cls.full_name != "collections.OrderedDict":
            self.listing.node_class[node] = found.cls.full_name
        return _items(items, kind) + rest

    def _set(self, items: list[object], node: int, kind: str, type_name: str) -> list[_Child]:
        if SCALARS.issuperset(map(type, items)):
            self._value(node, type_name, [plain_scalar(item) for item in items])
            return []
        self.listing.node_class[node] = type_name
        return [(index, ARGUMENT, item, kind) for index, item in enumerate(items)]

    def _record(self, found: Record, node: int, kind: str) -> list[_Child]:
        name = class_name(found)
        args = found.args if type(found.args) is tuple else (found.args,)
        if name == "collections.OrderedDict" and len(args) == 1 and type(args[0]) is list:
            pairs = _pair_list(args[0])
            if pairs is not None:
                return _items(pairs + (found.pairs or []), kind)
        if name in ("builtins.set", "builtins.frozenset") and len(args) == 1 and type(args[0]) is list:
            return self._set(args[0], node, kind, name.removeprefix("builtins."))
        plain = plain_value(name, args, found)
        if plain is not None:
            self._value(node, *plain)
            return []
        if _is_module(found.state):
            self.listing.node_class[node] = name
            self.listing.modules.append(node)
            return _module(found.state)  # type: ignore[arg-type]
        self.listing.node_class[node] = name
        self._value(node, name, call_text(name, args))
        children: list[_Child] = [
            (f"args[{index}]", ARGUMENT, arg, kind)
            for index, arg in enumerate(args)
            if type(arg) not in SCALARS
            and type(arg) is not GlobalRef
            and arg != ()
            and class_ref(arg) is None
        ]
        if found.kwargs is not None:
            children.append(("kwargs", ARGUMENT, found.kwargs, kind))
        if found.state is not None:
            children += _state(found.state, kind)
        if found.items:
            children += [(index, ITEM, item, kind) for index, item in enumerate(found.items)]
        if found.pairs:
            children += _items(found.pairs, kind)
        return children


def _items(items: list[object], kind: str, step: int = ITEM) -> list[_Child]:
    """Children of a dict; what lies under an optimizer's ``state`` is optimizer state."""
    keys = items[::2]
    # "state" and "param_groups" together are what torch.optim.Optimizer.state_dict() gives.
    optimizer = len(keys) < 20 and "state" in keys and "param_groups" in keys
    children: list[_Child] = []
    for index in range(0, len(items) - 1, 2):
        key = items[index]
        if type(key) not in (str, int, bytes):
            key = _key(key)
        below = "optimizer" if optimizer and key == "state" else kind
        children.append((key, step, items[index + 1], below))
    return children


def _key(key: object) -> Key:
    """A key that is neither text nor an integer, so that its name can be written."""
    if key is None or type(key) in (bool, float):
        return key
    if type(key) is tuple and SCALARS.issuperset(map(type, key)):
        return tuple(plain_scalar(item) for item in key)
    return short_text(key)


def _state(state: object, kind: str) -> list[_Child]:
    """Attributes that BUILD would set: a dict, or a pair of dicts for classes with slots."""
    if type(state) is Pairs:
        return _items(state.items, kind, ATTRIBUTE)
    if type(state) is tuple and len(state) == 2 and all(type(half) in (Pairs, type(None)) for half in state):
        return [child for half in state if half is not None for child in _state(half, kind)]
    return [("state", ARGUMENT, state, kind)]


def _is_module(state: object) -> bool:
    if type(state) is not Pairs:
        return False
    return all(
        type(state.get(name)) in (Pairs, Record, list) for name in ("_parameters", "_buffers", "_modules")
    )


def _module(state: Pairs) -> list[_Child]:
    """Parameters, buffers, attributes and submodules, in the order of ``named_parameters()``."""
    children: list[_Child] = []
    parameters = {id(found) for found in _slot(state, "_parameters")[1::2]}
    for slot, kind, step in (("_parameters", "parameter", PARAMETER), ("_buffers", "buffer", BUFFER)):
        children += _items(_slot(state, slot), kind, step)
    children += [
        child
        for child in _items(state.items, "tensor", ATTRIBUTE)
        if child[0] not in _MODULE_INTERNALS and not _repeats(child[2], parameters)
    ]
    children += [
        child for child in _items(_slot(state, "_modules"), "tensor", SUBMODULE) if child[2] is not None
    ]
    return children


def _repeats(found: object, parameters: set[int]) -> bool:
    """Whether a list holds nothing but the module's own parameters, as an RNN's ``_flat_weights``."""
    return type(found) is list and bool(found) and all(id(item) in parameters for item in found)


def _slot(state: Pairs, name: str) -> list[object]:
    found = state.get(name)
    if type(found) is Pairs:
        return found.items
    if type(found) is Record and type(found.args) is tuple and len(found.args) == 1:
        pairs = _pair_list(found.args[0]) or []
        return pairs + (found.pairs or [])
    return []


def _pair_list(found: object) -> list[object] | None:
    """Python 2 wrote OrderedDict as a call with a list of [key, value]."""
    if type(found) is not list:
        return None
    flat: list[object] = []
    for pair in found:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            return None
        flat += pair
    return flat
