"""A line to type into, which may begin with text from outside: a path, a name."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import Input

# One cell for one character, so that the cursor stands where it acts.
UNSEEN = "?"


class TypedLine(Input):
    """An input that draws what a terminal would obey as question marks; its value stays as it is.

    File names and pasted text can hold anything, and `Input` draws it as it stands.
    """

    @property
    def _value(self) -> Text:
        return Text(self._shown(), no_wrap=True, overflow="ignore", end="")

    def _position_to_cell(self, position: int) -> int:
        return cell_len(self._shown()[:position])

    def _shown(self) -> str:
        value = self.value
        if value.isprintable():
            return value
        return "".join([char if char.isprintable() else UNSEEN for char in value])
