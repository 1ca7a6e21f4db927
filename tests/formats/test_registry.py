"""What is no checkpoint, and what is not there, is said in one line."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import torch

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.errors import FormatError, TargetError


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    return out.getvalue()


def plain_pickle(protocol: int) -> bytes:
    import pickle

    return pickle.dumps({"a": 1}, protocol)


OTHERS = {
    "empty": (b"", "is empty"),
    "tar": (tar(), "a tar archive; PyTorch before 0.1.10"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    "gguf": (b"GGUF\x03\0\0\0", "a GGUF file"),
    "numpy": (b"\x93NUMPY\x01\0", "a NumPy array file"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "gzip": (b"\x1f\x8b\x08\0", "gzip-compressed data"),
    "page": (b"<!DOCTYPE html><html>", "an HTML page"),
    "protocol 2": (plain_pickle(2), "a plain pickle"),
    "protocol 5": (plain_pickle(5), "a plain pickle"),
    "text": (b"hello world", "begins with 68 65 6c 6c 6f 20 77 6f"),
    "short": (b"P", "begins with 50"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_file_that_is_no_checkpoint_is_told_by_what_it_begins_with(tmp_path: Path, what: str) -> None:
    content, words = OTHERS[what]
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(FormatError, match=words) as caught:
        open_checkpoint(str(tmp_path / "x.pt"))
    assert str(caught.value).startswith(f"{tmp_path / 'x.pt'}: ")
    assert "\n" not in str(caught.value)


def test_a_name_that_is_nearly_there_is_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "checkpoint.pt")
    with pytest.raises(TargetError, match="no such file or directory") as caught:
        open_checkpoint(str(tmp_path / "chekpoint.pt"))
    assert caught.value.hint == f"did you mean {tmp_path / 'checkpoint.pt'}?"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError) as caught:
        open_checkpoint("chekpoint.pt")
    assert caught.value.hint == "did you mean checkpoint.pt?"
    for other in (tmp_path / "quite_another_thing", tmp_path / "missing" / "checkpoint.pt"):
        with pytest.raises(TargetError) as caught:
            open_checkpoint(str(other))
        assert caught.value.hint is None


def test_what_no_file_can_be_called_is_said() -> None:
    with pytest.raises(TargetError, match=r"'a\\x00b': is no file name"):
        open_checkpoint("a\0b")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is a FIFO, not a regular file"),
        (lambda path: os.symlink("/dev/null", path), "is a character device, not a regular file"),
    ],
)
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, make: object, words: str) -> None:
    assert callable(make)
    make(tmp_path / "x.pt")
    with pytest.raises(TargetError, match=words):
        open_checkpoint(str(tmp_path / "x.pt"))


def test_a_link_that_leads_nowhere_is_said_with_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link.pt").symlink_to("gone.pt")
    with pytest.raises(TargetError) as caught:
        open_checkpoint(str(tmp_path / "link.pt"))
    assert caught.value.what == "is a link to gone.pt, which leads nowhere (no such file or directory)"
    (tmp_path / "loop.pt").symlink_to("loop.pt")
    with pytest.raises(TargetError, match="is a link to loop.pt, which leads nowhere .too many levels"):
        open_checkpoint(str(tmp_path / "loop.pt"))
