"""Writes a state dict as ``torch.save`` does: a zip archive, byte for byte but for its random number.

The layout is that of ``caffe2/serialize/inline_container.cc`` and the ``miniz`` below it, as in
PyTorch 2.13: every record stored, its content on a multiple of 64 bytes (a header field of the id
``FB`` fills the gap), its checksum in a data descriptor behind it; zip64 fields where a size or a
place takes more than 32 bits, and zip64 end records always.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.checkpoints.state_dict import StateStorage, check_entries, pieces
from paramtui.checkpoints.state_pickle import state_pickle
from paramtui.checkpoints.writing import FileJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from paramtui.checkpoints.state_dict import StateEntry
    from paramtui.checkpoints.writing import Identity, Sink

ALIGNMENT: Final = 64
_LIMIT: Final = 0xFFFFFFFF
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_UTF8, _DESCRIPTOR = 0x800, 0x8
_ID_NBYTES: Final = 40


class _Record(NamedTuple):
    """A record and its place.

    Attributes:
        name: With the archive's folder.
        header: Byte of the file where its local header starts.
        nbytes: Of its content.
        content: Pieces of it; None for the number that tells files apart, which is made last.
    """

    name: bytes
    header: int
    nbytes: int
    content: Iterable[bytes] | StateStorage | None

    @property
    def flags(self) -> int:
        return _UTF8 | (_DESCRIPTOR if self.nbytes else 0)

    def wide(self, *, in_header: bool) -> bytes:
        """The zip64 field, if one is needed; a local header does not know the packed size yet."""
        numbers: list[int] = []
        if self.nbytes >= _LIMIT:
            numbers += [self.nbytes, 0 if in_header else self.nbytes]
        if self.header >= _LIMIT:
            numbers.append(self.header)
        return struct.pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""

    def local(self) -> bytes:
        """The local header, with padding up to the content."""
        wide = self.wide(in_header=True)
        begin = self.header + _LOCAL.size + len(self.name) + len(wide) + 4
        padding = -begin % ALIGNMENT
        extra = wide + b"FB" + struct.pack("<H", padding) + b"Z" * padding
        fields = (b"PK\x03\x04", 0, self.flags, 0, 0, 0, 0, 0, 0, len(self.name), len(extra))
        return _LOCAL.pack(*fields) + self.name + extra

    def descriptor(self, crc: int) -> bytes:
        """What follows the content."""
        if not self.nbytes:
            return b""
        sizes = "<4sLQQ" if self.wide(in_header=True) else "<4sLLL"
        return struct.pack(sizes, b"PK\x07\x08", crc, self.nbytes, self.nbytes)

    def entry(self, crc: int) -> bytes:
        """Its entry of the central directory."""
        wide = self.wide(in_header=False)
        nbytes, header = min(self.nbytes, _LIMIT), min(self.header, _LIMIT)
        fields = (b"PK\x01\x02", 0, 0, self.flags, 0, 0, 0, crc, nbytes, nbytes)
        return _ENTRY.pack(*fields, len(self.name), len(wide), 0, 0, 0, 0, header) + self.name + wide

    def end(self) -> int:
        """Byte of the file behind it."""
        return self.header + len(self.local()) + self.nbytes + len(self.descriptor(0))


def torch_file_job(
    path: str,
    entries: Sequence[StateEntry],
    storages: Sequence[StateStorage],
    *,
    metadata: Mapping[str, Mapping[str, int]] | None = None,
    replaces: Identity | None = None,
    mode_of: str | None = None,
) -> FileJob:
    """A job that writes what ``torch.save(state_dict, path)`` would.

    Args:
        path: Where; the archive's folder is called after it.
        entries: The tensors, in order. Those on one storage stay tied.
        storages: What they lie in; those that no entry uses are left out.
        metadata: ``_metadata`` of a module's state dict, by prefix, as in ``{"": {"version": 1}}``;
            None for a plain dict.
        replaces: As in `FileJob`.
        mode_of: As in `FileJob`.

    Raises:
        SavingError: Such a file cannot hold these tensors.
    """
    check_entries(path, entries, storages)
    pickle, used = state_pickle(entries, storages, metadata)
    contents: list[tuple[str, int, Iterable[bytes] | StateStorage | None]] = [
        (name, len(content), [content])
        for name, content in (
            ("data.pkl", pickle),
            (".format_version", b"1"),
            (".storage_alignment", b"%d" % ALIGNMENT),
            ("byteorder", b"little"),
        )
    ]
    contents += [(f"data/{key}", storages[index].nbytes, storages[index]) for key, index in enumerate(used)]
    contents += [("version", 2, [b"3\n"]), (".data/serialization_id", _ID_NBYTES, None)]
    records: list[_Record] = []
    at = 0
    folder = _archive_name(path)
    for name, nbytes, content in contents:
        records.append(_Record(f"{folder}/{name}".encode(), at, nbytes, content))
        at = records[-1].end()
    nbytes = at + sum(len(record.entry(0)) for record in records) + 56 + 20 + 22

    def write(sink: Sink) -> None:
        _write(sink, records, at)

    return FileJob(path, nbytes, write, replaces, mode_of)


def _archive_name(path: str) -> str:
    """The folder that torch.save puts records in: the file's name up to its last dot."""
    name = os.path.basename(path)  # noqa: PTH119  importing pathlib takes longer
    stem = name.rpartition(".")[0] if "." in name else name
    # For names that its writer cannot take, torch calls it so, too.
    return stem if stem and stem.isascii() and stem.isprintable() and "\\" not in stem else "archive"


def _content(record: _Record, checksums: list[int]) -> Iterator[bytes]:
    if record.content is None:
        yield _serialization_id(checksums)
    elif isinstance(record.content, StateStorage):
        yield from pieces(record.content, 0, record.nbytes)
    else:
        yield from record.content


def _serialization_id(checksums: list[int]) -> bytes:
    """Forty digits that tell files of different content apart; torch hashes names and checksums, too."""
    import hashlib  # takes longer to import than most files to write

    raw = struct.pack(f"<{len(checksums)}L", *checksums)
    halves = (hashlib.blake2b(raw, digest_size=8, salt=bytes([half])).digest() for half in range(2))
    return b"".join(b"%020d" % int.from_bytes(half, "little") for half in halves)


def _write(sink: Sink, records: Sequence[_Record], directory: int) -> None:
    """The records, their directory (from byte `directory` on), and the end records."""
    checksums: list[int] = []
    for record in records:
        sink.append(record.local())
        crc = 0
        for piece in _content(record, checksums):
            crc = zlib.crc32(piece, crc)
            sink.append(piece)
        sink.append(record.descriptor(crc))
        checksums.append(crc)
    length = 0
    for record, crc in zip(records, checksums, strict=True):
        entry = record.entry(crc)
        length += len(entry)
        sink.append(entry)
    count = len(records)
    end = directory + length
    # Made by version 3.0 on Unix, 4.5 needed to extract: both as miniz says.
    sink.append(
        struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 0x31E, 45, 0, 0, count, count, length, directory)
        + struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
        + struct.pack("<4s4H", b"PK\x05\x06", 0, 0, *[min(count, 0xFFFF)] * 2)
        + struct.pack("<2LH", min(length, _LIMIT), min(directory, _LIMIT), 0)
    )
