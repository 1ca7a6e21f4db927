"""Entries of exported programs that torch.export seldom writes, or never."""

from __future__ import annotations

import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.errors import FormatError, ValuesError
from tests.support import opened, values

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "m/data/weights/model_weights_config.json"


def entry(
    sizes: object = (2, 3), strides: object = (3, 1), offset: int = 0, path: str = "weight_0", **meta: object
) -> dict[str, object]:
    """An entry as torch.export.save writes it, of float32."""
    known: dict[str, object] = {
        "dtype": 7,
        "sizes": [{"as_int": size} for size in sizes],  # type: ignore[attr-defined]
        "strides": [{"as_int": step} for step in strides],  # type: ignore[attr-defined]
        "storage_offset": {"as_int": offset},
        "layout": 7,
        "requires_grad": False,
    }
    return {"path_name": path, "is_param": True, "use_pickle": False, "tensor_meta": {**known, **meta}}


def program(path: Path, config: object, text: str | None = None) -> Path:
    """An exported program of a record of six floats."""
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(CONFIG, json.dumps({"config": config}) if text is None else text)
        target.writestr("m/data/weights/weight_0", struct.pack("<6f", *range(6)))
    return path


def test_tensors_that_share_a_record_share_memory(tmp_path: Path) -> None:
    config = {"w": entry(), "view": entry((3,), (1,), 3), "turned": entry((3, 2), (1, 3))}
    checkpoint = opened(program(tmp_path / "m.pt2", config))
    base = torch.arange(6.0).view(2, 3)
    assert checkpoint.read("w").tolist() == base.tolist()
    assert checkpoint.read("view").tolist() == base[1].tolist()
    assert checkpoint.read("turned").tolist() == base.t().tolist()
    assert [group.members for group in checkpoint.listing.sharing.groups] == [(0, 1, 2)]


@pytest.mark.parametrize(
    "odd",
    [{**entry(), "use_pickle": True}, {**entry(), "tensor_meta": None}, entry(layout=1)],
    ids=["use_pickle", "no meta", "sparse"],
)
def test_what_is_a_pickle_of_its_own_is_a_value_and_said(tmp_path: Path, odd: object) -> None:
    checkpoint = opened(program(tmp_path / "m.pt2", {"w": entry(), "odd": odd}))
    assert checkpoint.listing.names == ["w"]
    assert values(checkpoint) == {"odd": "a pickle of its own, not shown"}
    words = "1 tensors are pickles of their own, whose numbers are not shown"
    assert words in checkpoint.listing.warnings


ODD: dict[str, Any] = {
    "no dict": 5,
    "no meta": {},
    "an unknown dtype": entry(dtype=99),
    "a dtype that is a list": entry(dtype=[7]),
    "a symbolic size": entry(sizes=[{"as_expr": "s0"}, 3]),
    "a negative size": entry((-2, 3)),
    "sizes of another number than strides": entry((2, 3), (1,)),
    "too many dimensions": entry([1] * 129, [1] * 129),
    "no record": {key: value for key, value in entry().items() if key != "path_name"},
}


@pytest.mark.parametrize("what", ODD)
def test_an_entry_that_torch_never_writes_is_a_value_that_says_so(tmp_path: Path, what: str) -> None:
    checkpoint = opened(program(tmp_path / "m.pt2", {"odd": ODD[what], "w": entry()}))
    assert checkpoint.listing.names == ["w"]
    assert values(checkpoint) == {"odd": "an entry unlike torch.export's"}


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (entry(path="weight_9"), "its record 'm/data/weights/weight_9' is not in the file"),
        (entry((3, 3)), "it reaches to byte 36 of a record of 24 bytes"),
        (entry(offset=1), "it reaches to byte 28 of a record of 24 bytes"),
    ],
)
def test_a_tensor_whose_bytes_are_not_there_is_flagged_alone(tmp_path: Path, odd: object, words: str) -> None:
    checkpoint = opened(program(tmp_path / "m.pt2", {"odd": odd, "w": entry()}))
    assert checkpoint.listing.names == ["odd", "w"]
    assert checkpoint.listing.problem(0) == words
    with pytest.raises(ValuesError, match=words):
        checkpoint.read("odd")
    assert checkpoint.read("w").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("text", ["{}", '{"config": []}', '{"config": null}'])
def test_a_record_without_a_map_is_warned_of(tmp_path: Path, text: str) -> None:
    checkpoint = opened(program(tmp_path / "m.pt2", None, text))
    assert checkpoint.listing.names == []
    assert checkpoint.listing.warnings[1:] == [f"{CONFIG}: has no map from names to tensors"]


def test_a_record_that_is_no_json_is_refused_with_its_place(tmp_path: Path) -> None:
    path = program(tmp_path / "m.pt2", None, '{"config": ')
    with pytest.raises(FormatError) as caught:
        opened(path)
    assert str(caught.value) == f"{path}, {CONFIG}, byte 11: the JSON is broken: expecting value"


def test_a_program_of_before_2_8_is_told_by_what_to_open(tmp_path: Path) -> None:
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("version", "7.0")
        target.writestr("serialized_exported_program.json", "{}")
        target.writestr("serialized_state_dict.pt", "")
    with pytest.raises(FormatError) as caught:
        opened(path)
    words = "is an exported program of PyTorch before 2.8; its tensors are in its record"
    assert str(caught.value).startswith(
        f"{path}: {words} serialized_state_dict.pt, a torch.save file of its own"
    )
    assert caught.value.hint == "unzip that record and open it"
