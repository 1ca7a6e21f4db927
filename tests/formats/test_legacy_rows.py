"""Files of the format before PyTorch 1.6 by their bytes: long pickles, odd headers, views of storages."""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING

import pytest
import torch
from torch.serialization import MAGIC_NUMBER

from paramtui.checkpoints import torch_legacy
from paramtui.errors import FormatError, ValuesError
from tests.hostile.opcodes import (
    BINPERSID,
    FALSE,
    NONE,
    PROTO,
    STOP,
    call,
    dict_of,
    integer,
    list_of,
    name,
    text,
    tuple_of,
)
from tests.support import opened, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NUMBERS = (1.0, 2.0, 3.0, 4.0)
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def held(key: bytes, view: bytes = NONE, kind: str = "FloatStorage", numel: int = 4) -> bytes:
    """A reference to a storage, or to a view of it."""
    return tuple_of(text("storage"), name("torch", kind), key, text("cpu"), integer(numel), view) + BINPERSID


def tensor(storage: bytes, count: int = 4) -> bytes:
    places = tuple_of(integer(count)), tuple_of(integer(1))
    return call("torch._utils", "_rebuild_tensor_v2", storage, integer(0), *places, FALSE, NONE)


def legacy(
    path: Path, pickled: bytes, keys: bytes, *, protocol: object = 1001, machine: object = MACHINE
) -> Path:
    """A file around the pickle of an object, with one storage of four floats."""
    row = b"".join(pickle.dumps(found, 2) for found in (MAGIC_NUMBER, protocol, machine))
    storage = struct.pack("<q4f", 4, *NUMBERS)
    path.write_bytes(row + PROTO + pickled + STOP + PROTO + keys + STOP + storage)
    return path


def test_pickles_of_any_length_are_read_whole(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = {"w": torch.arange(3.0), "text": "x" * 3000, "v": torch.arange(5)}
    path = save(saved, _use_new_zipfile_serialization=False)
    monkeypatch.setattr(torch_legacy, "_FIRST_READ", 64)
    checkpoint = opened(path)
    assert values(checkpoint) == {"text": saved["text"]}
    assert checkpoint.read("w").tolist() == [0, 1, 2]
    assert checkpoint.read("v").tolist() == [0, 1, 2, 3, 4]
    monkeypatch.setattr(torch_legacy, "MAX_PICKLE", 2000)
    begin = path.read_bytes().index(b"\x80\x02}q")
    begin = path.read_bytes().index(b"\x80\x02}q", begin + 1)
    with pytest.raises(FormatError) as caught:
        opened(path)
    assert str(caught.value) == f"{path}: its pickle at byte {begin:,} is too large"


def test_another_protocol_version_is_warned_of_where_torch_refuses_it(tmp_path: Path) -> None:
    pickled = dict_of(text("w"), tensor(held(text("0"))))
    path = legacy(tmp_path / "odd.pt", pickled, list_of(text("0")), protocol=1002)
    with pytest.raises(RuntimeError, match="protocol version"):
        torch.load(path, weights_only=False)
    checkpoint = opened(path)
    assert checkpoint.listing.warnings == ["its protocol version is not 1001"]
    assert checkpoint.read("w").tolist() == list(NUMBERS)


def test_facts_about_the_machine_that_are_no_dict_mean_little_endian(tmp_path: Path) -> None:
    pickled = dict_of(text("w"), tensor(held(text("0"))))
    path = legacy(tmp_path / "odd.pt", pickled, list_of(text("0")), machine=None)
    assert opened(path).read("w").tolist() == torch.load(path, weights_only=False)["w"].tolist()


def test_storages_of_a_big_endian_machine_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    pickled = dict_of(text("w"), tensor(held(text("0"))))
    path = legacy(
        tmp_path / "big.pt", pickled, list_of(text("0")), machine={**MACHINE, "little_endian": False}
    )
    expected = struct.unpack(">4f", struct.pack("<4f", *NUMBERS))
    assert opened(path).read("w").tolist() == list(expected)


def test_keys_that_are_numbers_are_those_of_torch(tmp_path: Path) -> None:
    path = legacy(tmp_path / "old.pt", dict_of(text("w"), tensor(held(integer(7)))), list_of(integer(7)))
    assert torch.load(path, weights_only=False)["w"].tolist() == list(NUMBERS)
    checkpoint = opened(path)
    assert checkpoint.listing.warnings == []
    assert checkpoint.read("w").tolist() == list(NUMBERS)


@pytest.mark.parametrize("key", [NONE, FALSE, b"J\xff\xff\xff\xff", integer(1 << 63), tuple_of(text("1"))])
def test_storages_after_a_key_that_is_none_are_not_taken_for_others(tmp_path: Path, key: bytes) -> None:
    pickled = dict_of(text("w"), tensor(held(text("0"))))
    path = legacy(tmp_path / "odd.pt", pickled, list_of(key, text("0")))
    with pytest.raises(Exception, match=""):
        torch.load(path, weights_only=False)
    checkpoint = opened(path)
    words = "entry 1 of the list of storages is no key, so none after it can be found"
    assert words in checkpoint.listing.warnings
    assert checkpoint.listing.problem(0) == "its storage 0 is not in the file"


def view(offset: bytes, length: bytes) -> bytes:
    return tuple_of(text("9"), offset, length)


@pytest.mark.parametrize(
    ("odd", "count"),
    [
        (held(text("0"), view(integer(1), integer(3))), 3),
        (held(text("0"), view(integer(4), integer(0))), 0),
        (held(text("0"), view(integer(2), integer(1))), 1),
    ],
)
def test_views_of_a_storage_are_those_of_torch(tmp_path: Path, odd: bytes, count: int) -> None:
    pickled = dict_of(text("w"), tensor(held(text("0"))), text("v"), tensor(odd, count))
    path = legacy(tmp_path / "views.pt", pickled, list_of(text("0")))
    made = torch.load(path, weights_only=False)
    checkpoint = opened(path)
    for key in ("w", "v"):
        assert checkpoint.read(key).tolist() == made[key].tolist()
    assert checkpoint.listing.storage(0) == checkpoint.listing.storage(1)


def test_a_view_of_bytes_is_counted_in_bytes_whatever_its_tensor_is_of(tmp_path: Path) -> None:
    untyped = held(text("0"), view(integer(8), integer(8)), "UntypedStorage", 16)
    places = tuple_of(integer(4)), tuple_of(integer(1))
    dtype = name("torch", "uint16")
    odd = call("torch._utils", "_rebuild_tensor_v3", untyped, integer(0), *places, FALSE, NONE, dtype)
    path = legacy(tmp_path / "views.pt", dict_of(text("v"), odd), list_of(text("0")))
    content = path.read_bytes()
    # The length of an untyped storage is in bytes.
    path.write_bytes(content[:-24] + struct.pack("<q", 16) + content[-16:])
    expected = struct.unpack("<4H", content[-8:])
    assert opened(path).read("v").tolist() == list(expected)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (integer(3), "its view of a storage is not an offset and a length"),
        (tuple_of(text("9"), integer(1)), "its view of a storage is not an offset and a length"),
        (view(text("1"), integer(1)), "its view of a storage is not an offset and a length"),
        (view(integer(1), integer(1 << 63)), "its view of a storage is not an offset and a length"),
        (view(integer(2), integer(3)), "it is a view that reaches past storage 0"),
    ],
)
def test_a_view_that_is_none_is_flagged_and_the_rest_is_read(tmp_path: Path, odd: bytes, words: str) -> None:
    pickled = dict_of(text("w"), tensor(held(text("0"))), text("v"), tensor(held(text("0"), odd), 1))
    path = legacy(tmp_path / "views.pt", pickled, list_of(text("0")))
    checkpoint = opened(path)
    assert checkpoint.read("w").tolist() == list(NUMBERS)
    assert checkpoint.listing.problem(1) == words
    with pytest.raises(ValuesError, match=words):
        checkpoint.read("v")


def test_a_view_of_a_storage_that_is_cut_says_that_the_file_is(tmp_path: Path) -> None:
    odd = held(text("0"), view(integer(3), integer(1)))
    path = legacy(tmp_path / "views.pt", dict_of(text("v"), tensor(odd, 1)), list_of(text("0")))
    path.write_bytes(path.read_bytes()[:-4])
    size = path.stat().st_size
    words = f"storage 0 claims 4 elements at byte {size - 12:,} of {size:,} (is the file cut?)"
    assert opened(path).listing.problem(0) == words
