"""What the numbers of some tensors are, in 32 letters: equal for equal bits, whatever process holds them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from paramtui.core.editable import edit_reason
from paramtui.core.edits import SetCells
from paramtui.core.indexing import apply_index, parse_index, whole
from paramtui.core.lookup import tensor_id
from paramtui.core.planning import memory_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import numpy.typing as npt

    from paramtui.core.edits import Edit
    from paramtui.core.listing import Listing


def digest(pieces: Iterable[npt.NDArray[np.uint8]]) -> str:
    """BLAKE2b of the little-endian bytes of tensors, each in row-major order, one after the other."""
    found = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        found.update(piece.tobytes() if not piece.flags.c_contiguous else piece.data)
    return found.hexdigest()


def digested(listing: Listing, edit: Edit, tensors: Iterable[int]) -> Iterator[tuple[int, tuple[range, ...]]]:
    """What the digest of an edit is about: tensors, each memory once, and which cells of them.

    Of numbers that were set, only these count: a cell of a large tensor must not cost reading all of it.

    Args:
        listing: Of the target.
        edit: Which.
        tensors: Ids of what it changed.
    """
    if isinstance(edit, SetCells):
        tensor = tensor_id(listing, edit.tensor)
        yield tensor, apply_index(parse_index(edit.cells), listing.geometry(tensor).shape).picks
        return
    seen: set[tuple[object, ...]] = set()
    for tensor in tensors:
        key = memory_key(listing, tensor)
        if key not in seen and not edit_reason(listing, tensor):
            seen.add(key)
            yield tensor, whole(listing.geometry(tensor).shape)
