"""What hostile pickles repeat is listed as often as is worth it, and what is left out is said."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from paramtui.checkpoints.budget import (
    FREE_ROWS,
    MAX_REPEATED,
    STEP,
    Budget,
    SpentError,
    key_size,
    scalars_size,
)
from tests.formats.handmade import listed
from tests.hostile.opcodes import (
    APPENDS,
    BUILD,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    FALSE,
    MARK,
    NONE,
    POP,
    REDUCE,
    SETITEM,
    SETITEMS,
    TUPLE1,
    call,
    dict_of,
    get,
    integer,
    list_of,
    name,
    put,
    raw_bytes,
    storage,
    tensor,
    text,
    tuple_of,
)
from tests.support import values

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.api import Checkpoint


def said(checkpoint: Checkpoint) -> str:
    return " ".join(map(str, checkpoint.listing.warnings))


def test_a_chain_of_a_thousand_objects_is_listed_wholly(tmp_path: Path) -> None:
    level = EMPTY_DICT + text("level") + integer(7) + SETITEM + text("next")
    checkpoint = listed(tmp_path, level * 1000 + NONE + SETITEM * 1000)
    assert len(checkpoint.listing.values) == 1001
    assert checkpoint.listing.warnings == []


def test_repeated_objects_beyond_the_cap_say_which_they_are(tmp_path: Path) -> None:
    held = list_of(*[EMPTY_LIST] * 1000)
    checkpoint = listed(
        tmp_path, held + put(0) + POP + dict_of(*(text(f"k{i}") + get(0) for i in range(200)))
    )
    repeats = MAX_REPEATED // 1000 + 1
    found = values(checkpoint)
    assert f"k{repeats - 1}" not in found
    assert found[f"k{repeats}"] == "the same object as k0"
    assert f"{200 - repeats:,} entries repeat objects listed before" in said(checkpoint)


def test_a_text_that_is_repeated_too_often_is_left_out_and_counted(tmp_path: Path) -> None:
    pickled = text("n" * 500_000) + put(0) + POP
    checkpoint = listed(tmp_path, pickled + dict_of(*(text(f"k{i}") + get(0) for i in range(100))))
    whole = [value for value in checkpoint.listing.values if len(str(value.value)) == 500_000]
    budget = Budget(len(pickled))
    assert len(whole) == pytest.approx(budget.text // 500_000, abs=2)
    assert values(checkpoint)["k99"] == "500,000 characters, not listed: the file repeats them too often"
    assert f"{100 - len(whole)} values and tensors are left out" in said(checkpoint)


def test_entries_whose_names_would_be_too_long_are_left_out_and_said(tmp_path: Path) -> None:
    key = text("n" * 500_000) + put(0) + NONE
    checkpoint = listed(tmp_path, EMPTY_DICT + MARK + key + (get(0) + NONE) * 500 + SETITEMS)
    shown = len(checkpoint.listing.values) - 1
    assert 20 < shown < 60
    assert values(checkpoint)[""] == f"the first {shown:,} entries are listed"


def test_nothing_of_an_object_with_too_long_a_name_is_listed_and_that_is_said(tmp_path: Path) -> None:
    label = text("n" * 900_000) + put(0)
    inner = dict_of(*(text(f"k{i}") + NONE for i in range(100)))
    checkpoint = listed(tmp_path, dict_of(label, dict_of(get(0), inner), text("b"), NONE))
    found = list(values(checkpoint).values())
    assert any(str(value).startswith(("the first", "nothing of it is listed")) for value in found)
    assert values(checkpoint)["b"] is None


def test_the_bytes_of_many_scalars_that_are_one_text_are_read_as_often_as_is_worth_it(tmp_path: Path) -> None:
    one = call("_codecs", "encode", text("x" * 300_000), text("latin1")).replace(text("x" * 300_000), get(0))
    pickled = text("x" * 300_000) + put(0) + POP + EMPTY_LIST + MARK + one * 100 + APPENDS
    found = [value.value for value in listed(tmp_path, pickled).listing.values]
    assert found[0] == b"x" * 300_000
    assert found[-1] == "not listed: the file repeats objects too often"


def test_calls_of_bytes_in_calls_are_bytes_as_python_makes_them(tmp_path: Path) -> None:
    inner = call("_codecs", "encode", text("\xff"), text("latin1"))
    pickled = dict_of(
        text("bytes"),
        call("builtins", "bytes", inner),
        text("bytearray"),
        call("builtins", "bytearray", call("builtins", "bytes", inner)),
        text("empty"),
        call("builtins", "bytes"),
        text("deep"),
        call("builtins", "bytes", call("builtins", "bytes", call("builtins", "bytes", inner))),
        text("odd"),
        call("_codecs", "encode"),
        text("none"),
        call("_codecs", "encode", integer(1)),
        text("greek"),
        call("_codecs", "encode", text("\u03b1")),
        text("raw"),
        call("builtins", "bytes", raw_bytes(b"ab")),
    )
    found = values(listed(tmp_path, pickled))
    python = {"bytes": b"\xff", "bytearray": bytearray(b"\xff"), "empty": b"", "raw": b"ab"}
    assert {name: found[name] for name in python} == python
    assert {found[name] for name in ("odd", "none")} == {"encode()", "encode(1)"}
    assert str(found["deep"]).startswith("bytes(")


def test_a_state_that_tensors_share_is_listed_as_often_as_is_worth_it(tmp_path: Path) -> None:
    states = dict_of(*(text(f"s{index}") + NONE for index in range(MAX_REPEATED + 1)))
    one = call("torch._utils", "_rebuild_parameter_with_state", get(1), NONE, EMPTY_DICT, get(0))
    checkpoint = listed(tmp_path, states + put(0) + POP + tensor() + put(1) + POP + list_of(one, one, one))
    assert checkpoint.listing.names == ["0", "1", "2"]
    found = values(checkpoint)
    assert list(found) == [f"0.s{index}" for index in range(MAX_REPEATED + 1)]
    assert "2 entries repeat objects listed before and are not listed in full again" in said(checkpoint)


def test_a_module_lists_a_list_of_its_own_parameters_once(tmp_path: Path) -> None:
    state = dict_of(
        text("_parameters"),
        dict_of(text("w"), tensor() + put(9)),
        text("_buffers"),
        EMPTY_DICT,
        text("_modules"),
        EMPTY_DICT,
        text("_flat_weights"),
        list_of(get(9)),
        text("longer"),
        list_of(get(9), get(9)),
    )
    checkpoint = listed(tmp_path, name("m", "C") + EMPTY_TUPLE + REDUCE + state + BUILD)
    assert checkpoint.listing.names == ["w", "longer.0", "longer.1"]


def test_a_budget_gives_what_it_has_and_no_more() -> None:
    budget = Budget(0)
    assert budget.entries(["a"] * (FREE_ROWS + 5), 0) == FREE_ROWS
    assert budget.entries(["a"], 0) == 0
    budget.look(budget.items)
    with pytest.raises(SpentError):
        budget.look(1)
    room = budget.text
    assert not budget.write(room + 1)
    assert budget.write(room)
    assert not budget.write(1)


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("abc", 3),
        ("\u00e9", 6),
        (b"ab", 8),
        (7, 0),
        (1 << 400, 100),
        (1 << 90_000, 8),
        (("abc", None), 7),
        (None, 0),
    ],
    ids=["text", "letters beyond ASCII", "bytes", "number", "long number", "endless number", "tuple", "none"],
)
def test_keys_cost_what_they_take_in_a_name(key: object, size: int) -> None:
    assert key_size(key) == size


def test_many_scalars_cost_what_their_texts_take() -> None:
    for found, size in (
        ([1, 2, 3], 0),
        ([1.5, None, True], 0),
        (["ab", "c"], 3),
        ([1, 1 << 4000], 1000),
        ([b"a", "b", 1], 5),
    ):
        assert scalars_size(found, set(map(type, found))) == size


def test_tensors_of_one_storage_with_a_long_name_are_listed_as_often_as_is_worth_it(tmp_path: Path) -> None:
    key = "k" * 60_000
    count = 400
    body = storage(key) + put(0) + POP + list_of(*[tensor(held=get(0))] * count)
    numbers = struct.pack("<4f", 5, 6, 7, 8)
    checkpoint = listed(tmp_path, body, **{f"data/{key}": numbers})
    whole = len(checkpoint.listing)
    assert whole == pytest.approx(Budget(len(body)).text // len(key), abs=2)
    assert checkpoint.read(whole - 1).tolist() == [5.0]
    assert set(values(checkpoint).values()) == {"not listed: its shape or storage is too long to be repeated"}
    assert list(values(checkpoint)) == [str(index) for index in range(whole, count)]
    assert f"{count - whole} values and tensors are left out" in said(checkpoint)


def test_tensors_of_a_class_with_a_long_name_are_listed(tmp_path: Path) -> None:
    class_name = "C" * 1500
    inner = tuple_of(storage(), integer(0), integer(2) + TUPLE1, integer(1) + TUPLE1, FALSE, NONE)
    typed = call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        name("torch._utils", "_rebuild_tensor_v2"),
        name("m", class_name),
        inner,
        NONE,
    )
    checkpoint = listed(tmp_path, dict_of(text("w"), typed))
    assert checkpoint.listing.extras[0].class_name == f"m.{class_name}"
    assert checkpoint.read("w").tolist() == [1.0, 2.0]


@pytest.mark.parametrize("keys", [["ab"] * 9, ["é"] * 9, [b"ab", "c", 5, ("x",)], ["x" * 30, "y"], []])
@pytest.mark.parametrize("room", range(0, 140, 7))
def test_entries_are_drawn_for_as_long_as_their_names_have_room(keys: list[object], room: int) -> None:
    budget = Budget(0)
    budget.text = room
    count, left = 0, room
    # As long as the next one fits.
    while count < len(keys) and 3 + STEP + key_size(keys[count]) <= left:
        left -= 3 + STEP + key_size(keys[count])
        count += 1
    assert budget.entries(keys, 3) == count
    assert (budget.text, budget.rows) == (left, FREE_ROWS - count)
