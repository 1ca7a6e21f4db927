"""What the cursor is on: facts, and a window of its numbers that is read when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.actions import SkipAction
from textual.geometry import Region
from textual.message import Message

from paramtui.tui.actions import bindings
from paramtui.tui.cells import MAX_PRECISION
from paramtui.tui.grid import Grid
from paramtui.tui.widgets.page_view import PageView

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events
    from textual.binding import BindingType

    from paramtui.tui.cell_cursor import CellCursor

# More rows or columns than any tensor has.
FAR = 1 << 62


class ValuesPane(PageView):
    """Moves the window of numbers, and changes how they are written."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("values")

    class Left(Message):
        """A person wants to go back to the tree."""

    class CellsLeft(Message):
        """No cursor stands on a cell any more."""

    # A place that was gone to before it was known how many cells there is room for, and what is seen of it.
    _goal: tuple[Grid, Grid] | None = None

    # A cursor on one cell

    @property
    def on_cells(self) -> bool:
        """Whether a cursor stands on a cell."""
        return self._cell is not None

    @property
    def cell_index(self) -> str | None:
        """Index of the cell under the cursor; None where there is none."""
        return self._cell.index_text(self._aim) if self._cell is not None and self._aim is not None else None

    def enter_cells(self) -> bool:
        """Puts a cursor on a cell; False where there are no cells."""
        from paramtui.tui.cell_cursor import first_cell

        if self._aim is None or self._aim.empty:
            return False
        if self._cell is None:
            self._cell = first_cell(self._aim, *self._room())
            self._keep_cell(self._cell, self._aim)
            # There is room for one row less now.
            self._label()
            self.refresh()
        return True

    def leave_cells(self) -> None:
        """Takes the cursor away."""
        if self._cell is not None:
            self._cell = None
            self.refresh()
            # There is room for one more row now.
            self._ask(0)

    def _keep_cell(self, cell: CellCursor, grid: Grid) -> None:
        """Puts the cursor on a cell of a slice, and scrolls just enough to show it."""
        before, self._cell = self._cell, cell
        shown = cell.shown_in(grid, *self._room())
        if shown != self._aim:
            self._aim_at(shown)
        if before is not None and self._page is not None:
            # The cell's own lines: a held-down key repaints no more than these.
            top = len(self._wrapped()[0])
            for y in {0, 1, 2 + before.row - shown.top, 2 + cell.row - shown.top}:
                self.refresh(Region(0, top + y, self.size.width, 1))

    def _move_cell(self, rows: int, columns: int) -> bool:
        """Moves the cursor where there is one; else False."""
        if self._cell is None or self._aim is None:
            return False
        self._keep_cell(self._cell.moved(self._aim, rows, columns), self._aim)
        return True

    def on_resize(self) -> None:
        """Reads the cells that there is room for now; the cursor stays in sight."""
        super().on_resize()
        if self._cell is not None and self._aim is not None:
            self._keep_cell(self._cell, self._aim)

    def _turn(self, turned: Callable[[Grid], Grid]) -> None:
        """Shows other dimensions; the cursor stays on the same number."""
        if self._aim is None:
            return
        if self._cell is None:
            self._aim_at(turned(self._aim))
            return
        from paramtui.tui.cell_cursor import on_index

        index = self._cell.place(self._aim)
        grid, cell = on_index(turned(self._aim), index)
        self._keep_cell(cell, grid)

    # Moves

    def _move(self, *, top: int | None = None, left: int | None = None) -> None:
        grid = self._aim
        height, width = self._room()
        if grid is not None:
            self._aim_at(
                grid.at(
                    top=grid.top if top is None else top,
                    left=grid.left if left is None else left,
                    height=height,
                    width=width,
                )
            )
        elif top is not None and self._page is not None:
            _, body = self._wrapped()
            before, self._top = self._top, max(min(top, len(body) - height), 0)
            if before != self._top:
                self._label()
                self.refresh()

    def _first(self) -> int:
        """The first row or line that is asked for."""
        return self._aim.top if self._aim is not None else self._top

    def go_to(self, text: str) -> None:
        """Goes to an index as typed in Python.

        Raises:
            IndexSyntaxError: It is none, or lies outside the tensor.
        """
        from paramtui.core.indexing import apply_index, parse_index
        from paramtui.errors import IndexSyntaxError

        if self._aim is None:
            raise IndexSyntaxError("there are no numbers here to go to")
        selection = apply_index(parse_index(text), self._aim.shape)
        if not all(len(pick) for pick in selection.picks):
            raise IndexSyntaxError(f"index {text!r} selects nothing")
        aim = self._aim.gone_to(selection)
        fits = self.settled and self.page is not None and self.page.row == self._row and self.size.width > 0
        height, width = self._room()
        if self._cell is not None and aim.mark is not None:
            self._cell = type(self._cell)(*aim.mark)
            self.refresh()
        seen = aim.at(top=aim.top, left=aim.left, height=height, width=width)
        self._goal = None if fits else (aim, seen)
        self._aim_at(seen)

    def loaded(self) -> None:
        """Where a place was gone to before there was a page, fills the room that there is below its facts."""
        goal, self._goal = self._goal, None
        if goal is not None and self._aim == goal[1]:
            height, width = self._room()
            self._aim_at(goal[0].at(top=goal[0].top, left=goal[0].left, height=height, width=width))

    def action_scroll_rows(self, rows: int) -> None:
        """Moves by rows or lines."""
        if self._move_cell(rows, 0):
            return
        self._move(top=self._first() + rows)

    def action_scroll_page(self, page: int) -> None:
        """Moves by screenfuls."""
        if self._move_cell(page * self._room()[0], 0):
            return
        self._move(top=self._first() + page * self._room()[0])

    def action_first_row(self) -> None:
        """Moves to the first row."""
        if self._move_cell(-FAR, 0):
            return
        self._move(top=0)

    def action_last_row(self) -> None:
        """Moves to the last row."""
        if self._move_cell(FAR, 0):
            return
        self._move(top=self._aim.rows if self._aim is not None else len(self._wrapped()[1]))

    def action_scroll_columns(self, columns: int) -> None:
        """Moves by columns; to the left of the first one lies the tree."""
        if self._move_cell(0, columns):
            return
        if columns < 0 and (self._aim is None or self._aim.left == 0):
            self.post_message(self.Left())
        elif self._aim is not None:
            self._move(left=self._aim.left + columns)

    def action_scroll_page_columns(self, page: int) -> None:
        """Moves sideways by screenfuls."""
        if self._move_cell(0, page * self._room()[1]):
            return
        if self._aim is not None:
            self._move(left=self._aim.left + page * self._room()[1])

    def action_first_column(self) -> None:
        """Moves to the first column."""
        if self._move_cell(0, -FAR):
            return
        self._move(left=0)

    def action_last_column(self) -> None:
        """Moves to the last column."""
        if self._move_cell(0, FAR):
            return
        if self._aim is not None:
            self._move(left=self._aim.columns)

    def action_step(self, slices: int) -> None:
        """Moves to another slice of the other dimensions."""
        if self._aim is not None:
            self._aim_at(self._aim.stepped(slices))

    def action_stepped_dim(self) -> None:
        """Chooses which of the other dimensions is stepped."""
        if self._aim is not None:
            self._aim_at(self._aim.next_stepped_dim())

    def action_other_rows(self) -> None:
        """Puts another dimension into the rows."""
        self._turn(Grid.other_rows)

    def action_other_columns(self) -> None:
        """Puts another dimension into the columns."""
        self._turn(Grid.other_columns)

    def action_back(self) -> None:
        """Takes the cursor from the cells, else goes back to the tree; what runs is stopped first."""
        if getattr(self.screen, "busy", "") or getattr(self.screen, "scanning", False):
            raise SkipAction
        if self._cell is not None:
            self.leave_cells()
            self.post_message(self.CellsLeft())
            return
        self.post_message(self.Left())

    # Ways of writing

    def toggle_heat(self) -> None:
        """Shows colours instead of numbers, or numbers again."""
        self._heat = not self._heat
        self._ask(0)

    def change_precision(self, digits: int) -> None:
        """Writes floats with more or fewer digits."""
        precision = max(min(self._format.precision + digits, MAX_PRECISION), 1)
        self._format = self._format.restyled(precision, scientific=self._format.scientific)
        self._ask(0)

    def toggle_scientific(self) -> None:
        """Writes all floats in powers of ten, or none."""
        self._format = self._format.restyled(self._format.precision, scientific=not self._format.scientific)
        self._ask(0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows down."""
        event.stop()
        self.action_scroll_rows(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows up."""
        event.stop()
        self.action_scroll_rows(-3)
