"""Which rows of a tree are on screen: expanded blocks, folded ones, a filter, and moves between rows."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.folding import Fold, Folds
    from paramtui.core.tree import Tree


# What a snapshot holds of a row besides whether it is expanded, where it stands in for a fold.
_FOLDED, _UNFOLDED = 2, 4
# And of the root, where blocks that are built alike fold by themselves.
_FOLDING = 8
_EXPANDED = bytes(byte & 1 for byte in range(256))


class TreeView:
    """The visible rows of a tree.

    Of blocks that are built alike the second may stand in for itself and those after it; what lies below
    them is hidden then. Blocks are folded when the one around them is opened, not before, and not while a
    filter chooses rows.

    Attributes:
        tree: The tree.
        rows: Visible tree rows, ascending.
        folds: Blocks that are built alike; None until they are known.
        folding: Whether such blocks are folded when the one around them is opened.
    """

    def __init__(self, tree: Tree, *, depth: int = 1) -> None:
        """Shows `tree` with blocks expanded down to `depth` levels below the root."""
        self.tree = tree
        self._expanded = bytearray(level < depth for level in tree.depth)
        self._kept: bytearray | None = None
        self.folds: Folds | None = None
        self.folding = True
        # Folds by the rows that stand in for them, and the stand-ins of those that were opened again.
        self._folded: dict[int, Fold] = {}
        self._unfolded: set[int] = set()
        self.rows: list[int] = []
        self._rebuild()

    def _below(self, row: int) -> list[int]:
        """Visible rows below an expanded row."""
        return self._between(row + 1, self.tree.end[row])

    def _between(self, at: int, last: int) -> list[int]:
        """Visible rows of siblings and below them, their parent being expanded."""
        out: list[int] = []
        end, expanded, kept = self.tree.end, self._expanded, self._kept
        folded = self._folded if kept is None else {}
        while at < last:
            if kept is not None and not kept[at]:
                at = end[at]
                continue
            out.append(at)
            if at in folded:
                at = folded[at].end
                continue
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
        return bool(self._expanded[row]) and self.tree.is_block(row) and self.stands_for(row) is None

    def place(self, row: int) -> int | None:
        """The position of a row among the visible ones, or None if it is hidden."""
        at = bisect_left(self.rows, row)
        return at if at < len(self.rows) and self.rows[at] == row else None

    def expand(self, row: int) -> None:
        """Shows what lies directly below a row, or all blocks that it stands in for."""
        if self.stands_for(row) is not None:
            self.unfold(row)
        elif self.tree.is_block(row) and not self._expanded[row]:
            self._expanded[row] = 1
            self._fold_inside(row)
            at = self.place(row)
            if at is not None:
                self.rows[at + 1 : at + 1] = self._below(row)

    def collapse(self, row: int) -> None:
        """Hides everything below a row; what was expanded inside stays so."""
        if self.is_expanded(row):
            self._expanded[row] = 0
            at = self.place(row)
            if at is not None:
                last = bisect_left(self.rows, self.tree.end[row], lo=at)
                del self.rows[at + 1 : last]

    def toggle(self, row: int) -> None:
        """Expands a collapsed row and collapses an expanded one."""
        if self.is_expanded(row):
            self.collapse(row)
        else:
            self.expand(row)

    def expand_all(self, row: int = 0) -> None:
        """Expands a row and everything below it; nothing there stays folded."""
        last = self.last(row)
        self._expanded[row:last] = b"\1" * (last - row)
        for fold in self.folds or ():
            if row <= fold.stand_in < last:
                self._open(fold)
        self._rebuild()

    def expand_as(self, other: TreeView) -> None:
        """Expands those blocks that are expanded in a view of another tree, and have their names there.

        Blocks of other names stay as they are.
        """
        states = {name: other.is_expanded(row) for row, name in enumerate(other.tree.names())}
        for row, name in enumerate(self.tree.names()):
            self._expanded[row] = states.get(name, self._expanded[row])
        self._rebuild()

    def collapse_all(self, row: int = 0) -> None:
        """Collapses everything below a row, and the row unless it is the root; folds what was unfolded."""
        last = self.last(row)
        self._expanded[row:last] = bytes(last - row)
        self._unfolded = {at for at in self._unfolded if not row <= at < last}
        if row == 0:
            self._expanded[0] = 1
            self._fold_inside(0)
        self._rebuild()

    def reveal(self, row: int) -> int:
        """Expands the blocks around a row, unfolds it, and returns its place among the visible rows.

        Raises:
            KeyError: A filter hides the row.
        """
        if self.place(row) is None or self.stands_for(row) is not None:
            for above in self.tree.ancestors(row):
                if not self._expanded[above]:
                    self._expanded[above] = 1
                    self._fold_inside(above)
            for fold in self._hiding(row):
                self._open(fold)
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
        """Which blocks are expanded and folded, to be put back by `restore`."""
        out = bytearray(self._expanded)
        for row in self._folded:
            out[row] |= _FOLDED
        for row in self._unfolded:
            out[row] |= _UNFOLDED
        if self.folding:
            out[0] |= _FOLDING
        return bytes(out)

    def restore(self, snapshot: bytes) -> None:
        """Expands and folds exactly the blocks that were so when the snapshot was taken."""
        self._expanded = bytearray(snapshot.translate(_EXPANDED))
        folds = [(fold, snapshot[fold.stand_in]) for fold in self.folds or ()]
        # Folding that was ended meanwhile stays ended; what was folded one by one without it comes back.
        kept = _FOLDED if self.folding or not snapshot[0] & _FOLDING else 0
        self._folded = {fold.stand_in: fold for fold, state in folds if state & kept}
        self._unfolded = {fold.stand_in for fold, state in folds if state & _UNFOLDED}
        self._rebuild()

    # Blocks that are built alike

    def stands_for(self, row: int) -> Fold | None:
        """The fold that a visible row stands in for, from the second member on; None where it is itself."""
        return self._folded.get(row) if self._kept is None else None

    def last(self, row: int) -> int:
        """Row after the last one that a visible row stands for: at and below it, or in its fold."""
        fold = self.stands_for(row)
        return self.tree.end[row] if fold is None else fold.end

    def is_folded(self, fold: Fold) -> bool:
        """Whether a fold is closed, or will be once a filter ends."""
        return fold.stand_in in self._folded

    def standing(self, row: int) -> int:
        """The row itself, or the outermost stand-in that hides it."""
        hiding = self._hiding(row)
        return hiding[-1].stand_in if hiding else row

    def unfolded(self, row: int) -> Fold | None:
        """The fold of a member that was opened again; None where there is none."""
        fold = self.folds.of(row) if self.folds is not None else None
        return fold if fold is not None and fold.stand_in in self._unfolded else None

    def take_folds(self, folds: Folds) -> None:
        """Takes what is built alike; what is on screen stays so until a block is opened."""
        self.folds = folds

    def unfold(self, row: int) -> None:
        """Shows all blocks that a row stands in for."""
        fold = self.stands_for(row)
        if fold is not None:
            self._open(fold)
            at = self.place(row)
            if at is not None:
                self.rows[at : at + 1] = self._between(row, fold.end)

    def fold(self, fold: Fold) -> None:
        """Lets the second member stand in for all but the first."""
        self._close(fold)
        at = self.place(fold.stand_in)
        if at is not None and self._kept is None:
            last = bisect_left(self.rows, fold.end, lo=at)
            del self.rows[at + 1 : last]

    def fold_everywhere(self, *, on: bool) -> None:
        """Folds all blocks that are built alike, now and whenever they come up, or none any more."""
        self.folding = on
        self._unfolded = set()
        self._folded = {fold.stand_in: fold for fold in self.folds or ()} if on else {}
        self._rebuild()

    def _fold_inside(self, row: int) -> None:
        """Folds what lies directly below a block that is opened, but for what a person has unfolded."""
        if self.folding and self.folds is not None:
            for fold in self.folds.inside(row):
                if fold.stand_in not in self._unfolded:
                    self._close(fold)

    def _hiding(self, row: int) -> list[Fold]:
        """The folds that hide a row or stand in its place, innermost first."""
        if self.folds is None or not self._folded:
            return []
        return [
            fold for fold in self.folds.around(row) if fold.stand_in in self._folded and row >= fold.stand_in
        ]

    def _open(self, fold: Fold) -> None:
        self._folded.pop(fold.stand_in, None)
        self._unfolded.add(fold.stand_in)

    def _close(self, fold: Fold) -> None:
        self._folded[fold.stand_in] = fold
        self._unfolded.discard(fold.stand_in)
