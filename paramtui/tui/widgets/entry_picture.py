"""A picture of a tensor in entries, each for a block of elements, with a cursor on one of them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from paramtui.core.picture_places import entry_of, extent, line_label
from paramtui.tui.ramps import CELL_WIDTH
from paramtui.tui.widgets.strips import strip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.style import Style
    from textual import events

    from paramtui.core.picture_places import Extent, Picture

# Columns are numbered at every so many entries.
NUMBERED = 5
MAX_COLUMNS = 256


def columns_in(shape: Sequence[int], width: int) -> int:
    """Entries that fit into a line: of a long row a power of two, into which it is folded.

    Args:
        shape: Of the tensor.
        width: Cells of the line.
    """
    row = bool(shape) and prod(shape[:-1]) == 1
    labels = len(str(shape[-1])) + 1 if row else max(sum(len(str(size)) + 1 for size in shape[:-1]), 2)
    room = min(max((width - labels) // CELL_WIDTH, 1), MAX_COLUMNS)
    return 1 << (room.bit_length() - 1) if row and shape[-1] > room else room


class EntryPicture(Widget):
    """Empty until it has a picture; as tall as that, or as there is room for.

    What shows the picture calls `lay`, and draws entries in `pieces`.
    """

    DEFAULT_CSS = """
    EntryPicture { height: auto; }
    EntryPicture > .picture--label { color: $text-disabled; }
    EntryPicture > .picture--here { color: $text; text-style: bold; }
    EntryPicture > .picture--cursor { text-style: reverse bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"picture--label", "picture--here", "picture--cursor"}

    class Moved(Message):
        """The cursor stands on another entry."""

    def __init__(self) -> None:
        super().__init__(id="picture")
        self._laid: Picture | None = None
        self._entries = (0, 0)
        self._shape: tuple[int, ...] = ()
        self._room = 1
        self._labels = 0
        self._cursor = (0, 0)
        self._top = 0
        self._left = 0

    def lay(
        self,
        picture: Picture,
        entries: tuple[int, int],
        shape: tuple[int, ...],
        rows: int,
        index: Sequence[int] | None,
    ) -> None:
        """Shows a picture.

        Args:
            picture: Says which elements an entry stands for.
            entries: How many there are down and across.
            shape: Of the numbers.
            rows: Lines that entries can take.
            index: An element on whose entry the cursor is put; None for the first one.
        """
        self._laid, self._entries, self._shape = picture, entries, shape
        self._labels = max(len(line_label(shape, picture, row)) for row in range(entries[0])) + 1
        self.allow(rows)
        self._cursor = (-1, -1)
        self._go(*(entry_of(shape, picture, index) if index is not None else (0, 0)))

    def pieces(self, row: int, first: int, last: int) -> list[tuple[str, Style]]:
        """Entries of a row, from one to before another, `CELL_WIDTH` letters each, with their styles."""
        raise NotImplementedError

    def allow(self, rows: int) -> None:
        """Takes so many lines for entries, or as many as it needs."""
        self._room = max(min(rows, self._entries[0]), 1)
        self.refresh(layout=True)

    def get_content_height(self, *_sizes: object) -> int:
        """Entries, and a line of column numbers."""
        return 0 if self._laid is None else self._room + 1

    # The cursor

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column of the entry under the cursor."""
        return self._cursor

    @property
    def extent(self) -> Extent | None:
        """The elements of the entry under the cursor."""
        return self.extent_of(*self._cursor)

    def extent_of(self, row: int, column: int) -> Extent | None:
        """The elements of an entry; None for one past the end of the last line, and without a picture."""
        return extent(self._shape, self._laid, row, column) if self._laid is not None else None

    def go_to(self, index: Sequence[int]) -> None:
        """Puts the cursor on the entry that an element is in."""
        if self._laid is not None:
            self._go(*entry_of(self._shape, self._laid, index))

    def move(self, rows: int, columns: int) -> None:
        """Moves the cursor by entries."""
        self._go(self._cursor[0] + rows, self._cursor[1] + columns)

    def next_such(self, step: int, chosen: Callable[[int, int], object]) -> bool:
        """Moves to the next or previous entry that is chosen; after the last one comes the first.

        Returns:
            Whether there is one.
        """
        rows, columns = self._entries
        place = self._cursor[0] * columns + self._cursor[1]
        for away in range(1, rows * columns + 1):
            entry = divmod((place + step * away) % (rows * columns), columns)
            if chosen(*entry):
                self._go(*entry)
                return True
        return False

    def _go(self, row: int, column: int) -> None:
        if self._laid is None:
            return
        rows, columns = self._entries
        entry = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
        while self.extent_of(*entry) is None:
            # Past the end of the last line.
            entry = entry[0], entry[1] - 1
        if entry != self._cursor:
            self._cursor = entry
            self._keep_in_sight()
            self.refresh()
            self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        (row, column), (rows, columns) = self._cursor, self._entries
        self._top = min(max(self._top, row - self._room + 1), row, max(rows - self._room, 0))
        room = self._columns()
        self._left = min(max(self._left, column - room + 1), column, max(columns - room, 0))

    def _columns(self) -> int:
        """Entries that a line has room for."""
        return max((self.size.width - self._labels) // CELL_WIDTH, 1)

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        if self._laid is not None:
            self._keep_in_sight()
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on an entry."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y > 0 and offset.x >= self._labels:
            self._go(self._top + offset.y - 1, self._left + (offset.x - self._labels) // CELL_WIDTH)

    # Drawing

    def render_line(self, y: int) -> Strip:
        """Column numbers, then a line of entries each."""
        width, base, picture = self.size.width, self.rich_style, self._laid
        if picture is None:
            return Strip.blank(width, base)
        label = self.get_component_rich_style("picture--label")
        last = min(self._left + self._columns(), self._entries[1])
        more = self.get_component_rich_style("picture--here")
        if y == 0:
            numbers = self._column_numbers(picture, last).ljust(width)[:width]
            before, after = (
                "←" if self._left else " ",
                "→" if last < self._entries[1] else numbers[-1:],
            )
            # Columns that follow on either side.
            return strip(
                [
                    (numbers[: self._labels - 1], label),
                    (before, more),
                    (numbers[self._labels : -1], label),
                    (after, more),
                ],
                width,
                base,
            )
        row = self._top + y - 1
        if row >= self._entries[0]:
            return Strip.blank(width, base)
        here = more if row == self._cursor[0] else label
        text = line_label(self._shape, picture, row)
        head = [(f"{text:>{self._labels - 1}}", here), (self._beyond(y), more)]
        return strip([*head, *self.pieces(row, self._left, last)], width, base)

    def _beyond(self, y: int) -> str:
        """A cell that says whether lines follow above the first one on screen, or below the last."""
        if y == 1 and self._top:
            return "↑"
        return "↓" if y == self._room and self._top + self._room < self._entries[0] else " "

    def _column_numbers(self, picture: Picture, last: int) -> str:
        """Numbers of the columns at which entries begin."""
        text = " " * self._labels
        for place, column in enumerate(range(self._left, last)):
            at = self._labels + place * CELL_WIDTH
            if place % NUMBERED == 0 and len(text) <= at:
                text = text.ljust(at) + f"{column * picture.cell[1]} "
        return text if self._shape else ""
