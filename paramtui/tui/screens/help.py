"""The keys, by place, over the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from paramtui.tui.actions import ACTIONS
from paramtui.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.tui.actions import Keys

MARKS = (
    (">", "the cursor"),
    ("A B", "tensors with the same letter share memory"),
    ("*", "changed since it was opened, or something in the block was"),
    ("?", "numbers that cannot be read, or not as in the checkpoint; the right side says why"),
    ("g ! 0 -", "a gradient; with NaN or Inf in it; zero everywhere; None: never reached"),
    ("0. nan", "zeros are dim; NaN and infinities reversed (NN and I in a heatmap)"),
    ("▸ ▾", "a closed and an open block"),
    ("1 ... 79", "blocks that are built as the one above; enter shows each, left or Z one row again"),
)
CELLS = (
    ("↑ ↓ ← →", "another cell; page keys, home, end and : too"),
    ("0-9 - . * / + =", "a line: 100 sets the cell, *= 0.5 scales it"),
    ("[", "a line for other cells: [0, :3] = nan"),
    ("enter", "a line for anything: net[2].weight.data[0] = 100"),
    ("esc", "leave the cells"),
)
TITLES = {
    "tree": "In the tree",
    "values": "In the values",
    "distribution": "In the distribution",
    "screen": "Everywhere",
    "app": "",
}
KEYS_WIDTH = 16


def help_text(first: str, shown: Keys) -> Text:
    """The table of actions, those of the place `first` before the others, and the marks."""
    text = Text()

    def line(keys: str, words: str) -> None:
        text.append(f"  {keys:<{KEYS_WIDTH}}", style="bold")
        text.append(f"{words}\n")

    def actions(place: str) -> None:
        if TITLES[place]:
            text.append(f"{TITLES[place]}\n", style="bold underline")
        keys: list[str] = []
        for action in ACTIONS:
            if action.place == place:
                keys.append(shown.shown(action))
                if action.description:
                    line("  ".join(keys), action.description)
                    keys.clear()

    actions(first)
    actions("screen")
    actions("app")
    text.append("On a cell, after e in the values\n", style="bold underline")
    for keys, meaning in CELLS:
        line(keys, meaning)
    text.append("Marks\n", style="bold underline")
    for mark, meaning in MARKS:
        line(mark, meaning)
    for other in TITLES:
        if other not in (first, "screen", "app"):
            actions(other)
    text.rstrip()
    return text


class HelpScreen(Dialog[None]):
    """One screen of help; any of its keys closes it."""

    CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    #help {
        width: 76; max-width: 95%; height: auto; max-height: 95%; padding: 0 2;
        border: round $accent; background: $background;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,backspace", "dismiss", "close", show=False),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
    ]

    def __init__(self, place: str, keys: Keys) -> None:
        super().__init__()
        self._place = place
        self._keys = keys

    def compose(self) -> ComposeResult:
        """The table in a box."""
        with VerticalScroll(id="help") as box:
            box.border_title = Text("Help")
            box.border_subtitle = Text("q closes")
            yield Static(help_text(self._place, self._keys), markup=False)

    def action_scroll(self, lines: int) -> None:
        """Moves by lines."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)
