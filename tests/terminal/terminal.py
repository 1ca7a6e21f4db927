"""A pseudo-terminal with a program in it, as the tests of the whole program use it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 60.0
ENTER_ALTERNATE, LEAVE_ALTERNATE = b"\x1b[?1049h", b"\x1b[?1049l"
# A shell with jobs needs a terminal of its own. The program takes it itself: what runs between fork and exec
# in a process of many threads may find a lock that nobody will ever open.
TAKES = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


class Terminal:
    """A pseudo-terminal with the program in it."""

    def __init__(
        self,
        *words: str,
        width: int = 120,
        height: int = 30,
        program: tuple[str, ...] = (sys.executable, "-m", "paramtui"),
        controlling: bool = False,
        **env: str,
    ) -> None:
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""
        self.master, slave = pty.openpty()
        self._resize(width, height)
        self.before = termios.tcgetattr(slave)
        # A size that is said in the environment would be taken for the terminal's.
        own = ("NO_COLOR", "TEXTUAL", "COLUMNS", "LINES")
        environment = {key: value for key, value in os.environ.items() if key not in own}
        self.process = subprocess.Popen(
            [*((sys.executable, "-c", TAKES) if controlling else ()), *program, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**environment, "TERM": "xterm-256color", **env},
        )
        self._slave = slave

    def _resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width: int, height: int) -> None:
        """Gives the window another size, as a person does with the mouse."""
        self._resize(width, height)
        self.screen.resize(height, width)
        self.process.send_signal(signal.SIGWINCH)

    def _read(self, patience: float) -> bool:
        if not select.select([self.master], [], [], patience)[0]:
            return False
        data = os.read(self.master, 1 << 16)
        self.received += data
        # pyte draws the private form of "set modifier keys" as an underline; it is no text.
        self._stream.feed(data.replace(b"\x1b[>4;1m", b"").replace(b"\x1b[>4m", b""))
        return True

    def until(self, condition: Callable[[str], object]) -> str:
        """Reads until the text on screen fulfils a condition, and returns it."""
        deadline = time.monotonic() + PATIENCE
        while not condition(self.text):
            left = deadline - time.monotonic()
            assert left > 0, f"waited in vain; on screen:\n{self.text}"
            self._read(left)
        return self.text

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Reads what is written until the program has ended, and returns its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running; on screen:\n{self.text}"
            self._read(0.05)
        while self._read(0):
            assert time.monotonic() < deadline, "something goes on writing"
        return self.process.returncode

    def assert_restored(self) -> None:
        """The terminal is as the shell left it: main screen, cursor shown, lines edited by the terminal."""
        assert self.received.count(ENTER_ALTERNATE) == self.received.count(LEAVE_ALTERNATE) == 1
        assert self.received.rindex(SHOW_CURSOR) > self.received.rindex(HIDE_CURSOR)
        assert self.received.rindex(b"\x1b[?1000l") > self.received.rindex(b"\x1b[?1000h")
        assert termios.tcgetattr(self._slave) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)
