"""One line to type into at the bottom of the screen: a name to find, a filter, an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from paramtui.tui.widgets.typed_line import TypedLine

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class Prompt(Horizontal):
    """Asks for a line of text."""

    DEFAULT_CSS = """
    Prompt { height: 1; width: 100%; padding: 0 1; dock: bottom; background: $panel; }
    #prompt-label { width: auto; text-style: bold; }
    #prompt-line { width: 1fr; min-width: 12; }
    #prompt-note { width: auto; max-width: 60%; padding: 0 0 0 2; color: $text-muted; height: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "cancel", "cancel", show=False),
        Binding("up", "step(-1)", "previous", show=False),
        Binding("down", "step(1)", "next", show=False),
    ]

    class Changed(Message):
        """Another letter was typed."""

        def __init__(self, purpose: str, text: str) -> None:
            super().__init__()
            self.purpose = purpose
            self.text = text

    class Done(Changed):
        """Enter was pressed."""

    class Stepped(Message):
        """An arrow was pressed: the next or the previous find is wanted."""

        def __init__(self, purpose: str, step: int) -> None:
            super().__init__()
            self.purpose = purpose
            self.step = step

    class Cancelled(Message):
        """Nothing is wanted after all."""

        def __init__(self, purpose: str) -> None:
            super().__init__()
            self.purpose = purpose

    def __init__(self, purpose: str, label: str, text: str, hint: str) -> None:
        super().__init__(id="prompt")
        self.purpose = purpose
        self._label = label
        self._text = text
        self._hint = hint

    def compose(self) -> ComposeResult:
        """Label, line, and a note at the right."""
        yield Static(Text(self._label), id="prompt-label", markup=False)
        yield TypedLine(self._text, id="prompt-line", compact=True, select_on_focus=True)
        yield Static(Text(self._hint), id="prompt-note", markup=False)

    def take_keys(self) -> None:
        """From now on keys are typed into the line."""
        self.screen.set_focus(self.query_one(Input))

    def note(self, words: str) -> None:
        """Says something beside the line."""
        self.query_one("#prompt-note", Static).update(Text(words))

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self.purpose, event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done(self.purpose, event.value))

    def action_cancel(self) -> None:
        """Closes without a result."""
        self.post_message(self.Cancelled(self.purpose))

    def action_step(self, step: int) -> None:
        """Asks for another find."""
        self.post_message(self.Stepped(self.purpose, step))
