"""A figure of each row as a column with a bar: what it says, and how long the bar is."""

from __future__ import annotations

from functools import lru_cache
from math import inf, isfinite, isnan, nan
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.color import Color, ColorSystem
from rich.style import Style

from paramtui.core.text import bytes_text, count_text
from paramtui.tui.opened import ability, gradient_facts, norm_text, within
from paramtui.tui.ramps import EIGHT_BIT, STEPS, TRUECOLOR, ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.flat_view import FlatView
    from paramtui.tui.opened import Opened

# The figures in the order in which they are gone through, and what people call them.
FIGURE_WORDS: Final = {
    "std": "std",
    "abs_max": "max |x|",
    "mean": "mean",
    "l2": "L2 norm",
    "nan": "NaN",
    "inf": "Inf",
    "zero": "zeros",
    "gradient": "gradient norm",
    "size": "size",
}
# These are known without any number of a tensor being looked at.
GIVEN: Final = frozenset({"gradient", "size"})
# These are of finite numbers alone: there may be none.
_OF_FINITE: Final = frozenset({"std", "abs_max", "mean", "l2"})
WIDTH, SIGNED_WIDTH = 7, 8
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
# What the bar of next to nothing looks like, to be read on dark and on light.
_LEAST: Final = (125, 125, 130)


class FigureCell(NamedTuple):
    """What stands on one row.

    Attributes:
        text: The figure; empty where it is unknown.
        share: Length of the bar, 0 to 1.
        negative: Whether the figure is below zero.
        bad: Whether there is a NaN or an infinity in what it is a figure of.
    """

    text: str = ""
    share: float = 0.0
    negative: bool = False
    bad: bool = False


def next_figure(opened: Opened) -> str:
    """The figure that is shown after the one that is; empty for none, before and after all.

    Figures of numbers are left out where none can be known, that of gradients where there are none.
    """
    names = list(FIGURE_WORDS)
    after = names[names.index(opened.figure_shown) + 1 :] if opened.figure_shown in names else names
    counts = any(ability(opened.source, name) for name in ("scan", "measure"))
    there = {"gradient": opened.gradients.any, "size": True}
    return next((name for name in after if there.get(name, counts)), "")


def figure_text(name: str, found: float) -> str:
    """A figure in `WIDTH` cells, or in `SIGNED_WIDTH` for a mean."""
    if not isfinite(found):
        return "NaN" if isnan(found) else "Inf" if found > 0 else "-Inf"
    if name == "size":
        return bytes_text(int(found))
    if name in ("nan", "inf"):
        text = f"{int(found):,}"
        return text if len(text) <= WIDTH else count_text(int(found))
    if name == "zero":
        return _share_text(found)
    text = norm_text(found)
    # Exponents of three digits take the room of the digit after the point.
    return text if len(text) <= (SIGNED_WIDTH if name == "mean" else WIDTH) else f"{found:.0e}"


def _share_text(share: float) -> str:
    # Neither some nor all but some may be rounded to none or all.
    if share in (0.0, 1.0):
        return "100 %" if share else "0"
    if share < 0.001:
        return "<0.1 %"
    return ">99.9 %" if share >= 0.9995 else f"{100 * share:.1f} %"


def bar(share: float, width: int, *, plain: bool) -> str:
    """A bar of `width` cells, in eighths of a cell or, `plain`, in ``#``; what is not zero is seen."""
    if plain:
        return ("#" * max(round(min(share, 1.0) * width), share > 0)).ljust(width)
    whole, rest = divmod(max(round(min(share, 1.0) * width * 8), share > 0), 8)
    return ("█" * whole + _EIGHTHS[rest] * (rest > 0)).ljust(width)


def tone(share: float, depth: str, *, negative: bool, light: bool) -> Style:
    """The colour of a bar: from grey to the ends of a heatmap's ramp; none where there are few colours."""
    if depth not in (TRUECOLOR, EIGHT_BIT):
        return Style.null()
    return _tone(round(min(share, 1.0) * STEPS), depth, negative, light)


@lru_cache(maxsize=256)
def _tone(step: int, depth: str, negative: bool, light: bool) -> Style:  # noqa: FBT001  the key of a cache
    end = ends(light=light)[negative]
    parts = (round(least + (most - least) * step / STEPS) for least, most in zip(_LEAST, end, strict=True))
    colour = Color.from_rgb(*parts)
    return Style(color=colour.downgrade(ColorSystem.EIGHT_BIT) if depth == EIGHT_BIT else colour)


class FigureColumn:
    """One figure over all rows of a target.

    Attributes:
        name: One of `FIGURE_WORDS`.
        width: Cells of its texts.
    """

    def __init__(self, opened: Opened, name: str) -> None:
        self.name = name
        self.width = SIGNED_WIDTH if name == "mean" else WIDTH
        self._opened = opened
        # What was worked out since figures have changed, and rows beside each other by the block around.
        self._at: object = None
        self._cells: dict[int, FigureCell] = {}
        self._largest: dict[int, float] = {}
        self._beside: dict[int, tuple[list[int], list[int]]] = {}
        self._gradients = opened.gradients
        self._passes = 0

    @property
    def words(self) -> str:
        """What people call the figure."""
        return FIGURE_WORDS[self.name]

    @property
    def stamp(self) -> tuple[int, int]:
        """Another one once this figure of any row may have changed."""
        if self._opened.gradients is not self._gradients:
            self._gradients, self._passes = self._opened.gradients, self._passes + 1
        revision = self._opened.figures.revision if self.name not in GIVEN else 0
        return revision, self._passes if self.name == "gradient" else 0

    def rows_changed(self) -> None:
        """Other rows are beside each other now."""
        self._at, self._beside = None, {}

    # Figures

    def _last(self, row: int) -> int:
        """The row after the last one that a row of the tree has the figure of."""
        return row + 1 if self._opened.tree.tensor[row] >= 0 else self._opened.view.last(row)

    def values(self, rows: Sequence[int]) -> list[float | None]:
        """Figures of rows as the tree shows them: over all below a block, and all that one stands in for.

        NaN or infinite where there are only such numbers, None where nothing is known.
        """
        if self.name == "size":
            return [self._bytes(row) for row in rows]
        figures = self._opened.figures
        lasts = [self._last(row) for row in rows]
        found = figures.spans(rows, lasts, self.name)
        if self.name in _OF_FINITE and figures.bad_rows:
            missing = [place for place, value in enumerate(found) if value is None]
            spans = [rows[place] for place in missing], [lasts[place] for place in missing]
            both = zip(missing, figures.spans(*spans, "nan"), figures.spans(*spans, "inf"), strict=True)
            for place, nans, infinite in both:
                found[place] = nan if nans else inf if infinite else None
        return found

    def _bytes(self, row: int) -> float | None:
        opened = self._opened
        fold = opened.view.stands_for(row) if opened.tree.tensor[row] < 0 else None
        if fold is not None and opened.view.folds is not None:
            return float(opened.view.folds.sums(fold)[1])
        return float(opened.sums(row)[1]) if opened.tree.tensors[row] else None

    def cell(self, row: int, flat: FlatView | None) -> FigureCell:
        """What stands on a row of the tree, or of a flat list."""
        stamp = self.stamp, flat is None
        if self._at != stamp:
            self._at, self._cells, self._largest = stamp, {}, {}
        if row not in self._cells:
            self._cells[row] = self._cell(row, flat)
        return self._cells[row]

    def _cell(self, row: int, flat: FlatView | None) -> FigureCell:
        (found,) = self.values([row])
        if found is None:
            return FigureCell(self._why_none(row))
        text = figure_text(self.name, found)
        if not isfinite(found):
            return FigureCell(text, bad=True)
        largest = self._scale(row, flat)
        share = min(abs(found) / largest, 1.0) if largest else 0.0
        bad = self.name not in GIVEN and within(self._opened.figures.bad_rows, row, self._last(row))
        return FigureCell(text, share, found < 0, bad)

    def _why_none(self, row: int) -> str:
        """Why a row has no figure, in a word: unreadable, or too few numbers."""
        opened = self._opened
        tensor = opened.tree.tensor[row]
        if self.name == "gradient":
            return gradient_facts(opened, row)[0]
        if tensor < 0 or self.name in GIVEN:
            return ""
        if opened.figures.of(tensor) is None:
            return "?" if opened.figures.why_none(tensor) else ""
        return "-"

    def _scale(self, row: int, flat: FlatView | None) -> float:
        """What a bar is relative to: a size to the sum around it, a share to all, else the largest beside."""
        if self.name == "zero":
            return 1.0
        opened, above = self._opened, self._opened.tree.parent[row] if flat is None else -1
        if above not in self._largest:
            if self.name == "size":
                around = [max(above, 0)] if flat is None else flat.rows
                self._largest[above] = float(max(opened.sums(at)[1] for at in around))
            else:
                if above not in self._beside:
                    rows = flat.rows if flat is not None else self._rows_in(above)
                    self._beside[above] = rows, [self._last(at) for at in rows]
                self._largest[above] = opened.figures.largest(*self._beside[above], self.name)
        return self._largest[above]

    def _rows_in(self, above: int) -> list[int]:
        """The rows directly in a block, of blocks that are folded the one that stands for them."""
        if above < 0:
            return [0]
        tree, last = self._opened.tree, self._opened.view.last
        out: list[int] = []
        row = above + 1
        while row < tree.end[above]:
            out.append(row)
            row = last(row)
        return out
