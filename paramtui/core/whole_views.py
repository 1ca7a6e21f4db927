"""What a file format without overlapping views makes of tensors that overlap: each is written whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.sharing import distinct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from paramtui.core.listing import Listing


class Whole(NamedTuple):
    """Tensors written one by one, only those once that are the same elements in the same order.

    Attributes:
        nbytes: Of all their elements.
        apart: Names of each group that shares memory and would no longer, in the order of the listing.
        kept: Whether names of one tensor stay tied.
    """

    nbytes: int
    apart: tuple[tuple[str, ...], ...]
    kept: bool


def written_whole(listing: Listing, sharing: Iterable[int], chosen: Collection[int] | None = None) -> Whole:
    """What writing tensors whole comes to.

    Args:
        listing: What holds them.
        sharing: Ids of those that may share memory with others; all else is taken to share nothing.
        chosen: Ids of those that are written; None for all.
    """
    kept = range(len(listing)) if chosen is None else sorted(chosen)
    there = frozenset(kept)
    shared = sorted(there.intersection(sharing))
    keys = {tensor: _key(listing, tensor) for tensor in shared}
    sizes = {keys[tensor]: listing.nbytes[tensor] for tensor in shared}
    alone = sum(listing.nbytes[tensor] for tensor in kept if tensor not in keys)
    apart = [
        tuple(listing.names[member] for member in group.members)
        for group in distinct(listing, shared).groups
        if len({keys[member] for member in group.members}) > 1
    ]
    return Whole(alone + sum(sizes.values()), tuple(apart), len(sizes) < len(keys))


def _key(listing: Listing, tensor: int) -> tuple[object, ...]:
    """What tensors have in common that are written once."""
    if listing.location[tensor] < 0:
        return (tensor,)
    place = listing.geometry(tensor)
    moving = tuple(step for size, step in zip(place.shape, place.stride, strict=True) if size > 1)
    return place.location, place.begin, place.dtype, place.shape, moving


def apart_words(groups: int, *, kept: bool) -> str:
    """What became of ties, in a short sentence; empty where nothing was lost."""
    if not groups:
        return ""
    noun = "1 overlapping group" if groups == 1 else f"{groups:,} overlapping groups"
    return f"exact ties kept, {noun} not" if kept else f"{noun} no longer tied"
