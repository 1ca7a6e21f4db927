"""Which figure a tree pane shows of each row, and rows in the order of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.style import Style

from paramtui.core.flat_view import FIGURE
from paramtui.core.ordering import ORDERS
from paramtui.core.sorted_view import SortedView
from paramtui.tui.figure_column import GIVEN, FigureColumn, bar, next_figure, tone
from paramtui.tui.opened import ability
from paramtui.tui.terminal import ascii_only, colour_depth
from paramtui.tui.tree_rows import FigureLook
from paramtui.tui.widgets.said import Said

if TYPE_CHECKING:
    from textual.timer import Timer

    from paramtui.core.flat_view import FlatView
    from paramtui.tui.figure_column import FigureCell
    from paramtui.tui.opened import Opened
    from paramtui.tui.widgets.tree_pane import TreePane

# Seconds between two looks at whether more is known: figures come from several places, many at once.
ARRIVALS: Final = 0.2
# Rows of which it is noted how they were drawn.
NOTED: Final = 1000
_BAD: Final = Style(reverse=True)


class Figured:
    """The figure that a list of rows shows, from when a person has asked for one.

    Attributes:
        column: The figure; None while none is shown.
        ordered: The tree in the order of the figure; None as it is stored.
    """

    def __init__(self, pane: TreePane, opened: Opened) -> None:
        self.column: FigureColumn | None = None
        self.ordered: SortedView | None = None
        self._pane = pane
        self._opened = opened
        self._drawn: dict[int, FigureCell] = {}
        # What was known when rows were drawn, and when tree and list were put in order.
        self._drawn_at: object = None
        self._tree_at: object = None
        self._flat_at: object = None
        self._arrivals: Timer | None = None
        self.open(opened)

    def open(self, opened: Opened) -> None:
        """Shows of a target what is asked for of it."""
        self._opened = opened
        self._show(opened.figure_shown)
        self._order_tree(opened.figure_order)

    def next(self) -> None:
        """Shows the next figure, or none after the last, and takes its order where there is that of one."""
        opened, flat, row = self._opened, self._pane.flat, self._pane.row
        opened.figure_shown = next_figure(opened)
        self._show(opened.figure_shown)
        self._order_tree(opened.figure_order)
        if flat is not None and flat.order == FIGURE:
            self._order_flat(flat, FIGURE if self.column is not None else ORDERS[0], reverse=flat.reverse)
        self._pane.reordered(row)

    def _show(self, name: str) -> None:
        self.column = FigureColumn(self._opened, name) if name else None
        self._drawn = {}
        if self._arrivals is None:
            self._arrivals = self._pane.set_interval(ARRIVALS, self._arrived, pause=True)
        if name:
            self._arrivals.resume()
        else:
            self._arrivals.pause()

    # Orders

    def sort(self) -> None:
        """Sorts the tree by the figure or no more; without one it is the flat list that has other orders."""
        pane, row = self._pane, self._pane.row
        if pane.flat is None and self.column is not None:
            self._order_tree(0 if self.ordered is not None else 1)
            pane.reordered(row)
            return
        if pane.flat is None:
            pane.action_flat()
        if pane.flat is not None:
            orders = self._orders()
            at = orders.index(pane.flat.order) if pane.flat.order in orders else 0
            self._list_anew(orders[(at + 1) % len(orders)], reverse=pane.flat.reverse)

    def reverse(self) -> None:
        """Turns the order of the flat list, or of the sorted tree, round."""
        pane, row = self._pane, self._pane.row
        if pane.flat is not None:
            self._list_anew(pane.flat.order, reverse=not pane.flat.reverse)
        elif self.ordered is not None:
            self._order_tree(-self._opened.figure_order)
            pane.reordered(row)
        else:
            pane.post_message(Said("c shows a figure in each row, S sorts by it, R turns that round"))

    def _list_anew(self, order: str, *, reverse: bool) -> None:
        """Shows the flat list in an order, from its beginning."""
        flat = self._pane.flat
        if flat is not None and flat.rows:
            self._order_flat(flat, order, reverse=reverse)
            self._pane.reordered(flat.rows[0])

    def _order_tree(self, order: int) -> None:
        """Puts the rows of each block in order: 1 for the largest first, -1 for the smallest, 0 as stored."""
        opened, column = self._opened, self.column
        opened.figure_order = order if column is not None else 0
        self.ordered = None
        if column is not None and order:
            self.ordered = SortedView(opened.view, column.values, reverse=order < 0)
            self._tree_at = column.stamp

    def _orders(self) -> list[str]:
        """The orders that a flat list can take, one after another; that of the figure first."""
        if self.column is None:
            return list(ORDERS)
        same = self.column.name
        return [ORDERS[0], FIGURE, *(order for order in ORDERS[1:] if order != same)]

    def _order_flat(self, flat: FlatView, order: str, *, reverse: bool) -> None:
        column = self.column
        flat.sort(order, reverse=reverse, values=column.values if column is not None else None)
        self._flat_at = column.stamp if column is not None else None

    def order_anew(self) -> None:
        """Puts rows in order by what has come to be known; the cursor stays on its row."""
        pane, column, row = self._pane, self.column, self._pane.row
        if column is None:
            return
        moved = False
        if self.ordered is not None and self._tree_at != column.stamp:
            self._order_tree(self._opened.figure_order)
            moved = True
        flat = pane.flat
        if flat is not None and flat.order == FIGURE and self._flat_at != column.stamp:
            self._order_flat(flat, FIGURE, reverse=flat.reverse)
            moved = True
        if moved:
            pane.reordered(row)

    def rows_changed(self) -> None:
        """Rows came or went."""
        if self.ordered is not None:
            self.ordered.renew()
        if self.column is not None:
            self.column.rows_changed()

    # Words

    def words(self) -> str:
        """Which figure is shown and in what order, and what to press for others or for those not known."""
        opened, column = self._opened, self.column
        if column is None:
            return ""
        flat = self._pane.flat
        ordered = self.ordered is not None if flat is None else flat.order == FIGURE
        out = column.words
        if ordered:
            # What has come since then has moved nothing.
            ordered_at = self._flat_at if flat is not None else self._tree_at
            so_far = " so far" if ordered_at != column.stamp else ""
            reverse = flat.reverse if flat is not None else opened.figure_order < 0
            out = f"{out}{so_far}, {'smallest' if reverse else 'largest'} first"
        out += "  c next"
        if column.name == "gradient":
            return out if opened.gradients.any else f"{out}  g runs backward"
        scanning = getattr(self._pane.screen, "scanning", False) or ability(opened.source, "scan") is None
        advised = column.name not in GIVEN and opened.figures.missing > 0 and not scanning
        return f"{out}  I looks at all tensors" if advised else out

    # Drawing

    def _arrived(self) -> None:
        """Draws again the rows on screen whose figures are not as they were drawn."""
        pane, column, view = self._pane, self.column, self._pane.view
        if column is None or view is None or column.stamp == self._drawn_at:
            return
        self._drawn_at = column.stamp
        pane.show_words()
        top = pane.scroll_offset.y
        for y, row in enumerate(view.rows[top : top + pane.size.height]):
            if column.cell(row, pane.flat) != self._drawn.get(row):
                pane.refresh_line(y)

    def look(self, row: int, base: Style, *, toned: bool) -> FigureLook | None:
        """The figure at the end of a row; None while none is shown.

        Args:
            row: Of the tree.
            base: Style of the line.
            toned: Whether the bar has a colour of its own.
        """
        column = self.column
        if column is None:
            return None
        app = self._pane.app
        cell = column.cell(row, self._pane.flat)
        if len(self._drawn) > NOTED:
            self._drawn = {}
        self._drawn[row] = cell

        def drawn(length: int) -> tuple[str, Style]:
            text = bar(cell.share, length, plain=ascii_only(app))
            if not toned:
                return text, base
            light = not app.current_theme.dark
            return text, base + tone(cell.share, colour_depth(app), negative=cell.negative, light=light)

        style = base + _BAD if cell.bad else base
        return FigureLook(column.name, cell.text, column.width, style, drawn)
