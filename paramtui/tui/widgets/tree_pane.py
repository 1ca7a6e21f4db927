"""The tree of blocks: opening and closing them, the flat list, finding and filtering names."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.actions import SkipAction
from textual.message import Message

from paramtui.tui import tree_rows
from paramtui.tui.actions import bindings
from paramtui.tui.tree_words import list_words
from paramtui.tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from textual import events
    from textual.binding import BindingType

    from paramtui.core.search import Query
    from paramtui.tui.opened import Opened
    from paramtui.tui.widgets.figured import Figured


class TreePane(RowList):
    """All rows of a target, of which a view shows some."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("tree")

    class Refolded(Message):
        """What the row under the cursor stands for has changed."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    def open(self, opened: Opened) -> None:
        """Shows a tree from its first row."""
        self._opened = opened
        self._flat = None
        if self._figured is not None or opened.figure_shown:
            self._figures(opened).open(opened)
        self._query = None
        self._unfiltered = None
        self._cursor = 0
        self.scroll_to(y=0, animate=False, immediate=True, force=True)
        self._resized()
        self.show_words()
        self.post_message(self.Moved(self.row))

    def show_words(self) -> None:
        """Writes into the frame what is shown, in what order, and what is left out."""
        opened = self._opened
        # The figure first: in a narrow pane the rest may be cut.
        figured = self._figured.words() if self._figured is not None else ""
        rows = list_words(opened, self._flat, self._query if self._kept is not None else None)
        words = "   ".join(filter(None, (figured, rows)))
        self.border_title = Text(words) if words else None
        # Beside a figure the columns are others.
        gradients = opened is not None and opened.gradients.any and not opened.figure_shown
        self.border_subtitle = Text("right: gradient norm, / weight norm") if gradients else None

    def marks_changed(self) -> None:
        """Draws the rows with what is known of gradients and changes now."""
        self.show_words()
        self.refresh()

    def go_to_row(self, row: int) -> None:
        """Puts the cursor on a tree row, opening the blocks around it and ending a filter that hides it."""
        opened = self._opened
        if opened is None:
            return
        if self._flat is not None and self._flat.place(row) is None:
            self.end_flat()
        view = self.view
        if view is None:
            return
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

    def action_parent(self) -> None:
        """Moves to the block around."""
        self._go_above(jump=True)

    def _go_above(self, *, jump: bool) -> None:
        opened, view, row = self._opened, self.view, self.row
        if opened is None or view is None or row < 0 or self._flat is not None:
            return
        above = view.place(opened.tree.parent[row])
        if above is not None:
            self.go(above, jump=jump)

    def action_sibling(self, step: int) -> None:
        """Moves to the next or previous row of the same block."""
        opened, view, row = self._opened, self.view, self.row
        if opened is None or view is None or row <= 0 or self._flat is not None:
            self.action_move(step)
            return
        beside = opened.tree.children(opened.tree.parent[row])
        shown = sorted(place for found in beside if (place := view.place(found)) is not None)
        at = bisect_left(shown, view.place(row) or 0) + step
        if 0 <= at < len(shown):
            self.go(shown[at])

    # Opening and closing

    def action_toggle_block(self) -> None:
        """Opens or closes the block under the cursor."""
        opened, row = self._opened, self.row
        if opened is not None and self._flat is None and row >= 0 and opened.tree.is_block(row):
            stood = opened.view.stands_for(row) is not None
            opened.view.toggle(row)
            self._resized()
            view = self.view
            if view is not None and view.place(row) != self._cursor:
                # What it stood in for has figures of its own, and other places by them.
                self.keep_on(row)
            if stood:
                self.post_message(self.Refolded(row))

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
        """Closes an open block, folds one again that was unfolded, or goes to the block around."""
        opened, row = self._opened, self.row
        if opened is None or row < 0 or self._flat is not None:
            return
        if opened.view.is_expanded(row):
            self.action_toggle_block()
        elif not self.fold_again():
            self._go_above(jump=False)

    def fold_again(self) -> bool:
        """Folds the blocks among which the cursor stands, if they were unfolded; False if not."""
        opened, row = self._opened, self.row
        fold = opened.view.unfolded(row) if opened is not None and row >= 0 and self._flat is None else None
        if opened is None or fold is None:
            return False
        opened.view.fold(fold)
        self._refolded(row)
        return True

    def fold_everywhere(self, *, on: bool) -> None:
        """Folds all blocks that are built alike, or none."""
        opened, row = self._opened, self.row
        if opened is not None and row >= 0:
            opened.view.fold_everywhere(on=on)
            self._refolded(row)

    def _refolded(self, row: int) -> None:
        # The cursor stays on its row, or goes to the one that stands in for it.
        if self._opened is not None:
            self.keep_on(self._opened.view.standing(row))
            self.post_message(self.Refolded(self.row))

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

    # The flat list

    def show_flat(self, root: int) -> None:
        """Shows all tensors of a block as one list."""
        from paramtui.core.flat_view import FlatView

        opened, row = self._opened, self.row
        if opened is None or not opened.tree.tensors[root]:
            return
        self._flat = FlatView(opened.tree, root)
        self._refilter()
        self.show_words()
        first = next((found for found in self._flat.rows if found >= row), -1)
        self.keep_on(first)

    def end_flat(self) -> None:
        """Shows the tree again, with the cursor on the same row."""
        opened, row = self._opened, self.row
        if opened is None or self._flat is None:
            return
        self._flat = None
        self.show_words()
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

    # Figures and orders

    def _figures(self, opened: Opened) -> Figured:
        if self._figured is None:
            from paramtui.tui.widgets.figured import Figured  # not before a figure or an order is asked for

            self._figured = Figured(self, opened)
        return self._figured

    def action_next_figure(self) -> None:
        """Shows the next figure as a column, or none after the last."""
        opened, row = self._opened, self.row
        if opened is not None:
            self._figures(opened).next()
            if row >= 0 and opened.tree.is_block(row):
                # The page of a block draws how the figure runs through what is built alike.
                self.post_message(self.Refolded(row))

    def action_sort(self) -> None:
        """Sorts the tree by the figure that is shown, or no more; else the flat list in its next order."""
        if self._opened is not None:
            self._figures(self._opened).sort()

    def action_reverse(self) -> None:
        """Turns the order of the flat list, or of the sorted tree, round."""
        if self._opened is not None:
            self._figures(self._opened).reverse()

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
        self.show_words()
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
        self.show_words()
        if row >= 0 and self._flat is None and opened.view.place(row) is None:
            opened.view.reveal(row)
        self.keep_on(row)

    def action_clear(self) -> None:
        """Ends the filter, else the flat list, else the marks of a search; what runs is stopped first."""
        if getattr(self.screen, "busy", "") or getattr(self.screen, "scanning", False):
            raise SkipAction
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
