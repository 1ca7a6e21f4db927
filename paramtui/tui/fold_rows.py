"""What is written of blocks that are built alike: on the row that stands for them, and on the one around."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.text import bytes_text, count_text
from paramtui.tui.opened import label

if TYPE_CHECKING:
    from paramtui.core.folding import Fold
    from paramtui.tui.opened import Opened


def fold_label(opened: Opened, fold: Fold) -> str:
    """``1 ... 79``: all members but the first."""
    return f"{label(opened, fold.stand_in)} ... {label(opened, fold.rows[-1])}"


def fold_words(opened: Opened, fold: Fold) -> str:
    """``x79 as 0``: how many there are, and where to look; begins with spaces."""
    return f"  x{fold.members - 1:,} as {label(opened, fold.first)}"


def repeat_words(opened: Opened, row: int) -> str:
    """``x80``, after a space, for a block that holds nothing but blocks that are built alike; else empty."""
    fold = opened.view.folds.only(row) if opened.view.folds is not None else None
    return f" x{fold.members:,}" if fold is not None else ""


def fold_facts(opened: Opened, fold: Fold, found: list[str]) -> list[str]:
    """The facts of the second member with the sums over all that it stands in for."""
    folds = opened.view.folds
    if folds is None or len(found) < 3:
        return found
    elements, nbytes = folds.sums(fold)
    return [*found[:-2], count_text(elements), bytes_text(nbytes)]
