"""Pickles read as data: the structure is that of ``pickle.loads``, and nothing runs."""

from __future__ import annotations

import contextlib
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

from paramtui.checkpoints.inert_pickle import read_pickle
from paramtui.errors import FormatError
from tests.formats.thawing import thawed

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS = range(6)


SHARED = ["shared"]
OBJECTS: list[object] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    -(2**31),
    2**31,
    2**63,
    -(2**2000),
    10**600,
    0.0,
    -0.0,
    1.5,
    float("inf"),
    1e-320,
    "",
    "a",
    "é\u4e2d\U0001f600",
    "line\nquote'\"\\ \0\x7f\x80",
    "\ud800",
    "x" * 300,
    b"",
    b"\0\xff",
    b"y" * 300,
    bytearray(b"\1\2"),
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    [],
    [1],
    list(range(3000)),
    {},
    {"a": 1},
    {1: {2: {3: (4, [5])}}},
    {(1, "x"): None, None: 0, 2.5: 1},
    {str(i): i for i in range(2500)},
    set(),
    {1, 2},
    frozenset(),
    frozenset({"a"}),
    1 - 2j,
    OrderedDict(),
    OrderedDict([("b", 1), ("a", 2)]),
    [SHARED, SHARED, {"again": SHARED}],
    [("t", "t"), ("t", "t")],
]


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
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.tuples(inner)
    ),
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


class Trap:
    def __init__(self, func: Any, *args: object) -> None:
        self.call = (func, args)

    def __reduce__(self) -> Any:
        return self.call


WATCHED = (
    "exec",
    "compile",
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "pickle.find_class",
    "open",
    "import",
    "marshal.loads",
    "ctypes.dlopen",
    "shutil.rmtree",
    "os.remove",
)
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
def test_a_pickle_that_would_run_commands_runs_nothing(
    tmp_path: Any, protocol: int, quietly: list[str]
) -> None:
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
        data = pickle.dumps(
            {"a": [1, 2.5, "text", b"bytes", (1, 2, 3), {4}, 10**30], "b": OrderedDict(x=1)}, protocol
        )
        for length in range(len(data)):
            with pytest.raises(FormatError):
                read_pickle(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"N",
        b"N0.",
        b"(.",
        b"a.",
        b"]a.",
        b"K\x01K\x02a.",
        b"t.",
        b"e.",
        b"}(K\x01u.",
        b"}K\x01s.",
        b"R.",
        b"NR.",
        b"b.",
        b"Nb.",
        b"K\x01}b.",
        b"h\x00.",
        b"g0\n.",
        b"gx\n.",
        b"g-1\n.",
        b"j\x00\x00\x00\x00.",
        b"q\x00.",
        b"\x80\x06N.",
        b"\x80\xffN.",
        b"\xff.",
        b"Ix\n.",
        b"Lx\n.",
        b"Fx\n.",
        b"Sx\n.",
        b"S'\n.",
        b"S'\\x'\n.",
        b"X\xff\xff\xff\xffa.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"\x95" + b"\xff" * 8 + b"N.",
        b"\x8b\xff\xff\xff\xffa.",
        b"T\xff\xff\xff\xffa.",
        b"NN\x93.",
        b"K\x01K\x01\x93.",
        b"(o.",
        b"\x92.",
        b"N\x92.",
        b"\x85.",
        b"\x86.",
        b"\x87.",
        b"Q.",
        b"2.",
        b"0.",
        b"1.",
        b"\x94.",
        b"\x90.",
        b"\x91.",
        b"N(N\x90.",
        b"d.",
        b"(Nd.",
        b"l.",
        b"cm\n.",
        b"cm",
        b"i.",
        b"\x97\x98",
        b"\x98.",
        b"I" + b"9" * 100,
        b"}}N\x86s(u.",
    ],
)
def test_nonsense_is_a_format_error_of_one_line_or_a_result(data: bytes) -> None:
    try:
        read_pickle(data)
    except FormatError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert data in (b"}}N\x86s(u.", b"NN\x93.", b"K\x01K\x01\x93.")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_format_error_or_a_result(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        read_pickle(data)


def test_mutated_pickles_are_a_format_error_or_a_result() -> None:
    chance = random.Random(11)
    bases = [pickle.dumps(OBJECTS[:34] + OBJECTS[39:41], protocol) for protocol in PROTOCOLS]
    for _ in range(6000):
        data = bytearray(chance.choice(bases))
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(FormatError):
            read_pickle(bytes(data))


def test_integers_too_long_to_convert_keep_their_length() -> None:
    root: Any = read_pickle(b"I" + b"7" * 200_000 + b"\n.").root
    assert root.digits == 200_000
