"""Pickles read as data: the structure is that of ``pickle.loads``, and nothing runs."""

from __future__ import annotations

import os
import pickle
import pickletools
import random
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramtui.checkpoints.inert_objects import GlobalRef, InertSet, Pairs, PersistentRef, Record
from paramtui.checkpoints.inert_pickle import read_pickle
from paramtui.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS = range(6)


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
            "builtins.set": set, "builtins.frozenset": frozenset, "builtins.complex": complex,
            "builtins.bytes": bytes, "builtins.bytearray": bytearray, "collections.OrderedDict": OrderedDict,
        }  # fmt: skip
        made = makers[found.func.full_name](*args)
        for key, value in zip((found.pairs or [])[::2], (found.pairs or [])[1::2], strict=True):
            made[thawed(key)] = thawed(value)
        return made
    return found


SHARED = ["shared"]
OBJECTS: list[object] = [
    None, True, False, 0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**31, 2**63, -(2**2000), 10**600,
    0.0, -0.0, 1.5, float("inf"), 1e-320, "", "a", "é\u4e2d\U0001f600", "line\nquote'\"\\ \0\x7f\x80", "\ud800", "x" * 300,
    b"", b"\0\xff", b"y" * 300, bytearray(b"\1\2"), (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], list(range(3000)),
    {}, {"a": 1}, {1: {2: {3: (4, [5])}}}, {(1, "x"): None, None: 0, 2.5: 1}, {str(i): i for i in range(2500)},
    set(), {1, 2}, frozenset(), frozenset({"a"}), 1 - 2j, OrderedDict(), OrderedDict([("b", 1), ("a", 2)]),
    [SHARED, SHARED, {"again": SHARED}], [("t", "t"), ("t", "t")],
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: repr(obj)[:30])
def test_the_structure_is_what_was_pickled(obj: object, protocol: int) -> None:
    data = pickle.dumps(obj, protocol)
    for written in (data, pickletools.optimize(data)):
        read = read_pickle(written)
        assert read.end == len(written)
        found = thawed(read.root)
        assert type(found) is type(obj)
        assert repr(found) == repr(obj) if not isinstance(obj, set | frozenset) else found == obj


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.tuples(inner),
    max_leaves=30,
)


@given(plain, st.sampled_from(list(PROTOCOLS)))
def test_any_plain_structure_reads_as_it_was(obj: object, protocol: int) -> None:
    assert thawed(read_pickle(pickle.dumps(obj, protocol)).root) == obj


def test_objects_pickled_once_are_one_object() -> None:
    root: Any = read_pickle(pickle.dumps([SHARED, SHARED])).root
    assert root[0] is root[1]


def test_a_list_that_contains_itself_reads_as_one_that_does() -> None:
    cycle: list[object] = [1]
    cycle.append(cycle)
    for protocol in PROTOCOLS:
        root: Any = read_pickle(pickle.dumps(cycle, protocol)).root
        assert root[1] is root


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


class Trap:
    def __init__(self, func: Any, *args: object) -> None:
        self.call = (func, args)

    def __reduce__(self) -> Any:
        return self.call


WATCHED = ("exec", "compile", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class",
           "open", "import", "marshal.loads", "ctypes.dlopen", "shutil.rmtree", "os.remove")  # fmt: skip
events: list[str] = []
watching = False


def watch(event: str, _: object) -> None:
    if watching and event.startswith(WATCHED):
        events.append(event)


sys.addaudithook(watch)


@pytest.fixture
def quietly() -> Iterator[list[str]]:
    """Records what the interpreter is asked to do while a test reads."""
    global watching
    events.clear()
    watching = True
    yield events
    watching = False


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_would_run_commands_runs_nothing(tmp_path: Any, protocol: int, quietly: list[str]) -> None:
    mark = tmp_path / "ran"
    traps = [
        Trap(os.system, f"touch {mark}"),
        Trap(exec, f"open({str(mark)!r}, 'w')"),
        Trap(__import__, "antigravity"),
        Trap(open, str(mark), "w"),
        {"k": [Trap(os.mkdir, str(mark))]},
    ]
    data = [pickle.dumps(trap, protocol) for trap in traps]
    quietly.clear()
    names = [read_pickle(each).globals for each in data]
    assert quietly == []
    assert names[0] == [f"{os.name}.system"]
    assert not mark.exists()
    pickle.loads(data[0])  # the trap is a real one
    assert mark.exists()


def test_every_truncation_is_a_format_error() -> None:
    for protocol in PROTOCOLS:
        data = pickle.dumps({"a": [1, 2.5, "text", b"bytes", (1, 2, 3), {4}, 10**30], "b": OrderedDict(x=1)}, protocol)
        for length in range(len(data)):
            with pytest.raises(FormatError):
                read_pickle(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"", b".", b"N", b"N0.", b"(.", b"a.", b"]a.", b"K\x01K\x02a.", b"t.", b"e.", b"}(K\x01u.", b"}K\x01s.", b"R.", b"NR.",
        b"b.", b"Nb.", b"K\x01}b.", b"h\x00.", b"g0\n.", b"gx\n.", b"g-1\n.", b"j\x00\x00\x00\x00.", b"q\x00.", b"\x80\x06N.",
        b"\x80\xffN.", b"\xff.", b"Ix\n.", b"Lx\n.", b"Fx\n.", b"Sx\n.", b"S'\n.", b"S'\\x'\n.", b"X\xff\xff\xff\xffa.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.", b"\x95" + b"\xff" * 8 + b"N.",
        b"\x8b\xff\xff\xff\xffa.", b"T\xff\xff\xff\xffa.", b"NN\x93.", b"K\x01K\x01\x93.", b"(o.", b"\x92.", b"N\x92.",
        b"\x85.", b"\x86.", b"\x87.", b"Q.", b"2.", b"0.", b"1.", b"\x94.", b"\x90.", b"\x91.", b"N(N\x90.", b"d.", b"(Nd.",
        b"l.", b"cm\n.", b"cm", b"i.", b"\x97\x98", b"\x98.", b"I" + b"9" * 100, b"}}N\x86s(u.",
    ],
)  # fmt: skip
def test_nonsense_is_a_format_error_of_one_line_or_a_result(data: bytes) -> None:
    try:
        read_pickle(data)
    except FormatError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert data in (b"}}N\x86s(u.",)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_format_error_or_a_result(data: bytes) -> None:
    try:
        read_pickle(data)
    except FormatError:
        pass


def test_mutated_pickles_are_a_format_error_or_a_result() -> None:
    chance = random.Random(11)
    bases = [pickle.dumps(OBJECTS[:34] + OBJECTS[39:41], protocol) for protocol in PROTOCOLS]
    for _ in range(6000):
        data = bytearray(chance.choice(bases))
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            read_pickle(bytes(data))
        except FormatError:
            pass


def test_integers_too_long_to_convert_keep_their_length() -> None:
    root: Any = read_pickle(b"I" + b"7" * 200_000 + b"\n.").root
    assert root.digits == 200_000
