"""Shards and indices that are odd in one way each, and what a merged listing keeps of its parts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints import sharded
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.errors import FormatError, OpeningStoppedError, TargetError
from tests.support import assert_same_numbers, numbers, opened


def index(
    folder: Path, weight_map: dict[str, str], name: str = "model.safetensors", **fields: object
) -> Path:
    path = folder / f"{name}.index.json"
    path.write_text(json.dumps({"weight_map": weight_map, **fields}))
    return path


def two_shards(folder: Path) -> None:
    save_file({"a": torch.ones(2)}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": torch.ones(3)}, folder / "model-00002-of-00002.safetensors")


MAP = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}


class Watching:
    """A watch that notes what it is told."""

    def __init__(self, stop_at: int = -1) -> None:
        self.names: list[str] = []
        self.steps: list[tuple[int, int, str]] = []
        self._stop_at = stop_at

    def told(self, kind: str, words: str) -> None:
        raise AssertionError

    def outline(self, names: Iterable[str]) -> None:
        self.names += names

    def progress(self, done: int, total: int, noun: str) -> None:
        self.steps.append((done, total, noun))
        if done == self._stop_at:
            raise OpeningStoppedError("stopped")


def test_the_names_are_told_first_and_each_shard_as_it_is_read(tmp_path: Path) -> None:
    two_shards(tmp_path)
    index(tmp_path, MAP)
    watch = Watching()
    assert open_checkpoint(str(tmp_path), watch).listing.names == ["a", "b"]
    assert watch.names == ["a", "b"]
    assert watch.steps == [(0, 2, "shard"), (1, 2, "shard")]


def test_who_does_not_want_to_wait_is_heard_between_shards(tmp_path: Path) -> None:
    two_shards(tmp_path)
    watch = Watching(stop_at=1)
    with pytest.raises(OpeningStoppedError):
        open_checkpoint(str(tmp_path), watch)
    assert watch.steps == [(0, 2, "shard"), (1, 2, "shard")]


def test_json_too_large_for_an_index_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_shards(tmp_path)
    path = index(tmp_path, MAP)
    monkeypatch.setattr(sharded, "MAX_INDEX", path.stat().st_size)
    assert opened(path).listing.names == ["a", "b"]
    monkeypatch.setattr(sharded, "MAX_INDEX", path.stat().st_size - 1)
    with pytest.raises(FormatError, match="bytes, too large for an index"):
        opened(path)


def test_a_directory_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(TargetError, match="permission denied"):
        open_checkpoint(str(tmp_path))


def test_of_two_indices_one_has_to_be_named(tmp_path: Path) -> None:
    two_shards(tmp_path)
    index(tmp_path, MAP)
    index(tmp_path, {"a": MAP["a"]}, "model.fp16.safetensors")
    with pytest.raises(TargetError, match="a directory with 2 indices: model.fp16") as caught:
        opened(tmp_path)
    assert caught.value.hint == "name one of them"


def test_numbers_that_torch_shards_lack_are_named(tmp_path: Path) -> None:
    for number in (0, 3):
        torch.save({f"w{number}": torch.ones(2)}, tmp_path / f"pytorch_model-{number:05}-of-00004.bin")
    source = open_checkpoint(str(tmp_path))
    assert source.listing.names == ["w0", "w3"]
    assert source.listing.warnings == ["shards are missing: 1, 2 of 4"]
    assert not source.complete


def test_of_files_without_numbers_none_is_missing(tmp_path: Path) -> None:
    for name in "ab":
        save_file({name: torch.ones(2)}, tmp_path / f"{name}.safetensors")
    source = open_checkpoint(str(tmp_path))
    assert (source.listing.names, source.listing.warnings) == (["a", "b"], [])
    assert source.complete


def test_tensors_that_lie_in_another_shard_than_the_index_says_are_counted(tmp_path: Path) -> None:
    two_shards(tmp_path)
    index(tmp_path, {"a": MAP["b"], "b": MAP["a"]})
    checkpoint = opened(tmp_path)
    assert checkpoint.listing.names == ["b", "a"]
    assert checkpoint.listing.warnings == [
        "2 tensors lie in another shard than the index says, the first b in model-00002-of-00002.safetensors"
    ]


@pytest.mark.parametrize("said", ["listed", "once", "neither", 24.0, True, "text"])
def test_a_size_that_counts_shared_memory_in_either_way_is_right(tmp_path: Path, said: object) -> None:
    whole = torch.ones(4)
    torch.save({"a": whole, "b": whole}, tmp_path / "model-00001-of-00002.bin")
    torch.save({"c": torch.ones(2)}, tmp_path / "model-00002-of-00002.bin")
    weight_map = {"a": "model-00001-of-00002.bin", "b": "model-00001-of-00002.bin"}
    weight_map["c"] = "model-00002-of-00002.bin"
    size = {"listed": 40, "once": 24, "neither": 41}.get(str(said), said)
    index(tmp_path, weight_map, "pytorch_model.bin", metadata={"total_size": size})
    wrong = ["the index says that its tensors take 41 bytes; the shards hold 40"]
    assert opened(tmp_path).listing.warnings == (wrong if said == "neither" else [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"abc", "is 3 bytes long; a safetensors file begins with 8 bytes of header length"),
        (b"\x05\0\0\0\0\0\0\0[123]", "the JSON is not an object"),
    ],
)
def test_a_shard_that_is_no_safetensors_file_is_named_with_the_reason(
    tmp_path: Path, content: bytes, words: str
) -> None:
    two_shards(tmp_path)
    (tmp_path / MAP["b"]).write_bytes(content)
    (warning,) = opened(tmp_path).listing.warnings
    assert warning == f"shard {MAP['b']}: {words}; its tensors are missing"


def test_odd_tensors_of_several_files_keep_their_parts(tmp_path: Path) -> None:
    torch.manual_seed(4)
    scales, zeros = torch.rand(3, dtype=torch.float64) + 0.5, torch.tensor([1, 0, 2])
    first = {"plain": torch.randn(2, 3)}
    second = {
        "channels": torch.quantize_per_channel(torch.randn(3, 4), scales, zeros, 0, torch.qint8),
        "whole": torch.quantize_per_tensor(torch.randn(5), 0.1, 3, torch.quint8),
        "sparse": torch.eye(4).to_sparse(),
        "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
        "meta": torch.empty(2, device="meta"),
    }
    torch.save(first, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save(second, tmp_path / "pytorch_model-00002-of-00002.bin")
    checkpoint = opened(tmp_path)
    assert checkpoint.listing.names == [*first, *second]
    for name, tensor in {**first, **second}.items():
        if name != "meta":
            found = checkpoint.read(checkpoint.listing.names.index(name))
            assert_same_numbers(found, numbers(tensor))
