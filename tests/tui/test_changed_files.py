"""Files that change while they are on screen: noticed, said, and opened again at a key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from paramtui.tui.opened import ability
from paramtui.tui.screens.ask import AskScreen
from tests.tui.edited import done, editing, typed
from tests.tui.screens import looking_at
from tests.tui.test_saving_screen import dialog, shows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save
    from tests.tui.screens import Looker


async def noticed(looker: Looker, words: str) -> None:
    """Looks at the files, as is done every few seconds."""
    looker.app.browser.look_at_files()
    await looker.until(lambda: words in looker.app.browser.said)


def replaced(path: Path, weight: torch.Tensor) -> None:
    torch.save({"v": torch.ones(2), "w": weight}, path.with_name("other.pt"))
    os.replace(path.with_name("other.pt"), path)


async def test_a_file_that_was_replaced_is_said_and_opened_again_at_the_same_row(save: Save) -> None:
    path = save({"v": torch.ones(2), "w": torch.zeros(3)})
    async with looking_at(path, (120, 30)) as looker:
        await looker.press("down")
        replaced(path, torch.full((4,), 7.0))
        await noticed(looker, "saved1.pt was replaced since it was opened: ctrl+r opens it again")
        assert "changed on disk (ctrl+r)" in looker.title()
        before = looker.app.browser.opened
        await looker.press("ctrl+r")
        await looker.until(lambda: looker.app.browser.opened is not before)
        await looker.settle()
        assert "changed on disk" not in looker.title()
        assert "7." in "\n".join(looker.page())
        path.unlink()
        await noticed(looker, "is gone")
        # What is on screen stays where it cannot be opened again.
        await looker.press("ctrl+r")
        await looker.until(lambda: "no such file" in "\n".join(looker.screen()).lower())


async def test_blocks_stay_open_and_closed_where_a_file_is_opened_again(save: Save) -> None:
    def state(scale: float, *more: str) -> dict[str, object]:
        return {
            key: {"0": {"weight": torch.ones(2) * scale}, "bias": torch.zeros(1)} for key in ("a", "b", *more)
        }

    path = save(state(1))
    async with looking_at(path, (120, 30)) as looker:
        opened = looker.app.browser.opened
        assert opened is not None
        tree, view = opened.tree, opened.view
        await looker.press("plus", "-", "plus")
        looker.tree.go_to_row(tree.find("a.0")[0])
        await looker.press("left")
        assert [tree.name(row) for row in view.rows] == [
            "a",
            "a.0",
            "a.bias",
            "b",
            "b.0",
            "b.0.weight",
            "b.bias",
        ]
        torch.save(state(2, "c"), path.with_name("other.pt"))
        os.replace(path.with_name("other.pt"), path)
        await looker.press("ctrl+r")
        await looker.until(lambda: looker.app.browser.opened is not opened)
        again = looker.app.browser.opened
        assert again is not None
        names = [again.tree.name(row) for row in again.view.rows]
        assert names == ["a", "a.0", "a.bias", "b", "b.0", "b.0.weight", "b.bias", "c"]


async def test_changes_that_are_not_saved_are_asked_about_before_a_file_is_opened_again(save: Save) -> None:
    path = save({"v": torch.ones(2), "w": torch.zeros(3)})
    async with editing(path) as looker:
        looker.tree.go_to_row(looker.app.browser.opened.tree.find("w")[0])  # type: ignore[union-attr]
        await looker.press("e")
        await typed(looker, "[0] = 3")
        await looker.press("enter")
        await done(looker, 1)
        replaced(path, torch.zeros(3))
        await noticed(looker, "was replaced")
        await looker.pilot.press("ctrl+r")
        await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
        await looker.until(lambda: "opens it again" in "\n".join(looker.screen()))
        # Of a file that is gone no copy can be made: saving is not offered.
        text = "\n".join(looker.screen())
        assert "since it was opened: they cannot be saved" in text
        assert "saves, then" not in text and "keeps them for next time" in text


async def test_what_is_saved_over_the_file_itself_is_no_change_from_outside(save: Save) -> None:
    path = save({"v": torch.ones(2), "w": torch.zeros(3)})
    async with editing(path) as looker:
        looker.tree.go_to_row(looker.app.browser.opened.tree.find("w")[0])  # type: ignore[union-attr]
        await looker.press("e")
        await typed(looker, "[0] = 3")
        await looker.press("enter")
        await done(looker, 1)
        line = await dialog(looker)
        line.value = str(path)
        await shows(looker, "This is the opened file itself")
        await looker.pilot.press("enter")
        await shows(looker, "y replaces it")
        await looker.pilot.press("y")
        await looker.until(lambda: torch.load(path)["w"].tolist() == [3, 0, 0])
        await looker.until(lambda: "saved" in looker.title())
        outdated = ability(looker.app.browser.opened.source, "outdated")  # type: ignore[union-attr]
        assert outdated is not None and outdated() == ""
        replaced(path, torch.zeros(3))
        await noticed(looker, "was replaced")


async def test_a_file_that_is_gone_is_not_said_to_open_again(save: Save) -> None:
    path = save({"w": torch.zeros(3)})
    async with editing(path) as looker:
        path.unlink()
        await noticed(looker, "is gone since it was opened")
        assert "opens it again" not in looker.footer()
