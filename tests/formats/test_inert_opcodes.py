"""Opcodes that pickles seldom hold, written by hand, read as ``pickle.loads`` reads them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from paramtui.checkpoints.inert_objects import GlobalRef, PersistentRef, Record
from paramtui.checkpoints.inert_pickle import read_pickle
from paramtui.errors import FormatError
from tests.formats.thawing import thawed

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
