"""Draws a window of numbers: column numbers above, row numbers at the left, both in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textual.strip import Strip

from paramtui.tui import ramps
from paramtui.tui.cells import PLAIN, SPECIAL, TINTS, ZERO
from paramtui.tui.widgets.strips import strip

if TYPE_CHECKING:
    from rich.style import Style

    from paramtui.tui.cells import Cell, CellBlock
    from paramtui.tui.grid import Grid

# Columns of a heatmap are numbered at every so many.
NUMBERED = 5


class Looks(NamedTuple):
    """How a grid is drawn.

    Attributes:
        base, label, zero, special, mark, cell, cell_label: Styles.
        tints: Styles of numbers from small to large; empty where the terminal has too few colours.
        heat: Whether cells are colours instead of numbers.
        depth: Colours that the terminal has, see `ramps`.
        light: Whether the background is light.
        cursor: Row and column of the cell that a cursor stands on; None where there is none.
    """

    base: Style
    label: Style
    zero: Style
    special: Style
    mark: Style
    cell: Style
    cell_label: Style
    tints: tuple[Style, ...]
    heat: bool
    depth: str
    light: bool
    cursor: tuple[int, int] | None = None


def label_width(grid: Grid) -> int:
    """Cells that row numbers take with the gap beside them."""
    # Of all rows on the way down, so that numbers do not move sideways with the row count's digits.
    return len(str(max(grid.rows - 1, 0))) + 1


def cell_width(grid: Grid, block: CellBlock, *, heat: bool) -> int:
    """Cells that a number takes with the gap before it."""
    if heat:
        return ramps.CELL_WIDTH
    return max(block.format.width, len(str(max(grid.columns - 1, 0)))) + 2


def header(grid: Grid, block: CellBlock, columns: int, width: int, looks: Looks) -> Strip:
    """The line of column numbers."""
    cell = cell_width(grid, block, heat=looks.heat)
    left = label_width(grid)
    if grid.col_dim < 0:
        return Strip.blank(width, looks.base)
    numbers = range(grid.left, min(grid.left + columns, grid.columns))
    if not looks.heat:
        pieces = [(" " * left, looks.label)]
        pieces += [(f"{number:>{cell}}", _label_style(number, 1, looks)) for number in numbers]
        return strip(_joined(pieces), width, looks.base)
    text = " " * left
    for place, number in enumerate(numbers):
        at = left + place * cell
        if number % NUMBERED == 0 and len(text) <= at:
            text = text.ljust(at) + f"{number} "
    return strip([(text, looks.label)], width, looks.base)


def row_line(grid: Grid, block: CellBlock, y: int, columns: int, width: int, looks: Looks) -> Strip:
    """The line of one row of cells; `y` counts from the first row on screen."""
    row = grid.top + y
    if row >= grid.rows or y >= len(block.rows):
        return Strip.blank(width, looks.base)
    number = row if grid.row_dim >= 0 else ""
    pieces = [(f"{number:>{label_width(grid) - looks.heat}}", _label_style(row, 0, looks))]
    if looks.heat:
        pieces.append((" ", looks.base))
    cell_size = cell_width(grid, block, heat=looks.heat)
    for column, cell in enumerate(block.rows[y][:columns], start=grid.left):
        marked = grid.mark == (row, column)
        if looks.cursor == (row, column):
            # The whole cell, so that it is told from the NaN in it, which is reversed too.
            pieces += [] if looks.heat else [(" ", looks.base)]
            shown = "[]" if looks.heat else cell.text.rjust(cell_size - 1)
            pieces.append((shown, looks.cell))
        elif looks.heat:
            text, style = _heat(cell, block, looks)
            pieces.append((text, looks.mark if marked else style))
        else:
            # Only the number itself is reversed, not the gap beside it.
            pieces.append((" " * (cell_size - len(cell.text)), looks.base))
            pieces.append((cell.text, looks.mark if marked else _number_style(cell, block, looks)))
    return strip(_joined(pieces), width, looks.base)


def legend(block: CellBlock, width: int, looks: Looks) -> Strip:
    """The line that says what the colours stand for."""
    pieces = ramps.legend(
        block.format.largest,
        looks.depth,
        looks.label,
        signed=block.format.negative,
        light=looks.light,
    )
    return strip(pieces, width, looks.base)


def _label_style(number: int, place: int, looks: Looks) -> Style:
    """Style of the number of a row (`place` 0) or column (1)."""
    here = looks.cursor is not None and looks.cursor[place] == number
    return looks.cell_label if here else looks.label


def _heat(cell: Cell, block: CellBlock, looks: Looks) -> tuple[str, Style]:
    return ramps.heat(
        cell.number,
        block.format.largest,
        looks.depth,
        looks.base,
        light=looks.light,
    )


def _number_style(cell: Cell, block: CellBlock, looks: Looks) -> Style:
    if cell.look == SPECIAL:
        return looks.special
    if cell.look == ZERO:
        return looks.zero
    if cell.look == PLAIN and looks.tints:
        return looks.tints[min(block.tint(cell), TINTS)]
    return looks.base


def _joined(pieces: list[tuple[str, Style]]) -> list[tuple[str, Style]]:
    """Neighbours of one style as one piece: fewer bytes on the line."""
    out: list[tuple[str, Style]] = []
    for text, style in pieces:
        if out and (style == out[-1][1] or (not text.strip() and style.bgcolor == out[-1][1].bgcolor)):
            # A gap takes the style before it where that colours letters only.
            before = out[-1][1]
            if style == before or not (before.reverse or before.underline):
                out[-1] = (out[-1][0] + text, before)
                continue
        out.append((text, style))
    return out
