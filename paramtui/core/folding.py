"""Runs of blocks that are built alike, such as the layers of a transformer: each can be shown as one."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramtui.core.tree import Tree

LEAST: Final = 3
_NUMBER: Final = re.compile(r"[0-9]+")


class Fold(NamedTuple):
    """Siblings that follow each other, have equal names, shapes and types below them, and are numbered.

    Attributes:
        first: Row of the first member.
        members: How many there are.
        height: Rows of each member, its own included; the same for all.
    """

    first: int
    members: int
    height: int

    @property
    def rows(self) -> range:
        """Rows of the members."""
        return range(self.first, self.end, self.height)

    @property
    def end(self) -> int:
        """Row after the last one below the last member."""
        return self.first + self.members * self.height

    @property
    def stand_in(self) -> int:
        """Row of the second member: it stands for all but the first while they are folded."""
        return self.first + self.height


def numbered(label: str, other: str) -> bool:
    """Whether two labels are equal but for their numbers."""
    return (label.isdecimal() and other.isdecimal()) or _NUMBER.sub("0", label) == _NUMBER.sub("0", other)


class Folds:
    """All runs of a tree; found in time that grows with its rows, 100,000 of them in 0.1 to 0.2 s."""

    def __init__(self, tree: Tree, *, least: int = LEAST) -> None:
        """Finds them.

        Two blocks are alike if their classes and the labels, types, shapes and order of what lies below them
        are equal; values that are no tensors count by their type. Their own labels differ in numbers only:
        ``q_proj`` and ``k_proj`` are not shown as one, whatever their shapes.

        Args:
            tree: Where to look.
            least: Members that a run has at least.
        """
        self._tree = tree
        self._least = least
        self._inside: dict[int, list[Fold]] = {}
        self._count = 0
        self._sums: dict[int, tuple[int, int]] = {}
        self._find()

    def _find(self) -> None:
        """Numbers blocks so that those with the same number are alike, from the innermost ones out."""
        tree = self._tree
        end, label = tree.end, tree.label
        own = _Own(tree)
        # Blocks are told apart by what they are and hold, not by a hash of it: equal means equal.
        numbers: dict[tuple[object, ...], int] = {}
        number = [0] * len(tree)
        for row in range(len(tree) - 1, -1, -1):
            last, child = end[row], row + 1
            parts: list[object] = [own.key(row)]
            if child == last:
                number[row] = numbers.setdefault((parts[0],), len(numbers))
                continue
            first, before, count = child, -1, 0
            while child < last:
                found = number[child]
                if found == before and (end[child] == child + 1 or numbered(label[first], label[child])):
                    count += 1
                else:
                    if count >= self._least:
                        self._add(row, first, count)
                    first, before, count = child, found, 1
                parts.append(label[child])
                parts.append(found)
                child = end[child]
            if count >= self._least:
                self._add(row, first, count)
            number[row] = numbers.setdefault(tuple(parts), len(numbers))

    def _add(self, parent: int, first: int, count: int) -> None:
        height = self._tree.end[first] - first
        if height > 1:
            self._inside.setdefault(parent, []).append(Fold(first, count, height))
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Fold]:
        """All runs, in the order of their first rows."""
        return iter(sorted(fold for folds in self._inside.values() for fold in folds))

    def inside(self, block: int) -> list[Fold]:
        """The runs among the rows directly below a block, ascending."""
        return self._inside.get(block, [])

    def only(self, block: int) -> Fold | None:
        """The run that a block consists of; None where it holds anything else."""
        folds = self.inside(block)
        whole = len(folds) == 1 and folds[0].first == block + 1 and folds[0].end == self._tree.end[block]
        return folds[0] if whole else None

    def of(self, row: int) -> Fold | None:
        """The run that a row is a member of."""
        folds = self._inside.get(self._tree.parent[row])
        if not folds:
            return None
        at = bisect_right(folds, row, key=lambda fold: fold.first) - 1
        return folds[at] if at >= 0 and row < folds[at].end else None

    def around(self, row: int) -> list[Fold]:
        """The runs that a row is a member of or lies in, innermost first."""
        if not self._count:
            return []
        found = (self.of(at) for at in (row, *self._tree.ancestors(row)) if at > 0)
        return [fold for fold in found if fold is not None]

    def sums(self, fold: Fold) -> tuple[int, int]:
        """Elements and bytes of all members but the first, shared memory once."""
        found = self._sums.get(fold.first)
        if found is None:
            tree = self._tree
            totals = tree.listing.totals([at for at in tree.tensor[fold.stand_in : fold.end] if at >= 0])
            found = self._sums[fold.first] = totals.unique_elements, totals.unique_nbytes
        return found


class _Own:
    """What a row is besides its label and what lies below it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._listing = tree.listing

    def key(self, row: int) -> object:
        """Something that is equal for rows that are alike, and for no others."""
        tree, listing = self._tree, self._listing
        tensor, value, class_name = tree.tensor[row], tree.value[row], listing.node_class.get(tree.node[row])
        if tensor < 0:
            return class_name, listing.values[value].type_name if value >= 0 else None
        extra = listing.extras.get(tensor)
        layout = (extra.layout, extra.class_name) if extra is not None else None
        also = listing.values[value].type_name if value >= 0 else None
        return listing.kind[tensor], listing.dtype[tensor], listing.shape[tensor], class_name, layout, also
