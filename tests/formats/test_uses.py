"""Where the globals of odd pickles are found: shared tuples, long paths, Python 2's dicts, and the bound."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from paramtui.core.trust import RUNS, nodes_at
from tests.formats.handmade import listed, written
from tests.formats.test_trust import CALL, by_name, uses_of
from tests.hostile.opcodes import (
    APPENDS,
    BUILD,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    MARK,
    NEWOBJ,
    NONE,
    POP,
    REDUCE,
    SETITEMS,
    TUPLE1,
    call,
    dict_of,
    get,
    integer,
    list_of,
    name,
    put,
    text,
    tuple_of,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = text("x")
ORDERED = ("collections", "OrderedDict")
PLACED: dict[str, tuple[bytes, tuple[object, ...]]] = {
    "Python 2's dict": (call(*ORDERED, list_of(list_of(KEY, CALL))), ("x",)),
    "Python 2's dict of tuples": (call(*ORDERED, list_of(tuple_of(KEY, CALL))), ("x",)),
    "a dict of no pairs": (call(*ORDERED, list_of(CALL)), ()),
    "an argument that is no tuple": (name("m", "C") + CALL + NEWOBJ, ()),
    "a class made of a number": (
        name("m", "C") + integer(1) + NEWOBJ + EMPTY_DICT + KEY + CALL + b"sb",
        ("x",),
    ),
    "a persistent id beside": (tuple_of(text("id") + b"Q", CALL), (1,)),
    "arguments of two calls": (
        tuple_of(name("numpy", "f") + tuple_of(CALL) + put(0) + REDUCE, name("numpy", "g") + get(0) + REDUCE),
        (0,),
    ),
}


@pytest.mark.parametrize("which", list(PLACED))
def test_a_command_is_found_once_at_its_place(tmp_path: Path, which: str) -> None:
    body, below = PLACED[which]
    found = by_name(written(tmp_path, dict_of(text("hook"), body)))["os.system"]
    assert (found.verdict, found.times, found.paths) == (RUNS, 1, (("hook", *below),))


def test_the_place_in_a_dict_of_python_2_is_that_of_the_listing(tmp_path: Path) -> None:
    body = dict_of(text("a"), call(*ORDERED, list_of(list_of(KEY, call("m", "f")))))
    (path,) = by_name(written(tmp_path, body))["m.f"].paths
    listing = listed(tmp_path, body).listing
    assert [listing.node_name(node) for node in nodes_at(listing, [path])] == ["a.x"]


def test_a_buffer_outside_the_pickle_is_no_name_of_the_file(tmp_path: Path) -> None:
    dumped = pickle.dumps({"w": np.arange(3.0)}, protocol=5, buffer_callback=lambda _: None)
    path = written(tmp_path, dumped.removesuffix(b"."))
    assert set(by_name(path)) == {"numpy._core.numeric._frombuffer", "numpy.dtype"}


def test_a_path_of_very_many_keys_is_cut_and_told_once(tmp_path: Path) -> None:
    deep = call("m", "f") + TUPLE1
    body = EMPTY_LIST * 300 + tuple_of(deep, deep) + b"a" * 300
    found = by_name(written(tmp_path, body))["m.f"]
    assert (found.times, found.paths) == (2, ((0,) * 200,))


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_a_pickle_of_more_references_than_its_bytes_are_worth_is_cut_and_that_is_said(
    tmp_path: Path, kind: str
) -> None:
    held = list_of(NONE) + put(0) + POP + text("k") + put(1) + POP
    if kind == "list":
        body = held + list_of(*[get(0)] * 75_000, CALL)
    else:
        pairs = EMPTY_DICT + MARK + (get(1) + get(0)) * 20_000 + KEY + CALL + SETITEMS
        body = held + tuple_of(list_of(*[get(0)] * 55_000), pairs)
    uses = uses_of(written(tmp_path, body))
    (found,) = uses.found
    assert (found.name, found.verdict, found.times) == ("os.system", RUNS, 1)
    assert found.paths == (("(not looked for)",),)
    assert uses.unread == [
        "a pickle holds too many objects to look at all: names may be used at more places than are told"
    ]


def test_what_was_found_before_the_bound_keeps_its_places(tmp_path: Path) -> None:
    held = list_of(NONE) + put(0) + POP
    first = call("m", "f")
    body = held + tuple_of(first, EMPTY_LIST + MARK + get(0) * 75_000 + CALL + APPENDS)
    found = {use.name: (use.times, use.paths) for use in uses_of(written(tmp_path, body)).found}
    assert found == {"m.f": (1, ((0,),)), "os.system": (1, (("(not looked for)",),))}


def test_an_object_with_nothing_below_it_is_no_end_of_the_search(tmp_path: Path) -> None:
    body = tuple_of(name("m", "C") + EMPTY_TUPLE + NEWOBJ + integer(1) + BUILD, call("m", "f"))
    assert by_name(written(tmp_path, body))["m.f"].paths == ((1,),)
