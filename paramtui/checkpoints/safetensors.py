"""Reads ``.safetensors``: an 8-byte length, a JSON header, then the tensors' bytes.

The format is described in the README of https://github.com/huggingface/safetensors and held by
its ``safetensors/src/tensor.rs``: no holes, no overlaps, at most 100,000,000 bytes of header.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from paramtui.checkpoints.source import CheckpointSource, FileRun, Run
from paramtui.core.dtypes import storage_nbytes
from paramtui.core.geometry import MAX_DIMS, MAX_SIZE, Extra, contiguous_stride
from paramtui.core.listing import ITEM, ROOT, Listing, Location, Value
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned
from paramtui.errors import FormatError

if TYPE_CHECKING:
    from paramtui.checkpoints.files import RandomFile

MAX_HEADER: Final = 100_000_000

DTYPE_NAMES: dict[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F4": "float4_e2m1fn_x2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}
# Types of the format that PyTorch has no dtype for; listed, their values not decoded.
OTHER_BITS = {"F6_E2M3": 6, "F6_E3M2": 6}
# Letters of a type that is not known.
MAX_DTYPE = 40


class Header:
    """A parsed header.

    Attributes:
        tensors: Entry by name, in the order of the file.
        metadata: The free text entries.
        data_begin: Byte of the file where tensor bytes start.
        integers_only: Every number in it is an integer, and nothing is true or false.
    """

    __slots__ = ("data_begin", "integers_only", "metadata", "tensors")

    def __init__(
        self, tensors: dict[str, Any], metadata: dict[str, str], data_begin: int, *, integers_only: bool
    ) -> None:
        self.integers_only = integers_only
        self.tensors = tensors
        self.metadata = metadata
        self.data_begin = data_begin


def read_header(file: RandomFile) -> Header:
    """Parses the header of a file.

    Raises:
        FormatError: It is cut, too long, no strict JSON, or names a tensor twice.
    """
    if file.nbytes < 8:
        raise FormatError(
            f"is {file.nbytes} bytes long; a safetensors file begins with 8 bytes of header length",
            where=file.path,
        )
    length = int.from_bytes(file.read(0, 8), "little")
    if 8 < file.nbytes < 8 + min(length, MAX_HEADER) and file.read(8, 1) != b"{":
        # An error page or a pointer in place of a shard: its letters are no length.
        from paramtui.checkpoints.registry import HEAD_BYTES, unknown

        raise unknown(file, file.read(0, min(HEAD_BYTES, file.nbytes)))
    if length > MAX_HEADER:
        raise FormatError(
            f"claims a header of {length:,} bytes; the format allows {MAX_HEADER:,}", where=file.path
        )
    if 8 + length > file.nbytes:
        raise FormatError(
            f"is cut: its header ends at byte {8 + length:,} and the file at byte {file.nbytes:,}",
            where=file.path,
        )
    raw = file.read(8, length)
    floats: list[str] = []
    fields = parse_strict(raw, file.path, at=8, floats=floats)
    integers_only = not floats and b"true" not in raw and b"false" not in raw
    quotes = 2 if "__metadata__" in fields else 0
    metadata = fields.pop("__metadata__", {})
    # An entry has ten quotes (name, three keys, dtype), a text of the metadata four. Another number
    # means that a key came twice (or a quote stands inside a name), and only then is the slow parse
    # that tells them apart worth its time.
    quotes += 10 * len(fields) + (4 * len(metadata) if isinstance(metadata, dict) else 0)
    if raw.count(b'"') != quotes:
        parse_strict(raw, file.path, at=8, duplicates=True)
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise FormatError("the header's __metadata__ is not a map from text to text", where=file.path)
    return Header(fields, metadata, 8 + length, integers_only=integers_only)


def parse_strict(
    raw: bytes, path: str, *, at: int, duplicates: bool = False, floats: list[str] | None = None
) -> dict[str, Any]:
    """A JSON object without NaN, Infinity or (if asked) repeated keys.

    Args:
        raw: The text.
        path: Of the file, for messages.
        at: Byte of the file where the text starts.
        duplicates: Refuse a key that comes twice.
        floats: Gets every number that is no integer, as written.

    Raises:
        FormatError: Names the file and the byte.
    """

    def refuse_constant(name: str) -> None:
        raise FormatError(f"the JSON holds {name}, which is no JSON", where=path)

    def note_float(text: str) -> float:
        if floats is not None:
            floats.append(text)
        return float(text)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise FormatError(f"the JSON has the key '{safe_text(key)}' twice", where=path)
            found[key] = value
        return found

    try:
        fields = json.loads(
            raw.decode(),
            parse_constant=refuse_constant,
            parse_float=note_float,
            object_pairs_hook=unique if duplicates else None,
        )
    except UnicodeDecodeError as error:
        raise FormatError("the JSON is not UTF-8", where=f"{path}, byte {at + error.start:,}") from None
    except json.JSONDecodeError as error:
        raise FormatError(
            f"the JSON is broken: {error.msg.lower()}", where=f"{path}, byte {at + error.pos:,}"
        ) from None
    except (RecursionError, ValueError):
        raise FormatError("the JSON is nested too deeply or has a number too long", where=path) from None
    if not isinstance(fields, dict):
        raise FormatError("the JSON is not an object", where=f"{path}, byte {at:,}")
    return fields


def list_tensors(
    listing: Listing, header: Header, location: int, data_nbytes: int
) -> list[tuple[int, int, str]]:
    """Adds the tensors of one file to a listing.

    Args:
        listing: Gets a row for each.
        header: Of the file.
        location: Index of the run of bytes after the header.
        data_nbytes: Length of that run.

    Returns:
        First and last byte in the run and name of each tensor whose place makes sense.
    """
    nodes = listing.node
    add_kind, add_dtype = listing.kind.append, listing.dtype.append
    add_shape, add_stride = listing.shape.append, listing.stride.append
    add_nbytes, add_begin = listing.nbytes.append, listing.begin.append
    first_node = len(listing.node_parent)
    count = len(header.tensors)
    places: list[tuple[int, int, str]] = []
    check_types = not header.integers_only
    # Shapes repeat: sizes are multiplied and strides made once for each.
    known: dict[tuple[str, tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...], int, str]] = {}
    for name, entry in header.tensors.items():
        problem: str | None = None
        begin = end = 0
        try:
            code = entry["dtype"]
            sizes = tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            key = (code, sizes)
            found = known.get(key)
            # True and 1.0 are equal to 1 and would be taken for it.
            if found is None or check_types:
                if not all(type(size) is int and size >= 0 for size in sizes):
                    raise TypeError
                found = known[key] = _layout(code, sizes)
            shape, stride, nbytes, dtype = found
            if type(begin) is not int or type(end) is not int:
                raise TypeError
            if not 0 <= begin <= end <= data_nbytes:
                words = f"its bytes {begin:,} to {end:,} lie outside the {data_nbytes:,} bytes of data"
                problem = Warned(f"{words} (is the file cut?)", "truncated-data")
                if 0 <= begin < data_nbytes < end:
                    # What is left of it belongs to it.
                    places.append((begin, data_nbytes, name))
            elif code not in DTYPE_NAMES:
                problem = Warned(f"PyTorch has no dtype for {dtype}", "unsupported-dtype")
                places.append((begin, end, name))
            elif end - begin != nbytes:
                words = f"its shape needs {nbytes:,} bytes and it has {end - begin:,}"
                problem = Warned(words, "malformed-tensor")
                places.append((begin, end, name))
            else:
                places.append((begin, end, name))
        except (KeyError, TypeError, ValueError):
            shape, stride, nbytes, dtype = (), (), 0, "unknown"
            words = "its header entry is not a dtype, a shape and two data offsets"
            problem = Warned(words, "malformed-tensor")
        add_kind("tensor")
        add_dtype(dtype)
        add_shape(shape)
        add_stride(stride)
        add_nbytes(nbytes)
        add_begin(begin)
        if problem is not None:
            listing.extras[len(listing.begin) - 1] = Extra(problem=problem)
    nodes.extend(range(first_node, first_node + count))
    listing.node_parent.extend([ROOT] * count)
    listing.node_key.extend(header.tensors)
    listing.node_step.extend(bytes([ITEM]) * count)
    listing.offset.extend([0] * count)
    listing.requires_grad.extend([False] * count)
    listing.location.extend([location] * count)
    return places


def _layout(code: str, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], int, str]:
    """Shape, strides, bytes and dtype of a header entry."""
    if len(sizes) > MAX_DIMS or max(sizes, default=0) > MAX_SIZE:
        raise ValueError
    count = 1
    for size in sizes:
        count *= size
    if count > MAX_SIZE:
        raise ValueError
    if code in OTHER_BITS:
        return sizes, contiguous_stride(sizes), (count * OTHER_BITS[code] + 7) // 8, code
    dtype = DTYPE_NAMES.get(code)
    if dtype is None:
        if type(code) is not str:
            raise TypeError
        # Screens and pipes show a dtype as it stands.
        return sizes, contiguous_stride(sizes), 0, safe_text(code, MAX_DTYPE)
    if code == "F4":
        # The header counts 4-bit numbers, PyTorch's dtype pairs of them.
        if not sizes or sizes[-1] % 2:
            raise ValueError
        sizes = (*sizes[:-1], sizes[-1] // 2)
        count //= 2
    return sizes, contiguous_stride(sizes), storage_nbytes(dtype, count), dtype


def check_layout(listing: Listing, places: list[tuple[int, int, str]], data_nbytes: int, path: str) -> bool:
    """Warns of holes, overlaps and trailing bytes; returns whether no two tensors overlap."""
    places.sort()
    reached = 0
    disjoint = True
    where = safe_text(path)
    for begin, end, name in places:
        if begin != reached:
            if begin < reached:
                disjoint = False
                words = f"{where}: {safe_text(name)} starts at data byte {begin:,}, inside another tensor"
                listing.warnings.append(Warned(words, "overlapping-data", name))
            else:
                words = f"{where}: {begin - reached:,} bytes before {safe_text(name)} belong to no tensor"
                listing.warnings.append(Warned(words, "hole", path))
        reached = max(reached, end)
    if reached < data_nbytes:
        words = f"{where}: the last {data_nbytes - reached:,} bytes belong to no tensor"
        listing.warnings.append(Warned(words, "trailing-bytes", path))
    return disjoint


def add_file(listing: Listing, runs: list[Run], file: RandomFile, shown_path: str) -> dict[str, str]:
    """Adds all tensors of an open file; returns its metadata."""
    header = read_header(file)
    data_nbytes = file.nbytes - header.data_begin
    listing.locations.append(Location(None, data_nbytes))
    runs.append(FileRun(file, header.data_begin, data_nbytes))
    places = list_tensors(listing, header, len(runs) - 1, data_nbytes)
    disjoint = check_layout(listing, places, data_nbytes, shown_path)
    listing.disjoint = disjoint and (listing.disjoint or len(runs) == 1)
    return header.metadata


def open_file(file: RandomFile, target: str) -> CheckpointSource:
    """Opens one ``.safetensors`` file.

    Raises:
        FormatError: The header is cut or broken.
    """
    listing = Listing(target, "safetensors")
    runs: list[Run] = []
    metadata = add_file(listing, runs, file, target)
    add_metadata(listing, metadata)
    return CheckpointSource(listing, runs)


def add_metadata(listing: Listing, metadata: dict[str, str]) -> None:
    """Lists the header's free texts as values."""
    if metadata:
        parent = listing.add_node(ROOT, "__metadata__", ITEM)
        for key, text in metadata.items():
            listing.values.append(Value(listing.add_node(parent, key, ITEM), "str", text))
