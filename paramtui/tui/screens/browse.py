"""The browser: the tree on the left, the place it stands on to the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Static

from paramtui.core.text import safe_text
from paramtui.tui.actions import bindings
from paramtui.tui.opened import base_name
from paramtui.tui.widgets.lines import KeyLine, TitleLine
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.tui.opened import Opened

# Under this many columns the tree and the values take turns.
NARROW = 100
SMALLEST = (20, 5)


class BrowseScreen(Screen[None]):
    """Opens empty with a note; `open` or `fail` follows."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("screen")

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self._values_fill = False

    def compose(self) -> ComposeResult:
        """Title, note, tree and values, keys."""
        yield TitleLine(self._target)
        yield Static(Text(f"opening {base_name(self._target)}…"), id="note", markup=False)
        with Horizontal(id="panes"):
            yield TreePane()
            yield ValuesPane()
        yield KeyLine()
        yield Static("too small", id="too-small", markup=False)

    def open(self, opened: Opened) -> None:
        """Shows a target."""
        self.add_class("-open")
        self.query_one(TitleLine).open(opened)
        values, tree = self.query_one(ValuesPane), self.query_one(TreePane)
        values.open(opened)
        tree.open(opened)
        tree.focus()
        if tree.row < 0:
            values.show_row(-1)
        self._show_keys()

    def fail(self, message: str) -> None:
        """Says in the tree's place why the target cannot be opened."""
        self.add_class("-failed")
        note = self.query_one("#note", Static)
        note.update(Text(safe_text(message, 2000)))

    # Sizes

    def on_resize(self, event: events.Resize) -> None:
        """Two panes where there is room, one at a time where not."""
        width, height = event.size
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-tiny")
        self.set_class(width < NARROW, "-narrow")
        self.query_one(TitleLine).refresh()
        self._arrange()

    @property
    def narrow(self) -> bool:
        """Whether the tree and the values take turns."""
        return self.has_class("-narrow")

    def _arrange(self) -> None:
        self.set_class(self._values_fill, "-values")
        self._show_keys()

    def on_descendant_focus(self) -> None:
        """The keys are those of the pane in focus."""
        self._values_fill = isinstance(self.focused, ValuesPane)
        self._arrange()

    @property
    def place(self) -> str:
        """The place in the table of actions that has the focus."""
        return "values" if isinstance(self.focused, ValuesPane) else "tree"

    def _show_keys(self) -> None:
        line = self.query_one(KeyLine)
        if self.has_class("-open"):
            line.show_keys(self.place, "screen", "app", full=self.narrow and self._values_fill)
        else:
            line.show_keys("app")

    # Between the panes

    @on(TreePane.Moved)
    def _moved(self, event: TreePane.Moved) -> None:
        self.query_one(ValuesPane).show_row(event.row)

    @on(TreePane.Chosen)
    def _chosen(self) -> None:
        self._to_values()

    @on(ValuesPane.Left)
    def _left(self) -> None:
        self._to_tree()

    def _to_values(self) -> None:
        # A hidden widget cannot take the focus: it is shown first.
        self._values_fill = True
        self._arrange()
        self.query_one(ValuesPane).focus()

    def _to_tree(self) -> None:
        self._values_fill = False
        self._arrange()
        tree, values = self.query_one(TreePane), self.query_one(ValuesPane)
        tree.focus()
        # From the page about the file, back to that of the row.
        values.show_row(tree.row)

    def leave(self) -> bool:
        """Goes back from values that fill the screen; False if there is nothing to leave."""
        if self.narrow and self._values_fill:
            self._to_tree()
            return True
        return False

    def action_other_pane(self) -> None:
        """Moves between the tree and the values."""
        if not self.has_class("-open"):
            return
        if self.place == "tree":
            self._to_values()
        else:
            self._to_tree()

    def action_about(self) -> None:
        """Shows what is known about the file as a whole."""
        if self.has_class("-open"):
            self.query_one(ValuesPane).show_row(-1)
            self._to_values()
