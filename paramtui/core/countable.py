"""Which tensors can be counted, and how their bytes lie: told from a listing alone, without NumPy."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from paramtui.core.dtypes import PACKED
from paramtui.core.geometry import MAX_STORED, Geometry, row_major
from paramtui.core.raw_cells import claims_too_much, fills_its_span, overlaps_itself, span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.listing import Listing

# Numbers of which every one can be a level of its own.
SMALL: Final = 1 << 16
# Scales of a quantised tensor that are compared one by one.
FEW: Final = 16
RAGGED: Final = ("nested", "jagged")
# Components of a ragged tensor that are never too many, and bytes of the file that each of more has.
MIN_ROWS: Final = 1 << 16
ROW: Final = 8


def refusal(listing: Listing, tensor: int) -> str:
    """Why the numbers of a tensor cannot be gone through; empty where they can."""
    extra = listing.extras.get(tensor)
    if extra is not None:
        if extra.problem:
            return extra.problem
        if extra.layout == "wrapper":
            return "its numbers lie in the tensors below it"
        if extra.layout in ("meta", "uninitialized"):
            return "has no numbers"
        if extra.layout is not None:
            stored = max((prod(part.shape) for part in extra.parts.values()), default=0)
            if extra.layout not in RAGGED and stored > MAX_STORED:
                return f"a sparse tensor with {stored:,} stored elements is too large to count"
            return ""
    count = listing.numel(tensor)
    if listing.location[tensor] < 0 and count:
        return "has no numbers of its own"
    if count and listing.dtype[tensor] not in PACKED and claims_too_much(listing.geometry(tensor)):
        return f"claims {count:,} elements, far more than its memory has"
    return ""


def picture_refusal(listing: Listing, tensor: int) -> str:
    """Why there is no picture of a whole tensor; empty where there is one."""
    extra = listing.extras.get(tensor)
    if extra is not None and extra.layout in RAGGED and not extra.problem:
        return "its components have sizes of their own: they make no one picture"
    return refusal(listing, tensor)


def is_plain(listing: Listing, tensor: int) -> bool:
    """Whether a tensor's elements are counted as they are stored."""
    extra = listing.extras.get(tensor)
    if extra is None:
        return True
    return extra.layout is None and extra.quantizer is None and not extra.neg


def span_nbytes(listing: Listing, tensor: int) -> int:
    """Bytes of a tensor that fills all between its first and its last byte, in any order; else 0."""
    if not is_plain(listing, tensor) or not listing.numel(tensor) or listing.dtype[tensor] in PACKED:
        return 0
    place = listing.geometry(tensor)
    return span(place) if fills_its_span(place) and not overlaps_itself(place) else 0


def in_order(listing: Listing, tensor: int) -> bool:
    """Whether a tensor's elements are read as they lie, in row-major order."""
    return (
        is_plain(listing, tensor)
        and listing.dtype[tensor] not in PACKED
        and bool(listing.numel(tensor))
        and row_major(listing.geometry(tensor))
    )


def alike(listing: Listing, tensors: Iterable[int]) -> list[list[int]]:
    """Tensors put together that are the same elements, as they are found: each lot is counted once."""
    found: dict[object, list[int]] = {}
    for tensor in tensors:
        key = _key(listing, tensor)
        found.setdefault(key, []).append(tensor)
    return list(found.values())


def _key(listing: Listing, tensor: int) -> object:
    """Equal for tensors that are the same elements."""
    extra = listing.extras.get(tensor)
    place = listing.geometry(tensor)
    if extra is None:
        return place if place.location >= 0 else tensor
    parts = tuple(extra.parts.items())
    if extra.problem or not (place.location >= 0 or parts) or any(part.location < 0 for _, part in parts):
        return tensor
    # Scales can be many, and shared by many: a long list of them is the same as itself alone.
    quantizer = extra.quantizer and tuple(
        id(each) if isinstance(each, tuple) and len(each) > FEW and not isinstance(each, Geometry) else each
        for each in extra.quantizer
    )
    shape, options = listing.shape[tensor], tuple(extra.options.items())
    return place, shape, extra.layout, parts, options, quantizer, extra.conj, extra.neg
