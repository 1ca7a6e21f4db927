"""A state dict that is to be written to a new file: names, places in storages, bytes on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.dtypes import DTYPES
from paramtui.core.geometry import contiguous_stride
from paramtui.core.listing import ROOT, Listing, Location
from paramtui.core.text import safe_text
from paramtui.errors import SavingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PIECE = 4 << 20
"""Bytes that are read of a storage at once."""


class StateStorage(NamedTuple):
    """Bytes that tensors lie in.

    Attributes:
        nbytes: Their number.
        read: Gives some of them, little-endian numbers, by first byte and number.
    """

    nbytes: int
    read: Callable[[int, int], bytes]


class StateEntry(NamedTuple):
    """A tensor of a state dict.

    Attributes:
        name: Its key, dotted.
        dtype: As in `core.dtypes`.
        shape, stride, offset: Its place in the storage, in elements.
        storage: Index of the storage; tensors with one index are tied, wholly or in part.
        requires_grad: As the tensor has it; state dicts of modules have none that do.
        is_parameter: It is a ``torch.nn.Parameter``; those of state dicts are plain tensors.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: int
    requires_grad: bool = False
    is_parameter: bool = False


def numel(entry: StateEntry) -> int:
    """Number of elements."""
    count = 1
    for size in entry.shape:
        count *= size
    return count


def is_contiguous(entry: StateEntry) -> bool:
    """Whether its elements lie in row-major order without holes."""
    usual = contiguous_stride(entry.shape)
    return all(n == 1 or s == u for n, s, u in zip(entry.shape, entry.stride, usual, strict=True))


def check_entries(path: str, entries: Sequence[StateEntry], storages: Sequence[StateStorage]) -> None:
    """Refuses what no file can hold.

    Raises:
        SavingError: A name comes twice, a type is not plain, or a tensor reaches past its storage.
    """
    seen: set[str] = set()
    for entry in entries:
        shown = safe_text(entry.name)
        if entry.name in seen:
            raise SavingError(f"two tensors are named {shown}", where=path)
        seen.add(entry.name)
        dtype = DTYPES.get(entry.dtype)
        if dtype is None or dtype.bits < 8 or dtype.family == "quantized":
            raise SavingError(f"{shown} is {entry.dtype}, which cannot be written to a new file", where=path)
        last = entry.offset + sum((n - 1) * s for n, s in zip(entry.shape, entry.stride, strict=True))
        fits = entry.offset >= 0 and min(entry.stride, default=0) >= 0 and min(entry.shape, default=0) >= 0
        if fits and 0 not in entry.shape:
            fits = (last + 1) * dtype.itemsize <= storages[entry.storage].nbytes
        if not fits:
            raise SavingError(f"{shown} reaches past its storage", where=path)


def listed(entries: Sequence[StateEntry]) -> Listing:
    """The entries as a listing, by which sharing is found."""
    listing = Listing("", "state-dict")
    # How long the storages are matters to nobody here.
    listing.locations = [Location(None, 0)] * (1 + max((entry.storage for entry in entries), default=-1))
    for entry in entries:
        size = DTYPES[entry.dtype].itemsize
        listing.add_tensor(
            listing.add_node(ROOT, entry.name, 0),
            "tensor",
            entry.storage,
            entry.offset * size,
            entry.dtype,
            entry.shape,
            entry.stride,
            entry.offset,
            numel(entry) * size,
            entry.requires_grad,
        )
    return listing


def pieces(storage: StateStorage, begin: int, nbytes: int) -> Iterator[bytes]:
    """A range of a storage, a few MiB at a time."""
    for at in range(0, nbytes, PIECE):
        wanted = min(PIECE, nbytes - at)
        data = storage.read(begin + at, wanted)
        if len(data) != wanted:
            raise SavingError(f"a storage gave {len(data):,} of {wanted:,} bytes")
        yield data
