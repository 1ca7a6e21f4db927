"""The tree of blocks, drawn line by line from flat arrays: its size costs nothing on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from paramtui.tui.actions import bindings
from paramtui.tui.opened import facts, label, value_of
from paramtui.tui.widgets.strips import fit, strip

if TYPE_CHECKING:
    from rich.style import Style
    from textual import events
    from textual.binding import BindingType

    from paramtui.tui.opened import Opened

# Deeper rows are not indented further; a name has at least this many cells before facts are shown.
MAX_INDENT = 12
MIN_NAME = 14


class TreePane(ScrollView, can_focus=True):
    """The visible rows of a `TreeView` and a cursor on one of them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tree--cursor",
        "tree--block",
        "tree--facts",
        "tree--value",
        "tree--mark",
    }
    BINDINGS: ClassVar[list[BindingType]] = bindings("tree")

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    class Chosen(Message):
        """A person wants to look at the row under the cursor."""

    def __init__(self) -> None:
        super().__init__(id="tree")
        self._opened: Opened | None = None
        self._cursor = 0

    @property
    def row(self) -> int:
        """The tree row under the cursor; -1 before a target is open."""
        if self._opened is None or not self._opened.view.rows:
            return -1
        return self._opened.view.rows[self._cursor]

    def open(self, opened: Opened) -> None:
        """Shows a tree from its first row."""
        self._opened = opened
        self._cursor = 0
        self._resized()
        self.post_message(self.Moved(self.row))

    def _resized(self) -> None:
        """The number of rows has changed."""
        if self._opened is not None:
            self.virtual_size = Size(1, len(self._opened.view))
            self.refresh()

    # Moves

    def go(self, place: int) -> None:
        """Puts the cursor on a place among the visible rows and scrolls just enough to show it."""
        if self._opened is None or not self._opened.view.rows:
            return
        place = min(max(place, 0), len(self._opened.view) - 1)
        before, self._cursor = self._cursor, place
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if place < top:
            self.scroll_to(y=place, animate=False, immediate=True)
        elif place >= top + height:
            self.scroll_to(y=place - height + 1, animate=False, immediate=True)
        if before != place:
            for line in (before, place):
                self.refresh_line(line - self.scroll_offset.y)
            self.post_message(self.Moved(self.row))

    def go_to_row(self, row: int) -> None:
        """Puts the cursor on a tree row, opening the blocks around it."""
        if self._opened is not None:
            place = self._opened.view.reveal(row)
            self._resized()
            self.go(place)

    def refresh_line(self, y: int) -> None:
        """Draws one visible line again."""
        self.refresh(Region(0, y, self.size.width, 1))

    def action_move(self, rows: int) -> None:
        """Moves the cursor by rows."""
        self.go(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Moves the cursor by screenfuls."""
        self.go(self._cursor + pages * max(self.size.height - 1, 1))

    def action_first(self) -> None:
        """Moves to the first row."""
        self.go(0)

    def action_last(self) -> None:
        """Moves to the last row."""
        if self._opened is not None:
            self.go(len(self._opened.view) - 1)

    # Opening and closing

    def action_toggle_block(self) -> None:
        """Opens or closes the block under the cursor."""
        opened, row = self._opened, self.row
        if opened is not None and row >= 0 and opened.tree.is_block(row):
            opened.view.toggle(row)
            self._resized()

    def action_enter(self) -> None:
        """Opens or closes a block; shows the values of anything else."""
        opened, row = self._opened, self.row
        if opened is None or row < 0:
            return
        if opened.tree.is_block(row):
            self.action_toggle_block()
        else:
            self.post_message(self.Chosen())

    def action_inside(self) -> None:
        """Opens a closed block, goes to the first row of an open one, or to the values."""
        opened, row = self._opened, self.row
        if opened is None or row < 0:
            return
        if not opened.tree.is_block(row):
            self.post_message(self.Chosen())
        elif opened.view.is_expanded(row):
            self.go(self._cursor + 1)
        else:
            self.action_toggle_block()

    def action_outside(self) -> None:
        """Closes an open block, or goes to the block around."""
        opened, row = self._opened, self.row
        if opened is None or row < 0:
            return
        if opened.view.is_expanded(row):
            self.action_toggle_block()
            return
        above = opened.view.place(opened.tree.parent[row])
        if above is not None:
            self.go(above)

    def action_expand_all(self) -> None:
        """Opens all blocks."""
        opened, row = self._opened, self.row
        if opened is not None and row >= 0:
            opened.view.expand_all()
            self._keep_on(row)

    def action_collapse_all(self) -> None:
        """Closes all blocks; the cursor goes to the outermost one around it."""
        opened, row = self._opened, self.row
        if opened is not None and row >= 0:
            opened.view.collapse_all()
            self._keep_on(row)

    def _keep_on(self, row: int) -> None:
        """After rows came or went: the cursor stays on its row, or on the nearest block around it."""
        opened = self._opened
        if opened is None:
            return
        before = row
        place = opened.view.place(row)
        while place is None and row > 0:
            row = opened.tree.parent[row]
            place = opened.view.place(row)
        self._resized()
        # The number of the cursor's line may be the same on another row.
        self._cursor = -1
        self.go(place or 0)
        if self.row == before:
            self.refresh()

    # Mouse

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on a row; a click on its arrow, or a second one, opens or closes it."""
        opened = self._opened
        offset = event.get_content_offset(self)
        if opened is None or offset is None:
            return
        place = offset.y + self.scroll_offset.y
        if place >= len(opened.view):
            return
        self.go(place)
        arrow = self._gutter() + self._indent(self.row)
        if arrow <= offset.x < arrow + 2:
            self.action_toggle_block()
        elif event.chain == 2:
            self.action_enter()

    # Drawing

    def _gutter(self) -> int:
        """Cells of the marks that stand before every row: cursor, group, problem."""
        opened = self._opened
        if opened is None:
            return 0
        letters = min(max(map(len, opened.letters.values()), default=0), 3)
        return 1 + letters + opened.problems

    def _indent(self, row: int) -> int:
        opened = self._opened
        return 0 if opened is None else 2 * min(max(opened.tree.depth[row] - 1, 0), MAX_INDENT)

    def render_line(self, y: int) -> Strip:
        """One row of the tree."""
        width, base = self.size.width, self.rich_style
        opened = self._opened
        place = y + self.scroll_offset.y
        if opened is None or place >= len(opened.view):
            return Strip.blank(width, base)
        here = place == self._cursor
        row = opened.view.rows[place]
        cursor = self.get_component_rich_style("tree--cursor") if here else base
        return strip(self._pieces(opened, row, cursor, here=here), width, cursor)

    def _pieces(self, opened: Opened, row: int, cursor: Style, *, here: bool) -> list[tuple[str, Style]]:
        tree = opened.tree
        tensor = tree.tensor[row]
        block = tree.is_block(row)

        def style(name: str) -> Style:
            # Under the cursor all text takes the cursor's colours, which are chosen to be read together.
            return cursor if here else self.get_component_rich_style(f"tree--{name}")

        gutter = self._gutter()
        marks = opened.letters.get(tensor, "") if tensor >= 0 else ""
        if opened.problems:
            unreadable = tensor >= 0 and opened.listing.problem(tensor) is not None
            marks = marks.ljust(gutter - 2) + ("?" if unreadable else " ")
        indent = " " * self._indent(row)
        arrow = ("▾ " if opened.view.is_expanded(row) else "▸ ") if block else "  "
        pieces = [(">" if here else " ", cursor), (marks.ljust(gutter - 1), style("mark"))]
        left = gutter + len(indent) + len(arrow)
        room = max(self.size.width - left - 1, 1)
        name = label(opened, row)
        name_style = style("block") if block else cursor
        value = None if block else value_of(opened, row)
        if value is not None:
            shown = fit(name, room)
            pieces += [(indent + arrow, cursor), (shown, name_style)]
            rest = room - cell_len(shown) - 2
            if rest > 3:
                pieces.append(("  " + fit(value, rest), style("value")))
            return pieces
        tail = self._facts(opened, row, room, cell_len(name))
        shown = fit(name, room - cell_len(tail))
        fill = " " * (room - cell_len(tail) - cell_len(shown))
        return [*pieces, (indent + arrow, cursor), (shown + fill, name_style), (tail, style("facts"))]

    def _facts(self, opened: Opened, row: int, room: int, name: int) -> str:
        """As many facts of a row as there is room for, in columns."""
        found = facts(opened, row)
        widest = self.size.width - self._gutter() - 1
        # What the pane has room for on every row, so that columns stay in place.
        shown = 3
        while shown and widest - sum(width + 1 for width in opened.columns[:shown]) < MIN_NAME:
            shown -= 1
        while shown:
            columns = opened.columns[:shown]
            texts = found[:shown]
            if opened.tree.tensor[row] < 0 and len(found) > shown:
                texts = found[len(found) - shown :]
            texts += [""] * (shown - len(texts))
            parts = [fit(text, width).rjust(width) for text, width in zip(texts, columns, strict=True)]
            tail = " ".join(parts).lstrip()
            if name + cell_len(tail) + 2 <= room:
                return tail
            shown -= 1
        return ""
