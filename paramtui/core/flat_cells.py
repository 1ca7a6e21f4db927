"""Where elements of a strided tensor lie that follow each other in row-major order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.windows import gather

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from paramtui.core.geometry import Geometry
    from paramtui.core.runs import ByteRuns


def flat_begins(geometry: Geometry, first: int, last: int) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """The elements from place `first` up to place `last` of the row-major order, in contiguous pieces.

    Args:
        geometry: Of the tensor.
        first: Place of the first element.
        last: Place after the last element.

    Yields:
        Bytes of the location where pieces begin, and the length of each of these in bytes.
    """
    size = ITEMSIZE[geometry.dtype]
    run = 1
    dim = len(geometry.shape)
    while dim and (geometry.stride[dim - 1] == run or geometry.shape[dim - 1] == 1):
        run *= geometry.shape[dim - 1]
        dim -= 1
    outer = tuple(zip(geometry.shape[:dim], geometry.stride[:dim], strict=True))

    def begins(row: int, rows: int) -> npt.NDArray[np.int64]:
        left = np.arange(row, row + rows, dtype=np.int64)
        offsets = np.zeros(rows, np.int64)
        for length, stride in reversed(outer):
            left, place = np.divmod(left, length)
            offsets += place * stride
        return geometry.begin + offsets * size

    at = first
    while at < last:
        row, inside = divmod(at, run)
        if inside or last - at < run:
            # Part of a contiguous piece, at the begin or at the end.
            length = min(run - inside, last - at)
            yield begins(row, 1) + inside * size, length * size
            at += length
        else:
            rows = (last - at) // run
            yield begins(row, rows), run * size
            at += rows * run


def flat_bytes(runs: ByteRuns, geometry: Geometry, at: int, nbytes: int) -> bytes:
    """Bytes of a tensor as if it were contiguous: `nbytes` from byte `at`, both multiples of the element."""
    size = ITEMSIZE[geometry.dtype]
    pieces = flat_begins(geometry, at // size, (at + nbytes) // size)
    return b"".join(gather(runs, geometry.location, begins, length).tobytes() for begins, length in pieces)
