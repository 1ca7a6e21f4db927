"""An alarm that hears what the interpreter does, and lets reading pass and nothing else."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

_WRITING: Final = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_EXCL | getattr(os, "O_TMPFILE", 0)
)
_LISTING: Final = ("os.listdir", "os.scandir")
_HARMLESS: Final = ("builtins.id",)


class ForbiddenError(BaseException):
    """Something was done that no reader of files may do; no ``except Exception`` hides it."""


class Alarm:
    """An audit hook: while it is armed it forbids every event but reading in one folder.

    What is allowed is listed, not what is forbidden: an event that nobody thought of is heard too. A hook
    cannot be taken out again, so an alarm is for processes that do nothing else.

    Attributes:
        folder: Where files may be opened for reading and folders listed.
        armed: Whether it hears.
        allowed: Events that may happen besides.
        heard: Every forbidden event, with its arguments as text.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.armed = False
        self.allowed: frozenset[str] = frozenset()
        self.heard: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed or event in _HARMLESS or event in self.allowed:
            return
        if event == "open" and self._is_reading(args[0], args[1], args[2]):
            return
        if event in _LISTING and self._is_inside(args[0]):
            return
        self.armed = False
        words = f"{event} {args!r}"[:300]
        self.armed = True
        self.heard.append(words)
        raise ForbiddenError(words)

    def _is_reading(self, path: object, mode: object, flags: int) -> bool:
        plain = mode is None or (isinstance(mode, str) and not set(mode) & set("wax+"))
        return plain and not flags & _WRITING and self._is_inside(path)

    def _is_inside(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        place = os.path.normpath(path)
        return place == self.folder or place.startswith(self.folder + os.sep)
