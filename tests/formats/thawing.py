"""Plain Python objects from what the pickle reader gives."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from paramtui.checkpoints.inert_objects import GlobalRef, InertSet, Pairs, Record


def thawed(found: object) -> object:
    """Plain Python objects again, of what needs no class but OrderedDict, set, bytes and complex."""
    if type(found) is Pairs:
        pairs = dict(zip(map(thawed, found.items[::2]), map(thawed, found.items[1::2]), strict=True))
        return OrderedDict(pairs) if found.cls else pairs
    if type(found) is InertSet:
        return (frozenset if found.frozen else set)(map(thawed, found.items))
    if type(found) is list:
        return [thawed(item) for item in found]
    if type(found) is tuple:
        return tuple(thawed(item) for item in found)
    if type(found) is Record:
        assert type(found.func) is GlobalRef
        assert found.state is None
        args: Any = thawed(found.args)
        if found.func.full_name == "_codecs.encode":
            return args[0].encode(args[1])
        makers: dict[str, Any] = {
            "builtins.set": set,
            "builtins.frozenset": frozenset,
            "builtins.complex": complex,
            "builtins.bytes": bytes,
            "builtins.bytearray": bytearray,
            "collections.OrderedDict": OrderedDict,
        }
        made = makers[found.func.full_name](*args)
        for key, value in zip((found.pairs or [])[::2], (found.pairs or [])[1::2], strict=True):
            made[thawed(key)] = thawed(value)
        return made
    return found
