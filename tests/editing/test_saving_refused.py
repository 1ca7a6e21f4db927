"""Where an edited checkpoint cannot be saved to, and what is left there."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from paramtui.checkpoints.saving import Edited, save
from paramtui.checkpoints.source import CheckpointSource
from paramtui.core.edits import SetCells
from paramtui.core.listing import ITEM, ROOT, Listing
from paramtui.core.overlay import Overlay
from paramtui.errors import SavingError
from tests.editing.checkpoints import SharedComputer, all_bits, all_shown, loaded, opened, written
from tests.support import open_descriptors

if TYPE_CHECKING:
    from paramtui.checkpoints.editing import CheckpointEditor


def save_to(editor: CheckpointEditor, path: Path | str, *, over: bool = False) -> str:
    return asyncio.run(editor.save(str(path), over=over, progress=lambda *_: None)).said


def small(tmp_path: Path, computer: SharedComputer) -> CheckpointEditor:
    torch.save({"w": torch.ones(3)}, tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    asyncio.run(editor.apply(SetCells("w", "0", "=", 2)))
    return editor


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out/", "names a directory, and what is saved is one file"),
        ("out.txt", "its suffix says no format"),
        ("out", "its suffix says no format"),
        ("x.pt/out.pt", "not a directory"),
        ("gone/out.pt", "no such file or directory"),
    ],
)
@pytest.mark.parametrize("over", [True, False])
def test_a_path_that_no_file_can_have_is_refused_with_the_reason(
    tmp_path: Path, computer: SharedComputer, name: str, words: str, over: bool
) -> None:
    editor = small(tmp_path, computer)
    with pytest.raises(SavingError, match=words):
        save_to(editor, f"{tmp_path}/{name}", over=over)
    assert [each.name for each in tmp_path.iterdir()] == ["x.pt"]
    assert editor.history.unsaved


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_another_file_is_replaced_only_if_it_was_said(
    tmp_path: Path, computer: SharedComputer, suffix: str
) -> None:
    editor = small(tmp_path, computer)
    other = tmp_path / f"other{suffix}"
    other.write_bytes(b"theirs")
    with pytest.raises(SavingError, match="exists already"):
        save_to(editor, other)
    assert other.read_bytes() == b"theirs"
    save_to(editor, other, over=True)
    assert loaded(other)["w"].tolist() == [2, 1, 1]


def shards(tmp_path: Path, computer: SharedComputer) -> CheckpointEditor:
    editor = opened(written("shards", tmp_path), computer)
    asyncio.run(editor.apply(SetCells("fc1.weight", "0", "=", 1)))
    return editor


def failing(number: int) -> object:
    def call(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return call


def test_a_set_that_cannot_be_written_leaves_no_directory(
    tmp_path: Path, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = shards(tmp_path, computer)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SavingError, match="the directory cannot be made: not a directory"):
        save_to(editor, tmp_path / "file" / "set")
    for call, words in (("fsync", "input/output error"), ("scandir", "could not be looked at")):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing(errno.EIO))
            with pytest.raises(SavingError, match=words):
                save_to(editor, tmp_path / "set")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "shards"]
    (tmp_path / "set").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(SavingError, match="input/output error"):
            save_to(editor, tmp_path / "set")
    assert list((tmp_path / "set").iterdir()) == [], "a directory that was there stays"


def test_what_is_not_copied_is_named_up_to_three_names(tmp_path: Path, computer: SharedComputer) -> None:
    editor = shards(tmp_path, computer)
    for number in range(5):
        (tmp_path / "shards" / f"notes{number}.txt").write_text("text")
    said = save_to(editor, tmp_path / "set")
    assert "not copied: notes0.txt, notes1.txt, notes2.txt and 2 more" in said
    assert all_bits(loaded(tmp_path / "set")) == all_shown(editor)


def test_a_set_is_no_more_open_after_it_was_saved_than_before(
    tmp_path: Path, computer: SharedComputer
) -> None:
    editor = shards(tmp_path, computer)
    before = open_descriptors()
    save_to(editor, tmp_path / "set")
    assert open_descriptors() == before


def test_a_tensor_that_lies_nowhere_is_saved_as_an_empty_one(tmp_path: Path) -> None:
    listing = Listing(str(tmp_path / "x.pt"), "torch-zip")
    node = listing.add_node(ROOT, "hollow", ITEM)
    listing.add_tensor(node, "tensor", -1, 0, "float32", (0, 3), (3, 1), 0, 0, False)
    source = CheckpointSource(listing, [])
    overlay = Overlay(source)
    from paramtui.checkpoints.edit_results import View

    for name in ("out.safetensors", "out.pt"):
        # The checkpoint's own suffix would mean its own format.
        listing.target = str(tmp_path / ("x.pt" if name == "out.safetensors" else "x.safetensors"))
        listing.format = "torch-zip" if name == "out.safetensors" else "safetensors"
        save(Edited(source, View(source, overlay, {}), {}), str(tmp_path / name), over=False)
    assert load_file(tmp_path / "out.safetensors")["hollow"].shape == (0, 3)
    assert torch.load(tmp_path / "out.pt")["hollow"].shape == (0, 3)
    overlay.close()
