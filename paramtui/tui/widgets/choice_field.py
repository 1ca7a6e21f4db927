"""A field of one line that holds one of a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget

from paramtui.core.text import safe_text
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.binding import BindingType
    from textual.geometry import Size


class ChoiceField(Widget, can_focus=True):
    """Left, right and space switch it; a letter goes to the next word that begins with it.

    Args:
        caption: What it is about.
        words: What it can hold.
        place: Which of them it holds.
    """

    DEFAULT_CSS = """
    ChoiceField { height: 1; width: auto; }
    ChoiceField:focus { background: $primary; color: $text; text-style: bold; }
    ChoiceField:disabled { color: $text-disabled; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "previous", show=False),
        Binding("right,space", "turn(1)", "next", show=False),
    ]

    class Changed(Message):
        """It holds another word."""

        def __init__(self, field: ChoiceField) -> None:
            super().__init__()
            self.field = field

    def __init__(self, caption: str, words: Sequence[str], place: int = 0, *, id: str | None = None) -> None:  # noqa: A002  as all widgets
        super().__init__(id=id)
        self._caption = caption
        self._words = list(words)
        self._place = place

    @property
    def place(self) -> int:
        """Which of the words it holds."""
        return self._place

    @property
    def word(self) -> str:
        """What it holds; empty for nothing."""
        return self._words[self._place] if self._words else ""

    def hold(self, words: Sequence[str], word: str) -> None:
        """Offers other words, and holds one of them; the first where it is not among them."""
        if list(words) != self._words or word != self.word:
            self._words = list(words)
            self._place = self._words.index(word) if word in self._words else 0
            self.refresh(layout=True)

    def action_turn(self, step: int) -> None:
        """Takes the next word; after the last comes the first."""
        if len(self._words) > 1:
            self._take((self._place + step) % len(self._words))

    def _take(self, place: int) -> None:
        if place != self._place:
            self._place = place
            self.refresh()
            self.post_message(self.Changed(self))

    def on_key(self, event: events.Key) -> None:
        """Goes to the next word with a typed letter."""
        typed = event.character
        if not typed or not typed.isprintable() or typed == " ":
            return
        count = len(self._words)
        for step in range(1, count + 1):
            place = (self._place + step) % count
            if self._words[place].lower().startswith(typed.lower()):
                event.stop()
                self._take(place)
                return

    def on_click(self) -> None:
        """Takes the next word."""
        self.action_turn(1)

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002
        """Room for the widest word."""
        return len(self._caption) + 5 + max((cell_len(safe_text(word)) for word in self._words), default=0)

    def render(self) -> Text:
        """Caption and word."""
        width = self.content_size.width
        line = Text(no_wrap=True, overflow="crop", end="")
        line.append(f"{self._caption} ", style="" if self.has_focus else "dim")
        word = fit(safe_text(self.word), max(width - line.cell_len - 4, 1))
        line.append(f"< {word} >" if len(self._words) > 1 else f"  {word}")
        return line
