"""Long sequences of edits, each mirrored by torch on the tensors that it loads from the same file."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.errors import EditError, ValuesError
from tests.editing.checkpoints import (
    KINDS,
    SharedComputer,
    Tensors,
    all_bits,
    all_shown,
    loaded,
    opened,
    shown,
    written,
)
from tests.editing.mirror import agree, make, random_edit

if TYPE_CHECKING:
    from paramtui.checkpoints.editing import CheckpointEditor

EDITS = 200


def assert_agree(editor: CheckpointEditor, tensors: Tensors, what: object) -> None:
    names = editor.listing.names
    for tensor, name in enumerate(names):
        assert agree(tensors[name], shown(editor, tensor)), f"{name} after {what}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_edit_gives_the_bits_of_torch_and_is_taken_back_to_the_bit(
    kind: str, tmp_path: Path, computer: SharedComputer
) -> None:
    path = written(kind, tmp_path)
    before = {file: file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file()}
    tensors = loaded(path)
    editor = opened(path, computer)
    assert sorted(editor.listing.names) == sorted(tensors)
    original = all_shown(editor)
    assert original == all_bits(tensors)
    names = [name for name in editor.listing.names if tensors[name].numel()]
    draw = random.Random(kind)
    states = [original]
    refused = 0

    async def work() -> None:
        nonlocal refused
        for _ in range(EDITS):
            edit = random_edit(draw, tensors, names)
            was = states[-1]
            try:
                outcome = await editor.apply(edit)
            except (EditError, ValuesError):
                refused += 1
                assert all_shown(editor) == was, f"{edit} was refused and has changed something"
                continue
            make(tensors, edit)
            assert_agree(editor, tensors, edit)
            now = all_shown(editor)
            moved = {editor.listing.names.index(name) for name in now if now[name] != was[name]}
            assert moved <= set(outcome.changed), edit
            await editor.undo()
            assert all_shown(editor) == was, f"undo of {edit}"
            await editor.redo()
            assert all_shown(editor) == now, f"redo of {edit}"
            states.append(now)
            if draw.random() < 0.05 and len(states) > 3:
                # Back for good, and on along another way.
                for _ in range(2):
                    await editor.undo()
                    states.pop()
                for name, raw in states[-1].items():
                    if raw:
                        held = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
                        tensors[name].copy_(held.view(tensors[name].dtype).reshape(tensors[name].shape))
                assert_agree(editor, tensors, "two undos")
        assert len(states) > 100
        assert refused < 60
        count = len(editor.history.done)
        while editor.history.done:
            await editor.undo()
            states.pop()
            assert all_shown(editor) == states[-1]
        assert all_shown(editor) == original
        for _ in range(count):
            await editor.redo()
        assert_agree(editor, tensors, "all done again")

    asyncio.run(work())
    editor.close()
    assert {file: file.read_bytes() for file in before} == before
