"""Dense windows of sparse tensors: COO, and compressed rows or columns, plain and blocked.

Layouts are described in PyTorch's ``docs/source/sparse.rst``.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from paramtui.core.geometry import MAX_STORED
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from paramtui.core.geometry import Extra, Geometry, Shape

MAX_CELLS = 1 << 26


def sparse_window(
    extra: Extra,
    shape: Shape,
    picks: Sequence[Sequence[int]],
    load: Callable[[Geometry], npt.NDArray[Any]],
) -> npt.NDArray[Any]:
    """The chosen cells of a sparse tensor as a dense array, what is not stored as zero.

    Raises:
        ValuesError: Indices point outside, or more is stored than a window can be made from.
    """
    stored = max((prod(part.shape) for part in extra.parts.values()), default=0)
    lengths = [len(pick) for pick in picks]
    if stored > MAX_STORED or prod(lengths) > MAX_CELLS:
        raise ValuesError(f"a sparse tensor with {stored:,} stored elements is too large to show")
    sizes = tuple(size or 0 for size in shape)
    parts = {name: load(part) for name, part in extra.parts.items()}
    if extra.layout == "sparse_coo":
        indices, values = parts["indices"], parts["values"]
    else:
        indices, values = coordinates(str(extra.layout), parts)
    for dim, row in enumerate(indices):
        if row.size and not (row.min() >= 0 and row.max() < sizes[dim]):
            raise ValuesError(f"indices of dimension {dim} lie outside its size {sizes[dim]}")

    sparse_dims = len(indices)
    out = np.zeros(lengths, values.dtype)
    keep = np.ones(values.shape[0], bool)
    places = []
    for row, pick in zip(indices, picks, strict=False):
        wanted = np.asarray(pick, dtype=np.int64)
        order = np.argsort(wanted, kind="stable")
        spot = np.searchsorted(wanted[order], row)
        spot[spot == len(wanted)] = 0
        hit = wanted[order][spot] == row if len(wanted) else np.zeros(len(row), bool)
        keep &= hit
        places.append(order[spot] if len(wanted) else row)
    chosen = values[keep]
    for axis, pick in enumerate(picks[sparse_dims:], start=1):
        chosen = np.take(chosen, np.asarray(pick, dtype=np.int64), axis=axis)
    at = tuple(place[keep] for place in places)
    if out.dtype == np.bool_:
        np.logical_or.at(out, at, chosen)
    else:
        np.add.at(out, at, chosen)  # repeated coordinates of an uncoalesced tensor add up
    return out


def coordinates(
    layout: str, parts: dict[str, npt.NDArray[Any]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Coordinates [dims, stored] and values [stored, ...] of a compressed layout."""
    by_row = layout in ("sparse_csr", "sparse_bsr")
    blocked = layout in ("sparse_bsr", "sparse_bsc")
    compressed = parts["crow_indices" if by_row else "ccol_indices"]
    plain = parts["col_indices" if by_row else "row_indices"]
    values = parts["values"]
    batch_shape = compressed.shape[:-1]
    batch_dims = len(batch_shape)
    coordinates: list[npt.NDArray[np.int64]] = []
    pieces: list[npt.NDArray[Any]] = []
    for batch in np.ndindex(*batch_shape):
        counts = np.diff(compressed[batch])
        if (counts < 0).any() or counts.sum() != plain.shape[-1]:
            raise ValuesError("its compressed indices do not add up to what is stored")
        slow = np.repeat(np.arange(len(counts)), counts)
        fast = plain[batch].astype(np.int64)
        rows, columns = (slow, fast) if by_row else (fast, slow)
        piece = values[batch]
        if blocked:
            height, width = piece.shape[1:3]
            rows = (rows[:, None, None] * height + np.arange(height)[None, :, None]).repeat(width, 2)
            columns = (columns[:, None, None] * width + np.arange(width)[None, None, :]).repeat(height, 1)
            rows, columns = rows.reshape(-1), columns.reshape(-1)
            piece = piece.reshape(-1, *piece.shape[3:])
        lead = [np.full(len(rows), place, np.int64) for place in batch]
        coordinates.append(np.stack([*lead, rows, columns]))
        pieces.append(piece)
    if not pieces:
        return np.zeros((batch_dims + 2, 0), np.int64), np.zeros((0,), values.dtype)
    return np.concatenate(coordinates, axis=1), np.concatenate(pieces, axis=0)
