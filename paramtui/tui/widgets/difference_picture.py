"""The picture of where two tensors differ, with a cursor on one of its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.tui import difference_ramp
from paramtui.tui.difference_ramp import Ramp
from paramtui.tui.widgets.entry_picture import EntryPicture

if TYPE_CHECKING:
    from rich.style import Style

    from paramtui.core.comparing import Comparison, Picture


class DifferencePicture(EntryPicture):
    """Empty until `show`; as tall as its picture, or as there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self._picture: Picture | None = None
        self._ramp: Ramp | None = None

    def show(self, found: Comparison, shape: tuple[int, ...], rows: int) -> None:
        """Shows where two tensors differ, the cursor on the first such entry.

        Args:
            found: What they have in common.
            shape: Of their numbers.
            rows: Lines that the picture can take.
        """
        picture = self._picture = found.picture
        if picture is not None:
            self._ramp = Ramp(picture)
            self.lay(picture, (picture.rows, picture.columns), shape, rows, found.first)

    @property
    def ramp(self) -> Ramp | None:
        """What its letters stand for; None without a picture."""
        return self._ramp

    @property
    def entry(self) -> tuple[int, float]:
        """How many elements of the entry under the cursor differ, and the largest difference."""
        row, column = self._cursor
        if self._picture is None:
            return 0, 0.0
        return self._picture.counts[row][column], self._picture.largest[row][column]

    def next_different(self, step: int) -> bool:
        """Moves to the next or previous entry that differs; after the last one comes the first.

        Returns:
            Whether there is one.
        """
        picture = self._picture
        return picture is not None and self.next_such(step, lambda row, column: picture.counts[row][column])

    def pieces(self, row: int, first: int, last: int) -> list[tuple[str, Style]]:
        """See `EntryPicture.pieces`."""
        from paramtui.tui.terminal import colour_depth

        if self._ramp is None:
            return []
        entries = [
            (
                self._ramp.letters_of(row, column) if self.extent_of(row, column) else "  ",
                (row, column) == self._cursor,
            )
            for column in range(first, last)
        ]
        return difference_ramp.pieces(
            entries,
            colour_depth(self.app),
            self.rich_style,
            self.get_component_rich_style("picture--cursor"),
            light=not self.app.current_theme.dark,
        )
