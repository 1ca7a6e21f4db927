"""The directory of a zip archive, and stored records read in place.

Follows PKWARE's APPNOTE.TXT, sections 4.3 and 4.5 (zip64). Only what PyTorch writes is needed:
one disk, records stored or deflated.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.source import Place
from paramtui.core.text import safe_text
from paramtui.errors import FormatError, ValuesError

if TYPE_CHECKING:
    from paramtui.checkpoints.files import RandomFile

_END: Final = struct.Struct("<4s4H2LH")
_END64_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")

STORED: Final = 0
DEFLATED: Final = 8
# A deflated record is inflated whole; a larger one is refused. Numbers deflate to a quarter at best.
MAX_INFLATED: Final = 256 << 20
SMALL_INFLATED: Final = 64 << 20
# What is read as a whole, as pickles are, may inflate to as much as the file itself could hold.
SMALL_TEXT: Final = 1 << 20


class ZipDirectory:
    """Records of an archive, by name.

    Attributes:
        file: The archive.
        names: Record names in the order of the directory.
        index: Place in the columns by name.
        nbytes: Size of each record's content.
        packed_nbytes: Bytes that each record takes in the file.
        method: `STORED`, `DEFLATED`, or another number.
        header: Byte of each record's local header.
        checksum: CRC-32 of each record before it was packed; 0 where none was computed.
        prefix: Bytes before the archive proper.
        trailing: Bytes behind it.
        place: First byte of the directory in the file, and its length.
    """

    def __init__(self, file: RandomFile) -> None:
        self.file = file
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.nbytes: list[int] = []
        self.packed_nbytes: list[int] = []
        self.method: list[int] = []
        self.header: list[int] = []
        self.checksum: list[int] = []
        self.trailing = 0
        self.prefix = 0
        self.place = 0, 0
        self._begins: dict[int, int] = {}
        self._folded: set[str] = set()
        self._inflated: tuple[int, bytes] | None = None
        self._read_directory()

    def _fail(self, what: str) -> FormatError:
        return FormatError(what, where=self.file.path)

    def _read_directory(self) -> None:
        file = self.file
        tail_begin = max(0, file.nbytes - (1 << 16) - _END.size)
        tail = file.read(tail_begin, file.nbytes - tail_begin)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise self._fail(
                f"begins as a zip archive but has no directory at its end (byte {file.nbytes:,}):"
                " cut, or still being written"
            )
        _, disk, _, _, count, length, begin, comment = _END.unpack_from(tail, at)
        self.trailing = max(len(tail) - at - _END.size - comment, 0)
        end_begin = tail_begin + at
        if disk not in (0, 0xFFFF):
            raise self._fail("is one part of a zip archive over several disks")
        # PyTorch writes the zip64 records into every archive, also where nothing needs them.
        where = end_begin - _END64_LOCATOR.size
        has_locator = where >= 0 and file.read(where, 4) == b"PK\x06\x07"
        if has_locator:
            short = (count, 0xFFFF), (length, 0xFFFFFFFF), (begin, 0xFFFFFFFF)
            end_begin, count, length, begin = self._read_end64(where)
            # Whoever reads the other of the two records must find the same directory.
            for (said, most), meant in zip(short, (count, length, begin), strict=True):
                if said not in (most, meant):
                    raise self._fail("has two directories that do not agree: programs would read either")
        elif 0xFFFF in (count, disk) or 0xFFFFFFFF in (length, begin):
            raise self._fail("lacks the zip64 record that its directory points to")
        self.prefix = end_begin - length - begin
        if self.prefix < 0:
            raise self._fail(
                f"its directory of {length:,} bytes at byte {begin:,} does not fit before byte {end_begin:,}"
            )
        # PyTorch looks where the directory is said to be, others where it is.
        if self.prefix and file.read(begin, min(4, file.nbytes - begin)) == b"PK\x01\x02":
            raise self._fail(f"has a directory at byte {begin:,} and another at its end")
        self.place = begin + self.prefix, length
        self._parse(file.read(*self.place), count)

    def _read_end64(self, locator: int) -> tuple[int, int, int, int]:
        """Place of the zip64 end record, count of records, length and place of the directory."""
        _, _, end64, _ = _END64_LOCATOR.unpack(self.file.read(locator, _END64_LOCATOR.size))
        # With bytes before the archive the recorded place is too low; the record ends at its locator.
        for place in (end64, locator - _END64.size):
            if place >= 0 and place + _END64.size <= locator:
                raw = self.file.read(place, _END64.size)
                if raw[:4] == b"PK\x06\x06":
                    _, _, _, _, _, _, _, count, length, begin = _END64.unpack(raw)
                    return place, count, length, begin
        raise self._fail("its zip64 record is not where its locator points")

    def _parse(self, directory: bytes, count: int) -> None:
        unpack = _ENTRY.unpack_from
        size = _ENTRY.size
        pos = 0
        prefix = self.prefix
        if count * size > len(directory):
            raise self._fail(f"claims {count:,} records in a directory of {len(directory):,} bytes")
        for _ in range(count):
            if pos + size > len(directory):
                raise self._fail(f"its directory ends inside record {len(self.names) + 1:,} of {count:,}")
            (magic, _, _, flags, method, _, _, checksum, packed, nbytes, name_length, extra_length,
             comment_length, _, _, _, header) = unpack(directory, pos)  # fmt: skip
            if magic != b"PK\x01\x02":
                raise self._fail(f"record {len(self.names) + 1:,} of its directory is damaged")
            pos += size
            name = directory[pos : pos + name_length].decode("utf-8", "backslashreplace")
            pos += name_length
            if 0xFFFFFFFF in (nbytes, packed, header):
                extra = directory[pos : pos + extra_length]
                nbytes, packed, header = _zip64_fields(extra, nbytes, packed, header)
            pos += extra_length + comment_length
            # To PyTorch small and capital letters are the same.
            folded = name.lower()
            if folded in self._folded:
                raise self._fail(f"has two records named '{safe_text(name)}'")
            self._folded.add(folded)
            if flags & 1:
                raise self._fail(f"its record '{safe_text(name)}' is encrypted")
            self.index[name] = len(self.names)
            self.names.append(name)
            self.nbytes.append(nbytes)
            self.packed_nbytes.append(packed)
            self.method.append(method)
            self.checksum.append(checksum)
            self.header.append(header + prefix)
        self._check_overlaps()

    def _check_overlaps(self) -> None:
        """Refuses records that share bytes: one archive, one reading."""
        local = _LOCAL.size
        reached = 0
        order = sorted(range(len(self.names)), key=self.header.__getitem__)
        for index in order:
            header = self.header[index]
            if header < reached:
                raise self._fail(f"its record '{safe_text(self.names[index])}' overlaps another")
            # Local names and fields add to this; reading the record checks them.
            reached = header + local + self.packed_nbytes[index]
            if reached > self.file.nbytes:
                raise self._fail(
                    f"its record '{safe_text(self.names[index])}' reaches past the end of the file"
                )

    def begin(self, index: int) -> int:
        """Byte of the file where a record's content starts."""
        known = self._begins.get(index)
        if known is None:
            fields = _LOCAL.unpack(self.file.read(self.header[index], _LOCAL.size))
            name = safe_text(self.names[index])
            if fields[0] != b"PK\x03\x04":
                raise ValuesError(
                    f"the record {name!r} has no header at byte {self.header[index]:,}", where=self.file.path
                )
            known = self.header[index] + _LOCAL.size + fields[-2] + fields[-1]
            if known + self.packed_nbytes[index] > self.file.nbytes:
                raise ValuesError(
                    f"the record {name!r} reaches past the end of the file", where=self.file.path
                )
            self._begins[index] = known
        return known

    def inflated(self, index: int) -> bytes:
        """The content of a deflated record; the last one asked for is kept."""
        if self._inflated is None or self._inflated[0] != index:
            self._inflated = (index, self.content(self.names[index]))
        return self._inflated[1]

    def is_deflated(self, name: str) -> bool:
        """Whether a record is not stored as it is."""
        return self.method[self.index[name]] != STORED

    def text(self, name: str, limit: int) -> bytes:
        """The content of a record that is read as a whole and makes objects, as a pickle does.

        A deflated one is at most as long as a file of this size could hold.

        Raises:
            ValuesError: As `content`.
        """
        if self.is_deflated(name):
            limit = min(limit, max(SMALL_TEXT, self.file.nbytes))
        return self.content(name, limit)

    def content(self, name: str, limit: int | None = None) -> bytes:
        """The whole content of a record.

        Raises:
            ValuesError: It is larger than `limit`, damaged, or packed in an unknown way.
        """
        index = self.index[name]
        nbytes, packed = self.nbytes[index], self.packed_nbytes[index]
        where = self.file.path
        shown = safe_text(name)
        if limit is None:
            limit = min(MAX_INFLATED, max(SMALL_INFLATED, 4 * self.file.nbytes))
        if nbytes > limit:
            raise ValuesError(f"the record '{shown}' has {nbytes:,} bytes, more than {limit:,}", where=where)
        raw = self.file.read(self.begin(index), packed)
        if self.method[index] == STORED and packed == nbytes:
            return raw
        if self.method[index] != DEFLATED:
            raise ValuesError(f"the record '{shown}' is packed by method {self.method[index]}", where=where)
        import zlib  # PyTorch never deflates

        try:
            inflater = zlib.decompressobj(-15)
            content = inflater.decompress(raw, nbytes + 1)
        except zlib.error as error:
            raise ValuesError(f"the record '{shown}' cannot be inflated: {error}", where=where) from None
        if len(content) != nbytes:
            raise ValuesError(
                f"the record '{shown}' inflates to {len(content):,} bytes, not {nbytes:,}", where=where
            )
        return content


class RecordRun:
    """The content of one record, the `index`-th of a `directory`, as a run of bytes."""

    __slots__ = ("big_endian", "directory", "index", "nbytes")

    def __init__(self, directory: ZipDirectory, index: int, big_endian: bool) -> None:  # noqa: FBT001
        self.directory = directory
        self.index = index
        self.nbytes = directory.nbytes[index]
        self.big_endian = big_endian

    def read(self, begin: int, nbytes: int) -> bytes:
        """Bytes of the record: in place if it is stored, else from its inflated content."""
        directory, index = self.directory, self.index
        if self._stored:
            return directory.file.read(directory.begin(index) + begin, nbytes)
        return directory.inflated(index)[begin : begin + nbytes]

    @property
    def _stored(self) -> bool:
        directory, index = self.directory, self.index
        return directory.method[index] == STORED and directory.packed_nbytes[index] == self.nbytes

    @property
    def file(self) -> RandomFile:
        """The archive."""
        return self.directory.file

    def place(self) -> Place | None:
        """Where a stored record begins; None for a deflated one."""
        if not self._stored:
            return None
        return Place(self.directory.file, self.directory.begin(self.index))


def _zip64_fields(extra: bytes, nbytes: int, packed: int, header: int) -> tuple[int, int, int]:
    """Replaces sizes and place that read 0xFFFFFFFF by those of the zip64 extra field (id 1)."""
    pos = 0
    while pos + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, pos)
        pos += 4
        if kind == 1:
            numbers = [
                int.from_bytes(extra[at : at + 8], "little")
                for at in range(pos, min(pos + length, len(extra)) - 7, 8)
            ]
            numbers.reverse()
            if nbytes == 0xFFFFFFFF and numbers:
                nbytes = numbers.pop()
            if packed == 0xFFFFFFFF and numbers:
                packed = numbers.pop()
            if header == 0xFFFFFFFF and numbers:
                header = numbers.pop()
            break
        pos += length
    return nbytes, packed, header
