"""Lays the bytes of tensors into a file for an engine, and says which of them it has changed."""

from __future__ import annotations

import os
import secrets
import shutil
from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from paramtui.core.computing import WorkTensor
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.raw_cells import fills_its_span, overlaps_itself, span
from paramtui.core.text import bytes_text, safe_text
from paramtui.errors import EditError, NoRoomError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paramtui.core.geometry import Geometry
    from paramtui.core.listing import Listing
    from paramtui.core.runs import ByteRuns

PIECE: Final = 4 << 20
# Tensors begin where PyTorch's own memory would: some of its routines look at that.
ALIGNMENT: Final = 64


class Region(NamedTuple):
    """A range of a location, and where it lies in the work file."""

    location: int
    begin: int
    end: int
    position: int


class Layout(NamedTuple):
    """Where everything lies in the work file.

    Attributes:
        regions: Ranges of locations.
        tensors: The tensors, by the place in which they were given.
        nbytes: Length of the file.
    """

    regions: tuple[Region, ...]
    tensors: tuple[WorkTensor, ...]
    nbytes: int


def lay_out(listing: Listing, tensors: Sequence[int]) -> Layout:
    """A place for each tensor; those that share memory share it in the file too.

    Raises:
        EditError: A tensor has elements that are the same memory, or that begin at odd bytes.
    """
    geometries = [listing.geometry(tensor) for tensor in tensors]
    ranges: dict[int, list[list[int]]] = {}
    for tensor, geometry in zip(tensors, geometries, strict=True):
        if overlaps_itself(geometry):
            name = safe_text(listing.names[tensor])
            raise EditError(
                f"several elements of {name} are the same memory", hint="edit the tensor it views"
            )
        ranges.setdefault(geometry.location, []).append([geometry.begin, geometry.begin + span(geometry)])
    places: dict[int, list[Region]] = {}
    position = 0
    for location, found in ranges.items():
        for begin, end in _merged(found):
            places.setdefault(location, []).append(Region(location, begin, end, position))
            position += -(-(end - begin) // ALIGNMENT) * ALIGNMENT
    regions = [region for together in places.values() for region in together]
    work = [_place(places[geometry.location], geometry) for geometry in geometries]
    for tensor, placed in zip(tensors, work, strict=True):
        if placed.begin % ITEMSIZE[placed.dtype]:
            raise EditError(
                "cannot be changed together with what shares its memory: their elements begin at odd places",
                where=safe_text(listing.names[tensor]),
                hint="change one of them at a time",
            )
    return Layout(tuple(regions), tuple(work), position)


def _merged(ranges: list[list[int]]) -> list[list[int]]:
    out: list[list[int]] = []
    for begin, end in sorted(ranges):
        if out and begin < out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([begin, end])
    return out


def _place(regions: list[Region], geometry: Geometry) -> WorkTensor:
    from bisect import bisect_right

    region = regions[bisect_right(regions, geometry.begin, key=lambda each: each.begin) - 1]
    begin = region.position + geometry.begin - region.begin
    return WorkTensor(begin, geometry.dtype, geometry.shape, geometry.stride)


def covered(listing: Listing, layout: Layout, tensors: Iterable[int]) -> bool:
    """Whether writing all elements of the tensors writes every byte of the regions."""
    geometries = [listing.geometry(tensor) for tensor in tensors]
    if not all(map(fills_its_span, geometries)):
        return False
    nbytes = sum(prod(geometry.shape) * ITEMSIZE[geometry.dtype] for geometry in geometries)
    return nbytes == sum(region.end - region.begin for region in layout.regions)


def make_file(
    folder: str, layout: Layout, runs: ByteRuns, *, fill: bool, check: Callable[[], None]
) -> tuple[str, int]:
    """A file in `folder` of the layout's length; gives its path and an open descriptor.

    Args:
        folder: Where to.
        layout: What lies where.
        runs: Where the bytes come from.
        fill: Whether to put the bytes that are there now into it.
        check: Called between pieces; what it raises ends it.

    Raises:
        NoRoomError: The directory has no room for it.
    """
    free = shutil.disk_usage(folder).free
    if layout.nbytes > free:
        raise NoRoomError(
            f"new numbers of {bytes_text(layout.nbytes)} have no room in {folder}, which has"
            f" {bytes_text(free)} left",
            hint="set TMPDIR to a directory with more room",
            needed=layout.nbytes,
            free=free,
            undo=False,
        )
    path = os.path.join(folder, f"work-{secrets.token_hex(8)}")  # noqa: PTH118
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(descriptor, max(layout.nbytes, 1))
        for region in layout.regions if fill else ():
            for at in range(region.begin, region.end, PIECE):
                check()
                data = memoryview(runs.read(region.location, at, min(PIECE, region.end - at)))
                position = region.position + at - region.begin
                while data:
                    written = os.pwrite(descriptor, data, position)
                    data, position = data[written:], position + written
    except BaseException as error:
        os.close(descriptor)
        os.unlink(path)  # noqa: PTH108
        if isinstance(error, OSError):
            raise NoRoomError(
                f"new numbers cannot be kept: {error.strerror} ({folder})", undo=False
            ) from None
        raise
    return path, descriptor


def changed_ranges(
    descriptor: int, layout: Layout, runs: ByteRuns, check: Callable[[], None]
) -> dict[int, list[tuple[int, int, int]]]:
    """Ranges (begin, end, position in the file) by location in which the file differs from what is there."""
    out: dict[int, list[tuple[int, int, int]]] = {}
    for region in layout.regions:
        for at in range(region.begin, region.end, PIECE):
            check()
            nbytes = min(PIECE, region.end - at)
            position = region.position + at - region.begin
            new = np.frombuffer(os.pread(descriptor, nbytes, position), np.uint8)
            differs = np.flatnonzero(new != np.frombuffer(runs.read(region.location, at, nbytes), np.uint8))
            if not len(differs):
                continue
            low, high = int(differs[0]), int(differs[-1]) + 1
            found = out.setdefault(region.location, [])
            if (
                found
                and found[-1][1] == at + low
                and found[-1][2] + found[-1][1] - found[-1][0] == position + low
            ):
                found[-1] = (found[-1][0], at + high, found[-1][2])
            else:
                found.append((at + low, at + high, position + low))
    return out
