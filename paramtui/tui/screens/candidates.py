"""Asks which of the models that a file defines is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from paramtui.core.text import safe_text
from paramtui.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class CandidatesScreen(Dialog[str | None]):
    """Gives the target that was chosen, or None."""

    CSS = """
    CandidatesScreen { align: center middle; background: $background 60%; }
    #candidates { width: 70; max-width: 95%; height: auto; max-height: 80%; border: round $accent;
                  background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "close", show=False),
        Binding("j", "move(1)", "down", show=False),
        Binding("k", "move(-1)", "up", show=False),
    ]

    def __init__(self, target: str, candidates: list[str]) -> None:
        super().__init__()
        self._target = target
        self._candidates = candidates

    def compose(self) -> ComposeResult:
        """The list."""
        options = [
            Option(Text(safe_text(name, 200)), id=str(place)) for place, name in enumerate(self._candidates)
        ]
        chooser = OptionList(*options, id="candidates", markup=False, compact=True)
        chooser.border_title = Text(f"{safe_text(self._target, 50)} defines several models: which one?")
        chooser.border_subtitle = Text("enter opens   esc back")
        yield chooser

    def action_move(self, step: int) -> None:
        """Moves in the list."""
        chooser = self.query_one(OptionList)
        chooser.action_cursor_down() if step > 0 else chooser.action_cursor_up()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._candidates[int(event.option_id or 0)])
