"""What the tests of the screen share: an app on a file, and what it shows as text."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.tui.app import ParamtuiApp
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from textual.pilot import Pilot
    from textual.widget import Widget

    from paramtui.core.source import Opener, Reader, Watch

WIDE = (120, 40)


async def open_file(target: str, watch: Watch) -> Reader:
    """Opens a checkpoint as the command line does."""
    return await asyncio.to_thread(open_checkpoint, target, watch)


class Looker:
    """A person at the screen: presses keys and reads."""

    def __init__(self, app: ParamtuiApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def tree(self) -> TreePane:
        return self.app.browser.query_one(TreePane)

    @property
    def values(self) -> ValuesPane:
        return self.app.browser.query_one("#values", ValuesPane)

    @property
    def gradient(self) -> ValuesPane:
        return self.app.browser.query_one("#gradient", ValuesPane)

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until the screen has come so far; a test that waits in vain fails."""
        async with asyncio.timeout(20):
            while not condition():
                await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Presses keys and waits until the right side shows what they ask for."""
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Waits until the right side shows what is asked for."""
        await self.pilot.pause()
        if self.values.size.width:
            await self.until(lambda: self.values.settled)
        if self.gradient.size.width:
            await self.until(lambda: self.gradient.settled)

    def screen(self) -> list[str]:
        """The whole screen as lines of text."""
        width, height = self.app.size
        lines = [strip.text for strip in self.app.screen._compositor.render_strips()]
        assert len(lines) == height
        assert all(len(line) <= width for line in lines)
        return lines

    def title(self) -> str:
        return self.screen()[0]

    def footer(self) -> str:
        return self.screen()[-1]

    def rows(self) -> list[str]:
        """The visible lines of the tree."""
        return lines_of(self.tree)

    def at(self) -> str:
        """The line with the cursor."""
        return next(line for line in self.rows() if line.startswith(">"))

    def page(self) -> list[str]:
        """The visible lines of the right side."""
        return lines_of(self.values)

    def grid(self) -> list[str]:
        """The visible lines below the facts: column numbers and numbers, or text."""
        return self.page()[len(self.values._wrapped()[0]) :]

    def numbers(self) -> list[list[str]]:
        """The cells on screen, without row numbers."""
        return [line.split()[1:] for line in self.grid()[1:]]


def lines_of(widget: Widget) -> list[str]:
    """What a widget draws, without blank lines at the end."""
    lines = [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


@asynccontextmanager
async def looking_at(
    target: Path | str, size: tuple[int, int] = WIDE, *, opener: Opener = open_file, **options: Any
) -> AsyncIterator[Looker]:
    """Runs the app on a target, until it is open or has failed to open."""
    app = ParamtuiApp(str(target), opener, **options)
    async with app.run_test(size=size) as pilot:
        looker = Looker(app, pilot)
        await looker.until(lambda: app.browser.has_class("-open") or app.browser.has_class("-failed"))
        await looker.press()
        yield looker
