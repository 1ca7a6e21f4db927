"""Which elements of a tensor an entry of a picture stands for."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol

from paramtui.core.picture_folding import layout_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.listing import Listing


class Picture(Protocol):
    """A picture over a tensor seen as a matrix, see `paramtui.core.picture_folding`."""

    @property
    def width(self) -> int:
        """Columns of the matrix."""

    @property
    def cell(self) -> tuple[int, int]:
        """Lines and columns of the matrix that an entry stands for; the last ones may stand for fewer."""


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


def numbers_shape(listing: Listing, tensor: int) -> tuple[int, ...]:
    """Shape of the numbers of a tensor: an element of ``float4_e2m1fn_x2`` is two of them."""
    sizes = tuple(size or 0 for size in listing.shape[tensor])
    return (*sizes, 2) if listing.dtype[tensor] == "float4_e2m1fn_x2" else sizes


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


def extent(shape: Sequence[int], picture: Picture, row: int, column: int) -> Extent | None:
    """What an entry stands for; None for one past the end of the last line.

    Args:
        shape: Of the tensor; of ``float4_e2m1fn_x2`` with the last dimension of 2.
        picture: Its picture.
        row: Of the entry.
        column: Of the entry.
    """
    width, total = picture.width, prod(shape)
    lines = -(-total // width)
    # The last line may be shorter.
    short = total - (lines - 1) * width
    top, bottom = row * picture.cell[0], min((row + 1) * picture.cell[0], lines)
    left, right = column * picture.cell[1], min((column + 1) * picture.cell[1], width)
    if bottom == lines and left >= short:
        bottom -= 1
    if bottom <= top or right <= left:
        return None
    past = max(right - short, 0) if bottom == lines else 0
    start, stop = top * width + left, (bottom - 1) * width + right - past
    text = _text(shape, width, (top, bottom, left, right), (start, stop))
    elements = (bottom - top) * (right - left) - past
    return Extent(unravel(start, shape), unravel(stop - 1, shape), elements, text)


def _text(shape: Sequence[int], width: int, cell: tuple[int, int, int, int], places: tuple[int, int]) -> str:
    """An index for the elements of a cell: lines from one to before another, and columns as well."""
    top, bottom, left, right = cell
    start, stop = places
    lead, side = layout_of(shape, width)
    if side == 1:
        rows, columns = _spans(shape[:lead], top, bottom), _spans(shape[lead:], left, right)
        ends = [
            [
                *(rows if rows is not None else map(str, unravel(line, shape[:lead]))),
                *(columns if columns is not None else map(str, unravel(place, shape[lead:]))),
            ]
            for line, place in ((top, left), (bottom - 1, right - 1))
        ]
    else:
        # Lines of one piece are one piece.
        whole = bottom - top == 1 or right - left == width
        spans = _spans(shape, start, stop) if whole else None
        ends = [spans or [*map(str, unravel(place, shape))] for place in (start, stop - 1)]
    texts = [f"[{', '.join(end)}]" for end in ends]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def _spans(shape: Sequence[int], start: int, stop: int) -> list[str] | None:
    """The elements from one place to before another as a slice of each dimension; None where that is none."""
    first, last = unravel(start, shape), unravel(stop - 1, shape)
    differ = next((dim for dim in range(len(shape)) if first[dim] != last[dim]), len(shape))
    if any(first[dim] or last[dim] != shape[dim] - 1 for dim in range(differ + 1, len(shape))):
        return None
    return [str(low) if low == high else f"{low}:{high + 1}" for low, high in zip(first, last, strict=True)]


def entry_of(shape: Sequence[int], picture: Picture, index: Sequence[int]) -> tuple[int, int]:
    """Row and column of the entry that an element is in."""
    line, column = divmod(ravel(index, shape), picture.width)
    return line // picture.cell[0], column // picture.cell[1]


def line_label(shape: Sequence[int], picture: Picture, row: int) -> str:
    """Where the first line of an entry begins: an index of the dimensions that count rows, as in ``3,0``.

    Of one row that is folded it is the place in that row.
    """
    top = row * picture.cell[0]
    lead, side = layout_of(shape, picture.width)
    if side > 1 and lead == len(shape):
        return str(top * side)
    return ",".join(map(str, unravel(top * side, shape[:lead])))
