"""The picture of a whole live tensor: its numbers are brought to the CPU piece by piece and added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from paramtui.core.overview import OverviewTally
from paramtui.errors import ValuesError
from paramtui.models.held_numbers import check_numbers, held_numbers, pieces
from paramtui.models.tensor_cells import numbers, readable

if TYPE_CHECKING:
    from paramtui.models.pace import Pace

# Elements that are brought to the CPU at once.
PIECE = 1 << 20


def drawn(tensor: torch.Tensor, rows: int, columns: int, pace: Pace) -> OverviewTally:
    """A picture of a tensor, added up; see `Measurable.overview`.

    Args:
        tensor: Any that a module can hold.
        rows: Entries down, at most.
        columns: Entries across, at most.
        pace: What the reading keeps to.

    Raises:
        ValuesError: It has no numbers, they cannot be read, or make no picture; the message says why.
        RunStoppedError: It was stopped.
    """
    if tensor.is_nested:
        raise ValuesError("its components have sizes of their own: they make no one picture")
    rows, columns = max(rows, 1), max(columns, 1)
    with readable():
        with pace.piece():
            check_numbers(tensor)
            if tensor.layout != torch.strided:
                return _sparse(tensor.detach(), rows, columns)
            held = held_numbers(tensor)
        pace.total = held.nbytes
        (plain,) = held.parts
        pair = (2,) if held.dtype == "float4_e2m1fn_x2" else ()
        tally = OverviewTally((*plain.shape, *pair), rows, columns)
        place = 0
        for piece in pieces(plain, PIECE):
            with pace.piece(piece.numel() * piece.element_size()):
                found = numbers(piece)
            tally.add(place, found)
            place += found.size
        return tally


def _sparse(tensor: torch.Tensor, rows: int, columns: int) -> OverviewTally:
    """Of a sparse tensor: what it stores, and zeros."""
    import numpy as np

    stored = (tensor if tensor.layout == torch.sparse_coo else tensor.to_sparse()).coalesce()
    tally = OverviewTally(tensor.shape, rows, columns)
    indices, values = numbers(stored.indices()), numbers(stored.values())
    places = np.ravel_multi_index(tuple(indices), tensor.shape[: len(indices)])
    flat = values.reshape(len(places), -1) if values.size else values.reshape(len(places), 0)
    where = places[:, None] * flat.shape[1] + np.arange(flat.shape[1])
    tally.add_at(where.reshape(-1), flat.reshape(-1))
    tally.fill()
    return tally
