"""Orders of names and of tensors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

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
