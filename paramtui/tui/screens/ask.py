"""A question over the screen that one key answers."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from paramtui.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

# Seconds without a key after which one answers what came by itself.
QUIET = 0.6


class Choice(NamedTuple):
    """One answer.

    Attributes:
        keys: Keys that give it, as Textual names them.
        words: What it does.
        answer: What the screen gives.
        shown: How many of the keys are shown.
    """

    keys: tuple[str, ...]
    words: str
    answer: str
    shown: int = 1


class AskScreen(Dialog[str]):
    """Gives the answer that was chosen.

    Args:
        title: What it is about.
        words: What a person should know before answering.
        choices: The answers; escape must be a key of one.
        unasked: It comes by itself, not at a key: what is being typed meanwhile is no answer.
    """

    CSS = """
    AskScreen { align: center middle; background: $background 60%; }
    #ask { width: 84; max-width: 98%; height: auto; max-height: 95%; padding: 0 2;
           border: round $accent; background: $background; }
    #ask-words { height: auto; max-height: 18; }
    #ask-choices { height: auto; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll(-1)", "up", show=False),
        Binding("down", "scroll(1)", "down", show=False),
    ]

    def __init__(
        self, title: str, words: Sequence[Text], choices: Sequence[Choice], *, unasked: bool = False
    ) -> None:
        super().__init__()
        self._quiet_since = math.inf if unasked else -math.inf
        self._title = title
        self._words = words
        self._choices = choices

    def compose(self) -> ComposeResult:
        """Words, then the answers with their keys."""
        with Vertical(id="ask") as box:
            box.border_title = Text(self._title)
            with VerticalScroll(id="ask-words", can_focus=False):
                yield Static(Text("\n").join(self._words), markup=False)
            shown = [" ".join(map(_shown, choice.keys[: choice.shown])) for choice in self._choices]
            lines = []
            for keys, choice in zip(shown, self._choices, strict=True):
                line = Text()
                line.append(f"{keys:<{max(map(len, shown))}}  ", "bold")
                line.append(choice.words)
                lines.append(line)
            yield Static(Text("\n").join(lines), id="ask-choices", markup=False)

    def on_mount(self) -> None:
        """From the first paint on a person can read it."""
        self.call_after_refresh(self._painted)

    def _painted(self) -> None:
        self._quiet_since = min(self._quiet_since, time.monotonic())

    def on_key(self, event: events.Key) -> None:
        """Answers."""
        now = time.monotonic()
        if now - self._quiet_since < QUIET:
            if self._quiet_since < math.inf:
                self._quiet_since = now
            event.stop()
            event.prevent_default()
            return
        key = "escape" if event.key == "ctrl+g" else event.key
        for choice in self._choices:
            if key in choice.keys:
                event.stop()
                event.prevent_default()
                self.dismiss(choice.answer)
                return

    def answer(self, answer: str) -> None:
        """Answers in a person's stead."""
        if any(choice.answer == answer for choice in self._choices):
            self.dismiss(answer)

    def action_scroll(self, lines: int) -> None:
        """Moves by lines."""
        self.query_one("#ask-words").scroll_relative(y=lines, animate=False)


def _shown(key: str) -> str:
    return {"escape": "esc"}.get(key, key)
