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
    add_up(out, at, chosen)
    return out


def add_up(out: npt.NDArray[Any], at: tuple[npt.NDArray[np.int64], ...], values: npt.NDArray[Any]) -> None:
    """Adds values at places, of which some are named again: those of an uncoalesced tensor add up."""
    with np.errstate(over="ignore", invalid="ignore"):
        (np.logical_or if out.dtype == np.bool_ else np.add).at(out, at, values)


def coordinates(
    layout: str, parts: dict[str, npt.NDArray[Any]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Coordinates [dims, stored] and values [stored, ...] of a compressed layout.

    Raises:
        ValuesError: Its compressed indices are none.
    """
    by_row = layout in ("sparse_csr", "sparse_bsr")
    name = "crow_indices" if by_row else "ccol_indices"
    compressed = parts[name].astype(np.int64)
    plain, values = parts["col_indices" if by_row else "row_indices"], parts["values"]
    stored = plain.shape[-1]
    _check_compressed(compressed, stored, name)
    batch_dims = compressed.ndim - 1
    blocked = layout in ("sparse_bsr", "sparse_bsc")
    height, width = values.shape[batch_dims + 1 : batch_dims + 3] if blocked else (1, 1)
    dense = values.shape[batch_dims + (3 if blocked else 1) :]
    if not plain.size:
        return np.zeros((batch_dims + 2, 0), np.int64), np.zeros((0, *dense), values.dtype)
    counts = np.diff(compressed).reshape(-1)
    rows = compressed.shape[-1] - 1
    slow = np.repeat(np.arange(len(counts)) % rows, counts)
    fast = plain.astype(np.int64).reshape(-1)
    batches = np.indices(plain.shape).reshape(plain.ndim, -1)[:-1]
    pair = np.stack([slow, fast] if by_row else [fast, slow])
    if blocked:
        inner = np.indices((height, width)).reshape(2, 1, -1)
        sides = np.array([height, width]).reshape(2, 1, 1)
        pair = (pair[:, :, None] * sides + inner).reshape(2, -1)
        batches = batches.repeat(height * width, axis=1)
    return np.concatenate([batches, pair]), values.reshape(-1, *dense)


def _check_compressed(compressed: npt.NDArray[np.int64], stored: int, name: str) -> None:
    """Refuses compressed indices [..., rows + 1] that do not divide `stored` elements among the rows.

    Their range comes first: of numbers of any size even the differences are not what they seem.
    """
    if ((compressed < 0) | (compressed > stored)).any():
        raise ValuesError(f"its {name} are not all between 0 and {stored:,}, the number of what is stored")
    if (compressed[..., 0] != 0).any():
        raise ValuesError(f"its {name} do not begin with 0")
    if (compressed[..., -1] != stored).any():
        raise ValuesError(f"its {name} do not end with {stored:,}, the number of what is stored")
    if (np.diff(compressed) < 0).any():
        raise ValuesError(f"its {name} decrease")
