"""The picture of a whole tensor, an entry for each block of its elements, with a cursor on one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.style import Style

from paramtui.tui import ramps
from paramtui.tui.widgets.entry_picture import EntryPicture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.overview import Overview

# What an entry tells of the finite ones among its elements.
MEAN: Final = "mean"
LARGEST: Final = "max |x|"
NAN: Final = "NN"
INFINITE: Final = "II"
CURSOR: Final = "[]"


class Entry(NamedTuple):
    """What is known of an entry.

    Attributes:
        mean: Of its finite elements; NaN where there are none.
        abs_max: The largest magnitude among them; NaN where there are none.
        nan, inf: How many of its elements are NaN, and infinite.
        odd: Place in row-major order of the first of these, of NaN where there is one; -1 for none.
    """

    mean: float
    abs_max: float
    nan: int
    inf: int
    odd: int


class OverviewPicture(EntryPicture):
    """Empty until `show`."""

    def __init__(self) -> None:
        super().__init__()
        self._found: Overview | None = None
        self._shown: list[list[float]] = []
        self._letters: list[list[str]] = []
        self._least, self._largest = 0.0, 0.0
        self._none = False
        self._signed = False

    def show(
        self, found: Overview, shape: tuple[int, ...], rows: int, reduction: str, index: Sequence[int] | None
    ) -> None:
        """Shows a picture with at least one entry.

        Args:
            found: The picture.
            shape: Of the numbers.
            rows: Lines that entries can take.
            reduction: `MEAN` or `LARGEST`.
            index: An element on whose entry the cursor is put; None for the first one.
        """
        self._found = found
        letters = {(False, False): "", (False, True): INFINITE, (True, False): NAN, (True, True): NAN}
        odd = zip((found.nan > 0).tolist(), (found.inf > 0).tolist(), strict=True)
        self._letters = [[letters[each] for each in zip(*line, strict=True)] for line in odd]
        height, width = found.mean.shape
        self.reduce(reduction)
        self.lay(found, (height, width), shape, rows, index)

    def reduce(self, reduction: str) -> None:
        """Draws another figure of the same elements."""
        found = self._found
        if found is None:
            return
        self._shown = (found.mean if reduction == MEAN else found.abs_max).tolist()
        shown = [
            number
            for line, letters in zip(self._shown, self._letters, strict=True)
            for number, odd in zip(line, letters, strict=True)
            if not (odd or math.isnan(number))
        ]
        self._largest = max(map(abs, shown), default=0.0)
        self._none = not shown
        # Magnitudes of a whole matrix are much alike: their ramp begins at the least one.
        least = min(shown, default=0.0)
        self._least = least if reduction == LARGEST and least < self._largest else 0.0
        self._signed = reduction == MEAN and min(shown, default=0.0) < 0
        self.refresh()

    @property
    def entry(self) -> Entry | None:
        """What is known of the entry under the cursor; None without a picture."""
        found, at = self._found, self._cursor
        if found is None:
            return None
        return Entry(
            float(found.mean[at]),
            float(found.abs_max[at]),
            int(found.nan[at]),
            int(found.inf[at]),
            int(found.odd[at]),
        )

    def next_odd(self, step: int) -> bool:
        """Moves to the next or previous entry with NaN or infinities; after the last one comes the first.

        Returns:
            Whether there is one.
        """
        return bool(self._letters) and self.next_such(step, lambda row, column: self._letters[row][column])

    # Drawing

    def _depth(self) -> tuple[str, bool]:
        """Colours of the terminal, and whether its background is light."""
        from paramtui.tui.terminal import colour_depth

        return colour_depth(self.app), not self.app.current_theme.dark

    def legend(self) -> list[tuple[str, Style]]:
        """The ramp with its ends."""
        depth, light = self._depth()
        odd = f"{NAN} NaN  {INFINITE} infinite"
        if self._none:
            return [(f"no finite numbers  {odd}", Style())]
        return ramps.legend(
            self._largest, depth, Style(), signed=self._signed, light=light, odd=odd, least=self._least
        )

    def pieces(self, row: int, first: int, last: int) -> list[tuple[str, Style]]:
        """See `EntryPicture.pieces`."""
        depth, light = self._depth()
        base, cursor = self.rich_style, self.get_component_rich_style("picture--cursor")
        marked = base + Style(reverse=True, bold=True)
        out: list[tuple[str, Style]] = []
        for column in range(first, last):
            number, letters = self._shown[row][column], self._letters[row][column]
            if (row, column) == self._cursor:
                text, style = CURSOR, cursor
            elif letters:
                text, style = letters, marked
            elif math.isnan(number):
                # Past the end of the last line.
                text, style = "  ", base
            else:
                span = self._largest - self._least
                text, style = ramps.heat(number - self._least, span, depth, base, light=light)
            if out and out[-1][1] == style:
                # Equal neighbours as one: fewer bytes on the line.
                out[-1] = out[-1][0] + text, style
            else:
                out.append((text, style))
        return out
