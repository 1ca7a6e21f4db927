"""Pickles that describe far more than they hold, or that are hard to read, list or print."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.hostile.opcodes import (
    ADDITEMS,
    APPEND,
    APPENDS,
    BINPERSID,
    BUILD,
    DUP,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_SET,
    EMPTY_TUPLE,
    FROZENSET,
    MARK,
    NEWOBJ,
    NEWOBJ_EX,
    NONE,
    POP,
    REDUCE,
    SETITEM,
    SETITEMS,
    STOP,
    TUPLE,
    TUPLE1,
    TUPLE2,
    dict_of,
    fill,
    get,
    integer,
    list_of,
    name,
    put,
    raw_bytes,
    text,
    tuple_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MANY = 1_000_000
LONG = "n" * 900_000


def doubling(first: bytes, again: Callable[[bytes], bytes], levels: int = 60) -> bytes:
    """An object that holds the one before twice, and so on."""
    data = first + put(0)
    for level in range(levels):
        data += POP + again(get(level)) + put(level + 1)
    return data + STOP


def shared(held: bytes, each: Callable[[int, bytes], bytes], count: int) -> bytes:
    """A dict of many entries that all refer to one object."""
    data = [held, put(0), POP, EMPTY_DICT, MARK]
    for index in range(count):
        data += [integer(index), each(index, get(0))]
    return b"".join(data) + SETITEMS + STOP


def entries(items: Iterable[bytes]) -> bytes:
    return EMPTY_DICT + MARK + b"".join(items) + SETITEMS + STOP


def module_state(children: bytes, parameters: bytes = EMPTY_DICT) -> bytes:
    """What BUILD gives a module whose submodules are `children`."""
    return dict_of(text("_parameters"), parameters, text("_buffers"), EMPTY_DICT, text("_modules"), children)


def _nested_modules() -> bytes:
    data = name("m", "C") + EMPTY_TUPLE + NEWOBJ + module_state(EMPTY_DICT) + BUILD + put(0)
    for level in range(60):
        again = dict_of(text("a"), get(level), text("b"), get(level))
        data += POP + name("m", "C") + EMPTY_TUPLE + NEWOBJ + module_state(again) + BUILD + put(level + 1)
    return data + STOP


def _colliding() -> bytes:
    prime = 2**61 - 1
    keys = (integer(prime * index) + NONE for index in range(1, 60_000))
    return entries(keys)


def _memo_indices() -> bytes:
    one = (b"Nr" + struct.pack("<I", 2**32 - 1 - index) + POP for index in range(fill(b"Nr01230")))
    return b"".join(one) + NONE + STOP


def _new_objects() -> bytes:
    held = dict_of(*(text(f"k{index}") + get(0) for index in range(1000)))
    new = name("m", "C") + get(0) + get(1) + NEWOBJ_EX + get(1) + BUILD + MARK + get(0) + APPENDS
    new += MARK + text("k") + get(1) + SETITEMS
    data = tuple_of(*(integer(index) for index in range(1000))) + put(0) + POP + held + put(1) + POP
    return data + EMPTY_LIST + MARK + new * 10_000 + APPENDS + STOP


def _built_with(state: bytes) -> bytes:
    """One long state given to many objects."""
    new = name("m", "C") + EMPTY_TUPLE + NEWOBJ + get(0) + BUILD
    return state + put(0) + POP + EMPTY_LIST + MARK + new * (500_000 // len(new)) + APPENDS + STOP


def _called_with(module: str, attribute: str, held: bytes, *, inside: bool = True) -> bytes:
    """One long argument given to many calls."""
    argument = get(0) + TUPLE1 if inside else get(0)
    one = get(1) + argument + REDUCE
    data = held + put(0) + POP + name(module, attribute) + put(1) + POP
    return data + EMPTY_LIST + MARK + one * fill(one, 400_000) + APPENDS + STOP


def _numbers(count: int) -> list[bytes]:
    return [integer(index % 256) for index in range(count)]


def _deep_names(levels: int, label: str) -> bytes:
    """A nest whose keys are all one long text, a number at each level."""
    data = text(label) + put(0) + POP
    one = EMPTY_DICT + get(0)
    return data + one * levels + NONE + (SETITEM + text("v") + integer(1) + SETITEM) * levels + STOP


def _comb(levels: int) -> bytes:
    """Dicts in dicts with a value beside each: names as long as the nest is deep."""
    return (EMPTY_DICT + text("v") + NONE + SETITEM + text("a")) * levels + NONE + SETITEM * levels + STOP


PICKLES: dict[str, Callable[[], bytes]] = {
    "lists twice in lists": lambda: doubling(EMPTY_LIST + integer(1) + APPEND, lambda at: list_of(at, at)),
    "tuples twice in tuples": lambda: doubling(integer(1) + TUPLE1, lambda at: at + at + TUPLE2),
    "ten times in lists": lambda: doubling(list_of(NONE, EMPTY_LIST), lambda at: list_of(*[at] * 10)),
    "dicts twice in dicts": lambda: doubling(
        dict_of(text("x"), NONE), lambda at: dict_of(text("a"), at, text("b"), at), 200
    ),
    "tuples twice in keys": lambda: (
        EMPTY_DICT + doubling(integer(1) + TUPLE1, lambda at: at + at + TUPLE2)[:-1] + NONE + SETITEM + STOP
    ),
    "dicts in the keys of dicts": lambda: doubling(
        dict_of(text("x"), NONE), lambda at: dict_of(at + at + TUPLE2, at)
    ),
    "sets twice in sets": lambda: doubling(EMPTY_SET, lambda at: EMPTY_SET + MARK + at + at + ADDITEMS),
    "frozensets twice in frozensets": lambda: doubling(EMPTY_SET, lambda at: MARK + at + at + FROZENSET),
    "objects twice in states": lambda: doubling(
        name("m", "C") + EMPTY_TUPLE + NEWOBJ,
        lambda at: name("m", "C") + EMPTY_TUPLE + NEWOBJ + dict_of(text("a"), at, text("b"), at) + BUILD,
    ),
    "calls twice in calls": lambda: doubling(
        name("m", "f") + EMPTY_TUPLE + REDUCE, lambda at: name("m", "f") + tuple_of(at, at) + REDUCE
    ),
    "functions made by calls": lambda: doubling(
        name("m", "f") + EMPTY_TUPLE + REDUCE, lambda at: at + tuple_of(at, at) + REDUCE
    ),
    "modules twice in modules": _nested_modules,
    "one long tuple in many dicts": lambda: shared(
        tuple_of(*_numbers(200_000)), lambda _, at: dict_of(text("k"), at), 40_000
    ),
    "one long tuple in many entries": lambda: shared(tuple_of(*_numbers(250_000)), lambda _, at: at, 60_000),
    "one long list of lists in many entries": lambda: shared(
        list_of(*[EMPTY_LIST] * 300_000), lambda _, at: at, 80_000
    ),
    "one long tuple in many calls": lambda: _called_with(
        "m", "f", tuple_of(*_numbers(200_000)), inside=False
    ),
    "one tuple of names in many calls": lambda: _called_with(
        "m", "f", tuple_of(*[name("m", "g")] * 80_000), inside=False
    ),
    "one tuple of objects in many calls": lambda: _called_with(
        "m", "f", tuple_of(*[EMPTY_LIST] * 400_000), inside=False
    ),
    "one long list in many calls": lambda: _called_with("m", "f", list_of(*[EMPTY_LIST] * 400_000)),
    "one list of pairs in many ordered dicts": lambda: _called_with(
        "collections", "OrderedDict", list_of(*[integer(1) + NONE + TUPLE2] * 100_000)
    ),
    "one list in many sets": lambda: _called_with("builtins", "set", list_of(*[EMPTY_LIST] * 400_000)),
    "one list of numbers in many sets": lambda: _called_with("builtins", "set", list_of(*_numbers(200_000))),
    "one long tuple in many sizes": lambda: _called_with("torch", "Size", tuple_of(*_numbers(200_000))),
    "one long text in many encoded bytes": lambda: _called_with("_codecs", "encode", text(LONG[:500_000])),
    "one long text in many devices": lambda: _called_with("torch", "device", text(LONG[:500_000])),
    "one long text in many byte arrays": lambda: _called_with(
        "builtins", "bytearray", raw_bytes(b"n" * 500_000)
    ),
    "one long state of many objects": lambda: _built_with(
        dict_of(*(text(f"k{index}") + EMPTY_LIST for index in range(40_000)))
    ),
    "one long pair of states of many objects": lambda: _built_with(
        dict_of(*(text(f"k{index}") + NONE for index in range(20_000))) + put(5) + get(5) + TUPLE2
    ),
    "one long list as the state of many objects": lambda: _built_with(list_of(*[EMPTY_LIST] * 400_000)),
    "one module state of many modules": lambda: _built_with(
        module_state(EMPTY_DICT, dict_of(*(text(f"k{index}") + NONE for index in range(40_000))))
    ),
    "a module with one child many times": lambda: (
        name("m", "C")
        + EMPTY_TUPLE
        + NEWOBJ
        + module_state(EMPTY_DICT)
        + BUILD
        + put(0)
        + POP
        + name("m", "C")
        + EMPTY_TUPLE
        + NEWOBJ
        + module_state(dict_of(*(text(f"{index:x}") + get(0) for index in range(80_000))))
        + BUILD
        + STOP
    ),
    "a state that is the object": lambda: (
        name("m", "C") + EMPTY_TUPLE + NEWOBJ + put(0) + get(0) + BUILD + STOP
    ),
    "a dict whose state is the dict": lambda: EMPTY_DICT + put(0) + get(0) + BUILD + STOP,
    "a chain of states": lambda: (
        (name("m", "C") + EMPTY_TUPLE + NEWOBJ) * 90_000 + NONE + BUILD * 90_000 + STOP
    ),
    "a state given many times": lambda: (
        name("m", "C")
        + EMPTY_TUPLE
        + NEWOBJ
        + dict_of(text("a"), NONE)
        + put(0)
        + (get(0) + BUILD) * 300_000
        + STOP
    ),
    "objects with everything": _new_objects,
    "a chain of calls": lambda: name("m", "f") + (EMPTY_TUPLE + REDUCE) * (MANY // 2) + STOP,
    "a chain of keyword objects": lambda: (
        name("m", "f") + (EMPTY_TUPLE + EMPTY_DICT + NEWOBJ_EX) * (MANY // 3) + STOP
    ),
    "empty lists": lambda: EMPTY_LIST * MANY + STOP,
    "a list of empty lists": lambda: EMPTY_LIST + MARK + EMPTY_LIST * MANY + APPENDS + STOP,
    "a list of empty dicts": lambda: EMPTY_LIST + MARK + EMPTY_DICT * MANY + APPENDS + STOP,
    "a list of empty sets": lambda: EMPTY_LIST + MARK + EMPTY_SET * MANY + APPENDS + STOP,
    "a list of empty tuples": lambda: EMPTY_LIST + MARK + EMPTY_TUPLE * MANY + APPENDS + STOP,
    "a list of nothing": lambda: EMPTY_LIST + MARK + NONE * MANY + APPENDS + STOP,
    "a list with one list in it": lambda: EMPTY_LIST + MARK + NONE * MANY + EMPTY_LIST + APPENDS + STOP,
    "a dict of nothing": lambda: EMPTY_DICT + MARK + NONE * MANY + SETITEMS + STOP,
    "a dict of empty lists": lambda: EMPTY_DICT + MARK + EMPTY_LIST * MANY + SETITEMS + STOP,
    "a dict of empty tuples": lambda: EMPTY_DICT + MARK + EMPTY_TUPLE * MANY + SETITEMS + STOP,
    "a list of lists of a number": lambda: (
        EMPTY_LIST + MARK + (EMPTY_LIST + NONE + APPEND) * (MANY // 3) + APPENDS + STOP
    ),
    "a list of tuples of nothing": lambda: EMPTY_LIST + MARK + (NONE + TUPLE1) * (MANY // 2) + APPENDS + STOP,
    "a list of tuples of tuples": lambda: (
        EMPTY_LIST + MARK + (EMPTY_TUPLE + TUPLE1 + TUPLE1) * (MANY // 3) + APPENDS + STOP
    ),
    "a list of objects": lambda: (
        name("m", "C")
        + put(0)
        + EMPTY_LIST
        + MARK
        + (get(0) + EMPTY_TUPLE + NEWOBJ) * (MANY // 4)
        + APPENDS
        + STOP
    ),
    "a list of references to nothing": lambda: (
        EMPTY_LIST + MARK + (NONE + BINPERSID) * (MANY // 2) + APPENDS + STOP
    ),
    "open marks": lambda: MARK * MANY,
    "marks and tuples": lambda: MARK * (MANY // 2) + TUPLE * (MANY // 2 - 1) + STOP,
    "marks and pops": lambda: NONE + (MARK + POP) * (MANY // 2) + STOP,
    "copies of the top": lambda: EMPTY_LIST + DUP * MANY + STOP,
    "a list of copies of an empty list": lambda: EMPTY_LIST + MARK + EMPTY_LIST + DUP * MANY + APPENDS + STOP,
    "pops": lambda: NONE * (MANY // 2) + POP * (MANY // 2 - 1) + STOP,
    "lists in lists, a million deep": lambda: EMPTY_LIST * (MANY // 2) + APPEND * (MANY // 2 - 1) + STOP,
    "tuples in tuples, a million deep": lambda: EMPTY_TUPLE + TUPLE1 * MANY + STOP,
    "dicts in dicts, deep": lambda: (
        (EMPTY_DICT + text("a")) * 100_000 + EMPTY_DICT + SETITEM * 100_000 + STOP
    ),
    "sets in sets, deep": lambda: (EMPTY_SET + MARK) * 300_000 + NONE + ADDITEMS * 300_000 + STOP,
    "a deep tuple as a key": lambda: EMPTY_DICT + EMPTY_TUPLE + TUPLE1 * (MANY // 2) + NONE + SETITEM + STOP,
    "dicts with a number at each level": lambda: _comb(60_000),
    "a deep nest with one long key": lambda: _deep_names(80_000, "n" * 1000),
    "a deep nest with one very long key": lambda: _deep_names(30_000, LONG[:500_000]),
    "a list of itself": lambda: EMPTY_LIST + put(0) + get(0) + APPEND + STOP,
    "a list of itself many times": lambda: EMPTY_LIST + put(0) + MARK + get(0) * 500_000 + APPENDS + STOP,
    "lists of each other": lambda: (
        EMPTY_LIST
        + put(0)
        + EMPTY_LIST
        + put(1)
        + MARK
        + get(0) * 200_000
        + APPENDS
        + APPEND
        + POP * 0
        + STOP
    ),
    "a key of itself": lambda: (
        EMPTY_LIST + put(0) + get(0) + APPEND + POP + EMPTY_DICT + get(0) + NONE + SETITEM + STOP
    ),
    "colliding integers": _colliding,
    "huge memo indices": _memo_indices,
    "a memo index of many digits": lambda: NONE + b"p" + b"9" * 900_000 + b"\n" + STOP,
    "memo put again and again": lambda: NONE + put(1) * (MANY // 2) + STOP,
    "memoized again and again": lambda: NONE + b"\x94" * MANY + STOP,
    "lists put into the memo": lambda: (EMPTY_LIST + b"\x94" + POP) * (MANY // 3) + NONE + STOP,
    "a text of 900 kB": lambda: text(LONG) + STOP,
    "a text as a name of many entries": lambda: (
        EMPTY_DICT + MARK + text(LONG) + put(0) + NONE + (get(0) + NONE) * 30_000 + SETITEMS + STOP
    ),
    "a text as a name of many lists": lambda: (
        EMPTY_DICT + MARK + text(LONG) + put(0) + NONE + (get(0) + EMPTY_LIST) * 30_000 + SETITEMS + STOP
    ),
    "a text as a value of many entries": lambda: shared(text(LONG[:600_000]), lambda _, at: at, 60_000),
    "a text in many lists": lambda: shared(
        text(LONG[:600_000]), lambda _, at: EMPTY_LIST + at + APPEND, 40_000
    ),
    "a text in many keys": lambda: (
        text(LONG[:600_000])
        + put(0)
        + POP
        + EMPTY_DICT
        + MARK
        + (get(0) + TUPLE1 + NONE) * 80_000
        + SETITEMS
        + STOP
    ),
    "a long tuple in many keys": lambda: (
        tuple_of(*_numbers(200_000))
        + put(0)
        + POP
        + EMPTY_DICT
        + MARK
        + (get(0) + NONE) * 100_000
        + SETITEMS
        + STOP
    ),
    "long bytes as many keys": lambda: (
        raw_bytes(b"\xff" * 500_000)
        + put(0)
        + POP
        + EMPTY_DICT
        + MARK
        + (get(0) + NONE) * 100_000
        + SETITEMS
        + STOP
    ),
    "long bytes as values": lambda: shared(raw_bytes(b"\xff" * 500_000), lambda _, at: at, 60_000),
    "a text of control characters": lambda: text("\x1b\u202e" * 200_000) + STOP,
    "a long class name of many objects": lambda: (
        name("m", LONG[:600_000])
        + put(0)
        + POP
        + EMPTY_LIST
        + MARK
        + (get(0) + EMPTY_TUPLE + NEWOBJ) * 60_000
        + APPENDS
        + STOP
    ),
    "a long module name of many names": lambda: (
        EMPTY_LIST
        + MARK
        + text(LONG[:500_000])
        + put(0)
        + b"".join(get(0) + text(f"{index:x}") + b"\x93" for index in range(30_000))
        + APPENDS
        + STOP
    ),
    "many names": lambda: (
        EMPTY_LIST + MARK + b"".join(name(f"{index:x}", "f") for index in range(90_000)) + APPENDS + STOP
    ),
    "many calls of many names": lambda: (
        EMPTY_LIST
        + MARK
        + b"".join(name(f"{index:x}", "f") + EMPTY_TUPLE + REDUCE for index in range(80_000))
        + APPENDS
        + STOP
    ),
    "a name with many dots": lambda: entries([text("a." * 450_000 + "a"), NONE]),
    "names with many dots": lambda: entries(
        text("a." * 400 + f"{index}.b") + EMPTY_LIST for index in range(1100)
    ),
    "many names with dots": lambda: entries(text(f"{index:x}.a.b.c") + NONE for index in range(60_000)),
    "a name of dots": lambda: entries([text("." * 900_000), NONE]),
    "names of numbers": lambda: entries(text("1" * 9000 + str(index)) + NONE for index in range(110)),
    "a name of numbers and letters": lambda: entries(
        text("1a" * 4000 + str(index)) + NONE for index in range(110)
    ),
    "a long integer": lambda: integer(1 << 7_999_000) + STOP,
    "a long integer in many places": lambda: shared(integer(1 << 4_800_000), lambda _, at: at, 60_000),
    "a long integer as many keys": lambda: (
        integer(1 << 4_000_000)
        + put(0)
        + POP
        + EMPTY_DICT
        + MARK
        + (get(0) + NONE) * 100_000
        + SETITEMS
        + STOP
    ),
    "integers of 4,000 digits": lambda: list_of(*[integer(10**4000)] * 550) + STOP,
    "decimals of 4,300 digits": lambda: list_of(*[b"I" + b"7" * 4300 + b"\n"] * 230) + STOP,
    "an integer of 200,000 digits": lambda: b"I" + b"7" * 900_000 + b"\n" + STOP,
    "a fraction of many digits": lambda: b"F1." + b"7" * 900_000 + b"\n" + STOP,
    "a text longer than the file": lambda: b"X" + struct.pack("<I", 2**32 - 1) + b"n" * 100,
    "bytes longer than any file": lambda: b"\x8e" + struct.pack("<Q", 2**63) + b"n" * 100,
    "a bytearray longer than any file": lambda: b"\x96" + struct.pack("<Q", 2**64 - 1) + b"n" * 100,
    "an integer longer than the file": lambda: b"\x8b" + struct.pack("<i", 2**31 - 1) + b"n" * 100,
    "a frame longer than the file": lambda: b"\x95" + struct.pack("<Q", 2**63) + NONE + STOP,
    "bytearrays": lambda: EMPTY_LIST + MARK + (b"\x96" + bytes(8)) * 110_000 + APPENDS + STOP,
    "out-of-band buffers": lambda: EMPTY_LIST + MARK + b"\x97" * MANY + APPENDS + STOP,
    "extension codes": lambda: (
        EMPTY_LIST
        + MARK
        + b"".join(b"\x83" + struct.pack("<H", index) for index in range(1 << 16)) * 4
        + APPENDS
        + STOP
    ),
    "no opcodes": lambda: b"\xff" * MANY,
}
