"""The tree of blocks, drawn line by line from flat arrays: its size costs nothing on screen."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from rich.text import Text
from textual.actions import SkipAction
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from paramtui.core.text import safe_text
from paramtui.tui import tree_rows
from paramtui.tui.actions import bindings
from paramtui.tui.pages import counted
from paramtui.tui.tree_rows import RowLook
from paramtui.tui.widgets.strips import strip

if TYPE_CHECKING:
    from rich.style import Style
    from textual import events
    from textual.binding import BindingType

    from paramtui.core.flat_view import FlatView
    from paramtui.core.search import Query
    from paramtui.core.tree_view import TreeView
    from paramtui.tui.opened import Opened

    View: TypeAlias = TreeView | FlatView


class TreePane(ScrollView, can_focus=True):
    """The visible rows of a view and a cursor on one of them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tree--cursor",
        "tree--block",
        "tree--facts",
        "tree--value",
        "tree--mark",
        "tree--match",
    }
    BINDINGS: ClassVar[list[BindingType]] = bindings("tree")

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    class Jumped(Message):
        """The cursor left a row for one that is not beside it."""

        def __init__(self, before: int, row: int) -> None:
            super().__init__()
            self.before = before
            self.row = row

    class Chosen(Message):
        """A person wants to look at the row under the cursor."""

    def __init__(self) -> None:
        super().__init__(id="tree")
        self._opened: Opened | None = None
        self._flat: FlatView | None = None
        self._query: Query | None = None
        self._cursor = 0
        self._unfiltered: bytes | None = None
        self._kept: list[int] | None = None

    @property
    def row(self) -> int:
        """The tree row under the cursor; -1 where there is none."""
        view = self.view
        if view is None or not view.rows:
            return -1
        return view.rows[min(self._cursor, len(view.rows) - 1)]

    @property
    def view(self) -> View | None:
        """The rows on screen: of the tree, or of a flat list."""
        return self._flat or (self._opened.view if self._opened is not None else None)

    @property
    def flat(self) -> FlatView | None:
        """The flat list, while it is shown."""
        return self._flat

    def open(self, opened: Opened) -> None:
        """Shows a tree from its first row."""
        self._opened = opened
        self._flat = None
        self._query = None
        self._unfiltered = None
        self._cursor = 0
        self.scroll_to(y=0, animate=False, immediate=True)
        self._resized()
        self._title()
        self.post_message(self.Moved(self.row))

    def _resized(self) -> None:
        """The number of rows has changed."""
        view = self.view
        if view is not None:
            self.virtual_size = Size(1, len(view))
            self.refresh()

    def _title(self) -> None:
        opened, flat = self._opened, self._flat
        words = ""
        if opened is not None and flat is not None:
            inside = f" in {tree_rows.full_label(opened, flat.root)}" if flat.root else ""
            way = " (reversed)" if flat.reverse else ""
            words = f"{counted(len(flat), 'tensor')}{inside}, by {flat.order}{way}"
        if self._kept is not None and self._query is not None:
            # What is hidden must not be taken for missing.
            words += f"{', ' if words else ''}only {safe_text(self._query.text, 30)}"
        self.border_title = Text(words) if words else None

    # Moves

    def go(self, place: int, *, jump: bool = False) -> None:
        """Puts the cursor on a place among the visible rows and scrolls just enough to show it."""
        view = self.view
        if view is None or not view.rows:
            return
        place = min(max(place, 0), len(view) - 1)
        row_before = self.row if self._cursor >= 0 else -1
        before, self._cursor = self._cursor, place
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if place < top:
            above = height // 3 if jump else 0
            self.scroll_to(y=max(place - above, 0), animate=False, immediate=True)
        elif place >= top + height:
            above = height // 3 if jump else height - 1
            self.scroll_to(y=place - above, animate=False, immediate=True)
        if before != place:
            for line in (before, place):
                self.refresh_line(line - self.scroll_offset.y)
            self.post_message(self.Moved(self.row))
            if jump and row_before >= 0:
                self.post_message(self.Jumped(row_before, self.row))

    def go_to_row(self, row: int) -> None:
        """Puts the cursor on a tree row, opening the blocks around it and ending a filter that hides it."""
        opened = self._opened
        if opened is None:
            return
        if self._flat is not None and self._flat.place(row) is None:
            self.end_flat()
        view = self._flat or opened.view
        count = len(view)
        try:
            place = view.reveal(row)
        except KeyError:
            self.end_filter()
            place = view.reveal(row)
        if count != len(view):
            self._at_row_before(place)
        self.go(place, jump=True)

    def _at_row_before(self, place: int) -> None:
        # Rows came or went above: the old place means another row now.
        self._resized()
        if self._cursor == place:
            self._cursor = -1

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
        self.go(0, jump=True)

    def action_last(self) -> None:
        """Moves to the last row."""
        if self.view is not None:
            self.go(len(self.view) - 1, jump=True)

    def action_parent(self) -> None:
        """Moves to the block around."""
        opened, row = self._opened, self.row
        if opened is None or row < 0 or self._flat is not None:
            return
        above = opened.view.place(opened.tree.parent[row])
        if above is not None:
            self.go(above, jump=True)

    def action_sibling(self, step: int) -> None:
        """Moves to the next or previous row of the same block."""
        opened, row = self._opened, self.row
        if opened is None or row <= 0 or self._flat is not None:
            self.action_move(step)
            return
        shown = [
            found
            for found in opened.tree.children(opened.tree.parent[row])
            if opened.view.place(found) is not None
        ]
        at = shown.index(row) + step
        if 0 <= at < len(shown):
            place = opened.view.place(shown[at])
            if place is not None:
                self.go(place)

    # Opening and closing

    def action_toggle_block(self) -> None:
        """Opens or closes the block under the cursor."""
        opened, row = self._opened, self.row
        if opened is not None and self._flat is None and row >= 0 and opened.tree.is_block(row):
            opened.view.toggle(row)
            self._resized()

    def action_enter(self) -> None:
        """Opens or closes a block; shows the values of anything else."""
        opened, row = self._opened, self.row
        if opened is None or row < 0:
            return
        if self._flat is None and opened.tree.is_block(row):
            self.action_toggle_block()
        else:
            self.post_message(self.Chosen())

    def action_inside(self) -> None:
        """Opens a closed block, goes to the first row of an open one, or to the values."""
        opened, row = self._opened, self.row
        if opened is None or row < 0:
            return
        if self._flat is not None or not opened.tree.is_block(row):
            self.post_message(self.Chosen())
        elif opened.view.is_expanded(row):
            self.go(self._cursor + 1)
        else:
            self.action_toggle_block()

    def action_outside(self) -> None:
        """Closes an open block, or goes to the block around."""
        opened, row = self._opened, self.row
        if opened is None or row < 0 or self._flat is not None:
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
        if opened is not None and row >= 0 and self._flat is None:
            opened.view.expand_all()
            self.keep_on(row)

    def action_collapse_all(self) -> None:
        """Closes all blocks; the cursor goes to the outermost one around it."""
        opened, row = self._opened, self.row
        if opened is not None and row >= 0 and self._flat is None:
            opened.view.collapse_all()
            self.keep_on(row)

    def keep_on(self, row: int) -> None:
        """After rows came or went: the cursor stays on its row, or on the nearest block around it."""
        opened, view = self._opened, self.view
        if opened is None or view is None:
            return
        before = row
        place = view.place(row) if row >= 0 else None
        while place is None and row > 0:
            row = opened.tree.parent[row]
            place = view.place(row)
        self._resized()
        # The number of the cursor's line may be the same on another row.
        self._cursor = -1
        self.go(place or 0, jump=True)
        if self.row == before:
            self.refresh()

    # The flat list

    def show_flat(self, root: int) -> None:
        """Shows all tensors of a block as one list."""
        from paramtui.core.flat_view import FlatView

        opened, row = self._opened, self.row
        if opened is None or not opened.tree.tensors[root]:
            return
        self._flat = FlatView(opened.tree, root)
        self._refilter()
        self._title()
        first = next((found for found in self._flat.rows if found >= row), -1)
        self.keep_on(first)

    def end_flat(self) -> None:
        """Shows the tree again, with the cursor on the same row."""
        opened, row = self._opened, self.row
        if opened is None or self._flat is None:
            return
        self._flat = None
        self._title()
        if row >= 0:
            try:
                opened.view.reveal(row)
            except KeyError:
                self.end_filter()
                opened.view.reveal(row)
        self.keep_on(row)

    def action_flat(self) -> None:
        """All tensors as one list, or the tree again."""
        if self._flat is not None:
            self.end_flat()
        else:
            self.show_flat(0)

    def action_flat_block(self) -> None:
        """All tensors of the block under the cursor, or around it, as one list."""
        opened, row = self._opened, self.row
        if opened is None or row < 0:
            return
        self.show_flat(row if opened.tree.is_block(row) else max(opened.tree.parent[row], 0))

    def action_sort(self) -> None:
        """Puts the flat list in the next order, and shows it from its beginning."""
        from paramtui.core.ordering import ORDERS

        if self._flat is None:
            self.action_flat()
        if self._flat is not None:
            at = ORDERS.index(self._flat.order)
            self._sorted(ORDERS[(at + 1) % len(ORDERS)], reverse=self._flat.reverse)

    def action_reverse(self) -> None:
        """Turns the order of the flat list round."""
        if self._flat is not None:
            self._sorted(self._flat.order, reverse=not self._flat.reverse)

    def _sorted(self, order: str, *, reverse: bool) -> None:
        if self._flat is not None and self._flat.rows:
            self._flat.sort(order, reverse=reverse)
            self._title()
            self.keep_on(self._flat.rows[0])

    # Finding

    @property
    def filtered(self) -> bool:
        """Whether only some rows are shown."""
        return self._unfiltered is not None

    def mark(self, query: Query | None) -> None:
        """Marks in all names what is looked for."""
        self._query = query
        self.refresh()

    def find(self, query: Query, step: int, start: int) -> bool:
        """Goes to the next row that a query finds; False if there is none.

        Args:
            query: What is looked for.
            step: 1 for the next one down, -1 for up.
            start: Row to begin with, itself included when going down.
        """
        opened = self._opened
        if opened is None:
            return False
        hits = opened.finder.rows(query)
        if self._flat is not None:
            places = sorted(place for row in hits if (place := self._flat.place(row)) is not None)
            hits = [self._flat.rows[place] for place in places]
            here = self._flat.place(start) or 0
            ordered = places
        else:
            ordered = hits
            here = start
        if not hits:
            return False
        at = bisect_right(ordered, here - 1) if step > 0 else bisect_right(ordered, here - 1) - 1
        for turn in range(len(hits)):
            row = hits[(at + turn * step) % len(hits)]
            if self._flat is not None or opened.finder.touches(query, row):
                self.go_to_row(row)
                return True
        return False

    def filter(self, query: Query | None) -> int:
        """Shows only tensors and values whose names a query finds; None shows all again."""
        opened, row = self._opened, self.row
        if opened is None:
            return 0
        if query is None:
            self._query = None
            self.end_filter()
            return 0
        if self._unfiltered is None:
            self._unfiltered = opened.view.snapshot()
        self._query = query
        hits = opened.finder.leaves(query)
        self._kept = hits
        opened.view.keep(hits)
        self._refilter()
        self._title()
        self.keep_on(row)
        return len(hits)

    def _refilter(self) -> None:
        if self._flat is not None:
            self._flat.keep(self._kept)

    def end_filter(self) -> None:
        """Shows all rows again."""
        opened, row = self._opened, self.row
        if opened is None or self._unfiltered is None:
            return
        opened.view.keep(None)
        opened.view.restore(self._unfiltered)
        self._unfiltered = None
        self._kept = None
        self._query = None
        self._refilter()
        self._title()
        if row >= 0 and self._flat is None:
            opened.view.reveal(row)
        self.keep_on(row)

    def action_clear(self) -> None:
        """Ends the filter, else the flat list, else the marks of a search."""
        if self.filtered:
            self.end_filter()
        elif self._flat is not None:
            self.end_flat()
        elif self._query is not None:
            self.mark(None)
        else:
            raise SkipAction

    # Mouse

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on a row; a click on its arrow, or a second one, opens or closes it."""
        opened, view = self._opened, self.view
        offset = event.get_content_offset(self)
        if opened is None or view is None or offset is None:
            return
        place = offset.y + self.scroll_offset.y
        if place >= len(view):
            return
        self.go(place)
        arrow = tree_rows.gutter(opened) + tree_rows.indent(opened, self.row)
        if self._flat is None and arrow <= offset.x < arrow + 2:
            self.action_toggle_block()
        elif event.chain == 2:
            self.action_enter()

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One row of the tree."""
        width, base = self.size.width, self.rich_style
        opened, view = self._opened, self.view
        place = y + self.scroll_offset.y
        if opened is None or view is None or place >= len(view):
            return Strip.blank(width, base)
        here = place == self._cursor
        row = view.rows[place]
        cursor = self.get_component_rich_style("tree--cursor") if here else base

        def style(name: str) -> Style:
            # Under the cursor all text takes the cursor's colours, which are chosen to be read together.
            if here and name != "match":
                return cursor
            return self.get_component_rich_style(f"tree--{name}", partial=name == "match")

        order = self._flat.order if self._flat is not None else None
        look = RowLook(width, here, order, view.is_expanded(row), self._query, cursor, style)
        return strip(tree_rows.pieces(opened, row, look), width, cursor)
