"""Honest files are listed wholly however large; of hostile ones what is left out is said."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from paramtui.checkpoints.budget import FREE_ROWS
from tests.hostile.bombs import Bomb
from tests.hostile.opcodes import (
    APPENDS,
    EMPTY_LIST,
    EMPTY_TUPLE,
    MARK,
    NEWOBJ,
    POP,
    PROTO,
    STOP,
    TUPLE1,
    archive,
    dict_of,
    get,
    integer,
    name,
    put,
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


def test_what_a_long_list_holds_beyond_its_bytes_is_said(listed: Listed) -> None:
    pickled = PROTO + EMPTY_LIST + MARK + EMPTY_LIST * 600_000 + APPENDS + STOP
    checkpoint = listed(pickled)
    rows = len(pickled) // 6 + FREE_ROWS
    assert len(checkpoint.listing.values) == rows + 1
    assert values(checkpoint)[""] == f"the first {rows:,} entries are listed"
    assert "1 objects are listed in part" in said(checkpoint)


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
