"""Makes the page of a row: reads the numbers that it shows, and keeps those read before."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from paramtui.errors import ParamtuiError
from paramtui.tui import pages
from paramtui.tui.cells import CellFormat, least_width, write_cells
from paramtui.tui.opened import expression

if TYPE_CHECKING:
    from paramtui.core.source import Window
    from paramtui.tui.cells import CellBlock
    from paramtui.tui.grid import Grid
    from paramtui.tui.opened import Opened
    from paramtui.tui.pages import Page

KEPT_WINDOWS = 64
MAX_CELLS_READ = 40_000


class Wanted(NamedTuple):
    """What a page is asked for.

    Attributes:
        row: Tree row; -1 for the file as a whole.
        grid: Which window of numbers, where it is a tensor with cells.
        height, width: Cells on screen that numbers can take.
        cell_width: Cells on screen of one number; 0 where its width shows when it is written.
        format: How the numbers seen so far were written.
    """

    row: int
    grid: Grid | None
    height: int
    width: int
    cell_width: int
    format: CellFormat


class PageMaker:
    """Makes the pages of one target."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._windows: OrderedDict[tuple[object, ...], Window] = OrderedDict()

    def forget(self) -> None:
        """Reads all numbers anew from now on."""
        self._windows.clear()

    async def page(self, wanted: Wanted) -> tuple[Page, CellFormat]:
        """The page of a row, and how its numbers are written; what went wrong is a page too."""
        opened, row = self._opened, wanted.row
        tree = opened.tree
        try:
            if row < 0:
                page = await asyncio.to_thread(pages.file_page, opened)
            elif tree.is_block(row) or (tree.tensor[row] < 0 and tree.value[row] < 0):
                page = await asyncio.to_thread(pages.block_page, opened, row, wanted.width)
            elif tree.tensor[row] < 0:
                page = await asyncio.to_thread(pages.value_page, opened, row)
            else:
                return await self._tensor_page(wanted)
        except ParamtuiError as error:
            page = pages.error_page(opened, row, str(error))
        except MemoryError:
            page = pages.error_page(opened, row, "there is not enough memory to read this")
        return page, wanted.format

    async def _tensor_page(self, wanted: Wanted) -> tuple[Page, CellFormat]:
        opened, row, grid = self._opened, wanted.row, wanted.grid
        tensor = opened.tree.tensor[row]
        listing = opened.listing
        title, head = pages.row_title(opened, row), pages.tensor_head(opened, tensor)
        way = expression(opened, row)
        problem = listing.problem(tensor)
        if problem:
            return pages.error_page(opened, row, problem), wanted.format
        if grid is None:
            sizes = listing.shape[tensor]
            count = sizes[0] or 0
            first = range(min(count, pages.RAGGED_SHOWN))
            window = await opened.source.window(tensor, (first, *[range(0)] * (len(sizes) - 1)))
            body = pages.ragged_body([part.shape for part in window.parts], count)
            return pages.Page(row, title, head, [Text(""), *body], expression=way), wanted.format
        if grid.empty:
            words = [Text(""), Text("A size is 0: there are no numbers.")]
            return pages.Page(row, title, head, words, expression=way), wanted.format
        block = await self._block(wanted, grid, tensor)
        if block is None:
            return pages.error_page(opened, row, "these numbers make no grid"), wanted.format
        return pages.Page(row, title, head, grid=grid, block=block, expression=way), block.format

    async def _block(self, wanted: Wanted, grid: Grid, tensor: int) -> CellBlock | None:
        """The numbers of a window, written; None where they make no grid."""
        opened = self._opened
        dtype = opened.listing.dtype[tensor]
        height = max(wanted.height, 1)
        cell = wanted.cell_width or least_width(dtype, grid.columns)
        picks = grid.picks(height, min(wanted.width // cell + 1, MAX_CELLS_READ // height))
        window = await self._window(opened, tensor, picks)
        values = window.values
        if values is None:
            return None
        if grid.row_dim > grid.col_dim >= 0:
            values = values.swapaxes(grid.row_dim, grid.col_dim)
        rows = len(picks[grid.row_dim]) if grid.row_dim >= 0 else 1
        columns = len(picks[grid.col_dim]) if grid.col_dim >= 0 else 1
        return write_cells(values, rows, columns, wanted.format, pairs=dtype == "float4_e2m1fn_x2")

    async def _read(self, opened: Opened, tensor: int, picks: tuple[range, ...]) -> Window:
        """The cells of a tensor, from where they lie."""
        return await opened.source.window(tensor, picks)

    async def _window(self, opened: Opened, tensor: int, picks: tuple[range, ...]) -> Window:
        """A window, from those read before where it is among them."""
        key = (tensor, picks)
        found = self._windows.get(key)
        if found is None:
            found = await self._read(opened, tensor, picks)
            self._windows[key] = found
            while len(self._windows) > KEPT_WINDOWS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        return found
