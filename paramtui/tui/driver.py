"""Textual's way to the terminal, which outlives the terminal."""

from __future__ import annotations

import contextlib
import os
import select
import termios
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver
from textual.widgets import Input

from paramtui.tui.key_parser import KeyParser

if TYPE_CHECKING:
    from typing import TextIO

# Seconds until it is looked again at whether there is an end, and bytes that are read at once.
INPUT_WAIT = 0.1
INPUT_BYTES = 4096


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
    """Writes to a `LastingFile`, and reads whatever comes."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  Textual's own
        super().__init__(*args, **options)
        self._file = cast("Any", LastingFile(cast("TextIO", self._file)))

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except Exception as error:  # noqa: BLE001  told as every error of the program's own
            self._app.call_later(self._app._handle_exception, error)  # noqa: SLF001

    def run_input_thread(self) -> None:
        """Reads keys until the end; passes over bytes that are no text."""
        parser = KeyParser(lambda: isinstance(self._app.focused, Input), debug=self._debug)
        decode = getincrementaldecoder("utf-8")("ignore").decode
        while not self.exit_event.is_set():
            try:
                ready = select.select([self.fileno], [], [], INPUT_WAIT)[0]
                data = os.read(self.fileno, INPUT_BYTES) if ready else b""
            except (OSError, ValueError):
                return  # whoever checks the terminal ends the program
            if ready and not data:
                return
            if text := decode(data):
                for message in parser.feed(text):
                    self.process_message(message)
            for message in parser.tick():
                self.process_message(message)

    def give_back(self) -> None:
        """Lets the terminal edit lines and echo again, at once; nothing is written, which could wait."""
        if self.attrs_before is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
