"""Zip archives and files of the older formats that lie about what they hold."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

from tests.hostile.opcodes import (
    APPENDS,
    BINPERSID,
    EMPTY_DICT,
    EMPTY_LIST,
    MARK,
    NONE,
    SETITEMS,
    STOP,
    archive,
    dict_of,
    integer,
    list_of,
    name,
    storage,
    tensor,
    text,
    tuple_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GOOD = dict_of(text("w"), tensor()) + STOP
ZEROS = 1 << 30


class Entry:
    """One record as the directory states it, right or wrong."""

    def __init__(self, name: str, content: bytes, **claims: int) -> None:
        self.name = name.encode()
        self.content = content
        self.claims = claims


def zip_of(entries: list[Entry], *, count: int | None = None, extra: bytes = b"") -> bytes:
    """An archive whose directory claims what the entries say: nbytes, packed, method, header, flags."""
    out = bytearray()
    directory = bytearray()
    for entry in entries:
        claims, name = entry.claims, entry.name
        nbytes = claims.get("nbytes", len(entry.content)) & 0xFFFFFFFF
        packed = claims.get("packed", len(entry.content)) & 0xFFFFFFFF
        header = claims.get("header", len(out)) & 0xFFFFFFFF
        facts = struct.pack("<3H3L", claims.get("method", 0), 0, 0, 0, packed, nbytes)
        flags = claims.get("flags", 0)
        out += b"PK\3\4" + struct.pack("<2H", 20, flags) + facts + struct.pack("<2H", len(name), 0)
        out += name + entry.content
        directory += b"PK\1\2" + struct.pack("<3H", 20, 20, flags) + facts
        directory += struct.pack("<5H2L", len(name), len(extra), 0, 0, 0, 0, header) + name + extra
    told = min(len(entries) if count is None else count, 0xFFFF)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, told, told, len(directory), len(out), 0)
    return bytes(out + directory + end)


def zip64_of(entries: list[Entry], count: int, nbytes: int, begin: int) -> bytes:
    """An archive with a zip64 end record that claims whatever it likes."""
    plain = zip_of(entries)
    body = plain[:-22]
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, nbytes, begin)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(body), 1)
    return (
        body
        + end64
        + locator
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    )


def main(pickled: bytes = GOOD) -> list[Entry]:
    return [Entry("archive/data.pkl", pickled), Entry("archive/data/0", bytes(16))]


def deflated(fill: bytes, nbytes: int) -> bytes:
    """A stream that inflates to `nbytes` of one byte, made from one piece that stands for itself."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(fill * (4 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (nbytes >> 22) + packer.flush()


def _bomb(record: str, fill: bytes = b"\0", nbytes: int = ZEROS, **claims: int) -> bytes:
    """An archive with one record that inflates to a gigabyte."""
    content = deflated(fill, nbytes)
    entry = Entry(record, content, **{"method": 8, "nbytes": nbytes, **claims})
    rest = [other for other in main() if other.name != entry.name]
    return zip_of([*rest, entry] if record != "archive/data.pkl" else [entry, *rest])


def _many_records(label: Callable[[int], str], count: int, pickled: bytes = GOOD) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("archive/data.pkl", pickled)
        for index in range(count):
            target.writestr(label(index), b"")
    return out.getvalue()


def _weights_config(entries: str) -> bytes:
    return zip_of(
        [
            Entry("a/data/weights/m_weights_config.json", entries.encode()),
            Entry("a/data/weights/w", bytes(16)),
        ]
    )


def _entry(sizes: str, offset: str = '{"as_int": 0}', path: str = "w") -> str:
    meta = '"dtype": 7, "layout": 7, "requires_grad": false, '
    meta += f'"sizes": {sizes}, "strides": {sizes}, "storage_offset": {offset}'
    return f'{{"path_name": "{path}", "is_param": true, "use_pickle": false, "tensor_meta": {{{meta}}}}}'


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a zip of 9,000 records": lambda: _many_records(lambda index: f"archive/data/{index}", 9000),
    "a zip of 9,000 pickles": lambda: _many_records(lambda index: f"{index}/x/data.pkl", 9000),
    "a zip of 9,000 other pickles": lambda: _many_records(lambda index: f"archive/{index}.pkl", 9000),
    "a zip with many data.pkl": lambda: _many_records(lambda index: f"{index}/data.pkl", 9000),
    "a zip of 20,000 records that claim one place": lambda: zip_of(
        [Entry(f"{index}", b"", header=0, packed=0, nbytes=0) for index in range(12_000)]
    ),
    "a zip with one name twice": lambda: zip_of([*main(), *main()]),
    "a zip with overlapping records": lambda: zip_of(
        [*main(), Entry("archive/data/1", b"", header=10, packed=30, nbytes=30)]
    ),
    "a zip with a record of 4 GB": lambda: zip_of(
        [Entry("archive/data.pkl", GOOD, nbytes=2**32 - 2, packed=2**32 - 2)]
    ),
    "a zip with a stored record of other sizes": lambda: zip_of(
        [Entry("archive/data.pkl", GOOD, nbytes=2**31)]
    ),
    "a zip with a record past its end": lambda: zip_of([*main(), Entry("archive/data/1", b"", header=2**31)]),
    "a zip with long names": lambda: zip_of(
        [*main(), *(Entry(f"archive/{index}" + "n" * 60_000, b"") for index in range(7))]
    ),
    "a zip with names of control characters": lambda: zip_of(
        [Entry("\u202e\x1b" * 1000 + f"{index}", b"") for index in range(100)]
    ),
    "a zip that claims 65,534 records": lambda: zip_of(main(), count=65_534),
    "a zip that claims 2^63 records": lambda: zip64_of(main(), 2**63, 100, 0),
    "a zip with a directory of 2^63 bytes": lambda: zip64_of(main(), 2, 2**63, 0),
    "a zip with a directory at 2^63": lambda: zip64_of(main(), 2, 100, 2**63),
    "a zip with a zip64 field of nothing": lambda: zip_of(
        [Entry("archive/data.pkl", GOOD, nbytes=2**32 - 1, packed=2**32 - 1)], extra=b"\1\0\0\0"
    ),
    "a zip with zip64 fields of 2^64": lambda: zip_of(
        [Entry("archive/data.pkl", GOOD, nbytes=2**32 - 1, packed=2**32 - 1)],
        extra=b"\1\0\x10\0" + b"\xff" * 16,
    ),
    "a zip with many extra fields": lambda: zip_of(
        [
            Entry("archive/data.pkl", GOOD, nbytes=2**32 - 1, packed=2**32 - 1),
            *(Entry(f"{index}", b"", nbytes=2**32 - 1) for index in range(14)),
        ],
        extra=b"\2\0\0\0" * 16_000,
    ),
    "an encrypted record": lambda: zip_of([Entry("archive/data.pkl", GOOD, flags=1)]),
    "a record of an unknown method": lambda: zip_of([Entry("archive/data.pkl", GOOD, method=99)]),
    "a pickle of zeros that inflates to 1 GB": lambda: _bomb("archive/data.pkl"),
    "a pickle of lists that inflates to 1 GB": lambda: _bomb("archive/data.pkl", EMPTY_LIST),
    "a pickle of marks that inflates to 900 MB": lambda: _bomb("archive/data.pkl", MARK, 900 << 20),
    "a pickle of lists that inflates to 60 MB": lambda: _bomb("archive/data.pkl", EMPTY_LIST, 60 << 20),
    "a pickle of bytes that inflates to 200 MB": lambda: zip_of(
        [
            Entry(
                "archive/data.pkl",
                _packed(b"B" + struct.pack("<I", 200 << 20) + bytes(200 << 20) + STOP),
                method=8,
                nbytes=(200 << 20) + 6,
            )
        ]
    ),
    "a pickle of lists that inflates to 20 MB": lambda: zip_of(
        [
            Entry(
                "archive/data.pkl",
                _packed(EMPTY_LIST + MARK + EMPTY_LIST * (20 << 20) + APPENDS + STOP),
                method=8,
                nbytes=(20 << 20) + 4,
            )
        ]
    ),
    "a pickle of 1 GB that claims to be small": lambda: _bomb("archive/data.pkl", nbytes=100),
    "a byte order that inflates to 1 GB": lambda: _bomb("archive/byteorder"),
    "a byte order of 1 GB that claims 6 bytes": lambda: _bomb("archive/byteorder", nbytes=6),
    "a version that inflates to 1 GB": lambda: _bomb("archive/version"),
    "a serialization id that inflates to 1 GB": lambda: _bomb("archive/.data/serialization_id"),
    "a storage that inflates to 1 GB": lambda: _bomb("archive/data/0"),
    "a storage that inflates to 252 MB": lambda: _bomb("archive/data/0", nbytes=252 << 20),
    "a storage of 1 GB that claims 16 bytes": lambda: _bomb("archive/data/0", nbytes=16),
    "constants that inflate to 1 GB": lambda: _bomb("archive/constants.pkl"),
    "constants of lists that inflate to 200 MB": lambda: _bomb(
        "archive/constants.pkl", EMPTY_LIST, 200 << 20
    ),
    "nine deflated pickles of 200 MB": lambda: zip_of(
        [
            *main(),
            *(
                Entry(f"archive/{index}.pkl", deflated(EMPTY_LIST, 100 << 20), method=8, nbytes=100 << 20)
                for index in range(9)
            ),
        ]
    ),
    "a deflated record that is none": lambda: zip_of([Entry("archive/data.pkl", b"\xff" * 1000, method=8)]),
    "only the end of a zip": lambda: b"PK\3\4" + b"PK\5\6" + bytes(18),
    "many ends of a zip": lambda: b"PK\3\4" + (b"PK\5\6" + bytes(18)) * 40_000,
    "an exported program of many tensors": lambda: _weights_config(
        '{"config": {' + ", ".join(f'"{index}": {_entry("[]")}' for index in range(5000)) + "}}"
    ),
    "an exported program of long shapes": lambda: _weights_config(
        '{"config": {"w": ' + _entry("[" + ", ".join(['{"as_int": 255}'] * 25_000) + "]") + "}}"
    ),
    "an exported program of huge sizes": lambda: _weights_config(
        '{"config": {"w": ' + _entry('[{"as_int": ' + "9" * 4000 + "}]") + "}}"
    ),
    "an exported program of deep JSON": lambda: _weights_config('{"config": ' + "[" * 900_000),
    "an exported program of broken entries": lambda: _weights_config(
        '{"config": {' + ", ".join(f'"{index}": 0' for index in range(80_000)) + "}}"
    ),
    "an exported program that inflates to 90 MB": lambda: zip_of(
        [
            Entry(
                "a/data/weights/m_weights_config.json",
                _packed(b'{"config": {"w": [' + b"[]," * (30 << 20) + b"0]}}"),
                method=8,
                nbytes=18 + 3 * (30 << 20) + 4,
            )
        ]
    ),
}


def _packed(raw: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(raw) + packer.flush()


# The format before PyTorch 1.6: a magic number, a version, facts, the object, keys, storages.

HEAD = b"\x80\x02\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + STOP
VERSION = b"\x80\x02M\xe9\x03."
FACTS = pickle.dumps({"little_endian": True}, 2)


def legacy(pickled: bytes, keys: bytes | None = None, after: bytes = b"") -> bytes:
    return HEAD + VERSION + FACTS + pickled + (pickle.dumps(["0"], 2) if keys is None else keys) + after


def _tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as target:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _number(count: int) -> bytes:
    return struct.pack("<q", count)


OLDER: dict[str, Callable[[], bytes]] = {
    "an old file of huge pickles": lambda: (
        HEAD
        + VERSION
        + (EMPTY_LIST + MARK + EMPTY_LIST * 300_000 + APPENDS + STOP)
        + (EMPTY_DICT + MARK + EMPTY_LIST * 300_000 + SETITEMS + STOP)
        + list_of(*[text("k")] * 60_000)
        + STOP
    ),
    "an old file whose version is huge": lambda: HEAD + EMPTY_LIST * 900_000 + STOP,
    "an old file without an end": lambda: HEAD + VERSION + FACTS + EMPTY_LIST * 900_000,
    "an old file of pickles without an object": lambda: HEAD + (NONE + STOP) * 400_000,
    "an old file with a magic number only": lambda: HEAD,
    "an old file of 100,000 keys": lambda: legacy(
        GOOD, list_of(*(text(f"{index}") for index in range(80_000))) + STOP, _number(4) + bytes(16)
    ),
    "an old file with one key many times": lambda: legacy(
        GOOD, list_of(*[text("0")] * 100_000) + STOP, (_number(0)) * 10_000
    ),
    "an old file with keys of many digits": lambda: legacy(
        GOOD, list_of(*[integer(10**4000)] * 300) + STOP, _number(4) + bytes(16)
    ),
    "an old file with a key of 2^70000": lambda: legacy(GOOD, list_of(integer(1 << 70_000)) + STOP),
    "an old file that claims 2^62 elements": lambda: legacy(GOOD, None, _number(2**62) + bytes(16)),
    "an old file that claims -1 elements": lambda: legacy(GOOD, None, _number(-1) + bytes(16)),
    "an old file without its storages": lambda: legacy(GOOD),
    "an old file of storage views": lambda: legacy(
        EMPTY_LIST
        + MARK
        + b"".join(
            tuple_of(
                text("storage"),
                name("torch", "FloatStorage"),
                text("0"),
                text("cpu"),
                integer(4),
                tuple_of(text(f"{index}"), integer(2**62), integer(2**62)),
            )
            + BINPERSID
            for index in range(9000)
        )
        + APPENDS
        + STOP
    ),
    "an old file of many tensors": lambda: legacy(
        EMPTY_LIST + MARK + tensor(held=storage()) * 7000 + APPENDS + STOP, None, _number(4) + bytes(16)
    ),
    "an old file that doubles": lambda: legacy(
        EMPTY_LIST
        + b"q\0"
        + b"".join(
            b"0](h" + bytes([at]) * 1 + b"h" + bytes([at]) + b"eq" + bytes([at + 1]) for at in range(60)
        )
        + STOP
    ),
    "a protocol 0 file of references": lambda: (
        b"L119547037146038801333356L\n."
        b"I1001\n."
        b"N."
        b"(l" + b"P('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 4)\na" * 14_000 + b"."
    ),
    "a tar of an older file": lambda: _tar(
        {"sys_info": FACTS, "pickle": GOOD, "tensors": EMPTY_LIST * 300_000, "storages": EMPTY_LIST * 300_000}
    ),
    "a tar of many members": lambda: _tar({f"{index}": b"" for index in range(1500)}),
}

DEFLATED_ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a deflated archive": lambda: archive(GOOD, deflated=True),
}
