"""``.safetensors`` files: what the safetensors library writes, and headers that are broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from paramtui.errors import FormatError, ValuesError
from tests.support import (
    PLAIN_DTYPES,
    assert_row,
    assert_rows,
    assert_same_numbers,
    opened,
    random_tensor,
    values,
)

if TYPE_CHECKING:
    from pathlib import Path

# What the format has no name for.
DTYPES = [dtype for dtype in PLAIN_DTYPES if dtype not in (torch.complex128, torch.complex32)]


def stored_order(tensors: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The tensors in the order of the header that safetensors wrote."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return {name: tensors[name] for name in header if name != "__metadata__"}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_dtype_and_shape_reads_as_torch_has_it(tmp_path: Path, dtype: torch.dtype) -> None:
    shapes = [(), (0,), (5,), (2, 3, 4), (3, 0, 2), (1, 1), (1000,)]
    tensors = {f"block.{i}.w": random_tensor(dtype, shape, seed=i) for i, shape in enumerate(shapes)}
    path = tmp_path / "m.safetensors"
    save_file(tensors, path)
    checkpoint = opened(path)
    assert checkpoint.listing.format == "safetensors"
    assert_rows(checkpoint, stored_order(tensors, path))
    assert checkpoint.listing.totals().unique_nbytes == checkpoint.listing.totals().nbytes


def test_float4_pairs_have_the_shape_that_torch_gives_them(tmp_path: Path) -> None:
    codes = torch.arange(256).to(torch.uint8).reshape(4, 64)
    path = tmp_path / "m.safetensors"
    save_file({"w": codes.view(torch.float4_e2m1fn_x2)}, path)
    checkpoint = opened(path)
    assert checkpoint.listing.dtype == ["float4_e2m1fn_x2"]
    assert checkpoint.listing.shape == [(4, 64)]
    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    table = torch.tensor(positive + [-x for x in positive])
    expected = torch.stack([table[(codes & 15).long()], table[(codes >> 4).long()]], dim=-1)
    assert_same_numbers(checkpoint.read("w"), expected.numpy())
    assert_same_numbers(checkpoint.read("w", "1, 3:5"), expected[1, 3:5].numpy())


def test_metadata_is_listed_as_values(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(2)}, path, metadata={"format": "pt", "note": "é\n"})
    assert values(opened(path)) == {"__metadata__.format": "pt", "__metadata__.note": "é\n"}


def test_a_file_without_tensors_lists_none(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({}, path)
    assert opened(path).listing.names == []


def write(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> Path:
    """A file with any header, as an object or as bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}', "broken"),
        (b'{"w": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}', "NaN"),
        (b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, Infinity]}}', "Infinity"),
        (
            b'{"w": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}, "w": %s}'
            % b'{"dtype": "U8", "shape": [], "data_offsets": [1, 2]}',
            "twice",
        ),
        (b'{"w": {"dtype": "F32", "dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}', "twice"),
        (b'{"w": {"dtype": "F32", "shape": [2], "shape": [1], "data_offsets": [0, 4]}}', "twice"),
        (
            b'{"__metadata__": {"a": "", "a": ""}, "w": {"dtype": "U8","shape": [],"data_offsets": [0,1]}}',
            "twice",
        ),
        (b'{"w": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"w": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}', "too long"),
        (b'{"\xff": 1}', "UTF-8"),
        (b'{"__metadata__": {"a": 1}}', "__metadata__"),
        (b'{"__metadata__": ["a"]}', "__metadata__"),
    ],
    ids=[
        "cut json",
        "nan",
        "infinity",
        "same name",
        "same field",
        "same shape",
        "same metadata",
        "deep",
        "digits",
        "utf8",
        "metadata number",
        "metadata list",
    ],
)
def test_a_broken_header_is_refused_in_one_line(tmp_path: Path, header: bytes, words: str) -> None:
    path = write(tmp_path / "m.safetensors", header, bytes(8))
    with pytest.raises(FormatError, match=words) as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", {}, length=1000)
    with pytest.raises(FormatError, match="is cut"):
        opened(path)


def test_a_header_longer_than_the_format_allows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", {}, length=100_000_001)
    with path.open("ab") as file:
        file.truncate(200_000_000)  # sparse: takes no space
    with pytest.raises(FormatError, match="100,000,001"):
        opened(path)


def test_every_cut_of_a_file_is_refused_or_flags_the_tensors_that_are_gone(tmp_path: Path) -> None:
    tensors = {name: torch.full((3,), float(i)) for i, name in enumerate("abcd")}
    path = tmp_path / "m.safetensors"
    save_file(tensors, path)
    content = path.read_bytes()
    data_begin = 8 + int.from_bytes(content[:8], "little")
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if length < data_begin:
            with pytest.raises(FormatError):
                opened(path)
            continue
        checkpoint = opened(path)
        for place, (name, tensor) in enumerate(tensors.items()):
            if data_begin + 12 * (place + 1) <= length:
                assert_row(checkpoint, place, name, tensor)
            else:
                assert checkpoint.listing.problem(place) is not None
                with pytest.raises(ValuesError):
                    checkpoint.read(name)


GOOD = entry("F32", [2], 0, 8)


@pytest.mark.parametrize(
    "bad",
    [
        entry("F32", [2], 8, 12),
        entry("F32", [3], 8, 16),
        entry("F32", [2], 8, 1000),
        entry("F32", [2], -8, 16),
        entry("F32", [2], 16, 8),
        entry("F32", [-2], 8, 16),
        entry("F999", [2], 8, 16),
        entry("F6_E2M3", [8], 8, 14),
        {"dtype": "F32", "shape": [2]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 16, 24]},
        {"dtype": "F32", "shape": "22", "data_offsets": [8, 16]},
        {"dtype": "F32", "shape": [2.0], "data_offsets": [8, 16]},
        {"dtype": "F32", "shape": [True, 2], "data_offsets": [8, 16]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8.0, 16]},
        {"dtype": ["F32"], "shape": [2], "data_offsets": [8, 16]},
        {"dtype": None, "shape": [2], "data_offsets": [8, 16]},
        {"dtype": "F4", "shape": [3], "data_offsets": [8, 10]},
        entry("F32", [2**40, 2**40], 8, 16),
        entry("F32", [0, 2**63], 8, 8),
        entry("float32", [2], 8, 8),
        entry("F32", [2**63], 8, 16),
        5,
        [],
        None,
        "F32",
    ],
    ids=lambda bad: json.dumps(bad)[:60],
)
def test_an_entry_that_makes_no_sense_is_flagged_alone(tmp_path: Path, bad: object) -> None:
    data = torch.tensor([1.5, -2.5, 3.0, 4.0]).numpy().tobytes()
    checkpoint = opened(write(tmp_path / "m.safetensors", {"good": GOOD, "bad": bad}, data))
    assert checkpoint.listing.names == ["good", "bad"]
    assert_row(checkpoint, 0, "good", torch.tensor([1.5, -2.5]))
    assert checkpoint.listing.problem(1) is not None
    with pytest.raises(ValuesError):
        checkpoint.read("bad")
    checkpoint.listing.totals()


def test_overlapping_tensors_are_warned_of_and_share(tmp_path: Path) -> None:
    header = {"a": entry("F32", [3], 0, 12), "b": entry("F32", [3], 8, 20)}
    tensor = torch.arange(5.0)
    checkpoint = opened(write(tmp_path / "m.safetensors", header, tensor.numpy().tobytes()))
    assert any("inside another" in warning for warning in checkpoint.listing.warnings)
    assert [group.members for group in checkpoint.listing.sharing.groups] == [(0, 1)]
    assert checkpoint.listing.totals().unique_nbytes == 20
    assert_same_numbers(checkpoint.read("b"), tensor[2:].numpy())


@pytest.mark.parametrize(("begin", "tail", "words"), [(4, 0, "before b"), (0, 3, "last 3 bytes")])
def test_holes_and_trailing_bytes_are_warned_of(tmp_path: Path, begin: int, tail: int, words: str) -> None:
    header = {"a": entry("U8", [4], 0, 4), "b": entry("U8", [2], 4 + begin, 6 + begin)}
    data = bytes(range(6 + begin + tail))
    checkpoint = opened(write(tmp_path / "m.safetensors", header, data))
    assert any(words in warning for warning in checkpoint.listing.warnings)
    assert checkpoint.read("b").tolist() == [4 + begin, 5 + begin]


def test_a_complete_file_has_no_warnings(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(3, dtype=torch.uint8), "b": torch.ones(3), "c": torch.empty(0)}, path)
    assert opened(path).listing.warnings == []


def test_a_file_that_changed_since_it_was_opened_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(3)}, path)
    checkpoint = opened(path)
    save_file({"a": torch.ones(400)}, path)
    with pytest.raises(ValuesError, match="changed"):
        checkpoint.read("a")


def test_names_that_look_like_fields_are_names(tmp_path: Path) -> None:
    tensors = {'"data_offsets"': torch.ones(1), "dtype": torch.zeros(2), 'x"dtype"y': torch.ones(3)}
    path = tmp_path / "m.safetensors"
    save_file(tensors, path)
    assert_rows(opened(path), stored_order(tensors, path))


def test_a_header_whose_length_begins_like_json_is_no_index(tmp_path: Path) -> None:
    # Writers need not pad their headers: 0x17b bytes, of which the first is a brace.
    text = b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'.ljust(0x17B)
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    assert path.read_bytes()[:1] == b"{"
    assert load_file(path)["a"].tolist() == [0, 0]
    assert opened(path).listing.names == ["a"]
