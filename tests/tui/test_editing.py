"""Numbers are changed on screen: by a typed line, at a cell, by an initialiser; and taken back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from textual.widgets import Input
from torch import nn

from paramtui.core.model_target import ModelOptions
from paramtui.errors import EditError, NoRoomError, RunStoppedError
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded
from paramtui.models.module_source import ModuleSource
from paramtui.tui.screens.ask import QUIET, AskScreen
from paramtui.tui.screens.changes import ChangesScreen
from tests.tui.edited import burst, done, editing, line_notes, said, typed
from tests.tui.screens import Looker, looking_at, open_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from paramtui.core.source import Outcome, Reader, Watch
    from tests.conftest import Save


def tied() -> Any:
    torch.manual_seed(0)
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, shared, nn.Linear(8, 1))


# The line


async def test_from_the_tree_a_typed_line_changes_cells_and_says_beforehand_which(save: Save) -> None:
    path = save(tied().state_dict())
    async with editing(path, at="2.weight") as looker:
        assert looker.title().split()[-1] == "clean"
        await looker.press("e")
        await typed(looker, "[0] = 100")
        assert line_notes(looker) == ["8 cells; also 3.weight", f'torch.load("{path}")["2.weight"][0] = 100']
        await looker.press("enter")
        await done(looker, 1)
        assert said(looker) == "2.weight[0] = 100"
        assert looker.numbers()[0] == ["100."] * 8 or {float(x) for x in looker.numbers()[0]} == {100.0}
        assert looker.app.focused is looker.tree


async def test_all_keys_that_arrive_at_once_go_into_the_line(save: Save) -> None:
    async with editing(save({"w": torch.zeros(2, 3), "e": torch.zeros(1)})) as looker:
        await burst(looker, "e", *"0, :2 -= 3", "enter")
        await done(looker, 1)
        assert [[float(x) for x in row] for row in looker.numbers()] == [[-3, -3, 0], [0, 0, 0]]
        await looker.press("tab", "e", "down")
        await burst(looker, *"7.5", "enter")
        await done(looker, 2)
        assert [[float(x) for x in row] for row in looker.numbers()[-2:]] == [[-3, -3, 0], [7.5, 0, 0]]


async def test_keys_that_arrive_at_once_are_dealt_with_in_order(save: Save) -> None:
    async with editing(save({name: torch.zeros(3) for name in "abc"})) as looker:
        await burst(looker, "j", "j", "e", *"[0] = 5", "enter")
        await done(looker, 1)
        assert said(looker) == "c[0] = 5"
        await burst(looker, "k", "tab", "e", "j", "j", *"7", "enter")
        await done(looker, 2)
        assert said(looker) == "b[2] = 7"


async def test_the_copied_expression_of_another_tensor_names_it(save: Save) -> None:
    async with editing(save(tied().state_dict()), at="0.weight") as looker:
        await looker.press("e")
        await typed(looker, "net[2].weight.data[1, :3] *= 2")
        assert line_notes(looker)[0] == "3 cells; also 3.weight"
        await looker.press("enter")
        await done(looker, 1)
        assert said(looker) == "2.weight[1, :3] *= 2"


async def test_a_mistake_is_said_while_it_is_typed_and_can_be_mended(save: Save) -> None:
    async with editing(save({"w": torch.zeros(2, 3), "n": torch.zeros(2, dtype=torch.int64)})) as looker:
        await looker.press("e")
        for text, words in (
            ("[5] = 1", "outside dimension 0"),
            ("nothing[0] = 1", "no tensor is named nothing"),
            ("[0] ? 1", "is not a number"),
            ("n[0] *= 1.5", "1.5 is a float"),
        ):
            looker.app.query_one(Input).value = text
            await looker.until(lambda words=words: words in line_notes(looker)[0])
            await looker.pilot.press("enter")
            await looker.pilot.pause()
            assert looker.app.browser.asking
        await looker.press("escape")
        assert not looker.app.browser.asking
        assert looker.title().split()[-1] == "clean"


async def test_on_a_block_the_line_asks_for_a_name(save: Save) -> None:
    async with editing(save({"a.w": torch.zeros(2)})) as looker:
        await looker.press("e")
        await typed(looker, "5")
        assert "name one, as in a.w[0] = 100" in line_notes(looker)[0]
        looker.app.query_one(Input).value = "a.w = 5"
        await looker.until(lambda: "has none in brackets" in line_notes(looker)[0])
        looker.app.query_one(Input).value = "a.w[...] = 5"
        await looker.until(lambda: "2 cells, all of [2]" in line_notes(looker)[0])
        await looker.press("enter")
        await done(looker, 1)


# Cells


async def test_a_cursor_on_the_cells_moves_scrolls_and_changes_one(save: Save) -> None:
    tensor = torch.arange(200 * 60, dtype=torch.float32).reshape(200, 60) / 3
    async with editing(save({"w": tensor})) as looker:
        await looker.press("tab", "e", "down", "down", "right")
        assert looker.values.cell_index == "2, 1"
        assert f"[2, 1] = {tensor[2, 1].item()!r}" in looker.page()
        await looker.press("end", "dollar_sign")
        assert looker.values.cell_index == "199, 59"
        assert f"[199, 59] = {tensor[-1, -1].item()!r}" in looker.page()
        assert "rows" in str(looker.values.border_subtitle) and "-199 of 200" in str(
            looker.values.border_subtitle
        )
        await looker.press("pageup")
        row = int((looker.values.cell_index or "").split(",")[0])
        assert 150 < row < 199
        await looker.press("home", "circumflex_accent")
        assert looker.values.cell_index == "0, 0"
        await typed(looker, "-1.5")
        assert line_notes(looker)[0] == "1 cell"
        await looker.press("enter")
        await done(looker, 1)
        assert said(looker) == "w[0, 0] = -1.5"
        assert "[0, 0] = -1.5" in looker.page()
        assert looker.values.has_focus
        await typed(looker, "*= 2")
        await looker.press("enter")
        await done(looker, 2)
        assert "[0, 0] = -3.0" in looker.page()
        await looker.press("escape")
        assert not looker.values.on_cells
        assert looker.values.has_focus


@pytest.mark.parametrize(("keys", "word"), [("/= 4", "/= 4"), ("[1] = 9", "w[1] = 9"), ("= nan", "= float")])
async def test_what_begins_a_line_on_a_cell_is_no_command_there(save: Save, keys: str, word: str) -> None:
    async with editing(save({"w": torch.ones(2, 3)})) as looker:
        await looker.press("tab", "e")
        await typed(looker, keys)
        assert looker.app.browser.asking
        await looker.press("enter")
        await done(looker, 1)
        assert word in said(looker)


async def test_enter_begins_an_empty_line_and_keys_of_the_values_still_work(save: Save) -> None:
    tensor = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 4)
    async with editing(save({"w": tensor})) as looker:
        await looker.press("tab", "e", "j", "l", "l", "r")
        # The same number in other dimensions: rows run along the first one now.
        assert looker.values.cell_index == "0, 1, 2"
        await looker.press("j", "v")
        assert looker.values.cell_index == "1, 1, 2"
        assert "[1, 1, 2] = 18.0" in looker.page()
        assert "[]" in "".join(looker.page())
        await looker.press("enter")
        await typed(looker, "True")
        await looker.press("enter")
        await done(looker, 1)
        assert "[1, 1, 2] = 1.0" in looker.page()


async def test_a_cursor_on_a_cell_repaints_no_more_than_its_lines(save: Save) -> None:
    async with editing(save({"w": torch.zeros(30, 5)})) as looker:
        await looker.press("tab", "e")
        drawn: list[int] = []
        render = looker.values.render_line

        def counted(y: int) -> Any:
            drawn.append(y)
            return render(y)

        looker.values.render_line = counted  # type: ignore[method-assign]
        await looker.press("down")
        assert 0 < len(drawn) <= 5


async def test_a_scalar_and_a_vector_have_cells_too(save: Save) -> None:
    async with editing(save({"s": torch.tensor(3.5), "v": torch.arange(3)})) as looker:
        await looker.press("tab", "e")
        await typed(looker, "2")
        await looker.press("enter")
        await done(looker, 1)
        assert "[...] = 2.0" in looker.page()
        await looker.press("escape", "escape", "down", "tab", "e", "down")
        await typed(looker, "9")
        await looker.press("enter")
        await done(looker, 2)
        assert said(looker) == "v[1] = 9"


async def test_where_a_tensor_cannot_be_changed_the_reason_is_said(save: Save) -> None:
    async with editing(save({"s": torch.eye(2).to_sparse(), "epoch": 3})) as looker:
        await looker.press("tab", "e")
        assert "sparse_coo cannot be changed in place" in said(looker)
        await looker.press("tab", "i")
        assert "sparse_coo cannot be changed in place" in said(looker)
        await looker.press("e")
        await typed(looker, "[0] = 1")
        assert "sparse_coo cannot be changed in place" in line_notes(looker)[0]


async def test_where_nothing_can_be_changed_every_key_says_why(save: Save) -> None:
    async with looking_at(save({"w": torch.ones(2)}), opener=open_file) as looker:
        assert "read only" in looker.title()
        assert "edit" not in looker.footer()
        for key in ("e", "i", "u", "U", "s", "C"):
            await looker.press(key)
            assert said(looker) == "opened for reading only"


# After a change


async def test_all_names_of_the_memory_flash_and_are_marked_with_the_blocks_around(save: Save) -> None:
    async with editing(save(tied().state_dict()), at="2.weight") as looker:
        await burst(looker, "e", *"[0] = 1", "enter")
        await looker.until(lambda: looker.tree._lit)
        # Of block 2 the row, of block 3, which is closed, the block itself.
        assert [name(row) for row, lit in zip(looker.rows(), lit_lines(looker), strict=False) if lit] == [
            "weight",
            "3",
        ]
        await done(looker, 1)
        await looker.press("plus")
        # The letter of the group, then the mark; on the blocks around as on the tensors.
        assert [(row[1:3], name(row)) for row in looker.rows() if "*" in row[:4]] == [
            (" *", "2"),
            ("A*", "weight"),
            (" *", "3"),
            ("A*", "weight"),
        ]
        await looker.until(lambda: not looker.tree._lit)
        assert not any(lit_lines(looker))


def name(row: str) -> str:
    """What a line of the tree is called."""
    return row[3:].lstrip(" ▾▸").split()[0]


def lit_lines(looker: Looker) -> list[bool]:
    """Which lines of the tree are drawn in reverse."""
    tree = looker.tree
    return [
        any(segment.style is not None and segment.style.reverse for segment in tree.render_line(y))
        for y in range(tree.size.height)
    ]


async def test_undo_and_redo_say_what_they_did_and_put_the_numbers_back(save: Save) -> None:
    async with editing(save({"w": torch.zeros(2, 3)})) as looker:
        await looker.press("u")
        await looker.until(lambda: "nothing to undo" in said(looker))
        await burst(looker, "e", *"[0] = 1", "enter")
        await done(looker, 1)
        await burst(looker, "e", *"[1] = 2", "enter")
        await done(looker, 2)
        await looker.press("u", "u")
        await done(looker, 0)
        assert said(looker) == "undone: w[0] = 1"
        assert "*" not in looker.at()[:3]
        assert {x for row in looker.numbers() for x in row} == {"0."}
        await looker.press("U", "U", "U")
        await looker.until(lambda: "nothing to" in said(looker))
        assert looker.title().split()[-2:] == ["2", "changes"]
        assert [[float(x) for x in row] for row in looker.numbers()] == [[1] * 3, [2] * 3]


async def test_keys_pressed_while_something_is_undone_count(save: Save) -> None:
    async with editing(save({"w": torch.zeros(4)})) as looker:
        for number in range(4):
            await burst(looker, "e", *f"[{number}] = 1", "enter")
            await done(looker, number + 1)
        await burst(looker, *"uuu")
        await done(looker, 1)


class Slow:
    """A source that changes nothing before it is told how it ends."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.error: Exception | None = None
        self.go = asyncio.Event()
        self.interrupts = 0
        self.without_undo: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def apply(self, edit: Any, *, without_undo: bool = False) -> Outcome:
        self.without_undo.append(without_undo)
        await self.go.wait()
        if self.error is not None and not without_undo:
            raise self.error
        outcome: Outcome = await self._source.apply(edit)
        return outcome

    async def interrupt(self) -> bool:
        self.interrupts += 1
        self.error = RunStoppedError("stopped: nothing was changed")
        self.go.set()
        return True


@asynccontextmanager
async def slowly(path: Path) -> AsyncIterator[tuple[Looker, Slow]]:
    slow: list[Slow] = []

    def wrap(source: Any) -> Any:
        slow.append(Slow(source))
        return slow[0]

    async with editing(path, wrap=wrap) as looker:
        yield looker, slow[0]


async def test_what_takes_long_says_so_and_esc_stops_it(save: Save) -> None:
    async with slowly(save({"w": torch.zeros(2)})) as (looker, slow):
        await burst(looker, "e", *"[0] = 1", "enter")
        await looker.until(lambda: "changing numbers…" in looker.title() and "esc stops" in looker.title())
        await looker.press("i")
        # A key waits a little for a change: most are made by then.
        await looker.until(lambda: "changing numbers is still running" in said(looker))
        await looker.press("escape")
        await looker.until(lambda: "stopped: nothing was changed" in said(looker))
        assert slow.interrupts == 1
        assert looker.title().split()[-1] == "clean"


async def test_an_error_is_said_and_nothing_is_marked(save: Save) -> None:
    async with slowly(save({"w": torch.zeros(2)})) as (looker, slow):
        slow.error = EditError("this cannot be done", hint="do something else")
        slow.go.set()
        await burst(looker, "e", *"[0] = 1", "enter")
        await looker.until(lambda: "this cannot be done (do something else)" in said(looker))
        assert looker.title().split()[-1] == "clean"


@pytest.mark.parametrize(("key", "applied"), [("enter", True), ("escape", False)])
async def test_without_room_for_undo_a_person_decides(save: Save, key: str, applied: bool) -> None:
    async with slowly(save({"w": torch.zeros(2)})) as (looker, slow):
        slow.error = NoRoomError("the disk is full", needed=2_000_000, free=1000)
        slow.go.set()
        await burst(looker, "e", *"[0] = 1", "enter")
        await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
        await looker.until(lambda: "needs 2.0 MB, and 1.0 kB are free" in "\n".join(looker.screen()))
        # A question that comes by itself is answered once it could be read.
        await asyncio.sleep(QUIET + 0.1)
        await looker.pilot.press(key)
        if applied:
            await done(looker, 1)
            assert slow.without_undo == [False, True]
        else:
            await looker.until(lambda: "no room" in said(looker))
            assert looker.title().split()[-1] == "clean"


# The list of changes


async def test_the_list_of_changes_shows_them_undoes_and_writes_them_down(save: Save, tmp_path: Path) -> None:
    path = save({"w": torch.zeros(2, 3)})
    async with editing(path) as looker:
        for number in range(2):
            await burst(looker, "e", *f"[{number}] = 1", "enter")
            await done(looker, number + 1)
        await looker.pilot.press("C")
        await looker.until(lambda: isinstance(looker.app.screen, ChangesScreen) and looker.app.focused)
        await looker.until(lambda: "w[1] = 1   1 tensor" in "\n".join(looker.screen()))
        await looker.pilot.press("u")
        await looker.until(lambda: "w[1] = 1   1 tensor   undone" in "\n".join(looker.screen()))
        await looker.pilot.press("j")
        taken = tmp_path / "taken.json"
        taken.write_text("mine")
        line = looker.app.screen.query_one(Input)
        await looker.until(lambda: line.has_focus)
        assert line.value == f"{path}.changes.json"
        line.value = str(taken)
        await looker.pilot.press("enter")
        await looker.until(lambda: "there is a file already" in "\n".join(looker.screen()))
        assert taken.read_text() == "mine"
        line.value = str(tmp_path / "new.json")
        await looker.pilot.press("enter")
        await looker.until(lambda: "1 change written" in "\n".join(looker.screen()))
        from paramtui.core.journal import read_journal

        (change,) = read_journal(str(tmp_path / "new.json")).changes
        assert (change.edit.tensor, change.edit.cells) == ("w", "0")  # type: ignore[union-attr]
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await done(looker, 1)


# Live models


async def test_a_live_model_is_changed_in_place_and_its_state_stays_in_the_title() -> None:
    model = tied()
    host = ModuleHost(Loaded(model, None, "given", "", called=False), "model", ModelOptions())
    source = ModuleSource(host)

    async def opener(_target: str, _watch: Watch) -> Reader:
        return source

    async with looking_at("model", opener=opener, at="2.weight") as looker:
        assert looker.title().split()[-3:] == ["clean", "cpu", "train"]
        await looker.press("e")
        await typed(looker, "[0] = 100")
        assert line_notes(looker) == ["8 cells; also 3.weight", "model[2].weight.data[0] = 100"]
        await looker.press("enter")
        await looker.until(lambda: "1 change" in looker.title())
        await looker.settle()
        assert torch.equal(model[3].weight[0], torch.full((8,), 100.0))
        await looker.press("u")
        await looker.until(lambda: "clean" in looker.title())
        assert not torch.equal(model[3].weight[0], torch.full((8,), 100.0))
