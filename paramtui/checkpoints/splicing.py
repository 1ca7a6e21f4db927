"""The bytes of a checkpoint file with some ranges replaced, everything else as it was.

In a zip archive the CRC-32 of every record that is changed is brought up to date, in its entry of
the central directory and in the local header or the data descriptor, whichever had it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.checkpoints.files import os_error_text
from paramtui.checkpoints.temporary import Identity, identity_of
from paramtui.checkpoints.writing import PIECE
from paramtui.checkpoints.zip_checksums import Checksum, changed_records
from paramtui.core.text import safe_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from paramtui.checkpoints.files import RandomFile
    from paramtui.checkpoints.writing import Sink

_ZIP: Final = b"PK\x03\x04"


class Patch(NamedTuple):
    """New bytes for a range of a file.

    Attributes:
        begin: First byte of the range in the file.
        nbytes: Its length.
        read: Gives new bytes, by first byte within the range and number of bytes.
    """

    begin: int
    nbytes: int
    read: Callable[[int, int], bytes]


def spliced(
    file: RandomFile, patches: Sequence[Patch], opened: Identity | None = None
) -> Callable[[Sink], None]:
    """The `write` of a `FileJob` of `file.nbytes` bytes: a copy of a file with patches in place.

    Args:
        file: The file as it is.
        patches: What is to be changed, in the order of the file and without overlaps.
        opened: The file as it was opened; None for as it is now.

    Raises:
        ValuesError: Patches overlap, reach past the file, or change what is no content of a record
            stored as it is. The callable raises it if the file changes meanwhile.
    """
    reached = 0
    for patch in patches:
        if patch.nbytes < 0 or patch.begin < reached or patch.begin + patch.nbytes > file.nbytes:
            raise ValuesError(
                f"the change of {patch.nbytes:,} bytes at byte {patch.begin:,} overlaps another or reaches"
                f" past the {file.nbytes:,} bytes of the file",
                where=file.path,
            )
        reached = patch.begin + patch.nbytes
    patches = [patch for patch in patches if patch.nbytes]
    records: list[Checksum] = []
    if patches and file.nbytes >= len(_ZIP) and file.read(0, len(_ZIP)) == _ZIP:
        records = changed_records(file, [(patch.begin, patch.begin + patch.nbytes) for patch in patches])
    before = _identity(file) if opened is None else opened

    def write(sink: Sink) -> None:
        at = patch_at = 0
        for record in records:
            _stream(file, sink, at, record.begin, [], None)
            first = patch_at
            while patch_at < len(patches) and patches[patch_at].begin < record.end:
                patch_at += 1
            _stream(file, sink, record.begin, record.end, patches[first:patch_at], record)
            at = record.end
        _stream(file, sink, at, file.nbytes, patches[patch_at:], None)
        for record in records:
            for place, crc in record.changes():
                sink.patch(place, struct.pack("<L", crc))
        if _identity(file) != before:
            raise ValuesError(
                "was changed while it was copied", where=file.path, hint="nothing was saved; open it again"
            )

    return write


def _identity(file: RandomFile) -> Identity:
    try:
        return identity_of(file.path)
    except FileNotFoundError:
        raise ValuesError("is not there any more", where=file.path) from None
    except OSError as error:
        raise ValuesError(os_error_text(error), where=file.path) from None


def _pieces(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """First byte and length of each piece of a range."""
    for at in range(begin, end, PIECE):
        yield at, min(PIECE, end - at)


def _stream(
    file: RandomFile, sink: Sink, begin: int, end: int, patches: Sequence[Patch], record: Checksum | None
) -> None:
    """Gives a range of the file with patches in place, its bytes noted in a record's checksum."""
    for patch in [*patches, Patch(end, 0, file.read)]:
        for at, nbytes in _pieces(begin, patch.begin):
            data = file.read(at, nbytes)
            if record is not None:
                record.kept(data)
            sink.append(data)
        for at, nbytes in _pieces(0, patch.nbytes):
            data = patch.read(at, nbytes)
            if len(data) != nbytes:
                raise ValuesError(
                    f"the change at byte {patch.begin + at:,} gave {len(data):,} of {nbytes:,} bytes",
                    where=safe_text(file.path),
                )
            if record is not None:
                record.changed(file.read(patch.begin + at, nbytes), data)
            sink.append(data)
        begin = patch.begin + patch.nbytes
