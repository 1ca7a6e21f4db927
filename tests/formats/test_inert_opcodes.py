"""Opcodes that pickles seldom hold, written by hand, read as ``pickle.loads`` reads them."""

from __future__ import annotations

import collections
import pickle
from typing import Any

import pytest
import torch

from paramtui.checkpoints.inert_objects import GlobalRef, PersistentRef, Record
from paramtui.checkpoints.inert_pickle import read_pickle
from paramtui.errors import FormatError
from tests.formats.thawing import thawed
from tests.hostile.opcodes import POP, PROTO, STOP, get, put, text

RARE = {
    "POP": b"K\x01K\x020.",
    "POP of a mark": b"K\x01(0.",
    "POP_MARK": b"K\x01(K\x02K\x031.",
    "DUP": b"K\x052\x86.",
    "DUP in a tuple": b"K\x072\x86.",
    "INT text": b"I-12\n.",
    "INT true": b"I01\n.",
    "INT false": b"I00\n.",
    "LONG text": b"L123456789012345678901234567890L\n.",
    "LONG text without L": b"L12\n.",
    "LONG1 empty": b"\x8a\x00.",
    "LONG4": b"\x8b\x02\x00\x00\x00\xff\x7f.",
    "LONG4 negative": b"\x8b\x01\x00\x00\x00\xff.",
    "FLOAT text": b"F-1.5e3\n.",
    "STRING": b"S'a\\n\\x41'\n.",
    "STRING double": b'S"it\'s"\n.',
    "BINSTRING": b"T\x03\x00\x00\x00abc.",
    "SHORT_BINSTRING": b"U\x02hi.",
    "UNICODE": b"V\\u4e2d\\\\x\n.",
    "BINUNICODE8": b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi.",
    "BINBYTES": b"B\x02\x00\x00\x00\x00\xff.",
    "BINBYTES8": b"\x8e\x02\x00\x00\x00\x00\x00\x00\x00\x00\xff.",
    "BYTEARRAY8": b"\x96\x02\x00\x00\x00\x00\x00\x00\x00\x00\xff.",
    "DICT": b"(K\x01K\x02K\x03K\x04d.",
    "LIST": b"(K\x01K\x02l.",
    "TUPLE": b"(K\x01K\x02t.",
    "SETITEM": b"}K\x01K\x02s.",
    "ADDITEMS": b"\x8f(K\x01K\x02\x90.",
    "FROZENSET": b"(K\x01K\x02\x91.",
    "PUT and GET": b"]p5\n0g5\n.",
    "BINPUT and BINGET": b"]q\x050h\x05.",
    "LONG_BINPUT and LONG_BINGET": b"]r\x05\x00\x01\x000j\x05\x00\x01\x00.",
    "MEMOIZE": b"]\x94h\x00\x86.",
    "FRAME": b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "PROTO twice": b"\x80\x02\x80\x04N.",
    "nested marks": b"((K\x01t(K\x02lt.",
}


@pytest.mark.parametrize("name", list(RARE))
def test_rare_opcodes_do_what_they_do_in_python(name: str) -> None:
    data = RARE[name]
    expected = pickle.loads(data, encoding="ascii")
    read = read_pickle(data)
    assert thawed(read.root) == expected
    assert read.end == len(data)


def test_calls_become_records_with_their_arguments() -> None:
    for data, args in {
        b"(Ia\n.": None,
        b"(K\x01K\x02isome.module\nThing\n.": (1, 2),
        b"(csome.module\nThing\nK\x01o.": (1,),
        b"csome.module\nThing\n(K\x01tR.": (1,),
        b"csome.module\nThing\n(K\x01t\x81.": (1,),
        b"\x8c\x0bsome.module\x8c\x05Thing\x93)\x81.": (),
    }.items():
        if args is None:
            with pytest.raises(FormatError):
                read_pickle(data)
            continue
        read = read_pickle(data)
        record = read.root
        assert type(record) is Record
        assert type(record.func) is GlobalRef
        assert record.func.full_name == "some.module.Thing"
        assert record.args == args
        assert read.globals == ["some.module.Thing"]


def test_state_items_and_keyword_arguments_stay_with_their_record() -> None:
    data = b"cm\nC\n)\x81}X\x01\x00\x00\x00aK\x01sb(K\x05K\x06e(K\x07K\x08u."
    record: Any = read_pickle(data).root
    assert (thawed(record.state), record.items, record.pairs) == ({"a": 1}, [5, 6], [7, 8])
    record = read_pickle(b"cm\nC\nK\x01\x85}X\x01\x00\x00\x00kK\x02s\x92.").root
    assert (record.args, thawed(record.kwargs)) == ((1,), {"k": 2})


@pytest.mark.parametrize("data", [b"\x82\x05.", b"\x83\x05\x00.", b"\x84\x05\x00\x00\x00."])
def test_extension_codes_are_named_and_not_looked_up(data: bytes) -> None:
    read = read_pickle(data)
    assert type(read.root) is GlobalRef
    assert "5" in read.root.full_name


def test_persistent_ids_are_kept() -> None:
    for data, pid in (b"Pabc\n.", "abc"), (b"(K\x01K\x02tQ.", (1, 2)):
        read = read_pickle(data)
        assert type(read.root) is PersistentRef
        assert read.root.pid == pid
        assert read.storage_ids == [pid]


class Listed(list):
    pass


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_a_pickler_adds_in_portions_is_added_together(protocol: int) -> None:
    # A portion has a thousand entries.
    numbers = list(range(2500))
    obj: Any = [set(numbers), collections.defaultdict(int, enumerate(numbers)), Listed(numbers)]
    found: Any = read_pickle(pickle.dumps(obj, protocol)).root
    members, pairs, items = found
    assert set(members.items if protocol > 3 else members.args[0]) == obj[0]
    assert dict(zip(pairs.pairs[::2], pairs.pairs[1::2], strict=True)) == obj[1]
    assert items.items == obj[2]


STORAGE = ("storage", torch.FloatStorage, "12", "cuda:0", 7)


@pytest.mark.parametrize("view", [(), (None,), (("34", 5, 2),)], ids=["none", "no view", "view"])
def test_a_storage_that_protocol_0_wrote_as_text_is_the_tuple_that_it_was(view: tuple[object, ...]) -> None:
    pid = (*STORAGE, *view)
    read: Any = read_pickle(f"P{pid}\n.".encode())
    kind, found, *rest = read.root.pid
    assert (kind, found.full_name) == ("storage", "torch.FloatStorage")
    assert tuple(rest) == (*STORAGE[2:], *(view or (None,)))
    assert read.globals == ["torch.FloatStorage"]


HEAD = "('storage', <class 'torch.FloatStorage'>, '1', 'cpu'"


@pytest.mark.parametrize(
    "words",
    [
        f"{HEAD})",
        f"{HEAD}, -1)",
        f"{HEAD}, ²)",
        f"{HEAD}, {'9' * 21})",
        f"{HEAD}, 4, ('2', 0))",
        f"{HEAD}, 4, ('2', 0, x))",
        f"{HEAD}, 4, ('2', {'9' * 20}, 1))",
        f"{HEAD}, 4",
    ],
)
def test_a_text_that_is_nearly_a_storage_stays_text(words: str) -> None:
    read = read_pickle(b"P" + words.encode() + b"\n.")
    assert read.storage_ids == [words]
    assert read.globals == []


LONG = b"m\n" + b"n" * 2000 + b"\n"


@pytest.mark.parametrize(
    "data",
    [b"c" + LONG, b"(i" + LONG, text("m") + text("n" * 2000) + b"\x93"],
    ids=["GLOBAL", "INST", "STACK_GLOBAL"],
)
def test_a_name_longer_than_any_program_has_is_refused_with_its_place(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        read_pickle(data + STOP)
    assert caught.value.what == (
        f"the name of the global before byte {len(data):,} has 2,001 characters, and all names so far 2,001:"
        " more than any program has"
    )


def test_a_name_that_is_no_text_is_told_as_computed() -> None:
    assert read_pickle(b"K\x01K\x02\x93.").globals == ["(computed).(computed)"]


def test_names_that_are_put_together_from_one_long_text_are_refused_when_they_are_too_many() -> None:
    names = [text(f"{index:04}") for index in range(600)]
    body = PROTO + text("m" * 1900) + put(0) + POP
    few, many = (
        body + b"".join(get(0) + each + b"\x93" + POP for each in some) + b"N" + STOP
        for some in (names[:500], names)
    )
    assert len(read_pickle(few).globals) == 500
    with pytest.raises(FormatError, match="more than any program has"):
        read_pickle(many)


@pytest.mark.parametrize(
    "data", [b"I0x10\n.", b"L0x10L\n.", b"L-0o17L\n.", b"L0b11\n.", b"I1_0\n.", b"I 12 \n."]
)
def test_integers_are_read_as_python_reads_them(data: bytes) -> None:
    assert read_pickle(data).root == pickle.loads(data)
