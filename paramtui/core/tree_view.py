"""Which rows of a tree are on screen: expanded blocks, a filter, and moves between rows."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.tree import Tree


class TreeView:
    """The visible rows of a tree.

    Attributes:
        tree: The tree.
        rows: Visible tree rows, ascending.
    """

    def __init__(self, tree: Tree, *, depth: int = 1) -> None:
        """Shows `tree` with blocks expanded down to `depth` levels below the root."""
        self.tree = tree
        self._expanded = bytearray(level < depth for level in tree.depth)
        self._kept: bytearray | None = None
        self.rows: list[int] = []
        self._rebuild()

    def _below(self, row: int) -> list[int]:
        """Visible rows below an expanded row."""
        out: list[int] = []
        end, expanded, kept = self.tree.end, self._expanded, self._kept
        at, last = row + 1, end[row]
        while at < last:
            if kept is not None and not kept[at]:
                at = end[at]
                continue
            out.append(at)
            at = at + 1 if expanded[at] else end[at]
        return out

    def _rebuild(self) -> None:
        # The root is the target itself; it is shown only when it is a row of its own.
        alone = len(self.tree) == 1 or self.tree.tensor[0] >= 0 or self.tree.value[0] >= 0
        self.rows = ([0] if alone else []) + (self._below(0) if self._expanded[0] or not alone else [])

    def __len__(self) -> int:
        return len(self.rows)

    def is_expanded(self, row: int) -> bool:
        """Whether what lies below a row is shown."""
        return bool(self._expanded[row]) and self.tree.is_block(row)

    def place(self, row: int) -> int | None:
        """The position of a row among the visible ones, or None if it is hidden."""
        at = bisect_left(self.rows, row)
        return at if at < len(self.rows) and self.rows[at] == row else None

    def expand(self, row: int) -> None:
        """Shows what lies directly below a row."""
        if self.tree.is_block(row) and not self._expanded[row]:
            self._expanded[row] = 1
            at = self.place(row)
            if at is not None:
                self.rows[at + 1 : at + 1] = self._below(row)

    def collapse(self, row: int) -> None:
        """Hides everything below a row; what was expanded inside stays so."""
        if self.tree.is_block(row) and self._expanded[row]:
            self._expanded[row] = 0
            at = self.place(row)
            if at is not None:
                last = bisect_left(self.rows, self.tree.end[row], lo=at)
                del self.rows[at + 1 : last]

    def toggle(self, row: int) -> None:
        """Expands a collapsed row and collapses an expanded one."""
        if self._expanded[row]:
            self.collapse(row)
        else:
            self.expand(row)

    def expand_all(self, row: int = 0) -> None:
        """Expands a row and everything below it."""
        last = self.tree.end[row]
        self._expanded[row:last] = b"\1" * (last - row)
        self._rebuild()

    def collapse_all(self, row: int = 0) -> None:
        """Collapses everything below a row, and the row unless it is the root."""
        last = self.tree.end[row]
        self._expanded[row:last] = bytes(last - row)
        if row == 0:
            self._expanded[0] = 1
        self._rebuild()

    def reveal(self, row: int) -> int:
        """Expands the blocks around a row and returns its place among the visible rows.

        Raises:
            KeyError: A filter hides the row.
        """
        if self.place(row) is None:
            for above in self.tree.ancestors(row):
                self._expanded[above] = 1
            self._rebuild()
        at = self.place(row)
        if at is None:
            raise KeyError(row)
        return at

    def keep(self, rows: Iterable[int] | None) -> int:
        """Shows only some leaves with the blocks around them, which are expanded; None ends the filter.

        Returns:
            How many leaves are shown; 0 where the filter ends.
        """
        if rows is None:
            self._kept = None
            self._rebuild()
            return 0
        kept = bytearray(len(self.tree))
        kept[0] = 1
        parent = self.tree.parent
        expanded = self._expanded
        count = 0
        for row in rows:
            count += 1
            at = row
            while not kept[at]:
                kept[at] = 1
                at = parent[at]
                expanded[at] = 1
        self._kept = kept
        self._rebuild()
        return count

    @property
    def filtered(self) -> bool:
        """Whether a filter hides rows."""
        return self._kept is not None

    def snapshot(self) -> bytes:
        """Which blocks are expanded, to be put back by `restore`."""
        return bytes(self._expanded)

    def restore(self, snapshot: bytes) -> None:
        """Expands exactly the blocks that were expanded when the snapshot was taken."""
        self._expanded = bytearray(snapshot)
        self._rebuild()
