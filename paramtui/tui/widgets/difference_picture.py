"""The picture of where two tensors differ, with a cursor on one of its entries."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from paramtui.core.picture_places import entry_of, extent, line_label
from paramtui.tui import difference_ramp
from paramtui.tui.difference_ramp import Ramp
from paramtui.tui.ramps import CELL_WIDTH
from paramtui.tui.widgets.strips import strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from paramtui.core.comparing import Comparison, Picture
    from paramtui.core.picture_places import Extent

# Columns are numbered at every so many entries.
NUMBERED = 5
MAX_COLUMNS = 256


def columns_in(shape: Sequence[int], width: int) -> int:
    """Entries that fit into a line: of a long row a power of two, into which it is folded.

    Args:
        shape: Of what is compared.
        width: Cells of the line.
    """
    row = bool(shape) and prod(shape[:-1]) == 1
    labels = len(str(shape[-1])) + 1 if row else max(sum(len(str(size)) + 1 for size in shape[:-1]), 2)
    room = min(max((width - labels) // CELL_WIDTH, 1), MAX_COLUMNS)
    return 1 << (room.bit_length() - 1) if row and shape[-1] > room else room


class DifferencePicture(Widget):
    """Empty until `show`; as tall as its picture, or as there is room for."""

    DEFAULT_CSS = """
    DifferencePicture { height: auto; }
    DifferencePicture > .picture--label { color: $text-disabled; }
    DifferencePicture > .picture--here { color: $text; text-style: bold; }
    DifferencePicture > .picture--cursor { text-style: reverse bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"picture--label", "picture--here", "picture--cursor"}

    class Moved(Message):
        """The cursor stands on another entry."""

    def __init__(self) -> None:
        super().__init__(id="picture")
        self._picture: Picture | None = None
        self._ramp: Ramp | None = None
        self._shape: tuple[int, ...] = ()
        self._room = 1
        self._labels = 0
        self._cursor = (0, 0)
        self._top = 0
        self._left = 0

    def show(self, found: Comparison, shape: tuple[int, ...], rows: int) -> None:
        """Shows where two tensors differ, the cursor on the first such entry.

        Args:
            found: What they have in common.
            shape: Of their numbers.
            rows: Lines that the picture can take.
        """
        self._picture, self._shape = found.picture, shape
        if found.picture is None:
            return
        self._ramp = Ramp(found.picture)
        labels = (line_label(shape, found.picture, row) for row in range(found.picture.rows))
        self._labels = max(map(len, labels)) + 1
        self.allow(rows)
        self._cursor = (-1, -1)
        self._go(*(entry_of(shape, found.picture, found.first) if found.first is not None else (0, 0)))

    def allow(self, rows: int) -> None:
        """Takes so many lines for entries, or as many as it needs."""
        self._room = max(min(rows, self._picture.rows if self._picture is not None else 1), 1)
        self.refresh(layout=True)

    def get_content_height(self, *_sizes: object) -> int:
        """Entries, and a line of column numbers."""
        return 0 if self._picture is None else self._room + 1

    # The cursor

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column of the entry under the cursor."""
        return self._cursor

    @property
    def ramp(self) -> Ramp | None:
        """What its letters stand for; None without a picture."""
        return self._ramp

    @property
    def extent(self) -> Extent | None:
        """The elements of the entry under the cursor."""
        return extent(self._shape, self._picture, *self._cursor) if self._picture is not None else None

    @property
    def entry(self) -> tuple[int, float]:
        """How many elements of the entry under the cursor differ, and the largest difference."""
        row, column = self._cursor
        if self._picture is None:
            return 0, 0.0
        return self._picture.counts[row][column], self._picture.largest[row][column]

    def go_to(self, index: Sequence[int]) -> None:
        """Puts the cursor on the entry that an element is in."""
        if self._picture is not None:
            self._go(*entry_of(self._shape, self._picture, index))

    def move(self, rows: int, columns: int) -> None:
        """Moves the cursor by entries."""
        if self._picture is not None:
            self._go(self._cursor[0] + rows, self._cursor[1] + columns)

    def next_different(self, step: int) -> bool:
        """Moves to the next or previous entry that differs; after the last one comes the first.

        Returns:
            Whether there is one.
        """
        picture = self._picture
        if picture is None:
            return False
        count = picture.rows * picture.columns
        place = self._cursor[0] * picture.columns + self._cursor[1]
        for away in range(1, count + 1):
            row, column = divmod((place + step * away) % count, picture.columns)
            if picture.counts[row][column]:
                self._go(row, column)
                return True
        return False

    def _go(self, row: int, column: int) -> None:
        picture = self._picture
        if picture is None:
            return
        entry = min(max(row, 0), picture.rows - 1), min(max(column, 0), picture.columns - 1)
        while extent(self._shape, picture, *entry) is None:
            # Past the end of the last line.
            entry = entry[0], entry[1] - 1
        if entry != self._cursor:
            self._cursor = entry
            self._keep_in_sight()
            self.refresh()
            self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        row, column = self._cursor
        self._top = min(max(self._top, row - self._room + 1), row)
        columns = self._columns()
        self._left = min(max(self._left, column - columns + 1), column)

    def _columns(self) -> int:
        """Entries that a line has room for."""
        return max((self.size.width - self._labels) // CELL_WIDTH, 1)

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        if self._picture is not None:
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
        width, base, picture, ramp = self.size.width, self.rich_style, self._picture, self._ramp
        if picture is None or ramp is None:
            return Strip.blank(width, base)
        label = self.get_component_rich_style("picture--label")
        last = min(self._left + self._columns(), picture.columns)
        more = self.get_component_rich_style("picture--here")
        if y == 0:
            numbers = self._numbers(picture, last).ljust(width)[:width]
            before, after = "←" if self._left else " ", "→" if last < picture.columns else numbers[-1:]
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
        if row >= picture.rows:
            return Strip.blank(width, base)
        from paramtui.tui.terminal import colour_depth

        here = self.get_component_rich_style("picture--here") if row == self._cursor[0] else label
        entries = [
            (
                ramp.letters_of(row, column) if extent(self._shape, picture, row, column) else "  ",
                (row, column) == self._cursor,
            )
            for column in range(self._left, last)
        ]
        drawn = difference_ramp.pieces(
            entries,
            colour_depth(self.app),
            base,
            self.get_component_rich_style("picture--cursor"),
            light=not self.app.current_theme.dark,
        )
        text = line_label(self._shape, picture, row)
        beyond = self._beyond(y, picture)
        return strip([(f"{text:>{self._labels - 1}}", here), (beyond, more), *drawn], width, base)

    def _beyond(self, y: int, picture: Picture) -> str:
        """A cell that says whether lines follow above the first one on screen, or below the last."""
        if y == 1 and self._top:
            return "↑"
        return "↓" if y == self._room and self._top + self._room < picture.rows else " "

    def _numbers(self, picture: Picture, last: int) -> str:
        """Numbers of the columns at which entries begin."""
        text = " " * self._labels
        for place, column in enumerate(range(self._left, last)):
            at = self._labels + place * CELL_WIDTH
            if place % NUMBERED == 0 and len(text) <= at:
                text = text.ljust(at) + f"{column * picture.cell[1]} "
        return text if self._shape else ""
