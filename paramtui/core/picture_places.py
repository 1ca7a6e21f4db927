"""Which elements of a tensor an entry of a picture of differences stands for."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.comparing import Picture


class Extent(NamedTuple):
    """The elements of an entry.

    Attributes:
        first, last: Indices of the first and the last of them.
        elements: How many there are.
        text: The index that selects them, as in ``[0:64, 3]``; where no single one does, those of the first
            and the last line.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]
    elements: int
    text: str


def unravel(place: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The index of an element by its place in row-major order."""
    index = []
    for size in reversed(shape):
        place, at = divmod(place, max(size, 1))
        index.append(at)
    return tuple(reversed(index))


def ravel(index: Sequence[int], shape: Sequence[int]) -> int:
    """The place of an element in row-major order."""
    place = 0
    for at, size in zip(index, shape, strict=True):
        place = place * size + at
    return place


def is_folded(shape: Sequence[int], picture: Picture) -> bool:
    """Whether the picture's lines are pieces of one long row."""
    return picture.width != max(shape[-1] if shape else 1, 1)


def extent(shape: Sequence[int], picture: Picture, row: int, column: int) -> Extent | None:
    """What an entry stands for; None for one past the end of a folded row.

    Args:
        shape: Of the tensors; of ``float4_e2m1fn_x2`` with the last dimension of 2.
        picture: Their picture.
        row: Of the entry.
        column: Of the entry.
    """
    width, total = picture.width, prod(shape)
    lines = -(-total // width)
    top, bottom = row * picture.cell[0], min((row + 1) * picture.cell[0], lines)
    left, right = column * picture.cell[1], min((column + 1) * picture.cell[1], width)
    elements = (bottom - top) * (right - left)
    if bottom == lines:
        # The last line may be shorter.
        elements -= max(right - max(left, total - (lines - 1) * width), 0)
    if elements <= 0:
        return None
    first = unravel(top * width + left, shape)
    last = unravel(min((bottom - 1) * width + right, total) - 1, shape)
    return Extent(first, last, elements, _text(first, last))


def _text(first: tuple[int, ...], last: tuple[int, ...]) -> str:
    """An index for all from `first` to `last`, lines whole between the same columns."""

    def span(dim: int) -> str:
        return str(first[dim]) if first[dim] == last[dim] else f"{first[dim]}:{last[dim] + 1}"

    dims = len(first)
    if first[: max(dims - 2, 0)] == last[: max(dims - 2, 0)]:
        return f"[{', '.join(map(span, range(dims)))}]"
    columns = span(dims - 1)
    ends = [f"[{', '.join([*map(str, end[:-1]), columns])}]" for end in (first, last)]
    return " to ".join(ends)


def entry_of(shape: Sequence[int], picture: Picture, index: Sequence[int]) -> tuple[int, int]:
    """Row and column of the entry that an element is in."""
    line, column = divmod(ravel(index, shape), picture.width)
    return line // picture.cell[0], column // picture.cell[1]


def line_label(shape: Sequence[int], picture: Picture, row: int) -> str:
    """Where the first line of an entry begins: an index of all dimensions but the last, as in ``3,0``.

    Of a folded row it is the place in that row.
    """
    top = row * picture.cell[0]
    if is_folded(shape, picture):
        return str(top * picture.width)
    return ",".join(map(str, unravel(top, shape[:-1])))
