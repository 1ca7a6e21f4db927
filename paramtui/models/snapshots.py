"""Memory of tensors put aside, to be put back or exchanged with what is there now."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from paramtui.core.text import bytes_text
from paramtui.errors import EditError, NoRoomError
from paramtui.models.spool import SMALL, Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Bytes handled at once.
PIECE: Final = 8 << 20
# Room on disk that is left to others.
MARGIN: Final = 64 << 20


class Region(NamedTuple):
    """A range of bytes of a storage.

    Attributes:
        memory: The whole storage as a 1-d tensor of uint8.
        begin, end: Bytes of it.
    """

    memory: torch.Tensor
    begin: int
    end: int


def storage_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """The memory that a strided tensor lies in, as bytes; None where it has none of its own."""
    try:
        if tensor.layout != torch.strided or tensor.is_nested or tensor.device.type == "meta":
            return None
        storage = tensor.untyped_storage()
        if not storage.nbytes() or not storage.data_ptr():
            return None
    except (RuntimeError, NotImplementedError):
        # A wrapper around other tensors, or fake.
        return None
    with torch.no_grad():
        return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)


def byte_span(tensor: torch.Tensor) -> tuple[int, int]:
    """First byte and byte after the last that a strided tensor touches in its storage."""
    begin = int(tensor.storage_offset()) * tensor.element_size()
    if not tensor.numel():
        return begin, begin
    reach = int(sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)))
    return begin, begin + (reach + 1) * tensor.element_size()


def regions_of(tensors: Iterable[torch.Tensor], *, whole: bool) -> list[Region]:
    """The memory of some tensors, each byte once: whole storages, or only what the tensors span.

    Storages may lie in each other, as those of arrays do that NumPy has cut out of one.
    """
    memories: dict[tuple[str, int, int], torch.Tensor] = {}
    spans: dict[str, list[tuple[int, int, tuple[str, int, int]]]] = {}
    for tensor in tensors:
        memory = storage_of(tensor)
        if memory is None:
            continue
        device, base, nbytes = key = (str(memory.device), memory.data_ptr(), memory.numel())
        memories.setdefault(key, memory)
        begin, end = (0, nbytes) if whole else byte_span(tensor)
        spans.setdefault(device, []).append((base + begin, base + end, key))
    out: dict[tuple[str, int, int], list[Region]] = {key: [] for key in memories}
    for found in spans.values():
        at = -1
        for begin, end, key in sorted(found):
            first = max(begin, at)
            if first < end:
                out[key].append(Region(memories[key], first - key[1], end - key[1]))
                at = end
    return [region for regions in out.values() for region in regions]


def places_of(regions: Iterable[Region]) -> dict[str, list[tuple[int, int]]]:
    """Addresses where regions begin and end, in ascending order, by device."""
    out: dict[str, list[tuple[int, int]]] = {}
    for region in regions:
        base = region.memory.data_ptr()
        out.setdefault(str(region.memory.device), []).append((base + region.begin, base + region.end))
    for places in out.values():
        places.sort()
    return out


def pieces(region: Region) -> Iterator[tuple[int, int]]:
    """Ranges of at most `PIECE` bytes, from its begin to its end."""
    for at in range(region.begin, region.end, PIECE):
        yield at, min(at + PIECE, region.end)


def copied(memory: torch.Tensor) -> torch.Tensor:
    """A copy on the CPU. Not the memory itself: what NumPy has seen cannot be given another size any more."""
    return memory.clone() if memory.device.type == "cpu" else memory.cpu()


def _view(memory: torch.Tensor) -> memoryview:
    found: Any = memory.numpy()
    return memoryview(found)


class Snapshot:
    """What some memory held.

    Args:
        regions: Which.

    Raises:
        NoRoomError: The temporary directory has no room for it.
    """

    def __init__(self, regions: list[Region]) -> None:
        self._closed = False
        self._regions = regions
        self._sizes = [region.memory.untyped_storage().nbytes() for region in regions]
        self.nbytes = sum(region.end - region.begin for region in regions)
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if self.nbytes > SMALL and self.nbytes + MARGIN > free:
            raise NoRoomError(
                f"what this overwrites, {bytes_text(self.nbytes)}, has no room in {folder}, which has"
                f" {bytes_text(free)} left",
                hint="set TMPDIR to a directory with more room",
                needed=self.nbytes,
                free=free,
            )
        try:
            self._spool = Spool(self.nbytes)
            for here, position in self._pieces():
                self._spool.write(position, _view(copied(here)))
        except OSError as error:
            words = f"what this overwrites cannot be kept in {folder}: {error.strerror}"
            raise NoRoomError(words, needed=self.nbytes, free=free) from None

    def _pieces(self) -> Iterator[tuple[torch.Tensor, int]]:
        """All that is kept, in pieces of at most `PIECE` bytes: the memory, and where it was put."""
        position = 0
        for region in self._regions:
            for begin, end in pieces(region):
                yield region.memory[begin:end], position
                position += end - begin

    def _read(self, position: int, nbytes: int) -> torch.Tensor:
        return torch.frombuffer(self._spool.read(position, nbytes), dtype=torch.uint8)

    def differing(self) -> list[Region]:
        """Ranges whose bytes are not those that were kept."""
        out: list[Region] = []
        position = 0
        for region in self._regions:
            for begin, end in pieces(region):
                was = self._read(position, end - begin)
                position += end - begin
                here = region.memory[begin:end].cpu()
                if torch.equal(here, was):
                    continue
                places = torch.nonzero(here != was)
                out.append(Region(region.memory, begin + int(places[0]), begin + int(places[-1]) + 1))
        return out

    def narrow(self, regions: list[Region]) -> None:
        """Keeps some ranges alone, each of which lies within one of those that were kept, in their order."""
        # What is kept moves towards the begin: nothing is overwritten before it was read.
        at = position = 0
        kept = iter(zip(self._regions, self._sizes, strict=True))
        sizes: list[int] = []
        around, size = next(kept, (None, 0))
        for region in regions:
            while around is not None and not (
                around.memory is region.memory and around.begin <= region.begin and region.end <= around.end
            ):
                position += around.end - around.begin
                around, size = next(kept, (None, 0))
            assert around is not None  # noqa: S101  in their order
            sizes.append(size)
            for begin, end in pieces(region):
                place = position + begin - around.begin
                self._spool.write(at, memoryview(self._spool.read(place, end - begin)))
                at += end - begin
        self._spool.truncate(at)
        self._regions, self._sizes, self.nbytes = regions, sizes, at

    def _whole_again(self) -> None:
        """Gives memory its size back that a person's own code has given another."""
        for region, size in zip(self._regions, self._sizes, strict=True):
            storage = region.memory.untyped_storage()
            if storage.nbytes() != size:
                storage.resize_(size)

    def restore(self) -> None:
        """Puts back what was kept; writes only where it differs."""
        self._whole_again()
        for here, position in self._pieces():
            was = self._read(position, len(here))
            if not torch.equal(here.cpu(), was):
                here.copy_(was)

    def swap(self) -> None:
        """Puts back what was kept, and keeps what was there.

        Raises:
            EditError: It cannot; then all is as it was.
        """
        done: list[tuple[torch.Tensor, int]] = []
        try:
            for here, position in self._pieces():
                self._exchange(here, position)
                done.append((here, position))
        except OSError as error:
            for here, position in reversed(done):
                self._exchange(here, position)
            raise EditError(f"what was kept cannot be exchanged: {error.strerror}") from None

    def _exchange(self, here: torch.Tensor, position: int) -> None:
        was = self._read(position, len(here))
        now = copied(here)
        try:
            self._spool.write(position, _view(now))
        except OSError:
            self._spool.write(position, _view(was))
            raise
        here.copy_(was)

    @property
    def closed(self) -> bool:
        """Whether nothing is kept any more."""
        return self._closed

    def close(self) -> None:
        """Lets go of what was kept."""
        self._closed = True
        self._spool.close()
