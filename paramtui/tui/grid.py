"""The part of a tensor that a grid shows: rows and columns of any two of its dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paramtui.core.indexing import Selection

NONE = -1


@dataclass(frozen=True, slots=True)
class Grid:
    """A place in a tensor.

    One dimension runs down the rows and one along the columns; the others stand at one index each.
    A tensor of one dimension has rows or columns only, one of none is a single cell.

    Attributes:
        tensor: Its id.
        shape: Its sizes.
        row_dim, col_dim: Dimensions of rows and columns; `NONE` for none.
        index: An index by dimension; those of rows and columns are not used.
        stepped_dim: Which of the other dimensions is stepped first; `NONE` for the last of them.
        top, left: First row and column on screen.
        mark: A cell that was gone to, as row and column.
    """

    tensor: int
    shape: tuple[int, ...]
    row_dim: int
    col_dim: int
    index: tuple[int, ...]
    stepped_dim: int = NONE
    top: int = 0
    left: int = 0
    mark: tuple[int, int] | None = None

    @classmethod
    def of(cls, tensor: int, shape: tuple[int, ...]) -> Grid:
        """The first window: rows and columns are the last two dimensions."""
        dims = len(shape)
        return cls(
            tensor, shape, max(dims - 2, 0) if dims else NONE, dims - 1 if dims > 1 else NONE, (0,) * dims
        )

    @property
    def rows(self) -> int:
        """Rows of a slice."""
        return 1 if self.row_dim == NONE else self.shape[self.row_dim]

    @property
    def columns(self) -> int:
        """Columns of a slice."""
        return 1 if self.col_dim == NONE else self.shape[self.col_dim]

    @property
    def others(self) -> tuple[int, ...]:
        """Dimensions that are neither rows nor columns."""
        return tuple(dim for dim in range(len(self.shape)) if dim not in (self.row_dim, self.col_dim))

    @property
    def slices(self) -> int:
        """Crossings of the other dimensions."""
        return prod(self.shape[dim] for dim in self.others)

    @property
    def slice(self) -> int:
        """Which crossing is shown, counted in row-major order."""
        place = 0
        for dim in self.others:
            place = place * self.shape[dim] + self.index[dim]
        return place

    @property
    def empty(self) -> bool:
        """Whether there are no cells at all."""
        return 0 in self.shape

    @property
    def moved(self) -> bool:
        """Whether the window is another than the first one."""
        return bool(self.top or self.left or any(self.index[dim] for dim in self.others))

    def index_text(self, rows: str = ":", columns: str = ":") -> str:
        """The slice as an index, as in ``3, :, :``."""
        return ", ".join(
            rows if dim == self.row_dim else columns if dim == self.col_dim else str(self.index[dim])
            for dim in range(len(self.shape))
        )

    def at(self, *, top: int, left: int, height: int, width: int) -> Grid:
        """The same slice from another cell, so that `height` rows and `width` columns are filled."""
        return replace(
            self,
            top=max(min(top, self.rows - height), 0),
            left=max(min(left, self.columns - width), 0),
        )

    def stepped(self, slices: int) -> Grid:
        """Another crossing of the other dimensions at the same cell; stops at the first and the last."""
        others = self.others
        if not others:
            return self
        chosen = self.stepped_dim if self.stepped_dim in others else others[-1]
        carried = others[: others.index(chosen) + 1]
        place = 0
        for dim in carried:
            place = place * self.shape[dim] + self.index[dim]
        rest = max(min(place + slices, prod(self.shape[dim] for dim in carried) - 1), 0)
        index = list(self.index)
        for dim in reversed(carried):
            rest, index[dim] = divmod(rest, max(self.shape[dim], 1))
        return replace(self, index=tuple(index))

    def next_stepped_dim(self) -> Grid:
        """The same cells, with the next of the other dimensions to be stepped."""
        others = self.others
        if not others:
            return self
        chosen = self.stepped_dim if self.stepped_dim in others else others[-1]
        return replace(self, stepped_dim=others[others.index(chosen) - 1])

    def other_rows(self) -> Grid:
        """The previous dimension as rows; where it is that of the columns, the two change places."""
        return self._turned(rows=True)

    def other_columns(self) -> Grid:
        """The previous dimension as columns; where it is that of the rows, the two change places."""
        return self._turned(rows=False)

    def _turned(self, *, rows: bool) -> Grid:
        dims = len(self.shape)
        if not dims:
            return self
        mine, other = (self.row_dim, self.col_dim) if rows else (self.col_dim, self.row_dim)
        if dims == 1:
            mine, other = (0, NONE) if mine == NONE else (NONE, 0)
        else:
            new = (mine - 1) % dims
            if new == other:
                other = mine
            mine = new
        row_dim, col_dim = (mine, other) if rows else (other, mine)
        return replace(self, row_dim=row_dim, col_dim=col_dim, top=0, left=0, mark=None)

    def gone_to(self, selection: Selection) -> Grid:
        """The window that begins at the first cell of an index.

        Args:
            selection: The index, applied to the tensor's shape; no dimension of it is empty.
        """
        first = tuple(pick[0] for pick in selection.picks)
        row = 0 if self.row_dim == NONE else first[self.row_dim]
        column = 0 if self.col_dim == NONE else first[self.col_dim]
        return replace(self, index=first, top=row, left=column, mark=(row, column))

    def picks(self, height: int, width: int) -> tuple[range, ...]:
        """Indices by dimension of up to `height` rows and `width` columns."""
        found = [range(index, index + 1) for index in self.index]
        if self.row_dim != NONE:
            found[self.row_dim] = range(self.top, min(self.top + height, self.rows))
        if self.col_dim != NONE:
            found[self.col_dim] = range(self.left, min(self.left + width, self.columns))
        return tuple(found)
