"""Feeds the numbers of a tensor, whatever its layout, to what counts them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from paramtui.core.countable import RAGGED, SMALL, in_order, is_plain, refusal, span_nbytes
from paramtui.core.decoding import decode
from paramtui.core.dtypes import DTYPES, ITEMSIZE
from paramtui.core.flat_cells import flat_bytes
from paramtui.core.ragged import components
from paramtui.core.raw_cells import raw_pieces, split_picks
from paramtui.core.runs import filling
from paramtui.core.sparse import add_up, coordinates
from paramtui.core.tally import Tally
from paramtui.core.windows import read_cells, read_window, whole_part
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from paramtui.core.geometry import Extra, Geometry
    from paramtui.core.listing import Listing
    from paramtui.core.runs import ByteRuns

# Bytes read at once: what they are turned into stays in the cache of a core.
CHUNK: Final = 1 << 20
# Elements of a sample that lie side by side.
RUN: Final = 1024
# Components of a nested tensor that are read at once.
ROWS: Final = 64
# Numbers of two bytes from which on they are counted in a table of all patterns.
FEW: Final = 4096


class Adds(Protocol):
    """What takes numbers in any order."""

    def add(self, numbers: npt.NDArray[Any]) -> None:
        """Takes decoded numbers."""

    def add_zeros(self, count: int) -> None:
        """Takes numbers that are zero and stored nowhere, as of a sparse tensor."""


def tally_of(listing: Listing, tensor: int) -> Tally:
    """An empty tally for a tensor."""
    extra = listing.extras.get(tensor)
    dtype, patterns = listing.dtype[tensor], True
    if extra is not None:
        if extra.quantizer is not None:
            dtype = "float32"
        elif extra.layout in RAGGED or extra.layout is not None:
            patterns = False
        patterns = patterns and not extra.neg
    numel = listing.numel(tensor)
    # A table of all patterns costs more than to sort a few numbers.
    patterns = patterns and (DTYPES[dtype].itemsize < 2 or numel > FEW)
    return Tally(dtype, small=numel <= SMALL, patterns=patterns)


def feed(
    listing: Listing,
    runs: ByteRuns,
    tensor: int,
    into: Adds,
    step: Callable[[int], None],
    part: tuple[int, int] | None = None,
) -> None:
    """Feeds all numbers of a tensor, or of a part of its bytes.

    Args:
        listing: What has the tensor.
        runs: Its bytes.
        tensor: Its id.
        into: What takes the numbers; a `Tally` gets the bytes where it counts patterns.
        step: Told bytes that were dealt with, between pieces; what it raises ends the work.
        part: First byte and the one after the last, of what `span_nbytes` says.

    Raises:
        ValuesError: They cannot be read.
    """
    reason = refusal(listing, tensor)
    if reason:
        raise ValuesError(reason)
    if not listing.numel(tensor):
        return
    raw = isinstance(into, Tally) and into.patterns
    nbytes = span_nbytes(listing, tensor)
    extra = listing.extras.get(tensor)
    if nbytes:
        _feed_span(listing, runs, tensor, into, step, part or (0, nbytes))
    elif extra is not None and extra.layout in RAGGED:
        _feed_ragged(listing, runs, tensor, into, step)
    elif extra is not None and extra.layout is not None:
        _feed_sparse(extra, listing, runs, tensor, into, step)
    elif raw and isinstance(into, Tally):
        place = listing.geometry(tensor)
        swap = runs.big_endian(place.location)
        for piece in raw_pieces(runs, place):
            into.add_raw(np.ascontiguousarray(piece[:, ::-1] if swap else piece).reshape(-1))
            step(piece.nbytes)
    else:
        for _, numbers in ordered_pieces(listing, runs, tensor):
            into.add(numbers)
            step(numbers_nbytes(listing, tensor, numbers.size))


def _feed_span(
    listing: Listing,
    runs: ByteRuns,
    tensor: int,
    into: Adds,
    step: Callable[[int], None],
    part: tuple[int, int],
) -> None:
    place = listing.geometry(tensor)
    size = ITEMSIZE[place.dtype]
    swap = size > 1 and runs.big_endian(place.location)
    raw = isinstance(into, Tally) and into.patterns
    for _, piece in span_chunks(runs, place, part):
        if raw and isinstance(into, Tally):
            into.add_raw(piece.view(">u2").astype("<u2").view(np.uint8) if swap else piece)
        else:
            into.add(decode(piece.reshape(-1, size), place.dtype, big_endian=swap))
        step(piece.nbytes)


def _feed_ragged(
    listing: Listing, runs: ByteRuns, tensor: int, into: Adds, step: Callable[[int], None]
) -> None:
    places = components(runs, listing.extras[tensor], range(listing.shape[tensor][0] or 0))
    for at in range(0, len(places), ROWS):
        found = [read_cells(runs, *place).reshape(-1) for place in places[at : at + ROWS]]
        into.add(np.concatenate(found))
        step(sum(each.nbytes for each in found))


def _feed_sparse(
    extra: Extra,
    listing: Listing,
    runs: ByteRuns,
    tensor: int,
    into: Adds,
    step: Callable[[int], None],
) -> None:
    _, values = sparse_numbers(extra, listing, runs, tensor, step)
    into.add(values)
    into.add_zeros(listing.numel(tensor) - values.size)


def sparse_numbers(
    extra: Extra, listing: Listing, runs: ByteRuns, tensor: int, step: Callable[[int], None]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """What a sparse tensor stores, each place once.

    Args:
        extra: Says how.
        listing: What has the tensor.
        runs: Its bytes.
        tensor: Its id.
        step: See `feed`.

    Returns:
        Places in row-major order over its sparse dimensions, ascending [n], and the numbers [n, ...], with
        its dense dimensions.
    """

    def load(place: Geometry) -> npt.NDArray[Any]:
        found = whole_part(runs, place)
        step(found.nbytes)
        return found

    parts = {name: load(part) for name, part in extra.parts.items()}
    if extra.layout == "sparse_coo":
        indices, values = parts["indices"], parts["values"]
    else:
        indices, values = coordinates(str(extra.layout), parts)
    sizes = [size or 0 for size in listing.shape[tensor]]
    places = np.zeros(indices.shape[1], np.int64)
    for row, size in zip(indices, sizes, strict=False):
        if row.size and not (row.min() >= 0 and row.max() < size):
            raise ValuesError("indices lie outside its sizes")
        places = places * size + row
    kept, back = np.unique(places, return_inverse=True)
    if len(kept) == len(places):
        # In their order.
        summed = np.empty_like(values)
        summed[back] = values
        return kept, summed
    # Repeated coordinates of an uncoalesced tensor add up.
    summed = np.zeros((len(kept), *values.shape[1:]), values.dtype)
    add_up(summed, (back,), values)
    return kept, summed


def numbers_nbytes(listing: Listing, tensor: int, count: int) -> int:
    """Bytes that so many numbers of a tensor take."""
    dtype = listing.dtype[tensor]
    return count * DTYPES[dtype].bits // (16 if dtype == "float4_e2m1fn_x2" else 8)


def ordered_pieces(
    listing: Listing, runs: ByteRuns, tensor: int, part: tuple[int, int] | None = None
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """The numbers in row-major order: place of the first one, and a flat array.

    A pair counts as two numbers. What an array holds may be overwritten once the next one is asked for.

    Args:
        listing: What has the tensor.
        runs: Its bytes.
        tensor: Its id.
        part: First byte and the one after the last, whole elements, of a tensor that is `in_order`.
    """
    sizes = tuple(size or 0 for size in listing.shape[tensor])
    if in_order(listing, tensor):
        place = listing.geometry(tensor)
        size = ITEMSIZE[place.dtype]
        swap = size > 1 and runs.big_endian(place.location)
        pair = 2 if place.dtype == "float4_e2m1fn_x2" else 1
        for at, raw in span_chunks(runs, place, part or (0, prod(sizes) * size)):
            yield at // size * pair, decode(raw.reshape(-1, size), place.dtype, big_endian=swap).reshape(-1)
        return
    at = 0
    for picks in split_picks([range(size) for size in sizes], CHUNK // 4):
        values = read_window(listing, runs, tensor, picks).values
        if values is None:
            raise ValuesError("these numbers make no grid")
        yield at, values.reshape(-1)
        at += values.size


def span_chunks(
    runs: ByteRuns, place: Geometry, part: tuple[int, int], size: int = CHUNK
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Bytes of a tensor from one on to before another, as they lie: the first one's number, and an array.

    What an array holds may be overwritten once the next one is asked for.
    """
    if part[1] <= part[0]:
        return
    buffer = bytearray(min(size, part[1] - part[0]))
    whole = np.frombuffer(buffer, np.uint8)
    into = filling(runs)
    for at in range(part[0], part[1], size):
        count = min(size, part[1] - at)
        if into is not None:
            into.read_into(place.location, place.begin + at, memoryview(buffer)[:count])
            yield at, whole[:count]
        else:
            yield at, np.frombuffer(runs.read(place.location, place.begin + at, count), np.uint8)


def feed_sample(listing: Listing, runs: ByteRuns, tensor: int, tally: Tally, sample: int) -> int:
    """Feeds about `sample` elements, runs of them spread over a tensor.

    Returns:
        How many numbers the tensor has in all, where not all were fed; else 0.
    """
    count = listing.numel(tensor)
    if refusal(listing, tensor) or count <= max(sample, RUN) or not is_plain(listing, tensor):
        feed(listing, runs, tensor, tally, lambda _: None)
        return 0
    place = listing.geometry(tensor)
    size = ITEMSIZE[place.dtype]
    swap = size > 1 and runs.big_endian(place.location)
    pieces = max(sample // RUN, 1)
    for number in range(pieces):
        at = (count - RUN) * number // max(pieces - 1, 1)
        raw = np.frombuffer(flat_bytes(runs, place, at * size, RUN * size), np.uint8)
        if tally.patterns:
            tally.add_raw(raw.view(">u2").astype("<u2").view(np.uint8) if swap else raw)
        else:
            tally.add(decode(raw.reshape(-1, size), place.dtype, big_endian=swap))
    pair = 2 if listing.dtype[tensor] == "float4_e2m1fn_x2" else 1
    return pair * count
