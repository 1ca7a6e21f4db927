"""Memory of tensors kept on disk, to be put back or exchanged with what is there now."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from paramtui.core.text import bytes_text
from paramtui.errors import NoRoomError
from paramtui.models.shield import unstoppable

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
    """The memory of some tensors, each byte once: whole storages, or only what the tensors span."""
    memories: dict[tuple[str, int], torch.Tensor] = {}
    spans: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for tensor in tensors:
        memory = storage_of(tensor)
        if memory is None:
            continue
        key = (str(memory.device), memory.data_ptr())
        memories.setdefault(key, memory)
        spans.setdefault(key, []).append((0, memory.numel()) if whole else byte_span(tensor))
    out: list[Region] = []
    for key, memory in memories.items():
        at = -1
        for begin, end in sorted(spans[key]):
            first = max(begin, at)
            if first < end:
                out.append(Region(memory, first, end))
                at = end
    return out


def pieces(region: Region) -> Iterator[tuple[int, int]]:
    """Ranges of at most `PIECE` bytes, from its begin to its end."""
    for at in range(region.begin, region.end, PIECE):
        yield at, min(at + PIECE, region.end)


def _view(memory: torch.Tensor) -> memoryview:
    found: Any = memory.numpy()
    return memoryview(found)


def _bytes(region: Region, begin: int, end: int) -> memoryview:
    return _view(region.memory[begin:end].cpu())


class Snapshot:
    """What some memory held, in a file without a name.

    Args:
        regions: Which.

    Raises:
        NoRoomError: The temporary directory has no room for it.
    """

    def __init__(self, regions: list[Region]) -> None:
        self._regions = regions
        self.nbytes = sum(region.end - region.begin for region in regions)
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if self.nbytes + MARGIN > free:
            raise NoRoomError(
                f"what this overwrites, {bytes_text(self.nbytes)}, has no room in {folder}, which has"
                f" {bytes_text(free)} left",
                hint="set TMPDIR to a directory with more room",
                needed=self.nbytes,
                free=free,
            )
        with tempfile.TemporaryFile(prefix="paramtui-") as file:
            self._file = os.dup(file.fileno())
        try:
            position = 0
            for region in regions:
                for begin, end in pieces(region):
                    self._write(position, _bytes(region, begin, end))
                    position += end - begin
        except OSError as error:
            self.close()
            words = f"what this overwrites cannot be kept in {folder}: {error.strerror}"
            raise NoRoomError(words, needed=self.nbytes, free=free) from None
        except BaseException:
            self.close()
            raise

    def _write(self, position: int, data: memoryview) -> None:
        while data:
            written = os.pwrite(self._file, data, position)
            data, position = data[written:], position + written

    def _read(self, position: int, nbytes: int) -> torch.Tensor:
        buffer = bytearray(nbytes)
        view = memoryview(buffer)
        while view:
            count = os.preadv(self._file, [view], position) if hasattr(os, "preadv") else 0
            if not count:
                part = os.pread(self._file, len(view), position)
                if not part:
                    raise OSError(5, "what was kept is gone")
                view[: len(part)] = part
                count = len(part)
            view, position = view[count:], position + count
        return torch.frombuffer(buffer, dtype=torch.uint8) if nbytes else torch.empty(0, dtype=torch.uint8)

    def differing(self) -> list[Region]:
        """Ranges whose bytes are not those that were kept."""
        out: list[Region] = []
        position = 0
        for region in self._regions:
            for begin, end in pieces(region):
                was = self._read(position, end - begin)
                position += end - begin
                places = torch.nonzero(region.memory[begin:end].cpu() != was)
                if len(places):
                    out.append(Region(region.memory, begin + int(places[0]), begin + int(places[-1]) + 1))
        return out

    def narrow(self, regions: list[Region]) -> None:
        """Keeps some ranges alone, each of which lies within one of those that were kept, in their order."""
        starts: list[int] = []
        position = 0
        for region in self._regions:
            starts.append(position)
            position += region.end - region.begin
        # What is kept moves towards the begin of the file: nothing is overwritten before it was read.
        at = 0
        for region in regions:
            place = next(
                start + region.begin - each.begin
                for start, each in zip(starts, self._regions, strict=True)
                if each.memory.data_ptr() == region.memory.data_ptr()
                and each.begin <= region.begin
                and region.end <= each.end
            )
            for begin, end in pieces(region):
                self._write(at, _view(self._read(place + begin - region.begin, end - begin)))
                at += end - begin
        os.truncate(self._file, at)
        self._regions, self.nbytes = regions, at

    def restore(self) -> None:
        """Puts back what was kept; writes only where it differs."""
        with unstoppable():
            self._restore()

    def _restore(self) -> None:
        position = 0
        for region in self._regions:
            for begin, end in pieces(region):
                was = self._read(position, end - begin)
                position += end - begin
                here = region.memory[begin:end]
                if not torch.equal(here.cpu(), was):
                    here.copy_(was)

    def swap(self) -> None:
        """Puts back what was kept, and keeps what was there."""
        with unstoppable():
            self._swap()

    def _swap(self) -> None:
        position = 0
        for region in self._regions:
            for begin, end in pieces(region):
                was = self._read(position, end - begin)
                here = region.memory[begin:end]
                now = here.cpu().clone()
                self._write(position, _view(now))
                here.copy_(was)
                position += end - begin

    def close(self) -> None:
        """Lets go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
