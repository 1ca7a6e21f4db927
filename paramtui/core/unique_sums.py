"""What the blocks of a tree hold when memory that several tensors share is counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from paramtui.core.extents import bytes_of
from paramtui.core.sharing import distinct
from paramtui.core.ties import ALIAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.listing import Listing
    from paramtui.core.tree import Tree

Saved: TypeAlias = dict[int, tuple[int, int]]
"""By row: how many of the elements and bytes that are listed below it are counted more than once."""


def saved_below(tree: Tree) -> Saved:
    """What sharing saves below each row; rows where it saves nothing are left out.

    Only the blocks around members of a group are looked at: whatever shares nothing costs nothing.
    """
    listing = tree.listing
    saved: Saved = {}
    if listing.disjoint and not listing.extras:
        return saved
    sizes_of: dict[tuple[object, ...], int | None] = {}

    def simple(tensor: int) -> bool:
        """Whether no two elements of a tensor are the same memory."""
        key = listing.dtype[tensor], listing.shape[tensor], listing.stride[tensor]
        if tensor in listing.extras:
            return False
        if key not in sizes_of:
            sizes_of[key] = bytes_of(*key).nbytes  # type: ignore[arg-type]
        return sizes_of[key] == listing.nbytes[tensor]

    for group in listing.sharing.groups:
        below: dict[int, list[int]] = {}
        for member in group.members:
            row = tree.row_of(member)
            while row is not None and row >= 0:
                below.setdefault(row, []).append(member)
                row = tree.parent[row]
        sizes = [listing.nbytes[member] for member in group.members]
        # Of aliases that are no views of repeated elements, each name beyond the first is all saved.
        plain = group.kind == ALIAS and all(size == group.nbytes for size in sizes)
        numel = listing.numel(group.members[0]) if plain else 0
        # The same members stand below several blocks in each other.
        known: dict[tuple[int, ...], tuple[int, int]] = {}
        for row, members in below.items():
            if plain:
                found = (len(members) - 1) * numel, (len(members) - 1) * group.nbytes
            else:
                key = tuple(members)
                if key not in known:
                    known[key] = (0, 0) if len(key) == 1 and simple(key[0]) else _several(listing, key)
                found = known[key]
            if found != (0, 0):
                before = saved.get(row, (0, 0))
                saved[row] = before[0] + found[0], before[1] + found[1]
    _add_folded(tree, saved)
    return saved


def _several(listing: Listing, tensors: Sequence[int]) -> tuple[int, int]:
    """Elements and bytes of some tensors that are counted more than once."""
    unique = distinct(listing, tensors)
    elements, nbytes = listing.sums(tensors)
    return elements - unique.unique_elements, nbytes - unique.unique_nbytes


def _add_folded(tree: Tree, saved: Saved) -> None:
    """Adds tensors of which several elements are one memory, as ``expand`` gives them."""
    listing = tree.listing
    for tensor in listing.sharing.folded:
        extra = listing.extras.get(tensor)
        if extra is not None and extra.parts:
            continue
        elements, nbytes = _several(listing, (tensor,))
        row = tree.row_of(tensor)
        while row is not None and row >= 0:
            before = saved.get(row, (0, 0))
            saved[row] = before[0] + elements, before[1] + nbytes
            row = tree.parent[row]
