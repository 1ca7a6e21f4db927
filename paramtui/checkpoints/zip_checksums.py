"""Where the CRC-32 of an archive's records stand, and what they become when records change.

Fields after PKWARE's APPNOTE.TXT, section 4.3. ``torch.save`` leaves the checksum of the local header
zero (bit 3 of the flags) and writes it into a data descriptor behind the content. It can be told to
compute none (``torch.serialization.set_crc32_options(False)``): then zeros stand there.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.zip_directory import STORED, ZipDirectory
from paramtui.core.text import safe_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.checkpoints.files import RandomFile

_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_POLYNOMIAL: Final = 0xEDB88320  # of CRC-32, the lowest power in the highest bit


class Checksum:
    """The CRC-32 of a record before and after a change, computed while its bytes go by.

    Attributes:
        begin, end: Bytes of the file where the content starts and ends.
    """

    def __init__(self, begin: int, end: int, stored: int, places: list[int]) -> None:
        self.begin = begin
        self.end = end
        self._stored = stored
        self._places = places
        self._old = 0
        # The checksum is linear: of equal bytes behind the change only their number matters to the
        # difference of both, so that all but the changed bytes are summed once.
        self._difference = 0
        self._behind = 0

    def kept(self, data: bytes) -> None:
        """Notes bytes that stay."""
        self._old = zlib.crc32(data, self._old)
        self._behind += len(data)

    def changed(self, old: bytes, new: bytes) -> None:
        """Notes bytes in place of others, of equal number."""
        before = self._old ^ self._shifted()
        self._old = zlib.crc32(old, self._old)
        self._difference = self._old ^ zlib.crc32(new, before)

    def _shifted(self) -> int:
        """The difference as it is behind the bytes that stayed since."""
        difference = crc_behind(self._difference, self._behind)
        self._behind = 0
        return difference

    def changes(self) -> list[tuple[int, int]]:
        """Bytes of the file where a new checksum belongs, and the checksum.

        None if the old one was not true: then nobody checks it, and it stays as it is.
        """
        if self._old != self._stored:
            return []
        new = self._old ^ self._shifted()
        self._difference = new ^ self._old
        return [(place, new) for place in self._places]


def crc_behind(crc: int, nbytes: int) -> int:
    """What a difference of two CRC-32 becomes when `nbytes` equal bytes follow both."""
    power, step = 1 << 31, 1 << 23  # x^0 and x^8
    while nbytes and crc:
        if nbytes & 1:
            power = _product(power, step)
        step = _product(step, step)
        nbytes >>= 1
    return _product(crc, power)


def _product(a: int, b: int) -> int:
    """Product of two polynomials modulo that of CRC-32."""
    out = 0
    while a:
        if a & 1 << 31:
            out ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return out


def changed_records(file: RandomFile, ranges: Sequence[tuple[int, int]]) -> list[Checksum]:
    """The records of an archive that lie in some ranges of the file, in the order of the file.

    Args:
        file: The archive.
        ranges: First and last byte of each, in the order of the file.

    Raises:
        ValuesError: A range lies in no record that is stored as it is, or in several.
        FormatError: The archive's directory is damaged.
    """
    directory = ZipDirectory(file)
    order = sorted(range(len(directory.names)), key=directory.header.__getitem__)
    headers = [directory.header[index] for index in order]
    chosen: list[int] = []
    for begin, end in ranges:
        at = bisect_right(headers, begin) - 1
        index = order[at] if at >= 0 else -1
        if index < 0 or not directory.begin(index) <= begin < end <= _content_end(directory, index):
            raise ValuesError(f"bytes {begin:,} to {end:,} are not those of one record", where=file.path)
        if directory.method[index] != STORED:
            name = safe_text(directory.names[index])
            raise ValuesError(
                f"the record '{name}' is compressed; it cannot be changed in place", where=file.path
            )
        if not chosen or chosen[-1] != index:
            chosen.append(index)
    places = entries(directory)
    return [_checksum(directory, index, *places[index]) for index in chosen]


def _content_end(directory: ZipDirectory, index: int) -> int:
    return directory.begin(index) + directory.packed_nbytes[index]


def entries(directory: ZipDirectory) -> list[tuple[int, int, int]]:
    """Byte where each record's entry of the directory starts, its flags, and its checksum."""
    begin, length = directory.place
    raw = directory.file.read(begin, length)
    out: list[tuple[int, int, int]] = []
    pos = 0
    for _ in directory.names:
        fields = _ENTRY.unpack_from(raw, pos)
        out.append((begin + pos, fields[3], fields[7]))
        pos += _ENTRY.size + sum(fields[10:13])
    return out


def _checksum(directory: ZipDirectory, index: int, entry: int, flags: int, stored: int) -> Checksum:
    """Finds every place that holds a record's checksum."""
    file = directory.file
    begin, end = directory.begin(index), _content_end(directory, index)
    places = [entry + 16]
    local = directory.header[index] + 14
    if _number(file, local) == stored and (stored or not flags & 8):
        places.append(local)
    if flags & 8 and end + 8 <= file.nbytes:
        # The descriptor's signature is optional.
        place = end + 4 if file.read(end, 4) == b"PK\x07\x08" else end
        if _number(file, place) == stored:
            places.append(place)
    return Checksum(begin, end, stored, places)


def _number(file: RandomFile, place: int) -> int:
    return int.from_bytes(file.read(place, 4), "little")
