"""Edits of a checkpoint that fail on the way, and what is asked of an editor besides edits."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from paramtui.checkpoints import edit_results, edit_work
from paramtui.checkpoints.edit_results import View
from paramtui.core.edits import ApplyFunction, Call, Initialise, SetCells, Step
from paramtui.errors import EditError, NoRoomError, RunStoppedError
from tests.editing.checkpoints import SharedComputer, all_bits, all_shown, bits, opened, shown
from tests.support import open_descriptors, rewrite_zip

if TYPE_CHECKING:
    from paramtui.checkpoints.editing import CheckpointEditor
    from paramtui.core.edits import Edit

RESET = Call("reset_parameters")


def linear() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).state_dict()


@pytest.fixture
def editor(tmp_path: Path, computer: SharedComputer) -> CheckpointEditor:
    torch.save(linear(), tmp_path / "x.pt")
    return opened(tmp_path / "x.pt", computer)


def apply(editor: CheckpointEditor, edit: Edit) -> None:
    asyncio.run(editor.apply(edit))


def unchanged(editor: CheckpointEditor, computer: SharedComputer) -> bool:
    return (
        all_shown(editor) == all_bits(linear())
        and not editor.history.done
        and os.listdir(computer.folder) == []
    )


@pytest.mark.parametrize("call", ["truncate", "pwrite"])
def test_a_work_file_that_cannot_be_written_is_removed_and_said(
    editor: CheckpointEditor, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    computer.catalogue()  # starts the engine
    before = open_descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(NoRoomError, match="new numbers cannot be kept: No space left on device"):
            apply(editor, ApplyFunction("0", RESET, 1))
    assert unchanged(editor, computer)
    assert open_descriptors() == before
    apply(editor, ApplyFunction("0", RESET, 1))
    assert not unchanged(editor, computer)


def test_who_stops_while_the_work_file_is_filled_or_compared_leaves_nothing(
    editor: CheckpointEditor, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(editor, ApplyFunction("0", RESET, 1))
    asyncio.run(editor.undo())
    editor.history.undone.clear()
    before = open_descriptors()
    for name in ("make_file", "changed_ranges"):
        real = getattr(edit_results, name)

        def stopping(*args: object, real: object = real, **options: object) -> object:
            editor._stopping.set()
            assert callable(real)
            return real(*args, **options)

        with monkeypatch.context() as patched:
            patched.setattr(edit_results, name, stopping)
            with pytest.raises(RunStoppedError, match="nothing was changed"):
                apply(editor, ApplyFunction("0", RESET, 1))
        assert unchanged(editor, computer)
        assert open_descriptors() == before


def test_differences_are_found_across_pieces_as_one_range(
    editor: CheckpointEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edit_work, "PIECE", 16)
    old = shown(editor, 0)
    apply(editor, ApplyFunction("0", RESET, 3))
    torch.manual_seed(3)
    layer = nn.Linear(4, 3)
    new = bits(layer.weight)
    assert (shown(editor, 0), shown(editor, 1)) == (new, bits(layer.bias))
    differs = [at for at in range(48) if old[at] != new[at]]
    ranges = editor.state[editor.listing.location[0]][:, :2].tolist()
    assert {at for begin, end in ranges for at in range(begin, end)} >= {*differs}
    assert all({begin, end - 1} <= {*differs} for begin, end in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    assert len(ranges) < 3, "three pieces, of which two meet"


def test_a_function_of_modules_needs_all_their_tensors(tmp_path: Path, computer: SharedComputer) -> None:
    torch.save(linear(), tmp_path / "plain.pt")
    packed = rewrite_zip(
        tmp_path / "plain.pt", tmp_path / "x.pt", lambda _, content: content, method=zipfile.ZIP_DEFLATED
    )
    editor = opened(packed, computer)
    with pytest.raises(EditError, match=r"0\.\w+: its bytes lie packed inside the file"):
        apply(editor, ApplyFunction("0", RESET, 1))
    with pytest.raises(EditError, match="no blocks are named nothing"):
        apply(editor, ApplyFunction("nothing", RESET, 1))


def test_a_record_without_its_header_cannot_be_changed_and_says_so(
    tmp_path: Path, computer: SharedComputer
) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(3), "b": torch.ones(4)}, path)
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("x/data/0").header_offset
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"XX")
    editor = opened(path, computer)
    assert "has no header at byte" in editor.edit_reason(0)
    with pytest.raises(EditError, match="a: the record 'x/data/0' has no header at byte"):
        apply(editor, SetCells("a", "0", "=", 2))
    apply(editor, SetCells("b", "0", "=", 2))
    assert shown(editor, 1) == bits(torch.tensor([2.0, 1, 1, 1]))


def test_elements_that_begin_within_each_other_are_changed_one_at_a_time(
    tmp_path: Path, computer: SharedComputer
) -> None:
    header = {
        "bytes": {"dtype": "U8", "shape": [19], "data_offsets": [1, 20]},
        "floats": {"dtype": "F32", "shape": [3], "data_offsets": [4, 16]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(20))
    editor = opened(path, computer)
    steps = tuple(Step(name, Call("ones_")) for name in ("bytes", "floats"))
    with pytest.raises(EditError, match="floats: cannot be changed together") as caught:
        apply(editor, Initialise(steps, 0))
    assert caught.value.hint == "change one of them at a time"
    assert all_shown(editor) == {"bytes": bytes(19), "floats": bytes(12)}
    for step in steps:
        apply(editor, Initialise((step,), 0))
    asyncio.run(editor.save(str(path), over=True, progress=lambda *_: None))
    ones = bits(torch.ones(3))
    assert path.read_bytes()[8 + len(text) :] == b"\0" + b"\1" * 3 + ones + b"\1" * 4


def test_a_view_fills_buffers_with_changed_bytes_and_others(editor: CheckpointEditor) -> None:
    apply(editor, SetCells("0.weight", "0, 1", "=", 7))
    expected = linear()
    expected["0.weight"][0, 1] = 7
    plain = View(editor.source, editor._overlay, editor.state)
    for tensor, name in enumerate(expected):
        location = editor.listing.location[tensor]
        raw = bits(expected[name])
        buffer = bytearray(len(raw) - 4)
        plain.read_into(location, 4, buffer)
        assert bytes(buffer) == raw[4:]
        assert plain.nbytes(location) == len(raw)
        assert not plain.big_endian(location)


def test_what_a_block_is_made_of_is_said_in_words(editor: CheckpointEditor) -> None:
    assert editor.function_words("0") == "1 layer inferred from names and shapes: Linear x1"


def test_what_runs_in_the_engine_is_heard_and_stopping_a_save_is_noted(
    editor: CheckpointEditor, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []
    monkeypatch.setattr(computer, "listen", heard.append)

    def told(kind: str, words: str) -> None:
        raise AssertionError

    editor.listen(told)
    assert heard == [told]
    assert not editor._stop_saving.is_set()
    asyncio.run(editor.stop_saving())
    assert editor._stop_saving.is_set()
