"""Which tensors of a live model hold equal bits without sharing memory; bytes are compared where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from paramtui.core.copies import Candidates, CopySearch, search
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.flat_cells import flat_begins
from paramtui.core.geometry import row_major
from paramtui.errors import RunStoppedError, ValuesError
from paramtui.models.snapshots import byte_span, storage_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from paramtui.core.geometry import Geometry
    from paramtui.models.module_listing import ModuleListing

# Bytes of a piece that are brought to the CPU to tell it from many others.
KEY: Final = 4096
_INTEGERS: Final = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def find_copies(
    listed: ModuleListing,
    progress: Callable[[int, int], None] | None = None,
    stop: Event | None = None,
) -> CopySearch:
    """Finds equal tensors of a model; see `paramtui.core.copies.find_copies`.

    Raises:
        RunStoppedError: It was stopped.
    """
    with torch.no_grad():
        return search(listed.listing, lambda found: _MemoryPieces(listed, found, stop), progress)


class _MemoryPieces:
    """Pieces of some candidates as tensors of bytes, on the devices that they lie on."""

    def __init__(self, listed: ModuleListing, found: Candidates, stop: Event | None) -> None:
        self._listed = listed
        self._linear = found.linear
        self._stop = stop
        self._known: dict[int, tuple[torch.Tensor, Geometry, bool]] = {}

    def _memory(self, member: int) -> tuple[torch.Tensor, Geometry, bool]:
        """The storage of a tensor as bytes, where its elements lie in it, and whether one after the other."""
        known = self._known.get(member)
        if known is None:
            tensor = self._listed.tensors[member].detach()
            memory = storage_of(tensor)
            if memory is None:
                raise ValuesError("has no numbers of its own")
            begin, end = byte_span(tensor)
            if end > memory.numel():
                raise ValuesError("reaches past the end of its storage")
            # The listing counts from the begin of storages that it has joined.
            place = self._listed.listing.geometry(member)._replace(begin=begin)
            known = self._known[member] = memory, place, self._linear or row_major(place)
        return known

    def piece(self, member: int, at: int, nbytes: int) -> torch.Tensor:
        if self._stop is not None and self._stop.is_set():
            raise RunStoppedError("stopped")
        memory, place, linear = self._memory(member)
        if linear:
            return memory[place.begin + at : place.begin + at + nbytes]
        size = ITEMSIZE[place.dtype]
        unit = min(size, 8)
        units = memory[: memory.numel() // unit * unit].view(_INTEGERS[unit])
        parts = []
        for begins, length in flat_begins(place, at // size, (at + nbytes) // size):
            first = torch.from_numpy(begins // unit).to(memory.device)
            within = torch.arange(length // unit, device=memory.device)
            parts.append(units[(first[:, None] + within[None, :]).reshape(-1)])
        return torch.cat(parts).view(torch.uint8)

    def same(self, one: torch.Tensor, other: torch.Tensor) -> bool:
        if one.device != other.device:
            one, other = one.cpu(), other.cpu()
        # Eight bytes at a time are six times as fast as one.
        offsets = int(one.storage_offset()) | int(other.storage_offset())
        unit = next(unit for unit in (8, 4, 2, 1) if offsets % unit == 0)
        cut = len(one) // unit * unit
        kind = _INTEGERS[unit]
        return torch.equal(one[cut:], other[cut:]) and torch.equal(
            one[:cut].view(kind), other[:cut].view(kind)
        )

    def key(self, piece: torch.Tensor) -> bytes:
        return self.element(piece, KEY)

    def element(self, piece: torch.Tensor, nbytes: int) -> bytes:
        return piece[:nbytes].cpu().numpy().tobytes()

    def done(self, piece: torch.Tensor) -> None:
        """Nothing: a piece is a view."""

    def repeats(self, piece: torch.Tensor, element: bytes) -> bool:
        size = len(element)
        if self.element(piece[size:], size) not in (element, b""):
            return False
        # Each element is the one before it.
        return self.element(piece, size) == element and self.same(piece[size:], piece[:-size])
