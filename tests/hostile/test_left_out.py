"""Honest files are listed wholly however large; of hostile ones what is left out is said."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from paramtui.checkpoints.budget import FREE_ROWS, MAX_REPEATED, Budget, SpentError, key_size, scalars_size
from tests.hostile.bombs import Bomb
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
    PROTO,
    REDUCE,
    SETITEM,
    SETITEMS,
    STOP,
    TUPLE1,
    archive,
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
from tests.hostile.tensor_bombs import GOOD, HELD, many
from tests.support import opened, run_paramtui, value_types, values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paramtui.api import Checkpoint

    Listed = Callable[[bytes], Checkpoint]


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    def written(pickled: bytes) -> Checkpoint:
        path = Bomb("", {"a.pt": archive(pickled)}, "a.pt").lay(tmp_path / str(len(list(tmp_path.iterdir()))))
        return opened(path)

    return written


def said(checkpoint: Checkpoint) -> str:
    return " ".join(checkpoint.listing.warnings)


def test_a_million_plain_values_are_listed_wholly(listed: Listed) -> None:
    checkpoint = listed(pickle.dumps({index: index % 7 for index in range(1_000_000)}, 2))
    assert [value.value for value in checkpoint.listing.values] == [index % 7 for index in range(1_000_000)]
    assert checkpoint.listing.warnings == []


def test_a_hundred_thousand_tensors_are_listed_wholly(listed: Listed) -> None:
    pickled = many(lambda _: GOOD, {**HELD, 2: integer(1) + TUPLE1}, 2_500_000)
    checkpoint = listed(pickled)
    assert len(checkpoint.listing) == pickled.count(GOOD) > 100_000
    assert "left out" not in said(checkpoint)
    assert "in part" not in said(checkpoint)


def test_a_chain_of_a_thousand_objects_is_listed_wholly(listed: Listed) -> None:
    level = EMPTY_DICT + text("level") + integer(7) + SETITEM + text("next")
    checkpoint = listed(level * 1000 + NONE + SETITEM * 1000 + STOP)
    assert len(checkpoint.listing.values) == 1001
    assert checkpoint.listing.warnings == []


def test_what_a_long_list_holds_beyond_its_bytes_is_said(listed: Listed) -> None:
    pickled = PROTO + EMPTY_LIST + MARK + EMPTY_LIST * 600_000 + APPENDS + STOP
    checkpoint = listed(pickled)
    rows = len(pickled) // 6 + FREE_ROWS
    assert len(checkpoint.listing.values) == rows + 1
    assert values(checkpoint)[""] == f"the first {rows:,} entries are listed"
    assert "1 objects are listed in part" in said(checkpoint)


def test_repeated_objects_beyond_the_cap_say_which_they_are(listed: Listed) -> None:
    held = list_of(*[EMPTY_LIST] * 1000)
    checkpoint = listed(held + put(0) + POP + dict_of(*(text(f"k{i}") + get(0) for i in range(200))) + STOP)
    repeats = MAX_REPEATED // 1000 + 1
    found = values(checkpoint)
    assert f"k{repeats - 1}" not in found
    assert found[f"k{repeats}"] == "the same object as k0"
    assert f"{200 - repeats:,} entries repeat objects listed before" in said(checkpoint)


def test_a_text_that_is_repeated_too_often_is_left_out_and_counted(listed: Listed) -> None:
    pickled = text("n" * 500_000) + put(0) + POP
    checkpoint = listed(pickled + dict_of(*(text(f"k{i}") + get(0) for i in range(100))) + STOP)
    whole = [value for value in checkpoint.listing.values if len(str(value.value)) == 500_000]
    budget = Budget(len(pickled))
    assert len(whole) == pytest.approx(budget.text // 500_000, abs=2)
    assert values(checkpoint)["k99"] == "500,000 characters, not listed: the file repeats them too often"
    assert f"{100 - len(whole)} values and tensors are left out" in said(checkpoint)


def test_entries_whose_names_would_be_too_long_are_left_out_and_said(listed: Listed) -> None:
    key = text("n" * 500_000) + put(0) + NONE
    checkpoint = listed(EMPTY_DICT + MARK + key + (get(0) + NONE) * 500 + SETITEMS + STOP)
    shown = len(checkpoint.listing.values) - 1
    assert 20 < shown < 60
    assert values(checkpoint)[""] == f"the first {shown:,} entries are listed"


def test_nothing_of_an_object_with_too_long_a_name_is_listed_and_that_is_said(listed: Listed) -> None:
    label = text("n" * 900_000) + put(0)
    inner = dict_of(*(text(f"k{i}") + NONE for i in range(100)))
    checkpoint = listed(dict_of(label, dict_of(get(0), inner), text("b"), NONE) + STOP)
    found = list(values(checkpoint).values())
    assert any(str(value).startswith(("the first", "nothing of it is listed")) for value in found)
    assert values(checkpoint)["b"] is None


def test_a_class_name_that_is_long_and_repeated_is_cut(listed: Listed) -> None:
    one = get(0) + EMPTY_TUPLE + NEWOBJ
    pickled = name("m", "C" * 1900) + put(0) + POP + EMPTY_LIST + MARK + one * 30_000 + APPENDS + STOP
    checkpoint = listed(pickled)
    kinds = {len(kind) for kind in value_types(checkpoint).values()}
    assert kinds == {1902, 100}


@pytest.mark.parametrize("count", [129, 5000])
def test_a_tensor_of_more_dimensions_than_there_are_is_malformed(listed: Listed, count: int) -> None:
    numbers = tuple_of(*[integer(1)] * count)
    checkpoint = listed(dict_of(text("w"), tensor(numbers, numbers)) + STOP)
    assert len(checkpoint.listing) == 0
    assert f"has {count:,} dimensions, more than 128" in str(values(checkpoint)["w"])


def test_a_tensor_of_128_dimensions_is_listed_and_its_numbers_are_not_shown(tmp_path: Path) -> None:
    numbers = tuple_of(*[integer(1)] * 128)
    path = Bomb("", {"a.pt": archive(dict_of(text("w"), tensor(numbers, numbers)) + STOP)}, "a.pt").lay(
        tmp_path / "a"
    )
    assert opened(path).listing.shape == [(1,) * 128]
    done = run_paramtui("show", str(path))
    assert done.returncode == 2
    assert b"128 dimensions; numbers of at most" in done.stderr


@pytest.mark.parametrize("number", [-1, 1 << 63, 1 << 5000], ids=["negative", "64 bits", "5,000 bits"])
def test_sizes_strides_and_offsets_are_counted_in_64_bits(listed: Listed, number: int) -> None:
    wrong, right = integer(number) + TUPLE1, integer(1) + TUPLE1
    pickled = dict_of(
        text("size"),
        tensor(wrong, right),
        text("stride"),
        tensor(right, wrong),
        text("offset"),
        tensor(right, right, integer(number)),
        text("good"),
        tensor(right, right),
    )
    checkpoint = listed(pickled + STOP)
    assert checkpoint.listing.names == ["good"]
    assert set(values(checkpoint)) == {"size", "stride", "offset"}


def test_a_storage_whose_number_has_more_than_64_bits_is_malformed(listed: Listed) -> None:
    checkpoint = listed(dict_of(text("w"), tensor(held=storage(integer(1 << 9000)))) + STOP)
    assert "a number that is too long" in str(values(checkpoint)["w"])


def test_long_names_of_classes_are_refused_with_their_place(tmp_path: Path) -> None:
    path = Bomb("", {"a.pt": archive(name("m", "n" * 2000) + STOP)}, "a.pt").lay(tmp_path / "a")
    done = run_paramtui("ls", str(path))
    assert done.returncode == 2
    assert b"the name of the global before byte" in done.stderr
    assert b"has 2,001 characters" in done.stderr


def test_a_corner_of_a_million_numbers_is_not_printed_and_a_slice_of_it_is(tmp_path: Path) -> None:
    shape, stride = tuple_of(*[integer(7)] * 9), tuple_of(*[integer(0)] * 9)
    data = archive(dict_of(text("w"), tensor(shape, stride)) + STOP)
    path = str(Bomb("", {"a.pt": data}, "a.pt").lay(tmp_path / "a"))
    done = run_paramtui("show", path, "w")
    assert done.returncode == 2
    assert b"even the corners of its 9 dimensions are more than 1,000,000 numbers" in done.stderr
    assert run_paramtui("show", path, "w", "0,0,0,0,0,0,0").returncode == 0


def test_the_bytes_of_many_scalars_that_are_one_text_are_read_as_often_as_is_worth_it(listed: Listed) -> None:
    one = call("_codecs", "encode", text("x" * 300_000), text("latin1")).replace(text("x" * 300_000), get(0))
    pickled = text("x" * 300_000) + put(0) + POP + EMPTY_LIST + MARK + one * 100 + APPENDS + STOP
    found = [value.value for value in listed(pickled).listing.values]
    assert found[0] == b"x" * 300_000
    assert found[-1] == "not listed: the file repeats objects too often"


def test_calls_of_bytes_in_calls_are_bytes_as_python_makes_them(listed: Listed) -> None:
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
    found = values(listed(pickled + STOP))
    python = {"bytes": b"\xff", "bytearray": bytearray(b"\xff"), "empty": b"", "raw": b"ab"}
    assert {name: found[name] for name in python} == python
    assert {found[name] for name in ("odd", "none")} == {"encode()", "encode(1)"}
    assert str(found["deep"]).startswith("bytes(")


def test_a_state_that_many_tensors_share_is_listed_as_often_as_is_worth_it(listed: Listed) -> None:
    states = dict_of(*(text(f"s{index}") + EMPTY_LIST for index in range(20_000)))
    one = call("torch._utils", "_rebuild_parameter_with_state", get(1), NONE, EMPTY_DICT, get(0))
    pickled = states + put(0) + POP + tensor() + put(1) + POP + EMPTY_LIST + MARK + one * 20 + APPENDS
    checkpoint = listed(pickled + STOP)
    assert len(checkpoint.listing) == 20
    assert "not listed in full again" in said(checkpoint)


def test_a_module_lists_a_list_of_its_own_parameters_once(listed: Listed) -> None:
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
    checkpoint = listed(name("m", "C") + EMPTY_TUPLE + REDUCE + state + BUILD + STOP)
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
