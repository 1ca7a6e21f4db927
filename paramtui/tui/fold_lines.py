"""How a figure runs through blocks that are built alike: a line for each name in them, a mark for each."""

from __future__ import annotations

from math import isfinite
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Protocol, cast

from rich.text import Text

from paramtui.core.bars import BLOCKS
from paramtui.core.text import safe_text
from paramtui.tui.fold_rows import fold_label
from paramtui.tui.opened import label
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.folding import Fold
    from paramtui.tui.opened import Opened

    class Figures(Protocol):
        """What is known of tensors by their rows."""

        def figure(self, row: int, name: str) -> float | None:
            """A figure of a row; None where it is not known."""


UNKNOWN: Final = "·"
BAD: Final = "!"
STEPS: Final = BLOCKS[1:]
MAX_MARKS, LEAST_MARKS = 128, 16
MAX_NAMES: Final = 24
MAX_FOLDS: Final = 4
NAME_WIDTH: Final = 30
ADVICE: Final = "I looks at all tensors: a figure of each block stands here then"


def folds_on(opened: Opened, row: int) -> Sequence[Fold]:
    """What the page of a row tells of: the runs in a block, or the run that the row stands in for."""
    standing = opened.view.stands_for(row) if row >= 0 else None
    if standing is not None:
        return [standing]
    return opened.view.folds.inside(row)[:MAX_FOLDS] if opened.view.folds is not None and row >= 0 else []


def fold_body(opened: Opened, row: int, width: int) -> list[Text]:
    """Lines on the blocks that are built alike at or in a row, with an empty one before; empty for none.

    Args:
        opened: The target.
        row: Of the tree.
        width: Cells that a line has.
    """
    lines: list[Text] = []
    standing = opened.view.stands_for(row) if row >= 0 else None
    if standing is not None:
        first, here = label(opened, standing.first), label(opened, row)
        lines.append(Text(f"{fold_label(opened, standing)}: built as {first}; what is below is of {here}"))
    for fold in folds_on(opened, row):
        lines += _fold_lines(opened, fold, width)
    return [Text(""), *lines] if lines else []


def _fold_lines(opened: Opened, fold: Fold, width: int) -> list[Text]:
    from paramtui.tui.figure_column import FIGURE_WORDS  # not before there is a fold to tell of

    figures, name = cast("Figures", opened.figures), opened.figure_shown or "std"
    words = FIGURE_WORDS[name]
    tree = opened.tree
    offsets = [at - fold.first for at in range(fold.first, fold.first + fold.height) if tree.tensor[at] >= 0]
    if not offsets:
        return []
    above = len(tree.name(fold.first)) + 1
    title = f"{label(opened, fold.first)} ... {label(opened, fold.rows[-1])}, {words} of each"
    drawn: list[tuple[str, list[float | None], str]] = []
    for offset in offsets[:MAX_NAMES]:
        found = [_known(figures, row + offset, name) for row in fold.rows]
        if any(value is not None for value in found):
            inside = safe_text(tree.name(fold.first + offset)[above:]) or label(opened, fold.first)
            span = span_words(found, [label(opened, row) for row in fold.rows], name)
            drawn.append((fit(inside, NAME_WIDTH), found, span))
    if not drawn:
        return [Text(title, style="bold"), Text(ADVICE, style="dim")] if name != "gradient" else []
    names, spans = (max(len(each[place]) for each in drawn) for place in (0, 2))
    marks = min(max(width - names - spans - 4, LEAST_MARKS), MAX_MARKS)
    lines = [Text(title, style="bold")]
    lines += [
        Text(f"{inside:<{names}}  {sparkline(found, marks)}  {span}", no_wrap=True, overflow="ellipsis")
        for inside, found, span in drawn
    ]
    if len(offsets) > MAX_NAMES:
        lines.append(Text(f"and {len(offsets) - MAX_NAMES:,} more names", style="dim"))
    return lines


def _known(figures: Figures, row: int, name: str) -> float | None:
    """A figure of a tensor; NaN where it is one of numbers among which there are NaN or infinities."""
    if name not in ("gradient", "size") and any(
        (figures.figure(row, bad) or 0) > 0 for bad in ("nan", "inf")
    ):
        return float("nan")
    return figures.figure(row, name)


def sparkline(found: Sequence[float | None], marks: int = MAX_MARKS) -> str:
    """A mark for each figure, or for as many as it takes that `marks` are enough: of these the furthest off.

    Args:
        found: Figures; None for what is not known, NaN or infinite for what is not finite.
        marks: Marks at most.

    Returns:
        Eighths of a cell from the least figure to the largest, `UNKNOWN`, and `BAD` where any is not finite.
    """
    known = sorted(value for value in found if value is not None and isfinite(value))
    low, middle, high = (known[0], known[len(known) // 2], known[-1]) if known else (0.0, 0.0, 0.0)
    each = -(-len(found) // marks) if found else 1
    out = ""
    for begin in range(0, len(found), each):
        part = [value for value in found[begin : begin + each] if value is not None]
        if not part:
            out += UNKNOWN
        elif not all(map(isfinite, part)):
            out += BAD
        elif high == low:
            out += STEPS[3]
        else:
            furthest = max(part, key=lambda value: abs(value - middle))
            out += STEPS[min(int((furthest - low) / (high - low) * len(STEPS)), len(STEPS) - 1)]
    return out


def span_words(found: Sequence[float | None], members: Sequence[str], name: str = "") -> str:
    """``0.012 (3) to 0.034 (17)``: the least figure and the largest, and whose; empty where none is finite.

    Args:
        found: Figures.
        members: What the blocks are called that have them.
        name: Which figure; sizes and shares are written as such.
    """
    known = [
        (value, member)
        for value, member in zip(found, members, strict=True)
        if value is not None and isfinite(value)
    ]
    if not known:
        return ""

    def written(value: float) -> str:
        if name in ("size", "zero"):
            from paramtui.tui.figure_column import figure_text

            return figure_text(name, value)
        return f"{value:.3g}"

    (low, first), (high, last) = min(known, key=itemgetter(0)), max(known, key=itemgetter(0))
    if low == high:
        return written(low)
    return f"{written(low)} ({first}) to {written(high)} ({last})"
