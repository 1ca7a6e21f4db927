"""The part of a tensor that a grid shows: rows and columns of its last two dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod


@dataclass(frozen=True, slots=True)
class Grid:
    """A place in a tensor.

    The last two dimensions are rows and columns; a tensor of one dimension is one column, one of
    none a single cell. One crossing of the other dimensions is shown at a time.

    Attributes:
        tensor: Its id.
        shape: Its sizes.
        top, left: First row and column on screen.
        slice: Which crossing of the leading dimensions, counted in row-major order.
    """

    tensor: int
    shape: tuple[int, ...]
    top: int = 0
    left: int = 0
    slice: int = 0

    @property
    def rows(self) -> int:
        """Rows of a slice."""
        return self.shape[-2] if len(self.shape) > 1 else prod(self.shape)

    @property
    def columns(self) -> int:
        """Columns of a slice."""
        return self.shape[-1] if len(self.shape) > 1 else 1

    @property
    def slices(self) -> int:
        """Crossings of the leading dimensions."""
        return prod(self.shape[:-2])

    @property
    def lead(self) -> tuple[int, ...]:
        """Indices of the leading dimensions."""
        out: list[int] = []
        rest = self.slice
        for size in reversed(self.shape[:-2]):
            rest, index = divmod(rest, max(size, 1))
            out.append(index)
        return tuple(reversed(out))

    @property
    def empty(self) -> bool:
        """Whether there are no cells at all."""
        return 0 in self.shape

    def at(self, *, top: int, left: int, height: int, width: int) -> Grid:
        """The same slice from another cell, so that `height` rows and `width` columns are filled."""
        return replace(
            self,
            top=max(min(top, self.rows - height), 0),
            left=max(min(left, self.columns - width), 0),
        )

    def stepped(self, slices: int) -> Grid:
        """Another slice at the same place."""
        return replace(self, slice=max(min(self.slice + slices, self.slices - 1), 0))

    def picks(self, height: int, width: int) -> tuple[range, ...]:
        """Indices by dimension of up to `height` rows and `width` columns."""
        rows = range(self.top, min(self.top + height, self.rows))
        if not self.shape:
            return ()
        if len(self.shape) == 1:
            return (rows,)
        columns = range(self.left, min(self.left + width, self.columns))
        return (*(range(index, index + 1) for index in self.lead), rows, columns)
