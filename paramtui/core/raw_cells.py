"""Cells of strided tensors as bytes, in pieces of bounded size and in row-major order."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.addresses import strided_set
from paramtui.core.dtypes import ITEMSIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from paramtui.core.geometry import Geometry
    from paramtui.core.runs import ByteRuns

# Cells handled at once.
PIECE: Final = 1 << 19
# Elements of a tensor that lie several in one place; a stride of 0 can claim more than anyone can wait for.
MAX_CLAIMED: Final = 1 << 24


def split_picks(picks: Sequence[Sequence[int]], limit: int = PIECE) -> Iterator[tuple[Sequence[int], ...]]:
    """The crossings of `picks` in row-major order, in blocks of at most `limit` cells (but one at least)."""
    if any(not len(pick) for pick in picks):
        return
    dim = len(picks)
    inner = 1
    while dim and inner * len(picks[dim - 1]) <= limit:
        dim -= 1
        inner *= len(picks[dim])
    if not dim:
        yield tuple(picks)
        return
    outer = [len(pick) for pick in picks[: dim - 1]]
    rows = max(limit // inner, 1)
    for place in range(prod(outer)):
        lead: list[Sequence[int]] = []
        for size, pick in zip(reversed(outer), reversed(picks[: dim - 1]), strict=True):
            place, at = divmod(place, size)  # noqa: PLW2901  digits of a number of mixed base
            lead.append(pick[at : at + 1])
        lead.reverse()
        split = picks[dim - 1]
        for first in range(0, len(split), rows):
            yield (*lead, split[first : first + rows], *picks[dim:])


def raw_cells(runs: ByteRuns, geometry: Geometry, picks: Sequence[Sequence[int]]) -> npt.NDArray[np.uint8]:
    """Bytes of the cells at the crossings of `picks`, as stored: array [cells, itemsize]."""
    from paramtui.core.windows import gather  # NumPy, which questions about memory alone do without

    begins, length = cell_begins(geometry, picks)
    return gather(runs, geometry.location, begins, length).reshape(-1, ITEMSIZE[geometry.dtype])


def cell_begins(geometry: Geometry, picks: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], int]:
    """Bytes of the location where contiguous pieces of some cells begin, and the pieces' length in bytes."""
    from paramtui.core.windows import cell_starts

    itemsize = ITEMSIZE[geometry.dtype]
    starts, run = cell_starts(geometry.stride, picks)
    return geometry.begin + starts * itemsize, run * itemsize


def raw_pieces(runs: ByteRuns, geometry: Geometry) -> Iterator[npt.NDArray[np.uint8]]:
    """All cells of a strided tensor as stored, in row-major order: arrays [cells, itemsize]."""
    for picks in split_picks([range(size) for size in geometry.shape]):
        yield raw_cells(runs, geometry, picks)


def number_pieces(runs: ByteRuns, geometry: Geometry) -> Iterator[npt.NDArray[Any]]:
    """All numbers of a strided tensor in row-major order; see `Window.values` for types."""
    from paramtui.core.decoding import decode

    swap = geometry.location >= 0 and runs.big_endian(geometry.location)
    for raw in raw_pieces(runs, geometry):
        yield decode(raw, geometry.dtype, big_endian=swap)


def picked(geometry: Geometry, picks: Sequence[range]) -> Geometry:
    """The cells at the crossings of ranges, none of them empty, as a strided tensor of its own."""
    steps = list(zip(geometry.stride, picks, strict=True))
    return geometry._replace(
        begin=geometry.begin + sum(stride * pick[0] for stride, pick in steps) * ITEMSIZE[geometry.dtype],
        shape=tuple(len(pick) for pick in picks),
        stride=tuple(stride * pick.step for stride, pick in steps),
    )


def span(geometry: Geometry) -> int:
    """Bytes from the first to the one after the last that a strided tensor touches."""
    return strided_set(geometry.shape, geometry.stride, ITEMSIZE[geometry.dtype]).span


def fills_its_span(geometry: Geometry) -> bool:
    """Whether a tensor touches every byte between its first and its last."""
    found = strided_set(geometry.shape, geometry.stride, ITEMSIZE[geometry.dtype])
    return not found.dims


def overlaps_itself(geometry: Geometry) -> bool:
    """Whether several elements of a tensor are, or may be, the same memory."""
    nbytes = strided_set(geometry.shape, geometry.stride, ITEMSIZE[geometry.dtype]).nbytes
    return nbytes != prod(geometry.shape) * ITEMSIZE[geometry.dtype]


def claims_too_much(geometry: Geometry) -> bool:
    """Whether a tensor has so many more elements than memory that they cannot be gone through."""
    return prod(geometry.shape) > MAX_CLAIMED and overlaps_itself(geometry)


def span_pieces(runs: ByteRuns, geometry: Geometry) -> Iterator[npt.NDArray[np.uint8]]:
    """All bytes from a tensor's first to its last: arrays [elements, itemsize]."""
    size = ITEMSIZE[geometry.dtype]
    whole = geometry._replace(shape=(span(geometry) // size,), stride=(1,))
    yield from raw_pieces(runs, whole)
