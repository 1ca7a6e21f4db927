"""What ends the screen from outside: signals, and a terminal that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App
from textual.geometry import Size

from paramtui.tui.terminal import job_control

if TYPE_CHECKING:
    from textual.driver import Driver

    from paramtui.tui.screens.browse import BrowseScreen

# Seconds between two looks at whether the terminal is still there.
TERMINAL_CHECK = 2.0
# Seconds after which a program that was told to end ends, whatever holds it up.
LAST_PATIENCE = 3.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def _nothing() -> None:
    """What the loop itself does at a signal."""


class EndingMixin(App[None]):
    """The part of the application that gives the terminal back when it is not asked by a key."""

    # The process is somebody else's: its signals, garbage and end are left alone.
    _guest: bool
    # The event loop is the app's own; of one that is not, nothing is changed.
    _own_loop: bool

    @property
    def browser(self) -> BrowseScreen:
        """The screen at the bottom."""
        raise NotImplementedError

    def get_driver_class(self) -> type[Driver]:
        """A driver that outlives its terminal, in place of Textual's own for it."""
        from textual.drivers.linux_driver import LinuxDriver

        usual = super().get_driver_class()
        if usual is not LinuxDriver:
            return usual
        from paramtui.tui.driver import LastingDriver

        return LastingDriver

    def watch_for_the_end(self) -> None:
        """Takes the signals that would end the process with the terminal still in its hands."""
        self._handlers: dict[int, Any] = {}
        self._main_loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if not self._own_loop and handler is not signal.SIG_DFL:
                continue  # somebody waits for it
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread
                # The loop is woken by every signal then, also by one that comes just before it waits.
                self._main_loop.add_signal_handler(number, _nothing)
                # A handler of the loop itself would wait for a loop that waits for the terminal.
                signal.signal(number, self._leave_by)
                self._handlers[number] = handler
        # What the shell has drawn meanwhile is nothing that Textual knows of.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        if not self.is_headless:
            self.set_interval(TERMINAL_CHECK, self._check_terminal)

    def give_signals_back(self) -> None:
        """Lets those have the signals again who had them before."""
        for number, handler in self._handlers.items():
            # What is not Python's own handler cannot be set again.
            with contextlib.suppress(NotImplementedError, RuntimeError, TypeError, ValueError):
                self._main_loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _check_terminal(self) -> None:
        """Ends the program when its terminal is gone, which no signal may say: reading on would spin."""
        try:
            os.tcgetpgrp(sys.__stdin__.fileno() if sys.__stdin__ is not None else 0)
        except OSError as error:
            # Otherwise there is no controlling terminal, or none of its own: nothing is known to be wrong.
            if error.errno == errno.EIO:
                self._leave_by(signal.SIGHUP)
                return
        self._check_size()

    def _check_size(self) -> None:
        """Takes the size of the terminal where another one is drawn: in a storm of sizes one can be lost."""
        try:
            size = Size(*os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ is not None else 1))
        except OSError:
            return
        if size != self.size and size.area and not {"COLUMNS", "LINES"} & os.environ.keys():
            self.post_message(events.Resize(size, size))

    def _leave_by(self, number: int, _frame: object = None) -> None:
        """Ends the program by a signal, soon even where a terminal that takes no more holds it up."""
        # Without a terminal nothing can hold it up, and the process may be a test's.
        if not self._guest and not self.is_headless:
            patience = threading.Timer(LAST_PATIENCE, self._end_now, (128 + number,))
            patience.daemon = True
            patience.start()
        self._main_loop.call_soon_threadsafe(self.exit, None, 128 + number)

    def _end_now(self, status: int) -> None:
        """Ends the process; changes are in their journal already."""
        from paramtui.tui.driver import LastingDriver

        if isinstance(self._driver, LastingDriver):
            self._driver.give_back()
        os._exit(status)

    def action_suspend_process(self) -> None:
        """Gives the terminal back to the shell until that lets the program go on."""
        if self.is_headless or not job_control():
            # Stopped by nobody, it would be continued by nobody.
            self.browser.say("no shell waits for this terminal")
            return
        self.app_suspend_signal.publish(self)
        # As the terminal itself would do it: what started this waits for all, and what counts stops too.
        os.killpg(os.getpgrp(), signal.SIGTSTP)
