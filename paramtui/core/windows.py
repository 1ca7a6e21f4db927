"""Reads windows of tensors by offset and decodes them, whatever their strides and layout."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from paramtui.core.decoding import decode, unpack
from paramtui.core.dtypes import DTYPES, ITEMSIZE
from paramtui.core.geometry import Geometry, Quantizer, contiguous_stride
from paramtui.core.readable import readable
from paramtui.core.source import Window
from paramtui.core.sparse import sparse_window
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from paramtui.core.listing import Listing
    from paramtui.core.runs import ByteRuns, ReadableRuns

# Cells of one window, unless that many are truly stored: a stride of 0 can claim petabytes.
MAX_CELLS = 1 << 24
# Cells of a part, unless that many are stored: all of a part are held at once, each several times.
MAX_PART = 1 << 20
# NumPy's arrays have at most 64, or 32 before its version 2; bytes of an element, and pairs, are one more.
MAX_DIMS = 62 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 30
# NumPy has no arrays of zero elements whose other sizes multiply to more than its largest integer.
MAX_EMPTY = 1 << 48
# Pieces closer together than this are fetched by one read.
MAX_GAP = 4096
MAX_READ = 4 << 20


@readable()
def read_window(listing: Listing, runs: ByteRuns, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
    """The cells of a tensor at the crossings of `picks`, one sequence of indices per dimension.

    Raises:
        ValuesError: The values are damaged, not stored, or too many for one window.
    """
    extra = listing.extras.get(tensor)
    chosen = tuple(picks)
    if extra is not None and extra.problem:
        raise ValuesError(extra.problem)
    if len(chosen) != len(listing.shape[tensor]):
        raise ValuesError(f"{len(chosen)} picks for {len(listing.shape[tensor])} dimensions")
    _check_dims(len(chosen))
    if extra is not None and extra.layout in ("nested", "jagged"):
        # It reads with what stands here.
        from paramtui.core.ragged import components

        found = components(runs, extra, chosen[0])
        return Window(tensor, chosen, None, [read_cells(runs, *each) for each in found])
    if extra is not None and extra.layout is not None:
        dense = sparse_window(extra, listing.shape[tensor], chosen, lambda part: whole_part(runs, part))
        return Window(tensor, chosen, dense)
    geometry = listing.geometry(tensor)
    values = read_cells(runs, geometry, chosen)
    if extra is not None:
        if extra.quantizer is not None:
            values = _dequantize(runs, values, extra.quantizer, chosen)
        # In place of torch's resolve_conj() and resolve_neg().
        if extra.conj:
            values = values.conj()
        if extra.neg:
            values = -values
    return Window(tensor, chosen, values)


def _check_dims(count: int) -> None:
    if count > MAX_DIMS:
        raise ValuesError(f"has {count:,} dimensions; numbers of at most {MAX_DIMS} can be shown")


def whole_part(runs: ByteRuns, geometry: Geometry) -> npt.NDArray[Any]:
    """All elements of a component tensor.

    Raises:
        ValuesError: They cannot be read, or are many more than there are bytes for.
    """
    refuse_claims(runs, geometry, prod(geometry.shape))
    return read_cells(runs, geometry, [range(size) for size in geometry.shape])


def refuse_claims(runs: ByteRuns, geometry: Geometry, count: int) -> None:
    """Refuses so many elements of a component tensor where there are neither few nor bytes for them."""
    if count > MAX_PART and count * DTYPES[geometry.dtype].bits > 8 * runs.nbytes(geometry.location):
        raise ValuesError(f"a part of it claims {count:,} elements, far more than the file holds")


def read_cells(runs: ByteRuns, geometry: Geometry, picks: Sequence[Sequence[int]]) -> npt.NDArray[Any]:
    """Decoded elements of a strided tensor; see `Window.values` for types."""
    lengths = tuple(len(pick) for pick in picks)
    _check_dims(len(lengths))
    count = prod(lengths)
    itemsize = ITEMSIZE[geometry.dtype]
    bits = DTYPES[geometry.dtype].bits
    if count > MAX_CELLS and (geometry.location < 0 or count * bits > 8 * runs.nbytes(geometry.location)):
        raise ValuesError(f"{count:,} cells are too many for one window", hint="ask for a slice")
    if count == 0:
        if prod(length or 1 for length in lengths) > MAX_EMPTY:
            raise ValuesError("it is empty, and too long in its other dimensions for an array")
        raw = np.zeros((*lengths, itemsize), np.uint8)
    elif bits < 8:
        return _packed(runs, geometry, picks, bits).reshape(lengths)
    else:
        starts, run = cell_starts(geometry.stride, picks)
        if len(starts) > MAX_CELLS:
            raise ValuesError(
                f"{count:,} scattered cells are too many for one window", hint="ask for a slice"
            )
        raw = gather(runs, geometry.location, geometry.begin + starts * itemsize, run * itemsize).reshape(
            *lengths, itemsize
        )
    swap = geometry.location >= 0 and runs.big_endian(geometry.location)
    return decode(raw, geometry.dtype, big_endian=swap)


def cell_starts(stride: Sequence[int], picks: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], int]:
    """Element offsets where contiguous pieces of the window start, and the pieces' length."""
    run = 1
    dim = len(picks)
    while dim:
        pick = picks[dim - 1]
        consecutive = isinstance(pick, range) and (pick.step == 1 or len(pick) == 1)
        if not consecutive or (stride[dim - 1] != run and len(pick) > 1):
            break
        run *= len(pick)
        dim -= 1
    starts = np.zeros(1, np.int64)
    for step, pick in zip(stride[:dim], picks[:dim], strict=True):
        offsets = np.asarray(pick, dtype=np.int64) * step
        starts = (starts[:, None] + offsets[None, :]).reshape(-1)
    inner = sum(step * pick[0] for step, pick in zip(stride[dim:], picks[dim:], strict=True))
    return starts + inner, run


def gather(
    runs: ReadableRuns, location: int, begins: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.uint8]:
    """Pieces of `length` bytes, one row each, fetched with few reads.

    Args:
        runs: Where the bytes come from.
        location: Which run.
        begins: First byte of each piece, in any order, repeats allowed.
        length: Bytes of a piece.
    """
    out = np.empty((len(begins), length), np.uint8)
    order = np.argsort(begins, kind="stable")
    ordered = begins[order]
    gaps = np.flatnonzero(np.diff(ordered) > length + MAX_GAP) + 1
    for first, last in zip([0, *gaps.tolist()], [*gaps.tolist(), len(ordered)], strict=True):
        at = first
        while at < last:
            begin = int(ordered[at])
            stop = int(np.searchsorted(ordered[at:last], begin + max(MAX_READ - length, 0), "right")) + at
            span = int(ordered[stop - 1]) + length - begin
            buffer = np.frombuffer(runs.read(location, begin, span), np.uint8)
            if stop - at == 1:
                out[order[at]] = buffer
            else:
                rows = ordered[at:stop] - begin
                out[order[at:stop]] = np.lib.stride_tricks.sliding_window_view(buffer, length)[rows]
            at = stop
    return out


def _packed(
    runs: ByteRuns, geometry: Geometry, picks: Sequence[Sequence[int]], bits: int
) -> npt.NDArray[Any]:
    """Elements smaller than a byte, which are packed in row-major order from the lowest bits up."""
    places = np.zeros(1, np.int64)
    for step, pick in zip(contiguous_stride(geometry.shape), picks, strict=True):
        places = (places[:, None] + np.asarray(pick, dtype=np.int64)[None, :] * step).reshape(-1)
    raw = gather(runs, geometry.location, geometry.begin + places * bits // 8, 1)
    return unpack(raw[:, 0], places, bits)


def _dequantize(
    runs: ByteRuns, stored: npt.NDArray[Any], quantizer: Quantizer, picks: Sequence[Sequence[int]]
) -> npt.NDArray[Any]:
    """``(stored - zero_point) * scale`` in float32, as ``Tensor.dequantize`` computes it."""

    def factors(found: Geometry | tuple[float, ...]) -> npt.NDArray[Any]:
        if quantizer.axis is None:
            return np.asarray(found, np.float64).reshape(())
        shape = [1] * len(picks)
        shape[quantizer.axis] = -1
        pick = picks[quantizer.axis]
        if isinstance(found, Geometry):
            return read_cells(runs, found, [pick]).reshape(shape)
        return np.asarray(found, np.float64)[np.asarray(pick, dtype=np.int64)].reshape(shape)

    scale = factors(quantizer.scales)
    zero = factors(quantizer.zero_points)
    # Scales can be too large for a float32, infinite or NaN, and so are the numbers then.
    with np.errstate(over="ignore", invalid="ignore"):
        if quantizer.axis is None:
            centred: npt.NDArray[Any] = stored.astype(np.int64) - zero.astype(np.int64)
            return centred.astype(np.float32) * scale.astype(np.float32)
        # torch's kernels for channels subtract in float32 and multiply in the type of the scales.
        shifted: npt.NDArray[Any] = stored.astype(np.float32) - zero.astype(np.float32)
        scaled: npt.NDArray[Any] = shifted * scale
        return scaled.astype(np.float32)
