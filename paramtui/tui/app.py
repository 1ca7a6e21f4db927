"""The application: opens a target beside the event loop and gives the terminal back on the way out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App

from paramtui.errors import ParamtuiError
from paramtui.tui.actions import bindings
from paramtui.tui.opened import prepare
from paramtui.tui.screens.browse import BrowseScreen
from paramtui.tui.screens.help import HelpScreen

if TYPE_CHECKING:
    from textual.binding import BindingType
    from textual.screen import Screen

    from paramtui.core.source import Opener

FAILED = 2
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class _Threads(ThreadPoolExecutor):
    """Threads that nobody waits for on the way out: a slow disk must not keep a person from leaving."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Lets go of all threads at once."""
        super().shutdown(wait=False, cancel_futures=True)


class ParamtuiApp(App[None]):
    """Browses one target.

    Args:
        target: What to open.
        opener: Opens it.
    """

    CSS_PATH = "app.tcss"
    TITLE = "paramtui"
    ENABLE_COMMAND_PALETTE = False
    # Nothing here is text that the mouse could select; dragging would only repaint.
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")

    def __init__(self, target: str, opener: Opener) -> None:
        super().__init__()
        self._target = target
        self._opener = opener
        self._failed = False
        if "SSH_CONNECTION" in os.environ:
            # Each frame of an animation is kilobytes on the line.
            self.animation_level = "none"

    def get_default_screen(self) -> Screen[None]:
        """The browser."""
        return BrowseScreen(self._target)

    @property
    def browser(self) -> BrowseScreen:
        """The screen at the bottom."""
        screen = self.screen_stack[0]
        assert isinstance(screen, BrowseScreen)  # noqa: S101  made by get_default_screen
        return screen

    def on_mount(self) -> None:
        """Starts opening; the screen is there before."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_Threads())
        for number in _SIGNALS:
            # Without a handler the process would end with the terminal still in its hands.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.exit, None, 128 + number)
        self._open()

    def on_unmount(self) -> None:
        """Gives the signals back."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(number)

    @work(exclusive=True, group="open")
    async def _open(self) -> None:
        try:
            source = await self._opener(self._target)
            opened = await asyncio.to_thread(prepare, source)
        except ParamtuiError as error:
            self._fail(str(error))
        except MemoryError:
            self._fail("there is not enough memory to open this")
        else:
            self.browser.open(opened)

    def _fail(self, message: str) -> None:
        self._failed = True
        self.browser.fail(message)

    def action_help(self) -> None:
        """Shows the keys."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.browser.place))

    def action_leave(self) -> None:
        """Goes back where there is something to go back to, else quits."""
        if self.browser is not self.screen or not self.browser.leave():
            self.action_quit_now()

    def action_quit_now(self) -> None:
        """Quits; the exit status says whether the target could be opened."""
        self.exit(return_code=FAILED if self._failed else 0)
