"""What an earlier session has left behind: changes to be made again, and what an unfinished save left."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.core import journal
from paramtui.core.edits import SetCells
from paramtui.core.journal import Journal, read_lines
from paramtui.core.planning import address
from paramtui.errors import RunStoppedError
from paramtui.opening import TargetOpener
from paramtui.tui.app import ParamtuiApp
from paramtui.tui.screens import ask
from paramtui.tui.screens.ask import AskScreen
from tests.tui.edited import burst, done, editing, said
from tests.tui.screens import WIDE, Looker

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.core.source import Outcome
    from tests.conftest import Save


@pytest.fixture(autouse=True)
def _own_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(ask, "QUIET", 0)


def journals() -> list[str]:
    """Paths of all journals."""
    found = journal.folder()
    return sorted(os.path.join(found, name) for name in os.listdir(found)) if os.path.isdir(found) else []


async def interrupted(path: Path, count: int) -> None:
    """A session that ends as with a dropped line: by a signal, with some changes made."""
    app = ParamtuiApp(str(path), TargetOpener())
    async with app.run_test(size=WIDE) as pilot:
        looker = Looker(app, pilot)
        await looker.until(lambda: app.browser.has_class("-open"))
        await looker.settle()
        for number in range(count):
            await burst(looker, "e", *f"[{number}] = {number + 5}", "enter")
            await done(looker, number + 1)
        app.exit(None, 128 + 15)


async def asked(looker: Looker) -> str:
    """The question about changes that were left behind."""
    await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
    await looker.until(lambda: "enter" in "\n".join(looker.screen()))
    return "\n".join(looker.screen())


async def test_changes_of_an_interrupted_session_are_offered_and_made_again(save: Save) -> None:
    path = save({"w": torch.zeros(9)})
    await interrupted(path, 7)
    (left,) = journals()
    assert len(read_lines(left).changes) == 7
    async with editing(path) as looker:
        text = await asked(looker)
        assert "7 changes of 20" in text
        assert "w[0] = 5" in text and "and 2 more" in text
        assert "has changed since" not in text
        await looker.pilot.press("enter")
        await done(looker, 7)
        assert said(looker) == "7 changes made again"
        assert [cell for row in looker.numbers() for cell in row] == [f"{n}." for n in (*range(5, 12), 0, 0)]
        await looker.press("u")
        await done(looker, 6)
        (new,) = [path for path in journals() if path != left]
        assert len(read_lines(new).changes) == 6
    # The session ended without an answer: its own journal stays, the one that it took over is gone.
    assert journals() == [new]


async def test_changes_can_be_kept_for_later_or_discarded(save: Save) -> None:
    path = save({"w": torch.zeros(4)})
    await interrupted(path, 1)
    async with editing(path) as looker:
        await asked(looker)
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert looker.title().split()[-1] == "clean"
    assert len(journals()) == 1
    async with editing(path) as looker:
        await asked(looker)
        await looker.pilot.press("d")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        # It is offered no more, but a person can still have it replayed.
        await looker.until(lambda: [str(path).endswith(".discarded") for path in journals()] == [True])


async def test_that_the_file_has_changed_since_and_that_numbers_differ_is_said(save: Save) -> None:
    path = save({"w": torch.zeros(4)})
    async with editing(path) as looker:
        await burst(looker, "e", *"[:2] += 1", "enter")
        await done(looker, 1)
    torch.save({"w": torch.ones(4)}, path)
    async with editing(path) as looker:
        assert "The file has changed since" in await asked(looker)
        await looker.pilot.press("enter")
        await done(looker, 1)
        assert "gave other numbers than before" in said(looker)


async def test_an_edit_whose_outcome_was_not_noted_is_made_again_too(save: Save) -> None:
    path = save({"w": torch.zeros(4)})
    async with editing(path) as looker:
        opened = looker.app.browser.opened
        assert opened is not None and opened.head is not None
        head = opened.head()
    written = Journal(head)
    written.intent(SetCells(address(opened.listing, 0), "3", "=", 2))
    os.close(written._fd)
    async with editing(path) as looker:
        assert "1 change of" in await asked(looker)
        await looker.pilot.press("enter")
        await done(looker, 1)
        assert said(looker) == "the change was made again"


class Stops:
    """A source that is stopped at its second change."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def head(self) -> Any:
        return self._source.head()

    async def apply(self, edit: Any, *, without_undo: bool = False) -> Outcome:
        self._count += 1
        if self._count == 2:
            raise RunStoppedError("stopped: nothing was changed")
        outcome: Outcome = await self._source.apply(edit)
        return outcome


async def test_a_recovery_that_is_stopped_shows_what_it_did_and_loses_nothing(save: Save) -> None:
    path = save({"w": torch.zeros(4)})
    await interrupted(path, 3)
    (left,) = journals()
    async with editing(path, wrap=lambda source: Stops(source)) as looker:
        await asked(looker)
        await looker.pilot.press("enter")
        await done(looker, 1)
        assert "stopped after 1 of 3" in said(looker)
        assert [cell for row in looker.numbers() for cell in row][:2] == ["5.", "0."]
    assert len(read_lines(left).changes) == 3


async def test_the_intent_is_on_the_disk_before_the_edit_begins(save: Save) -> None:
    path = save({"w": torch.zeros(4)})
    seen: list[int] = []

    class Looks(Stops):
        async def apply(self, edit: Any, *, without_undo: bool = False) -> Outcome:
            (found,) = journals()
            seen.append(len(read_lines(found).changes))
            outcome: Outcome = await self._source.apply(edit)
            return outcome

    async with editing(path, wrap=lambda source: Looks(source)) as looker:
        await burst(looker, "e", *"[0] = 5", "enter")
        await done(looker, 1)
    assert seen == [1]


async def test_a_journal_that_cannot_be_written_is_said_once_and_stops_nothing(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("no directory")
    async with editing(save({"w": torch.zeros(4)})) as looker:
        for number in range(2):
            await burst(looker, "e", *f"[{number}] = 5", "enter")
            await done(looker, number + 1)
        (toast,) = looker.app._notifications
        assert "not safe against a dropped line" in toast.message
        # And on the way out, saving is what enter does.
        await looker.pilot.press("q")
        text = await asked(looker)
        assert "keeps them for next time" not in text
        await looker.pilot.press("escape")


class Leaves:
    """A source beside which an unfinished save lies."""

    def __init__(self, source: Any, left: Path) -> None:
        self._source = source
        self._left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def leftovers(self) -> list[tuple[str, int]]:
        return [(str(self._left), self._left.stat().st_size)] if self._left.exists() else []

    def remove_leftover(self, path: str) -> None:
        os.unlink(path)


async def test_what_an_unfinished_save_has_left_is_told_and_removed_after_asking(
    save: Save, tmp_path: Path
) -> None:
    left = tmp_path / "unfinished.tmp"
    left.write_bytes(b"x" * 5000)
    async with editing(save({"w": torch.zeros(4)}), wrap=lambda source: Leaves(source, left)) as looker:
        await looker.until(lambda: "an unfinished save lies beside it: X removes it" in said(looker))
        await looker.press("X")
        assert "5.0 kB" in await asked(looker)
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert left.exists()
        await looker.press("X")
        await asked(looker)
        await looker.pilot.press("enter")
        await looker.until(lambda: "removed" in said(looker))
        assert not left.exists()
        await looker.press("X")
        await looker.until(lambda: "no unfinished save" in said(looker))


async def test_keys_that_were_typed_before_a_question_could_be_read_are_no_answer(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save({"w": torch.zeros(9)})
    await interrupted(path, 2)
    left = journals()
    monkeypatch.setattr(ask, "QUIET", 0.5)
    async with editing(path) as looker:
        await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
        begun = time.monotonic()
        while time.monotonic() - begun < 1.2:
            # As somebody who types on without looking: never quiet for so long.
            await looker.pilot.press("d", "enter")
            await asyncio.sleep(0.05)
        assert isinstance(looker.app.screen, AskScreen)
        assert journals() == left
        await asyncio.sleep(0.6)
        await looker.pilot.press("d")
        await looker.until(lambda: not isinstance(looker.app.screen, AskScreen))
        await looker.until(lambda: journals() != left)
