"""Orders of names and of tensors."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.core.listing import Listing

ORDERS: Final = ("stored", "name", "size", "shape", "dtype")
_NUMBER: Final = re.compile("[0-9]+")
_LONGEST: Final = 0xD7FF


def _sortable(number: re.Match[str]) -> str:
    # A longer number is a larger one: its length goes before its digits, and NUL before all letters.
    digits = number[0].lstrip("0")
    return f"\0{chr(min(len(digits), _LONGEST))}{digits}"


def natural_key(text: str) -> str:
    """A sort key that puts ``block 2`` before ``block 10``, and numbers before letters."""
    return _NUMBER.sub(_sortable, text)


def in_order(listing: Listing, tensors: Iterable[int], order: str, *, reverse: bool = False) -> list[int]:
    """Ids of tensors in one of `ORDERS`; the largest come first by size, equal ones stay as they were."""
    out = list(tensors)
    if order == "name":
        names = listing.names
        keys = {tensor: natural_key(names[tensor]) for tensor in out}
        out.sort(key=keys.__getitem__)
    elif order == "size":
        out.sort(key=listing.nbytes.__getitem__, reverse=True)
    elif order == "dtype":
        out.sort(key=listing.dtype.__getitem__)
    elif order == "shape":
        shapes = listing.shape
        ragged = any(None in shape for shape in set(shapes))
        out.sort(key=(lambda at: tuple(size or 0 for size in shapes[at])) if ragged else shapes.__getitem__)
    if reverse:
        out.reverse()
    return out


def by_figure(rows: Sequence[int], values: Sequence[float | None], *, reverse: bool = False) -> list[int]:
    """Rows with the largest figure first, NaN before all numbers; equal ones stay as they were.

    Args:
        rows: What to put in order.
        values: The figure of each; None where it is unknown, which comes last in either order.
        reverse: Whether the order of what is known is turned round.
    """
    # NaN compares with nothing, itself included: it has a place of its own.
    known = [(value, row) for value, row in zip(values, rows, strict=True) if value is not None]
    out = [row for value, row in known if value != value]  # noqa: PLR0124
    numbers = [(value, row) for value, row in known if value == value]  # noqa: PLR0124
    numbers.sort(key=itemgetter(0), reverse=True)
    out += [row for _, row in numbers]
    if reverse:
        out.reverse()
    return out + [row for value, row in zip(values, rows, strict=True) if value is None]
