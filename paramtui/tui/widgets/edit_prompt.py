"""The line for changes, with what it would change and the PyTorch for it below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual.containers import Horizontal
from textual.widgets import Static

from paramtui.tui.widgets.prompt import Prompt
from paramtui.tui.widgets.typed_line import TypedLine

if TYPE_CHECKING:
    from textual.app import ComposeResult

EDIT: Final = "edit"


class EditPrompt(Prompt):
    """Three lines: what is typed, what it would change, and the line of PyTorch."""

    DEFAULT_CSS = """
    EditPrompt { height: 3; layout: vertical; }
    EditPrompt #prompt-typed { height: 1; width: 100%; }
    EditPrompt #prompt-note { width: 100%; max-width: 100%; padding: 0; color: $text;
                             text-wrap: nowrap; text-overflow: ellipsis; }
    EditPrompt #prompt-note.-wrong { color: $text-error; }
    EditPrompt #prompt-torch { width: 100%; height: 1; color: $text-muted;
                              text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, label: str, text: str, hint: str) -> None:
        super().__init__(EDIT, label, text, hint)

    def compose(self) -> ComposeResult:
        """Label and line, then the two lines about it."""
        with Horizontal(id="prompt-typed"):
            yield Static(Text(self._label), id="prompt-label", markup=False)
            line = TypedLine(self._text, id="prompt-line", compact=True, select_on_focus=False)
            line.cursor_position = len(self._text)
            yield line
        yield Static(_one_line(self._hint), id="prompt-note", markup=False)
        yield Static(Text("enter changes   esc back"), id="prompt-torch", markup=False)

    def tell(self, effect: str, torch: str, *, wrong: bool = False) -> None:
        """Says what would change, and in which line of PyTorch; or what is wrong."""
        note = self.query_one("#prompt-note", Static)
        note.set_class(wrong, "-wrong")
        note.update(_one_line(effect))
        self.query_one("#prompt-torch", Static).update(_one_line(torch or "enter changes   esc back"))


def _one_line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
