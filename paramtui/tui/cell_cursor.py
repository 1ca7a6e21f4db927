"""A cursor on one cell of a grid: how it moves, and what it says of the cell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from paramtui.tui.grid import NONE

if TYPE_CHECKING:
    from paramtui.tui.cells import CellBlock
    from paramtui.tui.grid import Grid


class CellCursor(NamedTuple):
    """A cell of a slice, by row and column."""

    row: int
    column: int

    def moved(self, grid: Grid, rows: int, columns: int) -> CellCursor:
        """The cell so many rows down and columns to the right; stops at the edges."""
        return CellCursor(self.row + rows, self.column + columns).inside(grid)

    def inside(self, grid: Grid) -> CellCursor:
        """The nearest cell that the grid has."""
        return CellCursor(
            max(min(self.row, grid.rows - 1), 0),
            max(min(self.column, grid.columns - 1), 0),
        )

    def shown_in(self, grid: Grid, height: int, width: int) -> Grid:
        """The grid scrolled just enough to show the cell in `height` rows and `width` columns."""
        top = min(max(grid.top, self.row - height + 1), self.row)
        left = min(max(grid.left, self.column - width + 1), self.column)
        return replace(grid, top=top, left=left)

    def place(self, grid: Grid) -> tuple[int, ...]:
        """The index of the cell in the tensor."""
        found = list(grid.index)
        if grid.row_dim != NONE:
            found[grid.row_dim] = self.row
        if grid.col_dim != NONE:
            found[grid.col_dim] = self.column
        return tuple(found)

    def index_text(self, grid: Grid) -> str:
        """The index as it is typed: ``3, 0, 7``."""
        return ", ".join(map(str, self.place(grid)))

    def value(self, grid: Grid, block: CellBlock) -> object:
        """The number in the cell; None where it lies outside of what was read."""
        row, column = self.row - grid.top, self.column - grid.left
        if 0 <= row < len(block.values) and 0 <= column < len(block.values[row]):
            return block.values[row][column]
        return None


def on_index(grid: Grid, index: tuple[int, ...]) -> tuple[Grid, CellCursor]:
    """The slice of a grid that has an index in it, and the cell there."""
    row = 0 if grid.row_dim == NONE else index[grid.row_dim]
    column = 0 if grid.col_dim == NONE else index[grid.col_dim]
    return replace(grid, index=index), CellCursor(row, column)


def first_cell(grid: Grid, height: int, width: int) -> CellCursor:
    """Where a cursor begins: at the cell that was gone to where it is in sight, else at the first one."""
    if grid.mark is not None:
        row, column = grid.mark
        if grid.top <= row < grid.top + height and grid.left <= column < grid.left + width:
            return CellCursor(row, column)
    return CellCursor(grid.top, grid.left)


def exact_text(value: object) -> str:
    """A number with all its digits."""
    if isinstance(value, list):
        return "/".join(map(repr, value))
    return "…" if value is None else repr(value)


def cell_text(cell: CellCursor, grid: Grid, block: CellBlock) -> str:
    """``[3, 7] = 0.10000000149011612``."""
    index = cell.index_text(grid)
    return f"[{index or '...'}] = {exact_text(cell.value(grid, block))}"
