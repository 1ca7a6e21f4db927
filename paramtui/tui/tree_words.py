"""What stands in the frame of the tree: which rows there are, in what order, and which are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.text import safe_text
from paramtui.tui import tree_rows
from paramtui.tui.pages import counted

if TYPE_CHECKING:
    from paramtui.core.flat_view import FlatView
    from paramtui.core.search import Query
    from paramtui.tui.opened import Opened


def list_words(opened: Opened | None, flat: FlatView | None, only: Query | None) -> str:
    """``7 tensors in model.layers, by size, only norm``; empty for the whole tree.

    Args:
        opened: The target.
        flat: The list that stands there instead of the tree; None for the tree.
        only: What rows are chosen by; None for all.
    """
    words = ""
    if opened is not None and flat is not None:
        from paramtui.core.flat_view import FIGURE  # imported with the list

        inside = f" in {tree_rows.full_label(opened, flat.root)}" if flat.root else ""
        way = " (reversed)" if flat.reverse else ""
        by = "as" if flat.order == "stored" else "by"
        # By which figure is said with it.
        order = f", {by} {flat.order}{way}" if flat.order != FIGURE else ""
        words = f"{counted(len(flat), 'tensor')}{inside}{order}"
    if only is not None:
        # What is hidden must not be taken for missing.
        words += f"{', ' if words else ''}only {safe_text(only.text, 30)}"
    return words
