"""Writes pickles opcode by opcode, also such as no pickler writes."""

from __future__ import annotations

import io
import struct
import zipfile

MARK, STOP, POP, DUP, NONE = b"(", b".", b"0", b"2", b"N"
EMPTY_LIST, EMPTY_DICT, EMPTY_SET, EMPTY_TUPLE = b"]", b"}", b"\x8f", b")"
APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS = b"a", b"e", b"s", b"u", b"\x90"
TUPLE, TUPLE1, TUPLE2, TUPLE3, FROZENSET = b"t", b"\x85", b"\x86", b"\x87", b"\x91"
REDUCE, BUILD, NEWOBJ, NEWOBJ_EX, BINPERSID = b"R", b"b", b"\x81", b"\x92", b"Q"
TRUE, FALSE = b"\x88", b"\x89"
PROTO = b"\x80\x02"

LIMIT = 1 << 20
"""Bytes of the largest file."""


def text(words: str) -> bytes:
    raw = words.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(number: int) -> bytes:
    if 0 <= number < 1 << 31:
        return b"K" + bytes([number]) if number < 256 else b"J" + struct.pack("<i", number)
    raw = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    head = b"\x8a" + bytes([len(raw)]) if len(raw) < 256 else b"\x8b" + struct.pack("<i", len(raw))
    return head + raw


def raw_bytes(raw: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(raw)) + raw


def put(place: int) -> bytes:
    return b"q" + bytes([place]) if place < 256 else b"r" + struct.pack("<I", place)


def get(place: int) -> bytes:
    return b"h" + bytes([place]) if place < 256 else b"j" + struct.pack("<I", place)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return MARK + b"".join(items) + TUPLE


def list_of(*items: bytes) -> bytes:
    return EMPTY_LIST + MARK + b"".join(items) + APPENDS


def dict_of(*items: bytes) -> bytes:
    return EMPTY_DICT + MARK + b"".join(items) + SETITEMS


def call(module: str, attribute: str, *arguments: bytes) -> bytes:
    return name(module, attribute) + tuple_of(*arguments) + REDUCE


def storage(key: str | bytes = "0", kind: str = "FloatStorage", numel: bytes = b"K\x04") -> bytes:
    """A reference to the archive's storage."""
    shown = text(key) if isinstance(key, str) else key
    return tuple_of(text("storage"), name("torch", kind), shown, text("cpu"), numel) + BINPERSID


def tensor(
    sizes: bytes = b"K\x01\x85", strides: bytes = b"K\x01\x85", offset: bytes = b"K\x00", held: bytes = b""
) -> bytes:
    """The call that rebuilds a strided tensor; sizes and the rest as opcodes."""
    return call("torch._utils", "_rebuild_tensor_v2", held or storage(), offset, sizes, strides, FALSE, NONE)


def fill(make: bytes, limit: int = 1_000_000) -> int:
    """How often some opcodes fit into the largest file."""
    return limit // len(make)


def archive(pickled: bytes, *, deflated: bool = False, **records: bytes) -> bytes:
    """A zip as torch.save makes it, around any pickle; records beside ``data/0`` by their names."""
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as target:
        target.writestr("archive/data.pkl", pickled)
        target.writestr("archive/byteorder", records.pop("byteorder", b"little"))
        target.writestr("archive/data/0", records.pop("storage", struct.pack("<4f", 1, 2, 3, 4)))
        for key, content in records.items():
            target.writestr(f"archive/{key}", content)
    return out.getvalue()
