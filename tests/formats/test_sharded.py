"""Checkpoints of several files: with an index and without, whole and in disagreement."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file

from paramtui.errors import FormatError, ParamtuiError, TargetError
from tests.support import assert_row, opened

if TYPE_CHECKING:
    from pathlib import Path


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {f"layers.{i}.weight": torch.randn(10, 10) for i in range(12)}


def check(path: Path, expected: dict[str, torch.Tensor], form: str) -> None:
    checkpoint = opened(path)
    assert checkpoint.listing.format == form
    assert sorted(checkpoint.listing.names) == sorted(expected)
    for tensor_id, name in enumerate(checkpoint.listing.names):
        assert_row(checkpoint, tensor_id, name, expected[name])
    total = sum(tensor.numel() * 4 for tensor in expected.values())
    assert checkpoint.listing.totals().unique_nbytes == total


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A directory as Hugging Face writes it: four shards and an index."""
    save_torch_state_dict(state(), tmp_path, max_shard_size=1300)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    return tmp_path


def test_a_directory_with_an_index_lists_all_shards(sharded: Path) -> None:
    check(sharded, state(), "safetensors-sharded")
    assert opened(sharded).listing.warnings == []


def test_the_index_itself_is_a_target(sharded: Path) -> None:
    check(sharded / "model.safetensors.index.json", state(), "safetensors-sharded")


def test_a_directory_without_an_index_lists_all_shards(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").unlink()
    check(sharded, state(), "safetensors-sharded")


def test_torch_shards_with_an_index_are_listed_as_torch_sharded(tmp_path: Path) -> None:
    save_torch_state_dict(state(), tmp_path, max_shard_size=1300, safe_serialization=False)
    check(tmp_path, state(), "torch-sharded")
    check(tmp_path / "pytorch_model.bin.index.json", state(), "torch-sharded")
    (tmp_path / "pytorch_model.bin.index.json").unlink()
    check(tmp_path, state(), "torch-sharded")


def test_a_directory_with_one_file_is_that_file(tmp_path: Path) -> None:
    save_torch_state_dict(state(), tmp_path)
    check(tmp_path, state(), "safetensors")
    for suffix in ("pt", "pth", "ckpt", "bin"):
        folder = tmp_path / suffix
        folder.mkdir()
        torch.save(state(), folder / f"model.{suffix}")
        check(folder, state(), "torch-zip")


@pytest.mark.parametrize("with_index", [True, False])
def test_a_missing_shard_is_warned_of_and_the_rest_listed(sharded: Path, with_index: bool) -> None:
    lost = sharded / "model-00002-of-00004.safetensors"
    gone = set(opened(lost).listing.names)
    lost.unlink()
    if not with_index:
        (sharded / "model.safetensors.index.json").unlink()
    checkpoint = opened(sharded)
    assert set(checkpoint.listing.names) == set(state()) - gone
    assert any("00002" in warning or "missing: 2 of 4" in warning for warning in checkpoint.listing.warnings)


def test_a_broken_shard_is_warned_of_and_the_rest_listed(sharded: Path) -> None:
    (sharded / "model-00001-of-00004.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0{NaN}")
    checkpoint = opened(sharded)
    assert len(checkpoint.listing) == 9
    assert any("00001" in warning for warning in checkpoint.listing.warnings)


def test_an_index_without_any_readable_shard_is_refused(sharded: Path) -> None:
    for shard in sharded.glob("*.safetensors"):
        shard.unlink()
    with pytest.raises(FormatError, match="none of its shards"):
        opened(sharded)


def test_an_index_that_disagrees_with_its_shards_is_warned_of(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    fields["weight_map"]["layers.99.weight"] = "model-00001-of-00004.safetensors"
    del fields["weight_map"]["layers.0.weight"]
    index.write_text(json.dumps(fields))
    checkpoint = opened(sharded)
    warnings = "\n".join(checkpoint.listing.warnings)
    assert "layers.99.weight" in warnings
    assert "layers.0.weight" in warnings
    assert sorted(checkpoint.listing.names) == sorted(state())


@pytest.mark.parametrize(
    "shard",
    ["../outside.safetensors", "/etc/passwd", "a/../../outside.safetensors", "..", "", "x\0y", "..\\outside"],
)
def test_a_shard_outside_the_directory_is_refused(tmp_path: Path, shard: str) -> None:
    save_file({"secret": torch.ones(3)}, tmp_path / "outside.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"w": torch.ones(3)}, folder / "in.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "in.safetensors", "secret": shard}}))
    with pytest.raises(FormatError, match="outside its directory") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"weight_map": 5}',
        '{"weight_map": {"a": 5}}',
        '{"weight_map": {}}',
        '{"weight_map": NaN}',
        "{",
        "{}x",
    ],
)
def test_json_that_is_no_index_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    for target in (path, tmp_path):
        with pytest.raises(FormatError) as caught:
            opened(target)
        assert "\n" not in str(caught.value)


def test_one_name_in_two_shards_is_listed_twice(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "a-00001-of-00002.safetensors")
    save_file({"w": torch.zeros(2)}, tmp_path / "a-00002-of-00002.safetensors")
    checkpoint = opened(tmp_path)
    assert checkpoint.listing.names == ["w", "w"]
    assert (checkpoint.read(0).tolist(), checkpoint.read(1).tolist()) == ([1, 1, 1], [0, 0])


def test_equal_storage_keys_of_two_torch_shards_are_not_shared(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(4)}, tmp_path / "m-00001-of-00002.bin")
    torch.save({"b": torch.ones(4)}, tmp_path / "m-00002-of-00002.bin")
    checkpoint = opened(tmp_path)
    assert checkpoint.listing.sharing.groups == ()
    assert checkpoint.listing.storage(0) != checkpoint.listing.storage(1)


def test_a_directory_with_several_checkpoints_asks_for_one(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        torch.save({"w": torch.ones(1)}, tmp_path / name)
    with pytest.raises(TargetError, match=r"a\.pt, b\.pt"):
        opened(tmp_path)


def test_a_directory_without_a_checkpoint_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(TargetError, match=r"notes\.txt"):
        opened(tmp_path)


def test_an_index_that_names_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": path.name}}))
    with pytest.raises(ParamtuiError):
        opened(path)


def test_two_indices_that_name_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"weight_map": {"w": "b.json"}}))
    (tmp_path / "b.json").write_text(json.dumps({"weight_map": {"w": "a.json"}}))
    with pytest.raises(ParamtuiError):
        opened(tmp_path / "a.json")
