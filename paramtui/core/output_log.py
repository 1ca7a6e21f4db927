"""What a person's own code has printed: the last of it, as a terminal would show it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

MAX_LINES: Final = 5000
MAX_LINE: Final = 2000


class OutputLog:
    """Lines of text, the oldest dropped; written and read by any thread."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._last = ""
        self._count = 0
        self._returned = False
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Takes what was printed; a carriage return begins its line anew, as for a progress bar."""
        with self._lock:
            for piece in text.splitlines(keepends=True):
                body = piece.rstrip("\r\n")
                if self._returned and body:
                    self._last = ""
                self._returned = False
                self._last = (self._last + body)[:MAX_LINE]
                if piece.endswith("\n"):
                    self._lines.append(self._last)
                    self._count += 1
                    self._last = ""
                elif piece.endswith("\r"):
                    self._returned = True

    @property
    def lines(self) -> list[str]:
        """The last lines."""
        with self._lock:
            return [*self._lines, self._last] if self._last else list(self._lines)

    @property
    def dropped(self) -> int:
        """How many lines came before those."""
        with self._lock:
            return self._count - len(self._lines)

    @property
    def empty(self) -> bool:
        """Whether nothing was printed."""
        return not self._count and not self._last

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self._lines.clear()
            self._last = ""
            self._count = 0
