"""Where the globals of a pickle are used: every object that it describes is looked at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.budget import Budget
from paramtui.checkpoints.inert_objects import GlobalRef, InertSet, Pairs, PersistentRef, Record
from paramtui.core.gc_pause import paused_gc
from paramtui.core.trust import MAX_PATHS, GlobalUse, Uses, in_order, verdict
from paramtui.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.checkpoints.inert_pickle import Pickle
    from paramtui.checkpoints.source import StoredPickle

# Keys of a path that are told.
MAX_KEYS: Final = 200
# What holds nothing to look at.
_LEAVES: Final = frozenset({bool, int, float, str, type(None), bytes, bytearray})
# Attributes of a module that are no steps of the names of what they hold.
_SLOTS: Final = frozenset({"_parameters", "_buffers", "_modules"})
# Calls whose arguments are the tensor itself.
_REBUILDS: Final = ("torch._utils._rebuild", "torch._tensor._rebuild", "numpy.", "torch.nested.")


def find_uses(pickles: Iterable[StoredPickle]) -> Uses:
    """What pickles refer to, and where in the tree; time grows with their bytes.

    Raises:
        ValuesError, TargetError, FormatError: A file has changed, or cannot be read any more.
    """
    found: dict[str, _Found] = {}
    unread: list[str] = []
    whole = True
    for stored in pickles:
        with paused_gc():
            try:
                pickle = stored.read()
            except FormatError as error:
                if not (stored.below and str(stored.below[-1]).startswith("(")):
                    raise
                # No part of the object that is listed.
                unread.append(f"{error}; it may name more than is told")
                whole = False
                for name in error.named or ():
                    found.setdefault(name, _Found()).add(stored.below)
                continue
            for name in pickle.globals:
                found.setdefault(name, _Found())
            walk = _Walk(stored.below, found, pickle.end)
            walk.walk(pickle.root)
            if walk.left < 0:
                unread.append(_cut(pickle, found))
            del pickle, walk
    uses = (GlobalUse(name, verdict(name), at.count, tuple(at.paths)) for name, at in found.items())
    return Uses(in_order(uses), unread, whole)


def _cut(pickle: Pickle, found: dict[str, _Found]) -> str:
    """Notes the names that were not come to, and says so."""
    for name in pickle.globals:
        at = found[name]
        if not at.count:
            at.add(("(not looked for)",))
    return "a pickle holds too many objects to look at all: names may be used at more places than are told"


class _Found:
    __slots__ = ("count", "last", "paths")

    def __init__(self) -> None:
        self.count = 0
        self.last = -1
        self.paths: list[tuple[object, ...]] = []

    def add(self, path: tuple[object, ...]) -> None:
        """Counts a place that is none of the tree."""
        self.count += 1
        if len(self.paths) < MAX_PATHS:
            self.paths.append(path)


class _Walk:
    """One pickle. A place is an index into columns of parents and keys, so that depth costs no stack."""

    def __init__(self, below: tuple[object, ...], found: dict[str, _Found], nbytes: int) -> None:
        self.left = Budget(nbytes).rows
        self._below = below
        self._found = found
        self._parent = [-1]
        self._key: list[object] = [None]
        self._depth = [0]
        self._seen: set[int] = set()
        # Objects and their places, the next one last.
        self._rest: list[tuple[object, int]] = []

    def walk(self, root: object) -> None:
        """Looks at all that hangs on `root`, as long as `left` is not negative."""
        rest = self._rest
        rest.append((root, 0))
        while rest and self.left >= 0:
            found, place = rest.pop()
            kind = type(found)
            if kind is GlobalRef:
                self._note(found, place)  # type: ignore[arg-type]
                continue
            if not self._is_new(found):
                continue
            first = len(rest)
            if kind is Record:
                self._record(found, place)  # type: ignore[arg-type]
            elif kind is Pairs:
                self._pairs(found, place)  # type: ignore[arg-type]
            elif kind is PersistentRef:
                self._flat(found.pid, place)  # type: ignore[attr-defined]
            elif kind is InertSet:
                self._items(found.items, place)  # type: ignore[attr-defined]
            elif kind is list or kind is tuple:
                self._items(found, place)  # type: ignore[arg-type]
            # In the order of the file.
            rest[first:] = rest[first:][::-1]

    def _is_new(self, found: object) -> bool:
        """Whether an object has not been looked at: many calls can have one and the same long tuple."""
        if id(found) in self._seen:
            return False
        self._seen.add(id(found))
        return True

    def _note(self, ref: GlobalRef, place: int) -> None:
        at = self._found.get(ref.full_name)
        if at is None:
            # What the reader itself puts in place of buffers outside the pickle is no global of it.
            return
        at.count += 1
        if place != at.last and len(at.paths) < MAX_PATHS:
            at.last = place
            path = self._path(place)
            if path not in at.paths:
                at.paths.append(path)

    def _path(self, place: int) -> tuple[object, ...]:
        while self._depth[place] > MAX_KEYS:
            place = self._parent[place]
        keys: list[object] = []
        while place > 0:
            keys.append(self._key[place])
            place = self._parent[place]
        return (*self._below, *reversed(keys))

    def _step(self, place: int, key: object) -> int:
        self.left -= 1
        self._parent.append(place)
        self._key.append(key)
        self._depth.append(self._depth[place] + 1)
        return len(self._parent) - 1

    def _flat(self, found: object, place: int) -> None:
        """What a tuple holds, at its own place; anything else as it is."""
        if type(found) is tuple:
            if self._is_new(found):
                self._rest += [(item, place) for item in found if item and type(item) not in _LEAVES]
        elif type(found) not in _LEAVES:
            self._rest.append((found, place))

    def _items(self, found: Iterable[object], place: int) -> None:
        for index, item in enumerate(found):
            if item and type(item) not in _LEAVES:
                if self.left < 0:
                    break
                self._rest.append((item, self._step(place, index)))

    def _pairs(self, found: Pairs, place: int) -> None:
        if found.cls is not None:
            self._rest.append((found.cls, place))
        self._entries(found.items, place)
        self._state(found.state, place)

    def _entries(self, items: list[object], place: int) -> None:
        for index in range(0, len(items) - 1, 2):
            if self.left < 0:
                break
            key, item = items[index], items[index + 1]
            leaf = not item or type(item) in _LEAVES
            if key and type(key) not in _LEAVES:
                self._rest.append((key, self._step(place, "(a key)")))
                key = "(a key)"
            if not leaf:
                slot = key in _SLOTS and type(item) in (Pairs, Record) if type(key) is str else False
                self._rest.append((item, place if slot else self._step(place, key)))

    def _state(self, state: object, place: int) -> None:
        """Attributes that BUILD sets: a dict, or a pair of dicts for classes with slots."""
        if type(state) in _LEAVES:
            return
        if (
            type(state) is tuple
            and len(state) == 2
            and all(type(half) in (Pairs, type(None)) for half in state)
        ):
            self._flat(state, place)
        else:
            self._rest.append((state, place if type(state) is Pairs else self._step(place, "state")))

    def _record(self, found: Record, place: int) -> None:
        func, args = found.func, found.args
        self._rest.append((func, place))
        if type(func) is GlobalRef and func.full_name.startswith(_REBUILDS):
            self._flat(args, place)
        elif type(args) is tuple:
            if self._is_new(args):
                self._arguments(func, args, place)
        else:
            self._flat(args, place)
        if type(found.kwargs) not in _LEAVES:
            self._rest.append((found.kwargs, self._step(place, "kwargs")))
        self._state(found.state, place)
        if found.items:
            self._items(found.items, place)
        if found.pairs:
            self._entries(found.pairs, place)

    def _arguments(self, func: object, args: tuple[object, ...], place: int) -> None:
        first = args[0] if len(args) == 1 else None
        is_dict = type(func) is GlobalRef and func.full_name == "collections.OrderedDict"
        if is_dict and type(first) is list and self._is_new(first):
            # Python 2 wrote OrderedDict as a call with a list of [key, value].
            for pair in first:
                if type(pair) in (list, tuple) and len(pair) == 2:
                    self._entries(list(pair), place)
                else:
                    self._rest.append((pair, place))
            return
        for index, arg in enumerate(args):
            kind = type(arg)
            if kind is GlobalRef:
                self._rest.append((arg, place))
            elif kind not in _LEAVES and arg != ():
                self._rest.append((arg, self._step(place, f"args[{index}]")))
