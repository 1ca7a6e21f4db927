"""Asks what a model is to be run with, and says what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.widgets.typed_line import TypedLine

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.errors import InputsError

EXAMPLES = (
    ("2x3x224x224", "normal random numbers of that shape, in the model's type"),
    ("int64:4x16<1000", "whole numbers from 0 to 999, as tokens"),
    ("2x8; int64:2<10", "two arguments, in order"),
    ("input_ids=int64:2x8<100", "a keyword argument"),
    ("inputs.py:batch", "what a function gives: a tensor, a tuple, or a dict of arguments"),
)


class InputsScreen(Dialog[str | None]):
    """Gives a specification of inputs, or None."""

    AUTO_FOCUS = "Input"
    CSS = """
    InputsScreen { align: center middle; background: $background 60%; }
    #inputs { width: 84; max-width: 98%; height: auto; max-height: 95%; padding: 0 2;
              border: round $accent; background: $background; }
    #inputs-words { height: auto; max-height: 16; }
    #inputs Input { margin: 1 0; }
    #inputs-problem { height: auto; color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+g", "cancel", "cancel", show=False)]

    def __init__(self, error: InputsError | None) -> None:
        super().__init__()
        self._error = error

    def compose(self) -> ComposeResult:
        """What was tried, the language, and a line."""
        with Vertical(id="inputs") as box:
            box.border_title = Text("Inputs for the forward pass")
            box.border_subtitle = Text("enter runs forward and backward   esc back")
            with VerticalScroll(id="inputs-words", can_focus=False):
                yield Static(self._words(), markup=False)
            yield TypedLine(placeholder="2x4", compact=True)
            yield Static("", id="inputs-problem", markup=False)

    def _words(self) -> Text:
        text = Text()
        if self._error is not None:
            text.append(f"{safe_text(self._error.what, 400)}\n\n", "bold")
        for spec, meaning in EXAMPLES:
            text.append(f"{spec:<25}", "bold")
            text.append(f" {meaning}\n", "dim")
        if self._error is not None and self._error.tried:
            text.append("\nTried:\n")
            for tried, result in self._error.tried:
                text.append(f"  {safe_text(tried, 60)}: ")
                text.append(f"{safe_text(result, 160)}\n", "dim")
        text.rstrip()
        return text

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        from paramtui.core.input_spec import is_function_reference, parse_inputs

        typed = event.value.strip()
        try:
            if typed and is_function_reference(typed) is None:
                parse_inputs(typed)
        except ParamtuiError as error:
            self.query_one("#inputs-problem", Static).update(Text(safe_text(str(error), 400)))
            return
        self.dismiss(typed or None)

    def action_cancel(self) -> None:
        """Leaves without inputs."""
        self.dismiss(None)
