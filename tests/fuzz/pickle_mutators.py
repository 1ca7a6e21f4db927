"""Changes of pickles between their opcodes, so that most of what follows still makes sense."""

from __future__ import annotations

import io
import pickletools
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tests.fuzz.bytes_mutators import EXTREMES, packed

if TYPE_CHECKING:
    from random import Random

_NAMES: Final = tuple(
    f"{module}\n{name}\n".encode()
    for module, names in {
        "torch._utils": (
            "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
            "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_sparse_tensor",
            "_rebuild_nested_tensor",
            "_rebuild_meta_tensor_no_storage", "_rebuild_wrapper_subclass",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_xla_tensor",
        ),
        "torch._tensor": ("_rebuild_from_type_v2", "_rebuild_from_type"),
        "torch.nested._internal.nested_tensor": ("_rebuild_njt",),
        "torch": (
            "FloatStorage", "ByteStorage", "QInt8Storage", "QUInt4x2Storage", "UntypedStorage",
            "ComplexFloatStorage",
            "float32", "int64", "bfloat16", "quint8", "float", "Size", "device", "per_tensor_affine",
            "per_channel_affine", "per_channel_affine_float_qparams", "sparse_coo", "sparse_csr",
            "sparse_bsr", "strided",
        ),
        "torch.serialization": ("_get_layout",),
        "collections": ("OrderedDict", "defaultdict"),
        "copyreg": ("_reconstructor", "__newobj__", "__newobj_ex__"),
        "builtins": ("set", "frozenset", "complex", "bytes", "bytearray", "getattr", "eval", "list", "dict"),
        "__builtin__": ("object", "set", "complex"),
        "_codecs": ("encode",),
        "numpy._core.multiarray": ("_reconstruct", "scalar"),
        "numpy.core.multiarray": ("_reconstruct", "scalar"),
        "numpy._core.numeric": ("_frombuffer",),
        "numpy": ("ndarray", "dtype", "float32"),
        "posix": ("system",),
        "\x1b[2J\u202e": ("\x00",),
        "": ("",),
    }.items()
    for name in names
)  # fmt: skip
_TEXTS: Final = (
    "", "a", "a.b", "_parameters", "_modules", "_buffers", "_metadata", "state", "param_groups", "params",
    "exp_avg", "step", "storage", "weight", "0", "training", "\x1b[2J", "\u202e", "\n", "[/nope]",
    "x" * 300, "\x7f", "\ud800", "é", "cpu", "int8", "f4", "<", "latin1", "per_tensor_affine",
    "a\u0301\u0301\u0301\u0301\u0301\u0301", "__metadata__", "state_dict",
)  # fmt: skip


def _number(number: int) -> bytes:
    width = (number.bit_length() + 8) // 8
    return b"\x8a" + bytes([width]) + number.to_bytes(width, "little", signed=True)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


_VALUES: Final = (
    *map(_number, EXTREMES), *map(_text, _TEXTS), b"N", b"\x88", b"\x89", b")", b"]", b"}", b"\x8f", b"(t",
    b"(l", b"(d", b"C\x02ab", b"U\x02\xff\xfe", b"G\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"G\x7f\xf0\x00\x00\x00\x00\x00\x00", b"I" + b"7" * 400 + b"\n", b"K\x01\x85", b"K\x02K\x03\x86",
    b"\x8a\x00", b"Vx\\ud83d\n", b"S'\\xff'\n", b"F1e999\n", b"\x97",
)  # fmt: skip
_ACTIONS: Final = (
    b"R", b"b", b".", b"(", b"0", b"1", b"2", b"t", b"\x85", b"\x86", b"\x87", b"\x81", b"\x92", b"Q", b"s",
    b"u", b"a", b"e", b"d", b"l", b"o", b"\x90", b"\x91", b"\x93", b"\x94", b"\x98", b"\x80\x04",
    b"\x82\x01", b"iposix\nsystem\n", b"p0\n", b"g0\n", b"Pabc\n", b"q\x00", b"h\x00", b"h\x01", b"h\x02",
    b"r\xff\xff\xff\xff", b"j\xff\xff\xff\xff",
)  # fmt: skip
_MEMO: Final = {0x68: 1, 0x71: 1, 0x6A: 4, 0x72: 4}
_LITERALS: Final = frozenset(b"KMJXINUTSVCBG\x8a\x8b\x8c\x8d\x8e\x96\x88\x89")


@lru_cache(maxsize=1024)
def opcodes(data: bytes) -> tuple[bytes, ...]:
    """A pickle, or several in a row, cut before each opcode; what is none stays in one piece."""
    pieces: list[bytes] = []
    at = 0
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            at = stream.tell()
            starts = [place for _, _, place in pickletools.genops(stream) if place is not None]
            ends = [*starts[1:], stream.tell()]
            pieces += [data[start:end] for start, end in zip(starts, ends, strict=True)]
            at = stream.tell()
    except (ValueError, UnicodeDecodeError, struct.error):
        pieces.append(data[at:])
    return tuple(pieces)


def _changed_memo(rng: Random, piece: bytes) -> bytes:
    width = _MEMO[piece[0]]
    return piece[:1] + packed(rng.choice((0, 1, 2, 3, 5, 8, 13, 21, 255)), width)


def _change(rng: Random, pieces: list[bytes], other: tuple[bytes, ...]) -> None:
    at = rng.randrange(len(pieces))
    piece = pieces[at]
    what = rng.randrange(14)
    if what == 0:
        pieces[at] = bytes([rng.randrange(256)]) + piece[1:]
    elif what == 1:
        del pieces[at : at + rng.choice((1, 1, 2, 5))]
        pieces.extend([b"."] if not pieces else [])
    elif what == 2:
        pieces[at:at] = pieces[at : at + rng.choice((1, 1, 3, 10, 40))] * rng.choice((1, 1, 1, 3))
    elif what == 3:
        there = rng.randrange(len(pieces))
        pieces[at], pieces[there] = pieces[there], piece
    elif what == 4:
        pieces.insert(at, rng.choice(_ACTIONS))
    elif what == 5:
        pieces.insert(at, rng.choice(_VALUES))
    elif what in (6, 7, 8):
        # A literal, where one follows soon: types and values that the code around does not expect.
        for place in range(at, min(at + 12, len(pieces))):
            if pieces[place][:1] and pieces[place][0] in _LITERALS:
                pieces[place] = rng.choice(_VALUES)
                return
        pieces[at] = rng.choice(_VALUES)
    elif what in (9, 10):
        for place in range(at, min(at + 60, len(pieces))):
            if pieces[place][:1] == b"c":
                pieces[place] = b"c" + rng.choice(_NAMES)
                return
        pieces.insert(at, b"c" + rng.choice(_NAMES))
    elif what in (11, 12):
        for place in range(at, min(at + 30, len(pieces))):
            if pieces[place][:1] and pieces[place][0] in _MEMO:
                again = _changed_memo(rng, pieces[place])
                if rng.random() < 0.3:
                    pieces.insert(place, again * rng.choice((1, 2, 5)))
                else:
                    pieces[place] = again
                return
        pieces[at] = b"h" + bytes([rng.randrange(8)])
    elif other:
        there = rng.randrange(len(other))
        pieces[at:at] = other[there : there + rng.choice((1, 3, 10, 40, 1000))]


def changed_pickle(rng: Random, content: bytes, other: bytes) -> bytes:
    """A few changes between the opcodes of a pickle, some with pieces of another one."""
    pieces = list(opcodes(content))
    if not pieces:
        return content
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        _change(rng, pieces, opcodes(other))
    return b"".join(pieces)
