"""What is shown before an edit is made, and what becomes of it when something else is done."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.core.edits import Call, Edit, Initialise, SetCells, Step
from paramtui.errors import EditError, NoRoomError, RunStoppedError, ValuesError
from tests.editing.checkpoints import SharedComputer, all_bits, all_shown, bits, opened, shown

if TYPE_CHECKING:
    from paramtui.checkpoints.editing import CheckpointEditor
    from paramtui.core.source import Preview


def held() -> dict[str, torch.Tensor]:
    whole = torch.arange(24.0).view(4, 6) - 10
    return {
        "whole": whole,
        "part": whole[1:3, ::2],
        "other": torch.tensor([1.0, float("nan"), -float("inf")]),
    }


@pytest.fixture
def editor(tmp_path: Path, computer: SharedComputer) -> CheckpointEditor:
    torch.save(held(), tmp_path / "x.pt")
    return opened(tmp_path / "x.pt", computer)


def preview(editor: CheckpointEditor, edit: Edit) -> Preview:
    return asyncio.run(editor.preview(edit, 0, [range(4), range(6)]))


def room(editor: CheckpointEditor) -> int:
    """Bytes that lie in files of the overlay."""
    return sum(os.fstat(descriptor).st_size for descriptor in editor._overlay._files.values())


def test_a_preview_has_the_figures_of_torch_and_changes_nothing(editor: CheckpointEditor) -> None:
    before = all_shown(editor)
    edit = Initialise((Step("part", Call("normal_", (("std", 2.0),))),), 4)
    found = preview(editor, edit)
    tensors = held()
    torch.manual_seed(4)
    nn.init.normal_(tensors["part"], std=2.0)
    assert found.before is not None
    assert found.after is not None
    np.testing.assert_array_equal(found.before.values, held()["whole"].numpy())
    np.testing.assert_array_equal(found.after.values, tensors["whole"].numpy())
    assert sorted(found.summaries) == [0, 1]
    for tensor, name in enumerate(("whole", "part")):
        for figures, wanted in zip(found.summaries[tensor], (held()[name], tensors[name]), strict=True):
            assert figures.mean == pytest.approx(wanted.double().mean().item())
            assert figures.std == pytest.approx(wanted.double().std().item())
            assert (figures.min, figures.max) == (wanted.min().item(), wanted.max().item())
        low = min(held()[name].min().item(), tensors[name].min().item())
        high = max(held()[name].max().item(), tensors[name].max().item())
        for counts, wanted in zip(found.histograms[tensor], (held()[name], tensors[name]), strict=True):
            assert sum(counts) == wanted.numel()
            assert list(counts) == np.histogram(wanted.double().numpy(), 24, (low, high))[0].tolist()
    assert all_shown(editor) == before
    assert editor.history.done == []
    assert asyncio.run(editor.apply(edit)).changed == (0, 1)
    assert all_shown(editor) == all_bits(tensors)


def test_a_preview_from_before_an_undo_is_worked_out_anew(editor: CheckpointEditor) -> None:
    asyncio.run(editor.apply(SetCells("whole", "...", "=", 100)))
    later = SetCells("whole", "0, 0", "+=", 1)
    assert preview(editor, later).after is not None
    asyncio.run(editor.undo())
    asyncio.run(editor.apply(later))
    tensors = held()
    tensors["whole"][0, 0] += 1
    assert all_shown(editor) == all_bits(tensors)


def test_numbers_that_python_calls_equal_are_told_apart(editor: CheckpointEditor) -> None:
    zero = preview(editor, SetCells("whole", "0", "=", 0.0)).after
    assert zero is not None
    asyncio.run(editor.apply(SetCells("whole", "0", "=", -0.0)))
    tensors = held()
    tensors["whole"][0] = -0.0
    assert shown(editor, 0) == bits(tensors["whole"])


def test_previews_give_their_room_back(editor: CheckpointEditor) -> None:
    asyncio.run(editor.apply(SetCells("whole", "1", "=", 5)))
    before = room(editor)
    for number in range(20):
        preview(editor, SetCells("whole", "...", "=", number))
        preview(editor, Initialise((Step("whole", Call("normal_")),), number))
    asyncio.run(editor.apply(SetCells("other", "0", "=", 2)))
    assert room(editor) == before + 4
    assert len(editor._overlay._files) == 1
    with pytest.raises(ValuesError):
        asyncio.run(editor.apply(SetCells("whole", "...", "=", 1e300)))
    assert room(editor) == before + 4
    asyncio.run(editor.undo())
    asyncio.run(editor.undo())
    assert all_shown(editor) == all_bits(held())
    editor.close()


@pytest.mark.parametrize("place", ["write", "keep"])
def test_a_full_disk_changes_nothing(
    place: str, editor: CheckpointEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(editor.apply(SetCells("whole", "1", "=", 5)))
    before, used = all_shown(editor), room(editor)

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        if place == "write":
            patched.setattr(os, "pwrite", full)
        else:
            patched.setattr(editor._overlay, "keep", lambda _: editor._overlay._append(full()))  # type: ignore[arg-type]
        with pytest.raises((NoRoomError, OSError)):
            asyncio.run(editor.apply(SetCells("whole", "2", "=", 5)))
    assert (all_shown(editor), room(editor)) == (before, used)
    assert len(editor.history.done) == 1
    asyncio.run(editor.undo())
    assert all_shown(editor) == all_bits(held())


def test_a_work_file_without_room_is_refused_before_it_is_made(
    editor: CheckpointEditor, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage())
    with pytest.raises(NoRoomError, match="have no room in") as caught:
        asyncio.run(editor.apply(Initialise((Step("whole", Call("zeros_")),), 0)))
    assert caught.value.needed >= 96
    assert os.listdir(computer.folder) == []
    assert all_shown(editor) == all_bits(held())


class _Usage:
    free = 10


def test_what_is_stopped_changes_nothing(editor: CheckpointEditor, monkeypatch: pytest.MonkeyPatch) -> None:
    real = editor._overlay.write_rows

    def stopping(*arguments: object) -> object:
        asyncio.run(editor.interrupt())
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(editor._overlay, "write_rows", stopping)
        with pytest.raises(RunStoppedError, match="nothing was changed"):
            asyncio.run(editor.apply(SetCells("whole", "...", "=", 5)))
    assert all_shown(editor) == all_bits(held())
    assert room(editor) == 0
    asyncio.run(editor.apply(SetCells("whole", "...", "=", 5)))
    assert shown(editor, 0) == bits(torch.full((4, 6), 5.0))


def test_there_is_an_end_of_undoing_and_of_doing_again(editor: CheckpointEditor) -> None:
    with pytest.raises(EditError, match="nothing to undo"):
        asyncio.run(editor.undo())
    with pytest.raises(EditError, match="nothing to redo"):
        asyncio.run(editor.redo())
    asyncio.run(editor.apply(SetCells("whole", "1", "=", 5)))
    asyncio.run(editor.undo())
    asyncio.run(editor.apply(SetCells("whole", "2", "=", 5)))
    with pytest.raises(EditError, match="nothing to redo"):
        asyncio.run(editor.redo())
