"""Feeds the numbers of a whole tensor, whatever its layout, to the picture of it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from paramtui.core.countable import in_order, picture_refusal, span_nbytes
from paramtui.core.decoding import decode
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.geometry import contiguous_stride
from paramtui.core.overview import OverviewTally
from paramtui.core.picture_places import numbers_shape
from paramtui.core.scan_reading import (
    CHUNK,
    numbers_nbytes,
    ordered_pieces,
    span_chunks,
    sparse_numbers,
)
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from paramtui.core.geometry import Extra, Geometry
    from paramtui.core.listing import Listing
    from paramtui.core.runs import ByteRuns

# Rows of a sparse tensor's dense dimensions that are placed at once.
ROWS = 1 << 16


def overview_tally(listing: Listing, tensor: int, rows: int, columns: int) -> OverviewTally:
    """An empty picture of a tensor, of so many entries at most."""
    return OverviewTally(numbers_shape(listing, tensor), max(rows, 1), max(columns, 1))


def draw(
    listing: Listing,
    runs: ByteRuns,
    tensor: int,
    into: OverviewTally,
    step: Callable[[int], None],
    part: tuple[int, int] | None = None,
) -> None:
    """Adds all numbers of a tensor, or of a part of its bytes.

    Args:
        listing: What has the tensor.
        runs: Its bytes.
        tensor: Its id.
        into: Its picture.
        step: Told bytes that were dealt with, between pieces; what it raises ends the work.
        part: First byte and the one after the last, of what `span_nbytes` says; whole elements.

    Raises:
        ValuesError: They cannot be read, or make no picture.
    """
    reason = picture_refusal(listing, tensor)
    if reason:
        raise ValuesError(reason)
    extra = listing.extras.get(tensor)
    nbytes = span_nbytes(listing, tensor)
    if extra is not None and extra.layout is not None:
        _draw_sparse(extra, listing, runs, tensor, into, step)
    elif nbytes and not in_order(listing, tensor):
        _draw_turned(runs, listing.geometry(tensor), into, step, part or (0, nbytes))
    else:
        for place, numbers in ordered_pieces(listing, runs, tensor, part):
            into.add(place, numbers)
            step(numbers_nbytes(listing, tensor, numbers.size))


def _draw_sparse(
    extra: Extra,
    listing: Listing,
    runs: ByteRuns,
    tensor: int,
    into: OverviewTally,
    step: Callable[[int], None],
) -> None:
    """Adds what a sparse tensor stores; all else is zero."""
    places, values = sparse_numbers(extra, listing, runs, tensor, step)
    flat = values.reshape(len(values), -1) if values.size else values.reshape(len(values), 0)
    beside = np.arange(flat.shape[1])
    for at in range(0, len(flat), ROWS):
        where = places[at : at + ROWS, None] * len(beside) + beside
        into.add_at(where.reshape(-1), flat[at : at + ROWS].reshape(-1))
        step(0)
    into.fill()


def _draw_turned(
    runs: ByteRuns,
    place: Geometry,
    into: OverviewTally,
    step: Callable[[int], None],
    part: tuple[int, int],
) -> None:
    """Adds the numbers of a tensor whose dimensions lie in another order, as they lie in memory."""
    size = ITEMSIZE[place.dtype]
    swap = size > 1 and runs.big_endian(place.location)
    begin, end = part
    order = sorted(
        (dim for dim in range(len(place.shape)) if place.shape[dim] > 1), key=place.stride.__getitem__
    )
    outer = order[-1]
    slab = place.stride[outer] * size
    if slab <= CHUNK and _is_block(place, outer, into.width):
        # Whole slabs of the outermost dimension in memory make blocks of the matrix.
        first, last = -(-begin // slab), end // slab
        for at, raw in span_chunks(runs, place, (first * slab, last * slab), CHUNK // slab * slab):
            numbers = decode(raw.reshape(-1, size), place.dtype, big_endian=swap)
            _add_slabs(place, into, outer, order, at // slab, numbers)
            step(raw.nbytes)
        rest = [(begin, min(first * slab, end)), (max(last * slab, begin, first * slab), end)]
    else:
        rest = [(begin, end)]
    for ends in rest:
        for at, raw in span_chunks(runs, place, ends):
            numbers = decode(raw.reshape(-1, size), place.dtype, big_endian=swap)
            where = _places(place, at // size, len(numbers))
            if numbers.ndim > 1:
                where = where[:, None] * numbers.shape[1] + np.arange(numbers.shape[1])
            into.add_at(where.reshape(-1), numbers.reshape(-1))
            step(raw.nbytes)


def _is_block(place: Geometry, outer: int, width: int) -> bool:
    """Whether a slab of a dimension is a block of the picture's matrix."""
    if place.dtype == "float4_e2m1fn_x2":
        return False
    return prod(place.shape[:outer]) == 1 or prod(place.shape[outer:]) == width


def _add_slabs(
    place: Geometry,
    into: OverviewTally,
    outer: int,
    order: list[int],
    first: int,
    numbers: npt.NDArray[Any],
) -> None:
    """Adds the numbers at some indices of the dimension that is the outermost one in memory.

    Args:
        place: Of the tensor.
        into: Its picture.
        outer: The dimension.
        order: Dimensions of more than one element, from the innermost one in memory.
        first: The first of the indices.
        numbers: As they lie in memory.
    """
    sizes = [place.shape[dim] for dim in order[:-1]]
    lying = numbers.reshape(-1, *sizes[::-1])
    turned = lying.transpose([order[::-1].index(dim) for dim in sorted(order)])
    lead, beside = prod(place.shape[:outer]), prod(place.shape[outer + 1 :])
    block = np.ascontiguousarray(turned).reshape(lead, -1)
    if lead == 1:
        into.add(first * beside, block)
    else:
        into.add_block(0, first * beside, block)


def _places(place: Geometry, first: int, count: int) -> npt.NDArray[np.int64]:
    """Places in row-major order of elements that follow each other in memory."""
    order = sorted((step, dim) for dim, step in enumerate(place.stride) if place.shape[dim] > 1)[::-1]
    out, left = np.zeros(count, np.int64), np.arange(first, first + count)
    steps = contiguous_stride(place.shape)
    for step, dim in order:
        digits, left = np.divmod(left, step)
        out += digits * steps[dim]
    return out
