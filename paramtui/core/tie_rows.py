"""Where in a tree the names of one tensor stand: for marks of blocks, and to go from one to the next."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paramtui.core.ties import Tied, Ties
    from paramtui.core.tree import Tree


class TieRows:
    """Rows of all names that are in a group.

    Args:
        tree: The rows.
        ties: The groups.
        apart: Whether views of one storage that do not touch each other count too.

    Attributes:
        rows: Ascending.
    """

    def __init__(self, tree: Tree, ties: Ties, *, apart: bool) -> None:
        found: dict[int, Tied] = {}
        rest = {member: tie for tie in ties.apart for member in tie.members} if apart else {}
        if ties.members or ties.ghosts or rest:
            for row, tensor in enumerate(tree.tensor):
                tie = ties.members.get(tensor) or rest.get(tensor) if tensor >= 0 else None
                if tie is None and tree.value[row] >= 0 and tensor < 0:
                    tie = ties.ghosts.get(tree.value[row])
                if tie is not None:
                    found[row] = tie
        self._of = found
        self.rows = list(found)
        # How often the group changes from one of the rows to the next, up to each.
        self._changes: list[int] = []
        before, count = "", 0
        for tie in found.values():
            count += tie.letter != before
            before = tie.letter
            self._changes.append(count)
        self._by_letter: dict[str, list[int]] = {}
        for row, tie in found.items():
            self._by_letter.setdefault(tie.letter, []).append(row)
        self._firsts = [rows[0] for rows in self._by_letter.values()]

    def of(self, row: int) -> Tied | None:
        """The group of a row; None where it is in none."""
        return self._of.get(row)

    def below(self, first: int, end: int) -> tuple[Tied | None, bool]:
        """A group that has names among some rows, and whether it is the only one; None for none.

        Args:
            first: The first of the rows.
            end: The row after the last.
        """
        at, last = bisect_left(self.rows, first), bisect_left(self.rows, end) - 1
        if at > last:
            return None, False
        return self._of[self.rows[at]], self._changes[at] == self._changes[last]

    def members(self, row: int) -> list[int]:
        """Rows of all names of the group of a row, ascending; empty where it is in none."""
        tie = self._of.get(row)
        return self._by_letter[tie.letter] if tie is not None else []

    def next_member(self, row: int, step: int) -> int | None:
        """The next or previous name of the same memory, round and round; None where there is none."""
        rows = self.members(row)
        return rows[(rows.index(row) + step) % len(rows)] if rows else None

    def next_group(self, row: int, step: int) -> int | None:
        """The first name of the next or previous group, by their first names, round and round."""
        firsts = self._firsts
        if not firsts:
            return None
        rows = self.members(row)
        if rows:
            return firsts[(firsts.index(rows[0]) + step) % len(firsts)]
        at = bisect_right(firsts, row) if step > 0 else bisect_left(firsts, row) - 1
        return firsts[at % len(firsts)]
