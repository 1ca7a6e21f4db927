"""Changes of zip archives: of what is inside, of names, and of single fields of the directory."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.fuzz.bytes_mutators import EXTREMES, changed_bytes, packed
from tests.fuzz.json_mutators import changed_json
from tests.fuzz.pickle_mutators import changed_pickle

if TYPE_CHECKING:
    from random import Random

_NAMES: Final = (
    "", "data.pkl", "archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/data/1",
    "x/data.pkl", "archive/constants.pkl", "archive/version", "../x", "/abs", "archive/code/x.py",
    "\x1b[2J", "\u202e", "x" * 300, "m/data/weights/a_weights_config.json",
)  # fmt: skip
# Offsets and widths of the fields of the three kinds of records; APPNOTE.TXT 4.3.
_ENTRY: Final = ((0, 4), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4))
_LOCAL: Final = ((0, 4), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
_END: Final = ((0, 4), (4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))
_END64: Final = ((0, 4), (4, 8), (16, 4), (24, 8), (32, 8), (40, 8), (48, 8))
_LOCATOR: Final = ((0, 4), (4, 4), (8, 8), (16, 4))
_FIELDS: Final = {
    b"PK\x01\x02": _ENTRY,
    b"PK\x03\x04": _LOCAL,
    b"PK\x05\x06": _END,
    b"PK\x06\x06": _END64,
    b"PK\x06\x07": _LOCATOR,
}


class Record(NamedTuple):
    """A record of an archive: its name, its content, and whether it is deflated."""

    name: str
    content: bytes
    deflated: bool = False


@lru_cache(maxsize=256)
def records(archive: bytes) -> tuple[Record, ...]:
    """The records of an archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return tuple(
            Record(info.filename, opened.read(info), info.compress_type == zipfile.ZIP_DEFLATED)
            for info in opened.infolist()
        )


def written(entries: list[Record]) -> bytes:
    """An archive of these records, whatever their names; nothing is checked."""
    out = bytearray()
    directory = bytearray()
    for entry in entries:
        name = entry.name.encode("utf-8", "surrogatepass")
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        content = packer.compress(entry.content) + packer.flush() if entry.deflated else entry.content
        method = 8 if entry.deflated else 0
        facts = struct.pack(
            "<5H3L", 20, 0, method, 0, 0, zlib.crc32(entry.content), len(content), len(entry.content)
        )
        begin = len(out)
        out += b"PK\x03\x04" + facts + struct.pack("<2H", len(name), 0) + name + content
        directory += (
            b"PK\x01\x02\x14\x00" + facts + struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0, begin) + name
        )
    begin = len(out)
    out += directory
    out += b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, len(entries), len(entries), len(directory), begin, 0)
    return bytes(out)


@lru_cache(maxsize=256)
def _fields(archive: bytes) -> tuple[tuple[int, int], ...]:
    """Place and width of every field of the records that describe others."""
    found: list[tuple[int, int]] = []
    at = archive.find(b"PK")
    while at >= 0:
        found += [(at + offset, width) for offset, width in _FIELDS.get(archive[at : at + 4], ())]
        at = archive.find(b"PK", at + 2)
    return tuple(found)


def _changed_field(rng: Random, archive: bytes) -> bytes:
    fields = _fields(archive)
    if not fields:
        return archive
    data = bytearray(archive)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, width = rng.choice(fields)
        old = int.from_bytes(data[at : at + width], "little")
        new = rng.choice((*EXTREMES, old + 1, old - 1, old + 16, 8, 20, len(data), len(data) - 1))
        data[at : at + width] = packed(new, width)
    return bytes(data)


def _changed_record(rng: Random, entry: Record, other: bytes) -> Record:
    if entry.name.endswith(".pkl"):
        return entry._replace(content=changed_pickle(rng, entry.content, b""))
    if entry.name.endswith(".json"):
        return entry._replace(content=changed_json(rng, entry.content, other))
    return entry._replace(content=changed_bytes(rng, entry.content, other))


def changed_archive(rng: Random, content: bytes, other: bytes) -> bytes:
    """One archive made another: inside its pickle mostly, or in its directory."""
    what = rng.random()
    if what < 0.3:
        return _changed_field(rng, content)
    entries = list(records(content))
    at = rng.randrange(len(entries))
    if what < 0.75:
        places = [place for place, entry in enumerate(entries) if entry.name.endswith(("data.pkl", ".json"))]
        at = rng.choice(places) if places and rng.random() < 0.8 else at
        entries[at] = _changed_record(rng, entries[at], other)
    elif what < 0.8:
        del entries[at]
    elif what < 0.87:
        entries[at] = entries[at]._replace(name=rng.choice(_NAMES))
    elif what < 0.92:
        entries.insert(at, Record(rng.choice(_NAMES), rng.choice(entries).content))
    elif what < 0.97:
        entries[at] = entries[at]._replace(deflated=True)
    else:
        return changed_bytes(rng, content, other)
    archive = written(entries)
    return _changed_field(rng, archive) if rng.random() < 0.15 else archive
