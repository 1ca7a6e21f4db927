"""Looks whether files are still what was opened, says so when they are not, and opens them again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from textual import work

from paramtui.tui.opened import ability
from paramtui.tui.widgets.lines import TitleLine
from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from paramtui.tui.opened import Opened

    _Base = Screen[None]
else:
    _Base = object

# Seconds between two looks.
LOOK: Final = 2.0


class FreshnessMixin(_Base):
    """Needs `opened` and `say` of the screen that it is mixed into."""

    if TYPE_CHECKING:
        say: Callable[[str], None]

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

    def watch_files(self) -> None:
        """Looks from now on, time and again."""
        self.set_interval(LOOK, self.look_at_files)

    @work(group="freshness")
    async def look_at_files(self) -> None:
        """Looks once; a disk far away may take its time."""
        opened = self.opened
        outdated = ability(opened.source, "outdated") if opened is not None else None
        if opened is None or outdated is None or opened.looking:
            return
        opened.looking = True
        words = await asyncio.to_thread(outdated)
        opened.looking = False
        if opened is not self.opened or words == opened.outdated or not self.query(TitleLine):
            return
        opened.outdated = words
        self.query_one(TitleLine).refresh()
        if words:
            again = "" if words.endswith("is gone") else ": ctrl+r opens it again"
            self.say(f"{words} since it was opened{again}")

    async def open_again(self) -> None:
        """Opens the target anew, at the same row; what is not saved is asked about."""
        opened = self.opened
        if opened is None:
            return
        row = self.query_one(TreePane).row
        at = opened.tree.name(row) if row >= 0 else None
        await self.app.open_target(opened.listing.target, at)  # type: ignore[attr-defined]
