"""The visible rows of a tree with the rows of each block in the order of a figure."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from paramtui.core.ordering import by_figure
from paramtui.core.row_places import RowPlaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.core.tree_view import TreeView


class SortedView(RowPlaces):
    """What a tree view shows, in another order.

    Figures are asked for once a row: what comes to be known later moves nothing until it is sorted anew.

    Attributes:
        view: Which rows are shown; blocks are opened and closed there, then `renew` follows.
        reverse: Whether the order is turned round.
        rows: Visible tree rows in the order shown; what lies below a row still follows it at once.
    """

    def __init__(
        self, view: TreeView, values: Callable[[list[int]], list[float | None]], *, reverse: bool = False
    ) -> None:
        """Sorts the rows.

        Args:
            view: The rows shown.
            values: Figures of rows as the view shows them, over all that one stands in for; None where one
                is unknown. Unknown ones come last.
            reverse: Whether the smallest come first.
        """
        super().__init__()
        self.view = view
        self.reverse = reverse
        self._values = values
        # By a row and the one after the last that it stands for, which unfolding changes.
        self._known: dict[tuple[int, int], float | None] = {}
        self._seen: list[int] = []
        self.renew()

    def renew(self) -> None:
        """Follows what was opened, closed, folded or filtered in the tree view."""
        if self._seen != self.view.rows:
            if not self._follow(self._seen, self.view.rows):
                self.rows = self._sorted(self.view.rows)
            self._seen = list(self.view.rows)
            self._places = None

    def _follow(self, before: list[int], after: list[int]) -> bool:
        """Puts in or takes out what lies below one block; False where more than that has changed."""
        longer, shorter = (after, before) if len(after) > len(before) else (before, after)
        count = len(longer) - len(shorter)
        # Rows ascend: from the first one that differs on, all do.
        at = bisect_left(range(len(shorter)), 1, key=lambda place: shorter[place] != longer[place])
        if not at or not count or longer[:at] != shorter[:at] or longer[at + count :] != shorter[at:]:
            return False
        tree, block, inside = self.view.tree, longer[at - 1], longer[at : at + count]
        rest = longer[at + count] if at + count < len(longer) else len(tree)
        place = self.place(block)
        if place is None or tree.parent[inside[0]] != block or not inside[-1] < tree.end[block] <= rest:
            return False
        opened = longer is after
        self.rows[place + 1 : place + 1 + (0 if opened else count)] = self._sorted(inside) if opened else []
        return True

    def _sorted(self, rows: list[int]) -> list[int]:
        """Rows that ascend, with those of each block in the order of the figure."""
        value = self._look(rows)
        end = self.view.tree.end
        # Rows side by side, by the block around them; None for the outermost ones.
        inside: dict[int | None, list[int]] = {}
        around: list[int] = []
        for row in rows:
            while around and end[around[-1]] <= row:
                around.pop()
            inside.setdefault(around[-1] if around else None, []).append(row)
            if end[row] > row + 1:
                around.append(row)
        out: list[int] = []
        rest: list[int] = []
        block: int | None = None
        while True:
            found = inside.get(block)
            if found is not None:
                if len(found) > 1:
                    found = by_figure(found, [value[row] for row in found], reverse=self.reverse)
                rest += reversed(found)
            if not rest:
                return out
            block = rest.pop()
            out.append(block)

    def _look(self, rows: list[int]) -> dict[int, float | None]:
        """Figures of rows, those asked for before as they were then."""
        last, known = self.view.last, self._known
        keys = [(row, last(row)) for row in rows]
        new = [key for key in keys if key not in known]
        if new:
            known.update(zip(new, self._values([row for row, _ in new]), strict=True))
        return {key[0]: known[key] for key in keys}

    def is_expanded(self, row: int) -> bool:
        """Whether what lies below a row is shown."""
        return self.view.is_expanded(row)

    def reveal(self, row: int) -> int:
        """Expands the blocks around a row and returns its place among the visible rows.

        Raises:
            KeyError: A filter hides the row.
        """
        self.view.reveal(row)
        self.renew()
        return super().reveal(row)
