"""What the editor of a checkpoint answers besides edits, and edits of nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.checkpoints.copies import HeldRuns
from paramtui.checkpoints.edit_results import View
from paramtui.core.edits import Call, Initialise, SetCells, Step, Tie, Untie
from paramtui.errors import EditError
from tests.editing.checkpoints import SharedComputer, bits, opened, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from paramtui.checkpoints.editing import CheckpointEditor
    from paramtui.core.edits import Edit


def held() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(12.0).view(3, 4), "b": torch.ones(5), "hollow": torch.empty(0, 3)}


@pytest.fixture
def editor(tmp_path: Path, computer: SharedComputer) -> CheckpointEditor:
    torch.save(held(), tmp_path / "x.pt")
    return opened(tmp_path / "x.pt", computer)


def apply(editor: CheckpointEditor, edit: Edit) -> tuple[int, ...]:
    return asyncio.run(editor.apply(edit)).changed


def test_windows_and_previews_show_changed_numbers(editor: CheckpointEditor) -> None:
    apply(editor, SetCells("a", "1, 2", "=", 50))
    expected = held()["a"]
    expected[1, 2] = 50
    window = asyncio.run(editor.window(0, [range(1, 3), range(1, 4)]))
    assert window.values is not None
    assert window.values.tolist() == expected[1:3, 1:4].tolist()
    preview = asyncio.run(editor.preview(SetCells("a", "0", "=", 9), None, []))
    assert (preview.before, preview.after) == (None, None)
    assert editor.tree.listing is editor.listing


def test_a_view_over_held_files_reads_unchanged_runs_from_these(editor: CheckpointEditor) -> None:
    apply(editor, SetCells("a", "1, 2", "=", 50))
    expected = held()
    expected["a"][1, 2] = 50
    with HeldRuns(editor.source) as base:
        view = View(editor.source, editor._overlay, editor.state, base)
        for tensor, name in enumerate(("a", "b")):
            raw = bits(expected[name])
            buffer = bytearray(len(raw))
            view.read_into(editor.listing.location[tensor], 0, buffer)
            assert bytes(buffer) == raw


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Initialise((), 0), "there is nothing to initialise"),
        (SetCells("a", "3:", "=", 1), r"\[3:\] selects nothing of a"),
        (Tie("a", "b"), "only parameters of a live model can be tied or untied"),
        (Untie(("a",)), "only parameters of a live model can be tied or untied"),
    ],
)
def test_an_edit_of_nothing_is_refused(editor: CheckpointEditor, edit: Edit, words: str) -> None:
    with pytest.raises(EditError, match=words):
        apply(editor, edit)
    assert not editor.history.done


def test_a_tensor_without_elements_is_initialised_to_nothing(editor: CheckpointEditor) -> None:
    assert apply(editor, Initialise((Step("hollow", Call("ones_")), Step("b", Call("zeros_"))), 0))
    assert shown(editor, 1) == bytes(20)
    assert editor.state.keys() == {editor.listing.location[1]}


@pytest.fixture
def custom(tmp_path: Path) -> Iterator[tuple[CheckpointEditor, str]]:
    source = tmp_path / "mine.py"
    source.write_text("def halve(tensor):\n    tensor.mul_(0.5)\n")
    torch.save(held(), tmp_path / "x.pt")
    shared = SharedComputer([str(source)])
    yield opened(tmp_path / "x.pt", shared), str(source)
    shared.end()


def test_a_function_of_ones_own_changes_what_it_changes(custom: tuple[CheckpointEditor, str]) -> None:
    editor, _ = custom
    catalogue = asyncio.run(editor.catalogue())
    assert editor.environment == catalogue.environment
    assert "torch" in editor.environment
    (own,) = [each for each in catalogue.initializers if each.name == "halve"]
    call = Call("halve", (), own.source)
    assert asyncio.run(editor.trial([(call, (2, 3), "float32")])) == [""]
    apply(editor, Initialise((Step("a", call),), 0))
    assert shown(editor, 0) == bits(held()["a"] * 0.5)
    script = asyncio.run(editor.script())
    assert "halve" in script
    compile(script, "script.py", "exec")


def test_a_function_that_changes_nothing_says_so_and_is_undone_and_done_again(
    custom: tuple[CheckpointEditor, str],
) -> None:
    editor, source = custom
    halve = Call("halve", (), source)
    apply(editor, SetCells("b", "...", "=", 0))
    outcome = asyncio.run(editor.apply(Initialise((Step("a", halve), Step("b", halve)), 0)))
    assert outcome.changed == (0,), "half of nothing is nothing"
    outcome = asyncio.run(editor.apply(Initialise((Step("b", halve),), 0)))
    assert outcome.changed == ()
    assert outcome.said.endswith(": nothing was changed")
    halved = bits(held()["a"] * 0.5)
    for _ in range(2):
        asyncio.run(editor.undo())
    assert shown(editor, 0) == bits(held()["a"])
    assert asyncio.run(editor.redo()).changed == (0,)
    assert (shown(editor, 0), shown(editor, 1)) == (halved, bytes(20))


def test_the_script_of_no_change_asks_no_engine(
    editor: CheckpointEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise AssertionError

    monkeypatch.setattr(editor, "catalogue", refused)
    compile(asyncio.run(editor.script()), "script.py", "exec")
