"""Objects that picklers seldom write, listed as Python or torch would load them, or described in words."""

from __future__ import annotations

import collections
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.checkpoints.inert_objects import Pairs
from tests.formats.handmade import listed, written
from tests.hostile.opcodes import (
    BUILD,
    EMPTY_DICT,
    EMPTY_TUPLE,
    NEWOBJ,
    NONE,
    REDUCE,
    STOP,
    TRUE,
    call,
    dict_of,
    get,
    integer,
    list_of,
    name,
    put,
    tensor,
    text,
    tuple_of,
)
from tests.support import assert_rows, opened, value_types, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def ordered(*pairs: bytes) -> bytes:
    """An OrderedDict as Python 2 wrote it."""
    return call("collections", "OrderedDict", list_of(*pairs))


def linear(parameters: bytes, buffers: bytes = EMPTY_DICT, *more: bytes) -> bytes:
    """A module with some dicts in its slots."""
    slots = [text("_parameters"), parameters, text("_buffers"), buffers, text("_modules"), EMPTY_DICT]
    state = dict_of(*slots, text("training"), TRUE, *more)
    return name("torch.nn.modules.linear", "Linear") + EMPTY_TUPLE + NEWOBJ + state + BUILD


# Dicts


class Slot(collections.OrderedDict):
    """A class of a person's own for a module's dict."""


def test_a_dict_as_python_2_wrote_it_is_listed_as_python_loads_it(tmp_path: Path) -> None:
    pairs = [list_of(text("b"), integer(1)), tuple_of(text("a"), integer(2))]
    body = ordered(*pairs)
    expected = pickle.loads(body + STOP)
    assert list(expected.items()) == [("b", 1), ("a", 2)]
    found = values(listed(tmp_path, body))
    assert list(found.items()) == list(expected.items())


def test_a_dict_made_of_what_are_no_pairs_is_listed_as_a_call(tmp_path: Path) -> None:
    for wrong in (integer(1), list_of(integer(1)), tuple_of(text("a"), NONE, NONE)):
        found = listed(tmp_path, dict_of(text("d"), ordered(wrong)))
        assert value_types(found)["d"] == "collections.OrderedDict"


def test_a_module_as_python_2_wrote_it_is_listed_as_torch_loads_it(tmp_path: Path) -> None:
    parameters = ordered(list_of(text("w"), call("torch._utils", "_rebuild_parameter", tensor(), TRUE, NONE)))
    body = linear(parameters, ordered(list_of(text("b"), tensor())))
    path = written(tmp_path, body, version=b"3")
    net: nn.Module = torch.load(path, weights_only=False)
    checkpoint = opened(path)
    assert_rows(checkpoint, {**dict(net.named_parameters()), **dict(net.named_buffers())})
    assert checkpoint.listing.kind == ["parameter", "buffer"]


def test_a_module_whose_dicts_are_of_a_class_of_ones_own_is_listed_whole(save: Save) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    for module in net.modules():
        for slot in ("_parameters", "_buffers", "_modules"):
            module.__dict__[slot] = Slot(module.__dict__[slot])
    checkpoint = opened(save(net))
    expected = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    assert sorted(checkpoint.listing.names) == sorted(expected)
    assert sorted(checkpoint.listing.kind) == ["buffer"] * 3 + ["parameter"] * 4


@pytest.mark.parametrize("slot", [call("m", "f"), call("m", "f", integer(1)), call("m", "f", list_of(NONE))])
def test_what_is_no_dict_in_a_slot_of_a_module_holds_nothing(tmp_path: Path, slot: bytes) -> None:
    checkpoint = listed(tmp_path, linear(slot, dict_of(text("b"), tensor())))
    assert checkpoint.listing.names == ["b"]


def test_a_list_in_a_slot_makes_an_object_and_no_module(tmp_path: Path) -> None:
    checkpoint = listed(tmp_path, linear(list_of(tensor()), dict_of(text("b"), tensor())))
    assert checkpoint.listing.names == ["_parameters.0", "_buffers.b"]
    assert checkpoint.listing.modules == []


def test_a_module_of_many_attributes_is_listed_whole(save: Save) -> None:
    net: Any = nn.Linear(2, 3)
    for index in range(200):
        setattr(net, f"note{index}", index)
    checkpoint = opened(save(net))
    assert_rows(checkpoint, dict(net.named_parameters()))
    found = values(checkpoint)
    assert [found[f"note{index}"] for index in range(200)] == list(range(200))


@pytest.mark.parametrize("count", [4, 300])
def test_the_last_value_of_a_key_counts_however_long_a_dict_is(count: int) -> None:
    pairs = Pairs()
    keys = [f"k{index % (count - 2)}" for index in range(count - 2)]
    items: list[object] = [[], "no key"]
    expected: dict[str, object] = {}
    for index, key in enumerate([*keys, "k0", "é"]):
        items += [key.encode() if index % 3 else key, index]
        expected[key] = index
    pairs.add(items)
    assert {key: pairs.get(key) for key in expected} == expected
    assert pairs.get("none", "default") == "default"


# What is set on tensors


def test_a_tensor_below_itself_is_listed_and_ends(tmp_path: Path) -> None:
    body = tensor() + put(1) + dict_of(text("me"), get(1), text("note"), integer(5)) + BUILD
    checkpoint = listed(tmp_path, dict_of(text("w"), body))
    assert checkpoint.listing.names == ["w", "w.me"]
    assert values(checkpoint) == {"w.note": 5}


def test_attributes_that_two_parameters_share_are_listed_below_both(tmp_path: Path) -> None:
    state = dict_of(text("note"), integer(5)) + put(0) + b"0"
    one = call("torch._utils", "_rebuild_parameter_with_state", tensor(), TRUE, EMPTY_DICT, get(0))
    path = written(tmp_path, state + dict_of(text("a"), one, text("b"), one), version=b"3")
    loaded = torch.load(path, weights_only=False)
    found = {f"{key}.note": parameter.note for key, parameter in loaded.items()}
    assert values(opened(path)) == found == {"a.note": 5, "b.note": 5}


def test_notes_of_the_compiler_on_a_tensor_are_not_listed(save: Save) -> None:
    marked: Any = torch.ones(2)
    # As torch._dynamo.mark_dynamic(marked, 0) does.
    marked._dynamo_dynamic_indices = {0}
    both: Any = torch.zeros(3)
    both._dynamo_dynamic_indices = {0}
    both.note = 7
    checkpoint = opened(save({"w": marked, "v": both}))
    assert checkpoint.listing.names == ["w", "v"]
    assert {key: found for key, found in values(checkpoint).items() if "dynamo" in key} == {}
    assert values(checkpoint)["v.note"] == 7


def test_only_some_of_many_malformed_tensors_are_warned_of_and_all_are_listed(tmp_path: Path) -> None:
    wrong = call("torch._utils", "_rebuild_tensor_v2", integer(1))
    checkpoint = listed(tmp_path, list_of(*[wrong] * 23))
    words = [str(value) for value in values(checkpoint).values()]
    assert len(words) == 23
    assert all(word.startswith("not a readable tensor") for word in words)
    warnings = [str(warning) for warning in checkpoint.listing.warnings]
    assert len([warning for warning in warnings if "not a readable tensor" in warning]) == 20
    assert warnings[-1] == "3 more tensors are malformed"


# Values


@pytest.mark.parametrize("code", ["f4", ">f4", "<i8", ">c16", "b1", "S3", "U2"])
def test_a_dtype_of_numpy_is_a_value_that_numpy_reads(save: Save, code: str) -> None:
    dtype = np.dtype(code)
    checkpoint = opened(save({"d": dtype}))
    assert value_types(checkpoint) == {"d": "numpy.dtype"}
    assert np.dtype(str(values(checkpoint)["d"])) == dtype


CALLS = {
    "a dtype that is none": (call("numpy", "dtype", integer(1)), "dtype(1)"),
    "an array without a state": (call("numpy.core.multiarray", "_reconstruct", NONE), "array"),
    "an array of an unknown dtype": (
        call("numpy.core.multiarray", "_reconstruct", NONE)
        + tuple_of(integer(1), tuple_of(integer(2)), NONE)
        + BUILD,
        "array of dtype unknown, shape (2,)",
    ),
    "a size of tuples": (call("torch", "Size", tuple_of(EMPTY_TUPLE)), "Size((…,))"),
    "a complex number of integers": (call("builtins", "complex", integer(1), integer(2)), "complex(1, 2)"),
    "bytes of what is none": (call("builtins", "bytes", integer(3)), "bytes(3)"),
    "bytes of a call": (call("builtins", "bytes", call("m", "f")), "bytes(m.f(…))"),
    "a number of many digits": (
        call("m", "f", b"L" + b"1" * 5000 + b"L\n"),
        "f(an integer of 5,000 digits)",
    ),
    "a number of many bits": (call("m", "f", integer(1 << 20_000)), "f(an integer of 20,001 bits)"),
}


@pytest.mark.parametrize("which", list(CALLS))
def test_a_call_that_stands_for_no_simple_value_is_described(tmp_path: Path, which: str) -> None:
    body, words = CALLS[which]
    assert values(listed(tmp_path, dict_of(text("v"), body)))["v"] == words


def test_a_number_of_many_digits_says_how_many(tmp_path: Path) -> None:
    found = values(listed(tmp_path, dict_of(text("v"), b"L" + b"1" * 5000 + b"L\n")))
    assert found == {"v": "an integer of 5,000 digits"}


def test_bytes_of_a_bytearray_are_those_that_python_makes(tmp_path: Path) -> None:
    array = b"\x96" + (2).to_bytes(8, "little") + b"\x00\xff"
    body = dict_of(text("v"), call("builtins", "bytes", array))
    assert values(listed(tmp_path, body)) == pickle.loads(body + STOP)


def test_a_class_with_a_long_name_is_named_whole(tmp_path: Path) -> None:
    found = value_types(listed(tmp_path, dict_of(text("v"), name("m", "C" * 1500) + EMPTY_TUPLE + REDUCE)))
    assert found["v"] == "m." + "C" * 1500
