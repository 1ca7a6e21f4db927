"""Compares the records of archives with the CRC-32 that was written beside them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.zip_directory import DEFLATED, STORED, RecordRun, ZipDirectory
from paramtui.core.damage import Damage
from paramtui.core.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

    from paramtui.checkpoints.source import Run

PIECE: Final = 4 << 20


def find_damage(
    runs: Sequence[Run], progress: Callable[[int, int], None] | None = None, stop: Event | None = None
) -> list[Damage]:
    """Reads whole archives, and gives the records that are not what was written, in the order of the file.

    A checksum of zero says nothing: ``torch.serialization.set_crc32_options(False)`` writes that.

    Args:
        runs: Of a checkpoint; the archives that they lie in are read.
        progress: Called with bytes that were read, and all.
        stop: Ends it early when it is set.

    Raises:
        ValuesError: A file has changed or cannot be read.
    """
    archives: dict[ZipDirectory, dict[int, int]] = {}
    for location, run in enumerate(runs):
        if isinstance(run, RecordRun):
            archives.setdefault(run.directory, {})[run.index] = location
    reading = _Reading(sum(sum(directory.packed_nbytes) for directory in archives), progress, stop)
    found: list[Damage] = []
    for directory, locations in archives.items():
        for index in sorted(range(len(directory.names)), key=directory.header.__getitem__):
            words = _compared(directory, index, reading) if directory.checksum[index] else ""
            if reading.stopped:
                return found
            if words:
                words = f"the record {safe_text(directory.names[index])} is damaged: {words}"
                found.append(Damage(directory.file.path, locations.get(index, -1), words))
    return found


class _Reading:
    """How far the reading is, and whether it is to go on."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None, stop: Event | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress
        self._stop = stop

    @property
    def stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def packed(self, directory: ZipDirectory, index: int) -> Iterator[bytes]:
        """The bytes of a record as they are stored."""
        begin = directory.begin(index)
        end = begin + directory.packed_nbytes[index]
        for at in range(begin, end, PIECE):
            if self.stopped:
                return
            piece = directory.file.read(at, min(PIECE, end - at))
            yield piece
            self._done += len(piece)
            if self._progress is not None:
                self._progress(self._done, self._total)


def _compared(directory: ZipDirectory, index: int, reading: _Reading) -> str:
    """What is wrong with a record; empty for nothing, and for a method that is not known."""
    pieces = reading.packed(directory, index)
    if directory.method[index] == DEFLATED:
        pieces = _inflated(pieces, directory.nbytes[index])
    elif directory.method[index] != STORED:
        return ""
    checksum = 0
    try:
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
    except zlib.error as error:
        return f"it cannot be inflated ({error})"
    return disagreement(checksum, directory.checksum[index])


def disagreement(found: int, written: int) -> str:
    """Says that bytes have another CRC-32 than was written; empty where they have not."""
    return "" if found == written else f"its bytes have the CRC-32 {found:08x}, and {written:08x} was written"


def _inflated(pieces: Iterator[bytes], nbytes: int) -> Iterator[bytes]:
    """At most one piece more than the directory promises."""
    inflater = zlib.decompressobj(-15)
    for piece in pieces:
        rest = piece
        while rest and nbytes >= 0:
            part = inflater.decompress(rest, PIECE)
            nbytes -= len(part)
            yield part
            rest = inflater.unconsumed_tail
