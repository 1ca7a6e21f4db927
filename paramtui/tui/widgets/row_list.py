"""Rows of a tree with a cursor, drawn line by line from flat arrays: their number costs nothing on screen."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from paramtui.tui import tree_rows
from paramtui.tui.tree_rows import RowLook
from paramtui.tui.widgets.strips import strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

    from paramtui.core.flat_view import FlatView
    from paramtui.core.search import Query
    from paramtui.core.sorted_view import SortedView
    from paramtui.core.tree_view import TreeView
    from paramtui.tui.opened import Opened
    from paramtui.tui.widgets.figured import Figured

    View: TypeAlias = TreeView | SortedView | FlatView


# Seconds for which rows that have changed are lit.
FLASH = 0.6


class RowList(ScrollView, can_focus=True):
    """The visible rows of a view and a cursor on one of them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tree--cursor",
        "tree--block",
        "tree--facts",
        "tree--value",
        "tree--mark",
        "tree--match",
        "tree--flash",
    }

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
        # From when a figure is first shown of each row.
        self._figured: Figured | None = None
        self._query: Query | None = None
        self._cursor = 0
        self._unfiltered: bytes | None = None
        self._kept: list[int] | None = None
        # Rows that are lit for a moment, ascending.
        self._lit: Sequence[int] = ()

    @property
    def row(self) -> int:
        """The tree row under the cursor; -1 where there is none."""
        view = self.view
        if view is None or not view.rows:
            return -1
        return view.rows[min(self._cursor, len(view.rows) - 1)]

    @property
    def view(self) -> View | None:
        """The rows on screen: of the tree, in its order or in that of a figure, or of a flat list."""
        if self._flat is not None:
            return self._flat
        if self._figured is not None and self._figured.ordered is not None:
            return self._figured.ordered
        return self._opened.view if self._opened is not None else None

    @property
    def flat(self) -> FlatView | None:
        """The flat list, while it is shown."""
        return self._flat

    def _resized(self) -> None:
        """Rows came or went, or stand in another order."""
        if self._figured is not None:
            self._figured.rows_changed()
        view = self.view
        if view is not None:
            self.virtual_size = Size(1, len(view))
            self.refresh()

    def show_words(self) -> None:
        """Writes into the frame what is shown."""

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
            self.scroll_to(y=max(place - above, 0), animate=False, immediate=True, force=True)
        elif place >= top + height:
            above = height // 3 if jump else height - 1
            self.scroll_to(y=place - above, animate=False, immediate=True, force=True)
        if before != place:
            for line in (before, place):
                self.refresh_line(line - self.scroll_offset.y)
            self.post_message(self.Moved(self.row))
            if jump and row_before >= 0:
                self.post_message(self.Jumped(row_before, self.row))

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

    def keep_on(self, row: int) -> None:
        """After rows came or went: the cursor stays on its row, or on the nearest block around it."""
        opened, view = self._opened, self.view
        if opened is None or view is None:
            return
        self._resized()
        before = row
        place = view.place(row) if row >= 0 else None
        while place is None and row > 0:
            row = opened.tree.parent[row]
            place = view.place(row)
        # The number of the cursor's line may be the same on another row.
        self._cursor = -1
        self.go(place or 0, jump=True)
        if self.row == before:
            self.refresh()

    def figures_known(self) -> None:
        """All that is known for now has come: puts rows in order by it, with the cursor on its row."""
        if self._figured is not None:
            self._figured.order_anew()
            self.show_words()

    def reordered(self, row: int) -> None:
        """Shows the same rows in another order, with the cursor on a row."""
        self.show_words()
        self.keep_on(row)
        self.refresh()

    # Drawing

    def flash(self, rows: Sequence[int]) -> None:
        """Lights some rows, or the closed blocks around them, for a moment; ascending."""
        self._lit = rows
        self.refresh()
        self.set_timer(FLASH, lambda: self._unlit(rows))

    def _unlit(self, rows: Sequence[int]) -> None:
        if self._lit is rows:
            self._lit = ()
            self.refresh()

    def _is_lit(self, row: int) -> bool:
        opened, view, lit = self._opened, self.view, self._lit
        at = bisect_left(lit, row)
        if opened is None or view is None or at == len(lit):
            return False
        return lit[at] == row or (lit[at] < opened.view.last(row) and not view.is_expanded(row))

    def _group_style(self, opened: Opened, row: int, *, expanded: bool) -> Style | None:
        """The colour of the group that a row is in, or that a closed block has names of."""
        tied = tree_rows.group_of(opened, row, expanded=expanded)
        if tied is None:
            return None
        from paramtui.tui.terminal import colour_depth
        from paramtui.tui.tie_colours import group_style

        depth, light = colour_depth(self.app), not self.app.current_theme.dark
        return self.rich_style + group_style(tied.place, depth, light)

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
        lit = self._is_lit(row)
        if lit:
            cursor += self.get_component_rich_style("tree--flash", partial=True)

        def style(name: str) -> Style:
            # Under the cursor all text takes the cursor's colours, which are chosen to be read together.
            if (here or lit) and name != "match":
                return cursor
            return self.get_component_rich_style(f"tree--{name}", partial=name == "match")

        expanded = view.is_expanded(row)

        def group(row: int) -> Style | None:
            if here or lit or not opened.ties_shown:
                return None
            return self._group_style(opened, row, expanded=expanded)

        order = self._flat.order if self._flat is not None else None
        figured = self._figured
        figure = figured.look(row, cursor, toned=not (here or lit)) if figured is not None else None
        look = RowLook(width, here, order, expanded, self._query, cursor, style, group, figure)
        return strip(tree_rows.pieces(opened, row, look), width, cursor)
