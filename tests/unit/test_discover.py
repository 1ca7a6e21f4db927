"""Checkpoints found near by and in the Hugging Face cache."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import torch
from huggingface_hub import scan_cache_dir
from safetensors.torch import save_file

from paramtui.checkpoints import discover
from paramtui.checkpoints.discover import checkpoints_here, hub_checkpoints
from paramtui.checkpoints.registry import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def weights(path: Path, count: int = 3) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({"w": torch.zeros(count)}, path)
    else:
        torch.save({"w": torch.zeros(count)}, path)
    return path.stat().st_size


def labels(folder: Path) -> list[str]:
    return [found.label for found in checkpoints_here(str(folder))]


def test_checkpoints_are_found_by_name_two_directories_deep(tmp_path: Path) -> None:
    size = weights(tmp_path / "b.pt")
    weights(tmp_path / "a.safetensors")
    weights(tmp_path / "runs" / "1" / "last.ckpt")
    weights(tmp_path / "runs" / "1" / "deeper" / "too.pt")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty.pt").touch()
    assert labels(tmp_path) == ["a.safetensors", "b.pt", "runs/1/last.ckpt"]
    assert checkpoints_here(str(tmp_path))[1].nbytes == size


def test_what_programs_keep_for_themselves_is_left_alone(tmp_path: Path) -> None:
    for folder in (".git", "node_modules", "__pycache__"):
        weights(tmp_path / folder / "w.pt")
    weights(tmp_path / "env" / "w.pt")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "firmware.bin").write_bytes(b"\0" * 100)
    weights(tmp_path / "pytorch_model.bin")
    assert labels(tmp_path) == ["pytorch_model.bin"]


def test_an_index_stands_for_its_shards(tmp_path: Path) -> None:
    sizes = [weights(tmp_path / f"model-0000{number}-of-00002.safetensors") for number in (1, 2)]
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "gone"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    (tmp_path / "other.index.json").write_text("{}")
    (found,) = checkpoints_here(str(tmp_path))
    assert (found.label, found.nbytes) == ("model.safetensors.index.json", sum(sizes))


def test_a_directory_in_circles_or_without_permission_ends(tmp_path: Path) -> None:
    weights(tmp_path / "w.pt")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.bin")
    assert labels(tmp_path) == ["w.pt"]
    assert checkpoints_here(str(tmp_path / "gone")) == []


def test_a_crowded_directory_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "MAX_ENTRIES", 10)
    for number in range(100):
        (tmp_path / f"{number}.pt").write_bytes(b"x")
    assert 0 < len(labels(tmp_path)) <= 10


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cached(hub: Path, model: str, revision: str, name: str, *, main: bool = False) -> int:
    """One file as the cache keeps it: a link in a snapshot to a blob."""
    folder = hub / f"models--{model.replace('/', '--')}"
    blob = folder / "blobs" / f"{revision}{name}.safetensors"
    size = weights(blob)
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True, exist_ok=True)
    (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    if main:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(revision)
    return size


def test_models_of_the_cache_are_found_at_their_main_revision_and_open(hub: Path) -> None:
    size = cached(hub, "org/one", "a" * 40, "model.safetensors", main=True)
    cached(hub, "org/one", "b" * 40, "model.safetensors")
    cached(hub, "gpt2", "c" * 40, "model.safetensors")
    assert {repo.repo_id for repo in scan_cache_dir(hub).repos} == {"org/one", "gpt2"}
    found = hub_checkpoints()
    assert [one.label for one in found] == ["gpt2", "org/one"]
    assert found[1].nbytes == size
    assert "a" * 40 in found[1].path
    assert open_checkpoint(found[1].path).listing.names == ["w"]


def test_several_files_of_a_model_are_told_apart(hub: Path) -> None:
    cached(hub, "org/two", "a" * 40, "model.safetensors", main=True)
    cached(hub, "org/two", "a" * 40, "adapter.safetensors", main=True)
    assert [one.label for one in hub_checkpoints()] == [
        "org/two adapter.safetensors",
        "org/two model.safetensors",
    ]


def test_without_a_cache_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    assert hub_checkpoints() == []
