"""Textual's way to the terminal, which outlives the terminal."""

from __future__ import annotations

import contextlib
import termios
from typing import TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from typing import TextIO


class LastingFile:
    """A terminal to write to, also when it is gone.

    Textual writes from a thread with a short queue: if an error ended that thread, everything would
    wait for room in the queue, and the process would stay for ever.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Writes a text; into the void where there is no terminal."""
        with contextlib.suppress(OSError):
            return self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Sends what was written."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever a file has
        return getattr(self._file, name)


class LastingDriver(LinuxDriver):
    """Writes to a `LastingFile`."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  Textual's own
        super().__init__(*args, **options)
        self._file = cast("Any", LastingFile(cast("TextIO", self._file)))

    def give_back(self) -> None:
        """Lets the terminal edit lines and echo again, at once; nothing is written, which could wait."""
        if self.attrs_before is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
