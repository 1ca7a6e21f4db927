"""An opened target with all that the screen draws it from."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paramtui.core.describe import group_letters, type_and_value
from paramtui.core.dtypes import SHORT_NAMES
from paramtui.core.text import bytes_text, count_text, safe_text, shape_text
from paramtui.core.tree import Tree
from paramtui.core.tree_view import TreeView
from paramtui.tui.finding import Finder

if TYPE_CHECKING:
    from paramtui.core.listing import Listing, Totals
    from paramtui.core.sharing import Group
    from paramtui.core.source import Reader


@dataclass(frozen=True, slots=True)
class Opened:
    """A source, its tree, and what is worked out once for all rows.

    Attributes:
        source: Where the numbers come from.
        tree: All rows.
        view: The rows on screen.
        totals: Sums over the file.
        group_of: The group of each tensor that shares memory.
        letters: The letter of that group.
        problems: Whether any tensor's values cannot be read.
        columns: Widths of the columns of facts: shape, dtype, size.
        finder: Finds rows by name.
    """

    source: Reader
    tree: Tree
    view: TreeView
    totals: Totals
    group_of: dict[int, Group]
    letters: dict[int, str]
    problems: bool
    columns: tuple[int, int, int]
    finder: Finder

    @property
    def listing(self) -> Listing:
        """The names and shapes."""
        return self.source.listing


def prepare(source: Reader) -> Opened:
    """Builds the tree and finds what shares memory; takes a while for 100,000 rows."""
    listing = source.listing
    tree = Tree(listing)
    groups = listing.sharing.groups
    return Opened(
        source,
        tree,
        TreeView(tree),
        listing.totals(),
        {member: group for group in groups for member in group.members},
        group_letters((group.kind, group.members) for group in groups),
        any(extra.problem for extra in listing.extras.values()),
        _columns(listing),
        Finder(tree),
    )


def _columns(listing: Listing) -> tuple[int, int, int]:
    # Elements and sizes of blocks stand in the last two columns and take seven cells at most.
    shape = max((len(shape_text(found)) for found in set(listing.shape)), default=0)
    dtypes = [SHORT_NAMES.get(found, found) for found in set(listing.dtype)]
    dtypes += [short_dtype(listing, tensor) for tensor in listing.extras]
    dtype = max(map(len, dtypes), default=0)
    return min(max(shape, 7), 20), min(max(dtype, 7), 10), 7


def base_name(target: str) -> str:
    """The last part of a target's path."""
    return safe_text(os.path.basename(os.path.normpath(target)) or target)  # noqa: PTH119  may be no path


def label(opened: Opened, row: int) -> str:
    """What a row is called; a root that is one tensor or value has no name of its own."""
    tree = opened.tree
    text = safe_text(tree.label[row])
    if row:
        return text or "(empty)"
    if tree.tensor[0] >= 0:
        return "(tensor)"
    return "(value)" if tree.value[0] >= 0 else "(nothing)"


def short_dtype(listing: Listing, tensor: int) -> str:
    """``bf16`` for ``bfloat16``; with a mark for a layout that is not strided."""
    dtype = listing.dtype[tensor]
    text = SHORT_NAMES.get(dtype) or safe_text(dtype, 12)
    extra = listing.extras.get(tensor)
    if extra is None or not extra.layout:
        return text
    return f"{text} {'wrap' if extra.layout == 'wrapper' else extra.layout.removeprefix('sparse_')}"


def facts(opened: Opened, row: int) -> list[str]:
    """Facts of a row from left to right: those that matter least when room is short come last."""
    tree, listing = opened.tree, opened.listing
    tensor = tree.tensor[row]
    if tensor >= 0:
        return [
            shape_text(listing.shape[tensor]),
            short_dtype(listing, tensor),
            bytes_text(listing.nbytes[tensor]),
        ]
    if tree.value[row] >= 0 and not tree.is_block(row):
        return []
    class_name = tree.class_name(row)
    found = [safe_text(class_name.rsplit(".", 1)[-1], 40)] if class_name else [""]
    if tree.tensors[row]:
        found += [count_text(tree.elements[row]), bytes_text(tree.nbytes[row])]
    return found


def value_of(opened: Opened, row: int) -> str | None:
    """The value on a row, or None if it is none."""
    index = opened.tree.value[row]
    return None if index < 0 else type_and_value(opened.listing, index)[1]


def expression(opened: Opened, row: int) -> str:
    """How to reach a row in PyTorch, as one line of Python; empty where it cannot be reached."""
    from paramtui.core.expressions import expression as written  # not before something is shown

    return written(opened.listing, opened.tree, row)
