"""Files near by that cannot be looked at, or are too large to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch

from paramtui.checkpoints import discover
from tests.unit.test_discover import labels, make, make_index

if TYPE_CHECKING:
    import pytest


def test_files_that_cannot_be_looked_at_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "a.bin")
    torch.save({"w": torch.ones(1)}, tmp_path / "b.pt")
    assert labels(tmp_path) == ["a.bin", "b.pt"]

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    for name in ("open", "read"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, broken)
            assert labels(tmp_path) == ["b.pt"]

    class Entry:
        name, path = "a.bin", str(tmp_path / "a.bin")

        def is_dir(self, *, follow_symlinks: bool) -> bool:
            return False

        def is_file(self) -> bool:
            return True

        def stat(self) -> os.stat_result:
            raise OSError(5, "Input/output error")

    class Entries(list[Entry]):
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Entries([Entry()]))
    assert labels(tmp_path) == []


def test_an_index_too_large_to_read_here_takes_no_shards_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "a.safetensors")
    path = make_index(tmp_path / "model.safetensors.index.json", "a.safetensors")
    assert labels(tmp_path) == ["model.safetensors.index.json"]
    monkeypatch.setattr(discover, "MAX_INDEX", path.stat().st_size - 1)
    assert labels(tmp_path) == ["a.safetensors"]
