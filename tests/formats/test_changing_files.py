"""Files that are rewritten, replaced, cut or deleted while they are open: nothing old and new is mixed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints import scanning
from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.statistics import Statistics
from paramtui.errors import ParamtuiError, TargetError, ValuesError


def later(path: Path, data: bytes) -> None:
    """Overwrites the beginning of a file; its time is another one however soon that is."""
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("kept_open", [True, False])
def test_bytes_that_are_overwritten_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_open: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old" * 100)
    pread = os.pread

    def writing(descriptor: int, count: int, begin: int) -> bytes:
        found = pread(descriptor, min(count, 100), begin)
        later(path, b"new" * 100)
        return found

    with RandomFile(str(path)) as file:
        if not kept_open:
            file.close()
        assert file.read(0, 6) == b"oldold"
        monkeypatch.setattr(os, "pread", writing)
        with pytest.raises(ValuesError, match="changed while it was read") as caught:
            file.read(0, 300)
        assert caught.value.hint == "open it again"
        monkeypatch.undo()
        with pytest.raises(ValuesError, match="changed (while|since)"):
            file.read(0, 6)


def test_what_became_of_a_file_is_told_from_its_status(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"12345")
    with RandomFile(str(path)) as file:
        assert file.outdated() == ""
        later(path, b"6")
        assert file.outdated() == "has changed"
    with RandomFile(str(path)) as file:
        other.write_bytes(b"12345")
        os.replace(other, path)
        assert file.outdated() == "was replaced"
        path.unlink()
        assert file.outdated() == "is gone"
        with pytest.raises(TargetError, match="no such file"):
            file.close()
            file.read(0, 1)


def rewritten(path: Path) -> None:
    save_file({f"layers.{n}.weight": torch.full((60, 70), 100.0 + n) for n in range(60)}, path)


@pytest.mark.parametrize("how", ["overwritten", "cut", "replaced", "deleted"])
async def test_no_figure_is_of_old_and_new_numbers_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(scanning, "BATCH", 1 << 12)
    monkeypatch.setattr(scanning, "MOST", 1)
    path, other = tmp_path / "m.safetensors", tmp_path / "other"
    save_file({f"layers.{n}.weight": torch.full((60, 70), float(n)) for n in range(60)}, path)
    rewritten(other)
    source = open_checkpoint(str(path))
    found: dict[int, Statistics | ValuesError] = {}

    def came(tensor: int, result: Statistics | ValuesError) -> None:
        found[tensor] = result
        if len(found) != 5:
            return
        if how == "overwritten":
            later(path, other.read_bytes())
        elif how == "cut":
            os.truncate(path, 5_000)
        elif how == "replaced":
            os.replace(other, path)
        else:
            path.unlink()

    try:
        await source.scan(range(len(source.listing)), came)
    except ParamtuiError as error:
        assert "open it again" in str(error) or "no such file" in str(error)
    finally:
        source.close()
    assert len(found) >= 5
    for tensor, result in found.items():
        if isinstance(result, Statistics):
            number = float(source.listing.names[tensor].split(".")[1])
            assert (result.min, result.max, result.numel) == (number, number, 4_200)
    assert any(isinstance(result, ValuesError) for result in found.values()) or len(found) < 60
    assert source.outdated().startswith("m.safetensors ")


def test_windows_of_a_file_that_was_replaced_say_so(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save({"w": torch.zeros(3)}, path)
    source = open_checkpoint(str(path))
    torch.save({"w": torch.ones(3)}, tmp_path / "other.pt")
    os.replace(tmp_path / "other.pt", path)
    with pytest.raises(ValuesError, match="changed since it was opened"):
        source.read_window(0, [range(3)])
    assert source.outdated() == "m.pt was replaced"
