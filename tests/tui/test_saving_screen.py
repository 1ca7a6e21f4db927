"""Saving from the screen: what is said beforehand, what is asked, and how it can be stopped."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from textual.widgets import Input

from paramtui.core.source import Saved
from paramtui.errors import SavingError, SavingStoppedError
from paramtui.tui.editing.progress import Progress
from paramtui.tui.screens.ask import AskScreen
from paramtui.tui.screens.save import SaveScreen
from tests.tui.edited import burst, done, editing, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import Save
    from tests.tui.screens import Looker


async def changed(looker: Looker, count: int = 1) -> None:
    """Makes some changes."""
    for number in range(count):
        await burst(looker, "e", *f"[{number}] = 7", "enter")
        await done(looker, number + 1)


async def dialog(looker: Looker) -> Input:
    """Opens the dialog and waits until it can be typed into."""
    await looker.pilot.press("s")
    await looker.until(lambda: isinstance(looker.app.screen, SaveScreen) and looker.app.focused)
    await shows(looker, "safetensors" if "safetensors" in looker.app.screen.query_one(Input).value else "zip")
    return looker.app.screen.query_one(Input)


async def shows(looker: Looker, words: str) -> None:
    await looker.until(lambda: words in "\n".join(looker.screen()))


async def test_a_new_file_beside_the_target_is_proposed_and_written(save: Save, tmp_path: Path) -> None:
    path = save({"w": torch.zeros(4), "v": torch.ones(2)})
    before = path.read_bytes()
    async with editing(path) as looker:
        looker.tree.go_to_row(looker.app.browser.opened.tree.find("w")[0])  # type: ignore[union-attr]
        await changed(looker)
        line = await dialog(looker)
        assert line.value == str(path.with_name("saved1-edited.pt"))
        await shows(looker, "torch zip, about 24 B, 1 changed tensor")
        await looker.pilot.press("enter")
        await looker.until(lambda: "saved1-edited.pt" in said(looker))
        await looker.until(lambda: looker.title().split()[-1] == "saved")
        loaded = torch.load(tmp_path / "saved1-edited.pt")
        assert loaded["w"].tolist() == [7, 0, 0, 0]
        assert path.read_bytes() == before
        await looker.press("u")
        await looker.until(lambda: "unsaved" in looker.title())
        await looker.press("U")
        await looker.until(lambda: looker.title().split()[-1] == "saved")


async def test_of_a_long_path_the_end_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 40)
    folder.mkdir()
    torch.save({"w": torch.zeros(4)}, folder / "net.pt")
    async with editing(folder / "net.pt", (80, 24)) as looker:
        looker.tree.go_to_row(looker.app.browser.opened.tree.find("w")[0])  # type: ignore[union-attr]
        await changed(looker)
        await dialog(looker)
        await shows(looker, "deepdeep/net-edited.pt")


async def test_a_file_that_is_there_is_replaced_only_after_another_key(save: Save, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    other.write_bytes(b"x" * 3000)
    async with editing(save({"w": torch.zeros(4)})) as looker:
        await changed(looker)
        line = await dialog(looker)
        line.value = str(other)
        await shows(looker, "There is a file of 3.0 kB already")
        await looker.pilot.press("enter")
        await shows(looker, "y replaces it")
        # Enter twice, or held, is no answer; esc goes back to the path.
        await looker.pilot.press("enter", "enter", "escape")
        await shows(looker, "enter asks once more")
        await looker.pilot.press("enter")
        await shows(looker, "y replaces it")
        assert other.read_bytes() == b"x" * 3000
        await looker.pilot.press("y")
        await looker.until(lambda: "other.pt" in said(looker))
        assert torch.load(other)["w"].tolist() == [7, 0, 0, 0]


async def test_over_the_opened_file_itself_is_said_plainly(save: Save) -> None:
    path = save({"w": torch.zeros(4)})
    async with editing(path) as looker:
        await changed(looker)
        line = await dialog(looker)
        line.value = str(path)
        await shows(looker, "This is the opened file itself")
        await looker.pilot.press("enter")
        await shows(looker, "y replaces it")
        await looker.pilot.press("y")
        await looker.until(lambda: path.name in said(looker))
        assert torch.load(path)["w"].tolist() == [7, 0, 0, 0]
        # It goes on from what was saved.
        await burst(looker, "e", *"[1] = 8", "enter")
        await looker.until(lambda: "2 changes" in looker.title())
        await looker.settle()
        assert [cell for row in looker.numbers() for cell in row][:2] == ["7.", "8."]


async def test_tab_completes_the_path_and_what_is_wrong_with_it_is_said(save: Save, tmp_path: Path) -> None:
    (tmp_path / "folder_with_a_name").mkdir()
    async with editing(save({"w": torch.zeros(4)})) as looker:
        await changed(looker)
        line = await dialog(looker)
        line.value = ""
        line.insert_text_at_cursor(str(tmp_path / "folder_w"))
        await looker.until(lambda: line._suggestion)
        await looker.pilot.press("tab")
        assert line.value == str(tmp_path / "folder_with_a_name") + "/"
        line.value = str(tmp_path / "missing" / "a.pt")
        await shows(looker, "there is no such directory")
        line.value = str(tmp_path / "a.safetensors")
        await shows(looker, "safetensors, about")
        line.value = str(tmp_path / "a.txt")
        await shows(looker, "its suffix must say the format")
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert looker.title().split()[-2:] == ["1", "change"]


class Saving:
    """A source that saves as slowly as it is told to."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.progress: Callable[[int, int], None] | None = None
        self.end: asyncio.Future[Saved] = asyncio.get_running_loop().create_future()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def save(self, path: str, *, over: bool, progress: Callable[[int, int], None]) -> Saved:
        self.progress = progress
        return await self.end

    async def stop_saving(self) -> None:
        self.end.set_exception(SavingStoppedError("stopped: nothing was saved"))


@asynccontextmanager
async def saving(save: Save) -> AsyncIterator[tuple[Looker, Saving]]:
    made: list[Saving] = []

    def wrap(source: Any) -> Any:
        made.append(Saving(source))
        return made[0]

    async with editing(save({"w": torch.zeros(4)}), wrap=wrap) as looker:
        await changed(looker)
        await dialog(looker)
        await looker.pilot.press("enter")
        await looker.until(lambda: made[0].progress)
        yield looker, made[0]


async def test_progress_is_shown_and_esc_stops_it_with_the_path_still_there(save: Save) -> None:
    async with saving(save) as (looker, source):
        assert source.progress is not None
        source.progress(250, 1000)
        await shows(looker, "25%  250 B of 1.0 kB")
        await looker.pilot.press("escape")
        await shows(looker, "stopped: nothing was saved")
        assert looker.app.screen.query_one(Input).has_focus
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert looker.title().split()[-2:] == ["1", "change"]


async def test_what_went_wrong_stands_in_the_dialog(save: Save) -> None:
    async with saving(save) as (looker, source):
        source.end.set_exception(SavingError("the disk is full", hint="needs 5 GB"))
        await shows(looker, "the disk is full (needs 5 GB)")
        assert looker.app.screen.query_one(Input).has_focus


async def test_what_the_system_did_not_confirm_is_said(save: Save) -> None:
    async with saving(save) as (looker, source):
        source.end.set_result(Saved(("/a/b.pt",), 5, "saved b.pt", durable=False))
        await looker.until(lambda: "saved b.pt; the system has not confirmed" in said(looker))


def test_progress_in_words_has_a_rate_and_the_time_that_is_left() -> None:
    now = [0.0]
    progress = Progress(lambda: now[0])
    assert progress.line(60) == "preparing… 0 s"
    now[0] = 10.0
    progress.told(1_000_000_000, 3_000_000_000)
    line = progress.line(70)
    assert len(line) == 70
    assert line.endswith(" 33%  1.0 GB of 3.0 GB  100 MB/s  20 s left")
    assert line.startswith("━") and "─" in line
    progress.told(3_000_000_000, 3_000_000_000)
    assert "flushing to the disk" in progress.line(90)
    assert len(progress.line(20)) <= 20


# On the way out


async def leaving(looker: Looker, key: str = "q") -> None:
    await looker.pilot.press(key)
    await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
    await shows(looker, "2 changes not saved yet")


async def ended(looker: Looker) -> None:
    await looker.until(lambda: looker.app._exit)


def journals(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.getbasetemp() / "xdg_state_home" / "paramtui" / "journals"
    return sorted(str(path) for path in folder.glob("*")) if folder.exists() else []


@pytest.mark.parametrize(
    ("key", "kept"), [("enter", True), ("k", True), ("d", False), ("ctrl+c", True), ("ctrl+q", True)]
)
async def test_leaving_with_unsaved_changes_asks_and_keeps_them_by_default(
    save: Save, tmp_path_factory: pytest.TempPathFactory, key: str, kept: bool
) -> None:
    before = set(journals(tmp_path_factory))
    async with editing(save({"w": torch.zeros(4)})) as looker:
        await changed(looker, 2)
        await leaving(looker)
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert not looker.app._exit
        await leaving(looker, "ctrl+q")
        await looker.pilot.press(key)
        await ended(looker)
    assert bool(set(journals(tmp_path_factory)) - before) == kept


async def test_leaving_can_save_first(save: Save, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = save({"w": torch.zeros(4)})
    before = set(journals(tmp_path_factory))
    async with editing(path) as looker:
        await changed(looker, 2)
        await leaving(looker)
        await looker.pilot.press("s")
        await looker.until(lambda: isinstance(looker.app.screen, SaveScreen) and looker.app.focused)
        # Not saved after all: it goes on here.
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert not looker.app._exit
        await leaving(looker)
        await looker.pilot.press("s")
        await looker.until(lambda: isinstance(looker.app.screen, SaveScreen) and looker.app.focused)
        await looker.pilot.press("enter")
        await ended(looker)
    assert torch.load(path.with_name("saved1-edited.pt"))["w"].tolist() == [7, 7, 0, 0]
    assert set(journals(tmp_path_factory)) == before


async def test_without_unsaved_changes_nothing_is_asked(save: Save) -> None:
    async with editing(save({"w": torch.zeros(4)})) as looker:
        await changed(looker)
        await looker.press("u")
        await done(looker, 0)
        await looker.pilot.press("q")
        await ended(looker)


async def test_opening_another_target_asks_too(save: Save) -> None:
    first, second = save({"w": torch.zeros(4)}), save({"other": torch.zeros(3)})
    async with editing(first) as looker:
        await changed(looker, 2)
        await looker.app.open_target(str(second))
        await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
        await shows(looker, "discards them and opens the other")
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert "2 changes" in looker.title()
        await looker.pilot.press("o")
        await looker.until(lambda: looker.app.screen.query("#open-line"))
        looker.app.screen.query_one("#open-line", Input).value = str(second)
        await looker.pilot.press("slash", "enter")
        await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
        await looker.pilot.press("d")
        await looker.until(lambda: second.name in looker.title() and "clean" in looker.title())
        await looker.settle()
        await changed(looker)
        assert said(looker) == "other[0] = 7"


async def test_in_a_process_of_somebody_else_changes_simply_stay(save: Save) -> None:
    async with editing(save({"w": torch.zeros(4)}), guest=True) as looker:
        await changed(looker)
        await looker.pilot.press("q")
        await ended(looker)


async def test_a_copy_that_runs_code_is_said_to(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"w": torch.zeros(4), "hook": os.system}, path)
    async with editing(path) as looker:
        line = await dialog(looker)
        await shows(looker, "Loading the copy runs code, as of this file: posix.system.")
        # Nor is it another pickle under another name.
        line.value = str(tmp_path / "e.ckpt")
        await shows(looker, "e.ckpt")
        await looker.settle()
        await shows(looker, "Loading the copy runs code")
        # Only tensors get into the other format.
        line.value = str(tmp_path / "good.safetensors")
        await looker.until(lambda: "Loading the copy" not in "\n".join(looker.screen()))
    assert not (tmp_path / "good.safetensors").exists()
