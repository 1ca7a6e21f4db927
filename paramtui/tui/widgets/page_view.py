"""The page of one row: facts, and numbers or text below; replaced whole when the next one is ready."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual import work
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from paramtui.core.text import safe_text
from paramtui.tui.cells import TINTS, CellFormat
from paramtui.tui.grid import Grid
from paramtui.tui.page_making import PageMaker, Wanted
from paramtui.tui.ramps import CELL_WIDTH, EIGHT_BIT, TRUECOLOR
from paramtui.tui.widgets import grid_lines
from paramtui.tui.widgets.grid_lines import Looks
from paramtui.tui.widgets.strips import fit, strip, text_strip, wrapped

if TYPE_CHECKING:
    from paramtui.tui.cell_cursor import CellCursor
    from paramtui.tui.opened import Opened
    from paramtui.tui.pages import Page

# A held-down key reads nothing until the cursor has rested for so long, in seconds.
REST = 0.04
# Reading that takes longer is announced.
PATIENCE = 0.3
# Lines that a PyTorch expression takes at most.
MAX_WAY = 3


class PageView(Widget, can_focus=True):
    """Loads pages and draws them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "values--head",
        "values--expression",
        "values--label",
        "values--mark",
        "values--cell",
        "values--cell-label",
        "values--special",
        "values--zero",
        *(f"values--tint{step}" for step in range(TINTS + 1)),
    }

    class Aimed(Message):
        """Another window of numbers is asked for."""

        def __init__(self, view: PageView, aim: Grid) -> None:
            super().__init__()
            self.view = view
            self.aim = aim

    def __init__(self, name: str = "values") -> None:
        super().__init__(id=name)
        self._opened: Opened | None = None
        self._maker: PageMaker | None = None
        self._page: Page | None = None
        # What is asked for, which runs ahead of the page while numbers are read.
        self._row = -2
        self._aim: Grid | None = None
        self._revision = 0
        self._shown = -1  # the revision of the page
        self._waiting = False
        self._top = 0  # first line of a body of text
        self._format = CellFormat()
        self._heat = False
        # The cell that can be changed, while numbers are edited.
        self._cell: CellCursor | None = None
        self._lines: tuple[tuple[int, int], list[Text], list[Text]] | None = None

    @property
    def page(self) -> Page | None:
        """What is on screen."""
        return self._page

    @property
    def aim(self) -> Grid | None:
        """The window of numbers that is asked for, where the row has one."""
        return self._aim

    @property
    def shows_file(self) -> bool:
        """Whether it is about the file as a whole."""
        return self._row == -1

    @property
    def settled(self) -> bool:
        """Whether the page shows what was asked for last."""
        return self._page is not None and not self._waiting and self._shown == self._revision

    def prefer(self, *, precision: int, scientific: bool, heat: bool) -> None:
        """Begins with a person's settings."""
        self._format = CellFormat(precision, scientific)
        self._heat = heat

    def open(self, opened: Opened) -> None:
        """Takes its numbers from a target."""
        self._opened = opened
        self._maker = None
        self._row = -2
        self._page = None
        self._aim = None
        self._cell = None

    def make_maker(self, opened: Opened) -> PageMaker:
        """What makes the pages of a target."""
        return PageMaker(opened)

    def again(self) -> None:
        """Reads what is shown anew: it has changed."""
        if self._maker is not None:
            self._maker.forget()
        # Cells that large numbers have made wide need not stay so.
        self._format = CellFormat(self._format.precision, self._format.scientific)
        if self._row > -2:
            self._ask(0)

    def row_changed(self, row: int) -> None:
        """Shows a row anew, if it is the one on screen: what is said of it has changed."""
        if row == self._row:
            self._ask(0)

    def follow(self, aim: Grid) -> None:
        """Shows the same window of numbers as another view of the same tensor."""
        if self._aim is not None and self._aim.tensor == aim.tensor and aim != self._aim:
            self._aim = aim
            self._ask(REST)

    def show_row(self, row: int, *, at_once: bool = False, keep: bool = False) -> None:
        """Shows a row of the tree once the cursor has rested.

        Args:
            row: Which; -1 for the file as a whole.
            at_once: Whether it does not wait for the cursor to rest.
            keep: Whether a tensor of the same shape is shown in the same window, with the same cell.
        """
        opened = self._opened
        if opened is None or row == self._row:
            return
        before, cell = self._aim, self._cell
        self._row = row
        self._aim = None
        self._cell = None
        tensor = opened.tree.tensor[row] if row >= 0 and not opened.tree.is_block(row) else -1
        if tensor >= 0:
            sizes = opened.listing.shape[tensor]
            shape = tuple(size for size in sizes if size is not None)
            if len(shape) == len(sizes):
                self._aim = Grid.of(tensor, shape)
                if keep and before is not None and before.shape == shape:
                    self._aim, self._cell = replace(before, tensor=tensor), cell
        self._ask(0 if at_once else REST)

    def _ask(self, rest: float) -> None:
        """Starts loading what is wanted now; an earlier load is dropped."""
        self._revision += 1
        # Hidden or not laid out yet: asked again when there is room.
        if self._opened is not None and self.size.width and self.size.height:
            self._load(self._opened, self._revision, self._row, self._aim, rest)

    @work(exclusive=True, group="page")
    async def _load(self, opened: Opened, revision: int, row: int, grid: Grid | None, rest: float) -> None:
        if rest:
            await asyncio.sleep(rest)
        if self._maker is None:
            # Not before something has been painted.
            self._maker = self.make_maker(opened)
        maker = self._maker
        seen = self._format
        if self._page is None or self._page.row != row:
            seen = CellFormat(seen.precision, seen.scientific)
        cell = CELL_WIDTH if self._heat else 0
        wanted = Wanted(row, grid, self.size.height, self.size.width, cell, seen)
        making = asyncio.ensure_future(maker.page(wanted))
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
        self.loaded()

    def loaded(self) -> None:
        """Called once a page is there."""

    def on_resize(self) -> None:
        """Reads the cells that there is room for now."""
        self._lines = None
        if self._row > -2:
            self._ask(REST if self._page is not None else 0)

    def _room(self) -> tuple[int, int]:
        """Rows and columns of cells, or lines of text, that fit below the facts."""
        head, _ = self._wrapped()
        height = max(self.size.height - len(head), 1)
        page = self._page
        if page is None or page.grid is None or page.block is None:
            return height, 1
        cell = grid_lines.cell_width(page.grid, page.block, heat=self._heat)
        width = max((self.size.width - grid_lines.label_width(page.grid)) // cell, 1)
        # Beside the cells: column numbers, what the colours stand for, and what the cursor stands on.
        return max(height - 1 - self._heat - (self._cell is not None), 1), width

    def _aim_at(self, aim: Grid) -> None:
        if aim != self._aim:
            self._aim = aim
            self._ask(0)
            self.post_message(self.Aimed(self, aim))

    # Drawing

    def _wrapped(self) -> tuple[list[Text], list[Text]]:
        """Facts and body broken to the width of the pane."""
        page, size = self._page, (self.size.width, self.size.height)
        if page is None:
            return [], []
        if self._lines is None or self._lines[0] != size:
            console = self.app.console
            head = wrapped(page.head, size[0], console)
            # Facts never take more than half of the room from the numbers.
            head = head[: max(size[1] // 2 - 1, 1)]
            way = safe_text(page.expression, 4000)
            if len(way) > size[0] * MAX_WAY:
                way = fit(way, size[0] * MAX_WAY)
            # Broken where the line ends, so that it can be read and copied whole.
            for at in range(0, len(way), max(size[0], 1)):
                head.append(Text(way[at : at + size[0]], style=self._style("expression"), no_wrap=True))
            if page.grid is not None and page.grid.others:
                head.append(Text(self._dims(page.grid)))
            self._lines = size, head, wrapped(page.body, size[0], console)
        return self._lines[1], self._lines[2]

    @staticmethod
    def _dims(grid: Grid) -> str:
        """Which dimensions are seen, and which slice of the others."""
        stepped = grid.stepped_dim if grid.stepped_dim in grid.others else grid.others[-1]
        return (
            f"slice [{grid.index_text()}]  {grid.slice + 1:,} of {grid.slices:,}"
            f"   [ ] step dimension {stepped}"
        )

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
        """``rows 0-13 of 8192, columns 0-7 of 8192``; with dimensions where they are not the usual."""
        height, width = self._room()
        usual = Grid.of(grid.tensor, grid.shape)
        turned = (grid.row_dim, grid.col_dim) != (usual.row_dim, usual.col_dim) or len(grid.shape) > 2
        parts = []
        for what, dim, first, room, count in (
            ("rows", grid.row_dim, grid.top, height, grid.rows),
            ("columns", grid.col_dim, grid.left, width, grid.columns),
        ):
            if dim >= 0:
                which = f" (dim {dim})" if turned else ""
                parts.append(f"{what}{which} {first}-{min(first + room, count) - 1} of {count}")
        return ", ".join(parts) or "a single number"

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"values--{name}")

    def _looks(self) -> Looks:
        from paramtui.tui.terminal import colour_depth

        depth = colour_depth(self.app)
        tinted = depth in (TRUECOLOR, EIGHT_BIT)
        return Looks(
            self.rich_style,
            self._style("label"),
            self._style("zero"),
            self._style("special"),
            self._style("mark"),
            self._style("cell"),
            self._style("cell-label"),
            tuple(self._style(f"tint{step}") for step in range(TINTS + 1)) if tinted else (),
            self._heat,
            depth,
            not self.app.current_theme.dark,
            self._cell,
        )

    def render_line(self, y: int) -> Strip:
        """One line: a fact, column numbers, a row of numbers, or text."""
        width, base, page = self.size.width, self.rich_style, self._page
        if page is None:
            return Strip.blank(width, base)
        head, body = self._wrapped()
        if y < len(head):
            line = text_strip(head[y], width, self._style("head"), self.app.console)
        elif page.grid is not None and page.block is not None:
            line = self._grid_line(page, y - len(head), width)
        else:
            at = y - len(head) + self._top
            text = body[at] if at < len(body) else Text("")
            line = text_strip(text, width, base, self.app.console)
        return line.apply_style(Style(dim=True)) if self._waiting else line

    def _grid_line(self, page: Page, y: int, width: int) -> Strip:
        grid, block = page.grid, page.block
        if grid is None or block is None:
            return Strip.blank(width, self.rich_style)
        rows, columns = self._room()
        looks = self._looks()
        if self._cell is not None:
            if y == 0:
                from paramtui.tui.cell_cursor import cell_text

                text = Text(cell_text(self._cell, grid, block), no_wrap=True)
                return text_strip(text, width, looks.cell_label, self.app.console)
            y -= 1
        if y == 0:
            return grid_lines.header(grid, block, columns, width, looks)
        shown = min(rows, len(block.rows))
        if y <= shown:
            return grid_lines.row_line(grid, block, y - 1, columns, width, looks)
        if self._heat and y == shown + 1:
            return grid_lines.legend(block, width, looks)
        return strip([], width, looks.base)
