"""Sizes, strides and offsets beyond the 64 bits of PyTorch: the tensor is flagged alone."""

from __future__ import annotations

import json
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.errors import ValuesError
from tests.support import opened, values

if TYPE_CHECKING:
    from pathlib import Path

STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
LIMIT = 1 << 63


def number(value: int) -> bytes:
    raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(*found: int) -> bytes:
    return b"(" + b"".join(map(number, found)) + b"t"


def rebuilt(offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """The call that makes a tensor, as its pickle has it."""
    places = number(offset) + numbers(*shape) + numbers(*stride)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + places + b"\x89NtR"


def archive(path: Path, odd: bytes) -> Path:
    """A dict of a sound tensor and another object, as torch.save writes it."""
    sound = rebuilt(0, (4,), (1,))
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a/data.pkl", b"}(X\x01\x00\x00\x00w" + sound + b"X\x03\x00\x00\x00odd" + odd + b"u.")
        target.writestr("a/byteorder", "little")
        target.writestr("a/data/0", struct.pack("<4f", 1, 2, 3, 4))
        target.writestr("a/version", "3\n")
    return path


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (LIMIT,), (0,)),
        (0, (0, LIMIT), (1, 1)),
        (0, (1,), (LIMIT,)),
        (LIMIT, (0,), (1,)),
        (0, (1 << 40, 1 << 40), (0, 0)),
    ],
)
def test_a_tensor_that_torch_could_not_count_is_a_value_that_says_so(
    tmp_path: Path, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    path = archive(tmp_path / "odd.pt", rebuilt(offset, shape, stride))
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        torch.load(path, weights_only=False)["odd"].numel()
    checkpoint = opened(path)
    assert checkpoint.listing.names == ["w"]
    assert checkpoint.read("w").tolist() == [1, 2, 3, 4]
    assert values(checkpoint) == {"odd": "not a readable tensor: its sizes are larger than PyTorch can count"}


def test_the_largest_numbers_that_torch_can_count_are_no_error(tmp_path: Path) -> None:
    path = archive(tmp_path / "large.pt", rebuilt(0, (LIMIT - 1,), (0,)))
    checkpoint = opened(path)
    loaded = torch.load(path, weights_only=False)["odd"]
    assert checkpoint.listing.shape == [(4,), tuple(loaded.shape)]
    assert checkpoint.read("odd", "-2:").tolist() == loaded[-2:].tolist() == [1, 1]


def test_components_of_a_nested_tensor_have_a_bounded_number_of_dimensions(tmp_path: Path) -> None:
    table = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nLongStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
        + number(0)
        + numbers(0, 1 << 40)
        + numbers(1, 1)
        + b"\x89NtR"
    )
    nested = b"ctorch._utils\n_rebuild_nested_tensor\n(" + rebuilt(0, (4,), (1,)) + table * 3 + b"tR"
    checkpoint = opened(archive(tmp_path / "nested.pt", nested))
    words = f"not a readable tensor: its components have {1 << 40:,} dimensions, more than 128"
    assert values(checkpoint) == {"odd": words}


def meta(shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    start = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\n"
    return start + numbers(*shape) + numbers(*stride) + b"\x89tR"


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (meta((2, 3), (1,)), "it has 2 sizes and 1 strides"),
        (meta((1 << 40, 1 << 40), (1, 1)), "its sizes are larger than PyTorch can count"),
        (meta((0, LIMIT), (1, 1)), "its sizes are larger than PyTorch can count"),
    ],
)
def test_a_meta_tensor_that_torch_could_not_make_is_a_value_that_says_so(
    tmp_path: Path, odd: bytes, words: str
) -> None:
    path = archive(tmp_path / "meta.pt", odd)
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        torch.load(path, weights_only=False)["odd"].numel()
    assert values(opened(path)) == {"odd": f"not a readable tensor: {words}"}


def test_an_empty_tensor_that_torch_has_and_numpy_has_not_is_said_to_be_one(tmp_path: Path) -> None:
    path = archive(tmp_path / "empty.pt", rebuilt(0, (1 << 62, 2, 0), (2, 1, 1)))
    assert torch.load(path, weights_only=False)["odd"].shape == (1 << 62, 2, 0)
    checkpoint = opened(path)
    assert checkpoint.listing.shape[1] == (1 << 62, 2, 0)
    with pytest.raises(ValuesError, match="empty, and too long"):
        checkpoint.read("odd")
    assert checkpoint.read("odd", ":3").shape == (3, 2, 0)


def exported(sizes: list[int], strides: list[int]) -> dict[str, object]:
    """An entry as torch.export.save writes it."""
    meta = {
        "dtype": 7,
        "sizes": [{"as_int": size} for size in sizes],
        "strides": [{"as_int": step} for step in strides],
        "storage_offset": {"as_int": 0},
        "layout": 7,
        "requires_grad": False,
    }
    return {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta}


def test_entries_of_an_exported_program_that_torch_could_not_count_are_flagged_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    config = {
        "w": exported([2], [1]),
        "wide": exported([1 << 40, 1 << 40], [0, 0]),
        "long": exported([LIMIT], [0]),
    }
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("m/data/weights/model_weights_config.json", json.dumps({"config": config}))
        target.writestr("m/data/weights/weight_0", struct.pack("<2f", 1, 2))
    checkpoint = opened(path)
    assert checkpoint.listing.names == ["w"]
    assert checkpoint.read("w").tolist() == [1, 2]
    words = "an entry unlike torch.export's"
    assert values(checkpoint) == {"wide": words, "long": words}
