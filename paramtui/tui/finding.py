"""Finds rows by their names; the index is made when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paramtui.core.search import NameIndex, Query
    from paramtui.core.tree import Tree


class Finder:
    """The names of all rows of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._names: list[str] = []
        self._index: NameIndex | None = None

    @property
    def index(self) -> NameIndex:
        """All rows' names."""
        if self._index is None:
            from paramtui.core.search import NameIndex

            self._names = self._tree.names()
            self._index = NameIndex(self._names)
        return self._index

    def rows(self, query: Query) -> list[int]:
        """Rows whose dotted names a query finds, ascending."""
        return [row for row in self.index.search(query) if row]

    def leaves(self, query: Query) -> list[int]:
        """Tensors and values among them."""
        tree = self._tree
        return [row for row in self.rows(query) if tree.tensor[row] >= 0 or tree.value[row] >= 0]

    def touches(self, query: Query, row: int) -> bool:
        """Whether a query finds something in the row's own part of its name."""
        name = self._names[row]
        begin = len(name) - len(self._tree.label[row])
        return query.touches(name, begin)

    def ranked(self, query: Query, limit: int) -> list[int]:
        """The rows that a query most likely means."""
        return [row for row in self.index.ranked(query, limit + 1) if row][:limit]
