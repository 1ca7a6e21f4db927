"""Any bytes, any names and any nest: a listing that is right, or an error meant for people."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from paramtui.checkpoints.inert_pickle import read_pickle
from paramtui.commands.ls import Selection, ls_flat, ls_json, ls_tree
from paramtui.core.text import MAX_SHOWN
from paramtui.errors import FormatError, TargetError
from tests.formats.thawing import thawed
from tests.fuzz.invariants import check_error, check_text_is_safe
from tests.support import opened

if TYPE_CHECKING:
    from paramtui.core.listing import Listing

MAGIC = (
    b"",
    b"PK\x03\x04",
    b"\x80\x02\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b".",
    b"{",
    struct.pack("<Q", 60) + b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]',
    b'{"weight_map": {',
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 300), 1 << 300)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
keys = scalars | st.tuples(scalars, scalars) | st.frozensets(st.integers(), max_size=2)
nests = st.recursive(
    scalars | st.frozensets(st.integers() | st.text(), max_size=4) | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.lists(inner, max_size=2).map(tuple)
        | st.sets(st.integers() | st.text(), max_size=3)
    ),
    max_leaves=12,
)


def archive(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("a/data.pkl", data)
        target.writestr("a/byteorder", "little")
        target.writestr("a/version", "3\n")
    return out.getvalue()


def listed(content: bytes, name: str = "x.pt") -> Listing:
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return opened(path).listing


def printed(listing: Listing) -> dict[str, Any]:
    """What `ls --json` says, after all forms of `ls` were seen to be safe."""
    selection = Selection(listing, [])
    check_text_is_safe("".join(ls_tree(listing, selection, "stored", None)))
    check_text_is_safe("".join(ls_flat(listing, selection, "name")))
    document: dict[str, Any] = json.loads("".join(ls_json(listing, selection)))
    return document


@given(st.sampled_from(MAGIC), st.binary(max_size=300))
def test_any_bytes_are_a_listing_or_an_error_of_one_line(magic: bytes, rest: bytes) -> None:
    try:
        printed(listed(magic + rest))
    except (FormatError, TargetError) as error:
        check_error(error)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pickle_or_are_refused(data: bytes) -> None:
    try:
        found = read_pickle(data)
    except FormatError as error:
        check_error(error)
    else:
        assert data[found.end - 1] == ord(".")


@given(nests, st.integers(0, 5))
def test_plain_data_of_any_protocol_reads_as_pickle_loads_it(nest: object, protocol: int) -> None:
    data = pickle.dumps(nest, protocol)
    assert thawed(read_pickle(data).root) == pickle.loads(data) == nest


def leaves(found: object, path: tuple[object, ...] = ()) -> list[tuple[tuple[object, ...], object]]:
    """Path and content of each row that a nest becomes: a list or tuple of plain values is one row."""
    inside: list[tuple[object, object]] = []
    if isinstance(found, dict):
        inside = list(found.items())
    elif isinstance(found, list | tuple) and any(
        isinstance(item, dict | list | tuple | set | frozenset) for item in found
    ):
        inside = list(enumerate(found))
    if not inside:
        return [(path, found)]
    return [leaf for key, item in inside for leaf in leaves(item, (*path, key))]


@given(nests)
def test_a_nest_is_listed_with_every_value_at_its_path(nest: object) -> None:
    # Before protocol 5 bytes and sets are the results of calls, which have rows of their own.
    data = pickle.dumps(nest, 5)
    listing = listed(archive(data))
    expected = leaves(pickle.loads(data))
    assert len(listing.values) == len(expected)
    assert len(listing) == 0
    assert listing.warnings == []
    for value, (path, content) in zip(listing.values, expected, strict=True):
        if all(type(key) in (str, int, bytes, bool, float, type(None)) for key in path):
            assert listing.path(value.node) == list(path)
        assert value.type_name == type(content).__name__
        if isinstance(content, tuple | set | frozenset):
            # Sets have an order of their own in each process, and the one of the file in the listing.
            assert type(value.value) is list
            assert set(map(repr, value.value)) == set(map(repr, content))
        else:
            assert value.value == content
    assert len(printed(listing)["values"]) == len(expected)


@given(st.lists(st.text(), min_size=1, max_size=4, unique=True))
def test_any_text_is_a_name(names: list[str]) -> None:
    out = io.BytesIO()
    torch.save({name: torch.ones(place) for place, name in enumerate(names)}, out)
    listing = listed(out.getvalue())
    assert listing.names == names
    document = printed(listing)
    assert [entry["name"] for entry in document["tensors"]] == names
    assert [entry["shape"] for entry in document["tensors"]] == [[place] for place in range(len(names))]


@given(st.text(), st.text(), st.text())
def test_any_text_is_a_name_and_a_text_of_a_header(name: str, key: str, text: str) -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"__metadata__": {key: text}, name or "n": entry}).encode()
    content = struct.pack("<Q", len(header)) + header + struct.pack("<f", 1.5)
    listing = listed(content, "x.safetensors")
    assert (name or "n") in listing.names or name == "__metadata__"
    assert [(listing.node_key[value.node], value.value) for value in listing.values][:1] == [(key, text)]
    assert len("".join(ls_flat(listing, Selection(listing, []), "name"))) < 20 * MAX_SHOWN
    printed(listing)
