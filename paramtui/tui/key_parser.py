"""What a terminal sends, as keys: escape and the next key stay two, also where they come together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.events import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.message import Message

ESC = "\x1b"
# Arrows, function keys, the mouse: sequences begin with one of these after the escape.
_BEGIN = "[O"


class KeyParser(XTermParser):
    """Textual's parser, to which escape is a key wherever no known sequence follows.

    A line that sends several keys in one packet, and a person who types fast, would otherwise press keys
    with Alt, which nothing here listens to, and letters would be held back until typing pauses.

    Args:
        typing: Whether keys go into a line of text, where Alt and a letter moves by words.
    """

    def __init__(self, typing: Callable[[], bool], *, debug: bool = False) -> None:
        # What has come since an escape that may begin a sequence; empty where none is begun.
        self._begun = ""
        self._pasting = False
        self._typing = typing
        super().__init__(debug)

    def feed(self, data: str) -> Iterable[Message]:
        """Takes what has come, and gives keys, pastes, mouse events and answers of the terminal."""
        if not data:
            yield from super().feed(data)
            return
        # Alt and a letter come together: what comes apart was typed.
        apart = bool(self._begun)
        while data:
            if not self._begun:
                plain, escape, data = data.partition(ESC)
                yield from super().feed(plain + escape)
                self._begun = escape
                apart = False
                continue
            char, data = data[0], data[1:]
            if self._begun == ESC and not self._pasting and not self._belongs(char, apart=apart):
                yield from self._give_up()
                self._begun = ""
                data = char + data
                continue
            yield from super().feed(char)
            self._begun = ESC if char == ESC else self._begun + char
            if self._begun in (BRACKETED_PASTE_START, BRACKETED_PASTE_END):
                self._pasting = self._begun == BRACKETED_PASTE_START
            if self._awaiting.timeout is None:
                self._begun = ""

    def tick(self) -> Iterable[Message]:
        """Gives what no further character has followed for a while."""
        found = list(super().tick())
        if self._awaiting.timeout is None:
            begun, self._begun = self._begun, ""
            if found and begun in (ESC + "[", ESC + "O") and not self._typing():
                yield Key("escape", ESC)
                yield from super().feed(begun[1:])
                return
        yield from found

    def _belongs(self, char: str, *, apart: bool) -> bool:
        """Whether a character after an escape may belong to a sequence."""
        if char in _BEGIN or char == ESC:
            return True
        return not apart and ESC + char in ANSI_SEQUENCES_KEYS and self._typing()

    def _give_up(self) -> Iterable[Message]:
        """Has the parser take its escape for the key, as if time had passed."""
        self._timeout_time = 0.0
        yield from super().tick()
