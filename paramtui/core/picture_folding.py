"""How a tensor is seen as a matrix, so that a picture of its elements fills the room that there is."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows are put side by side where that shows so many times more.
WORTH_FOLDING: Final = 2


class Layout(NamedTuple):
    """What lines and columns of the matrix are.

    Attributes:
        lead: Dimensions, from the first one, that count the rows; the others are the columns. All of them
            for pieces of one long row.
        side: Rows that stand side by side in a line; of one long row its elements in a line.
    """

    lead: int
    side: int = 1


def matrix_width(shape: Sequence[int], rows: int, columns: int) -> int:
    """Columns of the matrix of which a picture shows most.

    The elements stay in row-major order. The columns are the last dimension, or the last few; where these are
    few beside the room, a power of two of rows stands side by side. One row alone is folded into lines of a
    power of two.

    Args:
        shape: Of the tensor.
        rows: Entries of the picture down, at most.
        columns: Entries of the picture across, at most.
    """
    count, last = prod(shape), max(shape[-1] if shape else 1, 1)
    if count <= last:
        return min(_round_length(count, rows, columns), count) if count > columns else last

    def entries(width: int) -> int:
        lines = -(-count // width)
        down, across = -(-lines // rows), -(-width // columns)
        return -(-lines // down) * -(-width // across)

    widths = [prod(shape[lead:]) for lead in range(len(shape) - 1, 0, -1)]
    # Of several that show as much the one of the last dimension comes first.
    best = max((width for width in widths if width < count), key=entries)
    folded = [
        width << power
        for width in widths
        for power in range(1, columns.bit_length())
        if width << power <= min(columns, count - 1)
    ]
    side = max(folded, key=entries, default=best)
    return side if entries(side) >= WORTH_FOLDING * entries(best) else best


def _round_length(count: int, rows: int, columns: int) -> int:
    """The shortest power of two that is as wide as the picture and folds a vector into its rows."""
    length = 1
    while length < columns or length * rows < count:
        length *= 2
    return length


def layout_of(shape: Sequence[int], width: int) -> Layout:
    """What the lines of a matrix of `width` columns are, as `matrix_width` gives it for a shape."""
    dims = len(shape)
    if prod(shape[:-1]) <= 1:
        return Layout(max(dims - 1, 0)) if width == max(shape[-1] if dims else 1, 1) else Layout(dims, width)
    leads = range(dims - 1, 0, -1)
    exact = [lead for lead in leads if prod(shape[lead:]) == width]
    if exact:
        return Layout(exact[0])
    # The widest rows that are whole in a line.
    lead = min(lead for lead in leads if width % prod(shape[lead:]) == 0)
    return Layout(lead, width // prod(shape[lead:]))


def layout_words(shape: Sequence[int], width: int) -> str:
    """``rows: dim 0; columns: dims 1-3``, ``lines of 256 elements``; empty for a plain matrix."""
    dims = len(shape)
    lead, side = layout_of(shape, width)
    if lead == dims:
        return f"lines of {width:,} elements" if 0 < width < prod(shape) else ""
    if dims < 3 and side == 1:
        return ""
    beside = f", {side:,} side by side" if side > 1 else ""
    return f"rows: {_dims(0, lead)}{beside}; columns: {_dims(lead, dims)}"


def _dims(first: int, end: int) -> str:
    return f"dim {first}" if end - first == 1 else f"dims {first}-{end - 1}"
