"""Which tensors change when some cells change."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from paramtui.core.addresses import meet, strided_set
from paramtui.core.dtypes import DTYPES, ITEMSIZE

if TYPE_CHECKING:
    from paramtui.core.listing import Geometry, Listing
    from paramtui.core.sharing import Group, Sharing

_GROUPS: WeakKeyDictionary[Listing, tuple[Sharing, dict[int, Group]]] = WeakKeyDictionary()


def groups_by_member(listing: Listing) -> dict[int, Group]:
    """The group of each tensor that shares memory; found once, for there may be as many as tensors."""
    sharing = listing.sharing
    known = _GROUPS.get(listing)
    if known is None or known[0] is not sharing:
        known = sharing, {member: group for group in sharing.groups for member in group.members}
        _GROUPS[listing] = known
    return known[1]


def touched_by(listing: Listing, tensor: int, cells: Geometry) -> tuple[int, ...]:
    """Ids of the tensors that have bytes in common with some cells of one of them, ascending."""
    group = groups_by_member(listing).get(tensor)
    if group is None:
        return (tensor,)
    if group.kind == "alias":
        return group.members
    touched = strided_set(cells.shape, cells.stride, ITEMSIZE[cells.dtype])
    out = {tensor}
    for member in group.members:
        extra = listing.extras.get(member)
        parts = (
            list(extra.parts.values()) if extra is not None and extra.parts else [listing.geometry(member)]
        )
        for part in parts:
            if part.location != cells.location:
                continue
            other = (
                # Packed elements lie in order; all of them are taken as touched.
                strided_set((listing.nbytes[member],), (1,), 1)
                if DTYPES[part.dtype].bits < 8
                else strided_set(part.shape, part.stride, ITEMSIZE[part.dtype])
            )
            if touched.run and other.run and meet(cells.begin, touched, part.begin, other):
                out.add(member)
    return tuple(sorted(out))
