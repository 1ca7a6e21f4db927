"""What the cursor is on: facts, and a window of its numbers that is read when it is shown."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual import work
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from paramtui.errors import ParamtuiError
from paramtui.tui import pages
from paramtui.tui.actions import bindings
from paramtui.tui.cells import PLAIN, SPECIAL, ZERO, CellFormat, least_width, write_cells
from paramtui.tui.grid import Grid
from paramtui.tui.widgets.strips import strip, text_strip, wrapped

if TYPE_CHECKING:
    from textual import events
    from textual.binding import BindingType

    from paramtui.core.source import Window
    from paramtui.tui.opened import Opened
    from paramtui.tui.pages import Page

# A held-down key reads nothing until the cursor has rested for so long, in seconds.
REST = 0.05
# Reading that takes longer is announced.
PATIENCE = 0.3
KEPT_WINDOWS = 64
MAX_CELLS_READ = 40_000


class ValuesPane(Widget, can_focus=True):
    """The page of one row; a page is replaced whole when the next one is ready."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "values--head",
        "values--label",
        "values--special",
        "values--zero",
    }
    BINDINGS: ClassVar[list[BindingType]] = bindings("values")

    class Left(Message):
        """A person wants to go back to the tree."""

    def __init__(self) -> None:
        super().__init__(id="values")
        self._opened: Opened | None = None
        self._page: Page | None = None
        # What is asked for, which runs ahead of the page while numbers are read.
        self._row = -2
        self._aim: Grid | None = None
        self._revision = 0
        self._shown = -1  # the revision of the page
        self._waiting = False
        self._top = 0  # first line of a body of text
        self._format = CellFormat()
        self._windows: OrderedDict[tuple[object, ...], Window] = OrderedDict()
        self._lines: tuple[int, list[Text], list[Text]] | None = None

    @property
    def page(self) -> Page | None:
        """What is on screen."""
        return self._page

    @property
    def settled(self) -> bool:
        """Whether the page shows what was asked for last."""
        return self._page is not None and not self._waiting and self._shown == self._revision

    def open(self, opened: Opened) -> None:
        """Takes its numbers from a target."""
        self._opened = opened

    def show_row(self, row: int) -> None:
        """Shows a row of the tree once the cursor has rested; -1 for the file as a whole."""
        opened = self._opened
        if opened is None or row == self._row:
            return
        self._row = row
        self._aim = None
        tensor = opened.tree.tensor[row] if row >= 0 and not opened.tree.is_block(row) else -1
        if tensor >= 0:
            sizes = opened.listing.shape[tensor]
            shape = tuple(size for size in sizes if size is not None)
            if len(shape) == len(sizes):
                self._aim = Grid(tensor, shape)
        self._ask(REST)

    def _ask(self, rest: float) -> None:
        """Starts loading what is wanted now; an earlier load is dropped."""
        self._revision += 1
        # Hidden or not laid out yet: asked again when there is room.
        if self._opened is not None and self.size.width and self.size.height:
            self._load(self._opened, self._revision, self._row, self._aim, rest)

    @work(exclusive=True, group="values")
    async def _load(self, opened: Opened, revision: int, row: int, grid: Grid | None, rest: float) -> None:
        await asyncio.sleep(rest)
        making = asyncio.ensure_future(self._make(opened, row, grid))
        try:
            done, _ = await asyncio.wait({making}, timeout=PATIENCE)
            if not done:
                self._waiting = True
                self._label()
                self.refresh()
            page, seen = await making
        finally:
            making.cancel()
        if revision != self._revision:
            return
        self._waiting = False
        if self._page is None or self._page.row != page.row:
            self._top = 0
        self._format = seen
        self._page = page
        self._shown = revision
        self._lines = None
        self._label()
        self.refresh()

    async def _make(self, opened: Opened, row: int, grid: Grid | None) -> tuple[Page, CellFormat]:
        """The page of a row, and how its numbers are written."""
        seen = self._format if self._page is not None and self._page.row == row else CellFormat()
        try:
            if row < 0:
                return await asyncio.to_thread(pages.file_page, opened), seen
            if opened.tree.is_block(row) or (opened.tree.tensor[row] < 0 and opened.tree.value[row] < 0):
                return await asyncio.to_thread(pages.block_page, opened, row), seen
            if opened.tree.tensor[row] < 0:
                return await asyncio.to_thread(pages.value_page, opened, row), seen
            return await self._tensor_page(opened, row, grid, seen)
        except ParamtuiError as error:
            return pages.error_page(opened, row, str(error)), seen
        except MemoryError:
            return pages.error_page(opened, row, "there is not enough memory to read this"), seen

    async def _tensor_page(
        self, opened: Opened, row: int, grid: Grid | None, seen: CellFormat
    ) -> tuple[Page, CellFormat]:
        tensor = opened.tree.tensor[row]
        listing = opened.listing
        title, head = pages.row_title(opened, row), pages.tensor_head(opened, tensor)
        problem = listing.problem(tensor)
        if problem:
            return pages.error_page(opened, row, problem), seen
        if grid is None:
            sizes = listing.shape[tensor]
            count = sizes[0] or 0
            first = range(min(count, pages.RAGGED_SHOWN))
            window = await opened.source.window(tensor, (first, *[range(0)] * (len(sizes) - 1)))
            body = pages.ragged_body([part.shape for part in window.parts], count)
            return pages.Page(row, title, head, [Text(""), *body]), seen
        if grid.empty:
            return pages.Page(row, title, head, [Text(""), Text("A size is 0: there are no numbers.")]), seen
        if grid.lead:
            index = ", ".join([*map(str, grid.lead), ":", ":"])
            head.append(Text(f"slice [{index}]  {grid.slice + 1:,} of {grid.slices:,}"))
        dtype = listing.dtype[tensor]
        height = self.size.height
        picks = grid.picks(height, min(self.size.width // least_width(dtype) + 1, MAX_CELLS_READ // height))
        window = await self._window(opened, tensor, picks)
        if window.values is None:
            return pages.error_page(opened, row, "these numbers make no grid"), seen
        rows = len(picks[-2]) if len(picks) > 1 else len(picks[0]) if picks else 1
        columns = len(picks[-1]) if len(picks) > 1 else 1
        block = write_cells(window.values, rows, columns, seen, pairs=dtype == "float4_e2m1fn_x2")
        return pages.Page(row, title, head, grid=grid, block=block), block.format

    async def _window(self, opened: Opened, tensor: int, picks: tuple[range, ...]) -> Window:
        """A window, from those read before where it is among them."""
        key = (tensor, picks)
        found = self._windows.get(key)
        if found is None:
            found = await opened.source.window(tensor, picks)
            self._windows[key] = found
            while len(self._windows) > KEPT_WINDOWS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        return found

    def on_resize(self) -> None:
        """Reads the cells that there is room for now."""
        self._lines = None
        if self._row > -2:
            self._ask(REST if self._page is not None else 0)

    # Moves

    def _room(self) -> tuple[int, int]:
        """Rows and columns of cells, or lines of text, that fit below the facts."""
        head, _ = self._wrapped()
        height = max(self.size.height - len(head), 1)
        page = self._page
        if page is None or page.grid is None:
            return height, 1
        label = self._label_width(page.grid)
        width = max((self.size.width - label) // (self._cell_width() + 2), 1)
        return max(height - 1, 1), width

    def _move(self, *, top: int | None = None, left: int | None = None) -> None:
        grid = self._aim
        height, width = self._room()
        if grid is not None:
            aim = grid.at(
                top=grid.top if top is None else top,
                left=grid.left if left is None else left,
                height=height,
                width=width,
            )
            if aim != grid:
                self._aim = aim
                self._ask(0)
        elif top is not None and self._page is not None:
            _, body = self._wrapped()
            self._top = max(min(top, len(body) - height), 0)
            self._label()
            self.refresh()

    def _first(self) -> int:
        """The first row or line that is asked for."""
        return self._aim.top if self._aim is not None else self._top

    def action_scroll_rows(self, rows: int) -> None:
        """Moves by rows or lines."""
        self._move(top=self._first() + rows)

    def action_scroll_page(self, page: int) -> None:
        """Moves by screenfuls."""
        self._move(top=self._first() + page * self._room()[0])

    def action_first_row(self) -> None:
        """Moves to the first row."""
        self._move(top=0)

    def action_last_row(self) -> None:
        """Moves to the last row."""
        self._move(top=self._aim.rows if self._aim is not None else len(self._wrapped()[1]))

    def action_scroll_columns(self, columns: int) -> None:
        """Moves by columns; to the left of the first one lies the tree."""
        if columns < 0 and (self._aim is None or self._aim.left == 0):
            self.post_message(self.Left())
        elif self._aim is not None:
            self._move(left=self._aim.left + columns)

    def action_first_column(self) -> None:
        """Moves to the first column."""
        self._move(left=0)

    def action_last_column(self) -> None:
        """Moves to the last column."""
        if self._aim is not None:
            self._move(left=self._aim.columns)

    def action_step(self, slices: int) -> None:
        """Moves to another slice of the leading dimensions."""
        if self._aim is not None:
            aim = self._aim.stepped(slices)
            if aim != self._aim:
                self._aim = aim
                self._ask(0)

    def action_back(self) -> None:
        """Goes back to the tree."""
        self.post_message(self.Left())

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows down."""
        event.stop()
        self.action_scroll_rows(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows up."""
        event.stop()
        self.action_scroll_rows(-3)

    # Drawing

    def _wrapped(self) -> tuple[list[Text], list[Text]]:
        """Facts and body broken to the width of the pane."""
        page, width = self._page, self.size.width
        if page is None:
            return [], []
        if self._lines is None or self._lines[0] != width:
            console = self.app.console
            head = wrapped(page.head, width, console)
            # Facts never take more than half of the room from the numbers.
            limit = max(self.size.height // 2, 1)
            self._lines = width, head[:limit], wrapped(page.body, width, console)
        return self._lines[1], self._lines[2]

    def _label(self) -> None:
        """Writes the name and the place into the frame."""
        page = self._page
        self.border_title = Text(page.title) if page is not None else None
        if self._waiting:
            self.border_subtitle = Text("reading…")
        elif page is None:
            self.border_subtitle = None
        elif page.grid is not None and page.block is not None:
            self.border_subtitle = Text(self._place(page.grid))
        else:
            height, _ = self._room()
            count = len(self._wrapped()[1])
            self.border_subtitle = (
                Text(f"lines {self._top + 1}-{min(self._top + height, count)} of {count:,}")
                if count > height
                else None
            )

    def _place(self, grid: Grid) -> str:
        """``rows 0-13 of 8192, columns 0-7 of 8192``."""
        height, width = self._room()
        parts = []
        for what, first, room, count in (
            ("rows", grid.top, height, grid.rows),
            ("columns", grid.left, width, grid.columns),
        ):
            if len(grid.shape) > (what == "columns"):
                parts.append(f"{what} {first}-{min(first + room, count) - 1} of {count}")
        return ", ".join(parts) or "a single number"

    def _label_width(self, grid: Grid) -> int:
        # Of all rows on the way down, so that numbers do not move sideways with the row count's digits.
        return len(str(max(grid.rows - 1, 0))) + 1

    def _cell_width(self) -> int:
        page = self._page
        if page is None or page.grid is None or page.block is None:
            return 1
        return max(page.block.format.width, len(str(max(page.grid.columns - 1, 0))))

    def render_line(self, y: int) -> Strip:
        """One line: a fact, column numbers, a row of numbers, or text."""
        width, base = self.size.width, self.rich_style
        if self._page is None:
            return Strip.blank(width, base)
        head, body = self._wrapped()
        grid = self._page.grid
        if y < len(head):
            line = text_strip(head[y], width, self.get_component_rich_style("values--head"), self.app.console)
        elif grid is not None:
            line = self._grid_line(grid, y - len(head), base)
        else:
            at = y - len(head) + self._top
            text = body[at] if at < len(body) else Text("")
            line = text_strip(text, width, base, self.app.console)
        return line.apply_style(Style(dim=True)) if self._waiting else line

    def _grid_line(self, grid: Grid, y: int, base: Style) -> Strip:
        page, width = self._page, self.size.width
        if page is None or page.block is None:
            return Strip.blank(width, base)
        label = self.get_component_rich_style("values--label")
        looks = {
            PLAIN: base,
            ZERO: self.get_component_rich_style("values--zero"),
            SPECIAL: self.get_component_rich_style("values--special"),
        }
        label_width, cell_width = self._label_width(grid), self._cell_width()
        _, columns = self._room()
        if y == 0:
            numbers = range(grid.left, min(grid.left + columns, grid.columns)) if len(grid.shape) > 1 else ()
            text = " " * label_width + "".join(f"  {number:>{cell_width}}" for number in numbers)
            return strip([(text, label)], width, base)
        row = grid.top + y - 1
        if row >= grid.rows or y - 1 >= len(page.block.rows):
            return Strip.blank(width, base)
        pieces = [(f"{row if grid.shape else '':>{label_width}}", label)]
        for text, look in page.block.rows[y - 1][:columns]:
            # Only the number itself is reversed, not the gap beside it.
            pieces += [(" " * (2 + cell_width - len(text)), base), (text, looks[look])]
        return strip(pieces, width, base)
