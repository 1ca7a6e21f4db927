"""The tree of blocks over a listing, as flat arrays in pre-order.

A block is a container of the file, a module, or what the dots in names say: ``0.weight`` in a
state dict is ``weight`` in block ``0``. Nothing here recurses, so that depth costs no stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from paramtui.core.tree_builder import Builder

if TYPE_CHECKING:
    from collections.abc import Collection

    from paramtui.core.listing import Listing

T = TypeVar("T")
MAX_NAME: Final = 4000


class Tree:
    """Rows in pre-order; row 0 is the root block.

    Attributes:
        listing: What the rows stand for.
        label: Last part of the name.
        depth: 0 for the root.
        parent: Row of the enclosing block; -1 for the root.
        end: Row after the last one below; ``row + 1`` for a leaf.
        tensor: Tensor id, or -1.
        value: Index in `Listing.values`, or -1.
        node: Listing node, or -1 for a block that only dots in names make.
        tensors, elements, nbytes: Sums over the tensors at and below the row, aliases counted as often
            as they are listed.
    """

    def __init__(
        self,
        listing: Listing,
        *,
        order: str = "stored",
        tensors: Collection[int] | None = None,
        values: Collection[int] | None = None,
    ) -> None:
        """Builds the tree.

        Args:
            listing: What to show.
            order: One of `ORDERS`. ``stored`` keeps the file's order, except that siblings which
                differ in a number only are put in its order (2 before 10).
            tensors: Ids to show, by default all.
            values: Indices of values to show, by default all.
        """
        self.listing = listing
        builder = Builder(listing, tensors, values)
        builder.sort(order)
        rows = builder.preorder()
        new_row = [0] * len(rows)
        for row, old in enumerate(rows):
            new_row[old] = row

        def in_order(column: list[T]) -> list[T]:
            return list(map(column.__getitem__, rows))

        self.label: list[str] = in_order(builder.label)
        self.tensor: list[int] = in_order(builder.tensor)
        self.value: list[int] = in_order(builder.value)
        self.node: list[int] = in_order(builder.node)
        self.parent: list[int] = [-1, *map(new_row.__getitem__, in_order(builder.parent)[1:])]
        self.tensors: list[int] = in_order(builder.count)
        self.elements: list[int] = in_order(builder.elements)
        self.nbytes: list[int] = in_order(builder.nbytes)
        self.depth: list[int] = [0] * len(rows)
        self.end: list[int] = [0] * len(rows)
        self._measure()
        self._row_of: dict[int, int] | None = None

    def _measure(self) -> None:
        parent, depth, end = self.parent, self.depth, self.end
        for row in range(1, len(parent)):
            depth[row] = depth[parent[row]] + 1
        for row in range(len(parent) - 1, 0, -1):
            last = end[row] or row + 1
            end[row] = last
            # The last child is met first; the others end before it.
            if not end[parent[row]]:
                end[parent[row]] = last
        end[0] = len(parent)

    def __len__(self) -> int:
        return len(self.label)

    def is_block(self, row: int) -> bool:
        """Whether a row has rows below it."""
        return self.end[row] > row + 1

    def children(self, row: int) -> list[int]:
        """The rows directly below a row, in order."""
        out: list[int] = []
        child = row + 1
        while child < self.end[row]:
            out.append(child)
            child = self.end[child]
        return out

    def ancestors(self, row: int) -> list[int]:
        """The blocks around a row, innermost first."""
        out: list[int] = []
        row = self.parent[row]
        while row >= 0:
            out.append(row)
            row = self.parent[row]
        return out

    def name(self, row: int) -> str:
        """Dotted name of a row; empty for the root."""
        labels = [self.label[at] for at in [row, *self.ancestors(row)] if at]
        return ".".join(reversed(labels))

    def names(self) -> list[str]:
        """Dotted names of all rows."""
        out: list[str] = [""] * len(self.label)
        parent = self.parent
        labels = iter(self.label)
        next(labels)
        # Long names in deep nests would take the square of the depth in memory.
        for row, label in enumerate(labels, start=1):
            above = out[parent[row]]
            out[row] = f"{above}.{label}" if above and len(above) < MAX_NAME else label
        return out

    def class_name(self, row: int) -> str | None:
        """Class of the module or object that a row is, where the file tells it."""
        return self.listing.node_class.get(self.node[row])

    def row_of(self, tensor: int) -> int | None:
        """The row of a tensor id, or None if it is not in this tree."""
        if self._row_of is None:
            self._row_of = {found: row for row, found in enumerate(self.tensor) if found >= 0}
        return self._row_of.get(tensor)

    def find(self, name: str) -> list[int]:
        """Rows whose dotted name is `name`: blocks and leaves; empty if none."""
        rest = [(0, name)]
        found: list[int] = [] if name else [0]
        while rest:
            row, tail = rest.pop()
            for child in self.children(row):
                label = self.label[child]
                if tail == label:
                    found.append(child)
                elif tail.startswith(label + "."):
                    rest.append((child, tail[len(label) + 1 :]))
        return sorted(found)

    def tensors_below(self, row: int) -> list[int]:
        """Ids of the tensors at and below a row."""
        return [tensor for tensor in self.tensor[row : self.end[row]] if tensor >= 0]
