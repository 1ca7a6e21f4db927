"""All tensors of a block as one list, in any order: ``named_parameters()`` at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.ordering import by_figure, in_order
from paramtui.core.row_places import RowPlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paramtui.core.tree import Tree

# The order that a figure of each tensor gives, beside `ORDERS`.
FIGURE: Final = "figure"


class FlatView(RowPlaces):
    """Rows of tensors only.

    Attributes:
        tree: The tree whose rows they are.
        root: The block that they lie in.
        order: One of `ORDERS`, or `FIGURE`.
        reverse: Whether the order is turned round.
        rows: Tree rows in the order shown.
    """

    def __init__(self, tree: Tree, root: int = 0, order: str = "stored", *, reverse: bool = False) -> None:
        super().__init__()
        self.tree = tree
        self.root = root
        self.order = order
        self.reverse = reverse
        self._kept: set[int] | None = None
        self.sort(order, reverse=reverse)

    def sort(
        self,
        order: str,
        *,
        reverse: bool = False,
        values: Callable[[list[int]], list[float | None]] | None = None,
    ) -> None:
        """Puts the rows in another order.

        Args:
            order: One of `ORDERS`, or `FIGURE`.
            reverse: Whether it is turned round.
            values: Figures of rows, None where one is unknown; needed for `FIGURE` alone.
        """
        self.order, self.reverse = order, reverse
        tree = self.tree
        tensors = tree.tensors_below(self.root)
        rows = [row for row in range(self.root, tree.end[self.root]) if tree.tensor[row] >= 0]
        if order == FIGURE and values is not None:
            rows = by_figure(rows, values(rows), reverse=reverse)
        elif order != "stored" or reverse:
            row_of = dict(zip(tensors, rows, strict=True))
            rows = [row_of[tensor] for tensor in in_order(tree.listing, tensors, order, reverse=reverse)]
        self._all = rows
        self._narrow()

    def _narrow(self) -> None:
        kept = self._kept
        self.put(self._all if kept is None else [row for row in self._all if row in kept])

    def is_expanded(self, row: int) -> bool:  # noqa: ARG002  as a tree view's
        """Nothing in a list is open."""
        return False

    def keep(self, rows: Iterable[int] | None) -> int:
        """Shows only some rows, or all again; returns how many are shown."""
        self._kept = None if rows is None else set(rows)
        self._narrow()
        return len(self.rows)
