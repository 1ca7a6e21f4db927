"""Which tensors can be changed in place, told from a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.dtypes import DTYPES, PACKED
from paramtui.core.text import safe_text

if TYPE_CHECKING:
    from paramtui.core.listing import Listing


def edit_reason(listing: Listing, tensor: int) -> str:
    """Why the numbers of a tensor cannot be changed in place, in words; empty where they can."""
    extra = listing.extras.get(tensor)
    if extra is not None:
        if extra.problem:
            return extra.problem
        if extra.layout == "wrapper":
            return "its numbers lie in the tensors below it"
        if extra.layout is not None:
            return f"a tensor of layout {safe_text(extra.layout, 40)} cannot be changed in place"
        if extra.quantizer is not None or DTYPES[listing.dtype[tensor]].family == "quantized":
            return "a quantised tensor: what is stored are integers that stand for its numbers"
        if extra.conj or extra.neg:
            return "a lazily conjugated or negated view: edit the tensor it views"
    if listing.location[tensor] < 0 and listing.numel(tensor):
        return "has no numbers of its own"
    if listing.dtype[tensor] in PACKED:
        return f"several elements of {listing.dtype[tensor]} share a byte"
    return ""
