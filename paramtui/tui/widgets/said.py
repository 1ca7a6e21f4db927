"""A sentence that a widget wants the screen to say."""

from __future__ import annotations

from textual.message import Message


class Said(Message):
    """Stands in place of the keys until the next key."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
