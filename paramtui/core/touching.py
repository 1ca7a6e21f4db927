"""Which tensors change when some cells change."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from paramtui.core.addresses import meet
from paramtui.core.ties import geometries, touched

if TYPE_CHECKING:
    from paramtui.core.geometry import Geometry
    from paramtui.core.listing import Listing
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
    mine = touched(cells)
    out = {tensor}
    for member in group.members:
        for part in geometries(listing, member):
            if part.location == cells.location and meet(cells.begin, mine, part.begin, touched(part))[0]:
                out.add(member)
    return tuple(sorted(out))
