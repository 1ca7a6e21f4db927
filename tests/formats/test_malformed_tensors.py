"""Calls that rebuild a tensor with arguments that make none, and those that are seldom written."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.errors import ValuesError
from tests.hostile.opcodes import (
    BUILD,
    FALSE,
    NONE,
    REDUCE,
    STOP,
    TRUE,
    call,
    dict_of,
    integer,
    list_of,
    name,
    raw_bytes,
    storage,
    tensor,
    text,
    tuple_of,
)
from tests.support import numbers, opened, values

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

UTILS = "torch._utils"
FLOAT = name("torch", "float32")
ONE = tuple_of(integer(1))
# Torch gives a storage one type: one for each.
STORAGES = {
    "data/0": struct.pack("<4f", 1, 2, 3, 4),
    "data/1": struct.pack("<2q", 0, 1),
    "data/2": struct.pack("<4d", 0.5, 1, 2, 4),
    "data/3": bytes([3, 4, 250, 255]),
}
LONGS = storage("1", "LongStorage", integer(2))
MANY = tuple_of(*[integer(1)] * 129)


def of(*sizes: int) -> bytes:
    return tuple_of(*map(integer, sizes))


def floats(*shape: int) -> bytes:
    """A tensor of ones stride 0 apart, so that any shape fits the storage."""
    return tensor(of(*shape), of(*[0] * len(shape)))


def longs(*shape: int) -> bytes:
    return tensor(of(*shape), of(*[0] * len(shape)), held=LONGS)


def v2(held: bytes = b"", offset: bytes = integer(0), sizes: bytes = ONE, strides: bytes = ONE) -> bytes:
    return call(UTILS, "_rebuild_tensor_v2", held or storage(), offset, sizes, strides, FALSE, NONE)


def quantised(*parameters: bytes) -> bytes:
    held = storage("3", "QUInt8Storage")
    return call(UTILS, "_rebuild_qtensor", held, integer(0), of(4), of(1), tuple_of(*parameters), FALSE, NONE)


def sparse(layout: str, *data: bytes) -> bytes:
    return call(UTILS, "_rebuild_sparse_tensor", name("torch", layout), tuple_of(*data))


def jagged(**parts: bytes) -> bytes:
    pairs = [item for key, part in parts.items() for item in (text(key), part)]
    return call("torch.nested._internal.nested_tensor", "_rebuild_njt", dict_of(*pairs))


def meta(dtype: bytes = FLOAT, sizes: bytes = ONE, strides: bytes = ONE) -> bytes:
    return call(UTILS, "_rebuild_meta_tensor_no_storage", dtype, sizes, strides, FALSE)


SCALE = b"G\x3f\xe0\0\0\0\0\0\0"
AFFINE, PER_CHANNEL = name("torch", "per_tensor_affine"), name("torch", "per_channel_affine")

MALFORMED = {
    "arguments in a list": (
        name(UTILS, "_rebuild_tensor_v2") + list_of(storage(), integer(0), ONE, ONE) + REDUCE,
        "_rebuild_tensor_v2 has no argument tuple",
    ),
    "a storage of a negative number": (
        v2(storage(b"J\xfe\xff\xff\xff")),
        "its storage has a number that is too long",
    ),
    "sizes and strides": (v2(sizes=of(1, 1)), "it has 2 sizes and 1 strides"),
    "129 dimensions": (
        v2(sizes=MANY, strides=MANY),
        "its size has 129 dimensions, more than 128",
    ),
    "a negative offset": (v2(offset=b"J\xff\xff\xff\xff"), "its storage offset is not a number of elements"),
    "an offset that is a text": (v2(offset=text("0")), "its storage offset is not a number of elements"),
    "a negative size": (
        v2(sizes=tuple_of(b"J\xff\xff\xff\xff")),
        "its size holds something that is no length",
    ),
    "a negative stride": (
        v2(sizes=of(2), strides=tuple_of(b"J\xff\xff\xff\xff")),
        "its stride holds something that is no length",
    ),
    "sizes that are a number": (v2(sizes=integer(1)), "its size is no tuple"),
    "v1 of 3 arguments": (
        call(UTILS, "_rebuild_tensor", storage(), integer(0), ONE),
        "_rebuild_tensor takes 4 arguments",
    ),
    "v3 of 6 arguments": (
        call(UTILS, "_rebuild_tensor_v3", storage(), integer(0), ONE, ONE, FALSE, NONE),
        "_rebuild_tensor_v3 takes 7 arguments",
    ),
    "v3 without a dtype": (
        call(UTILS, "_rebuild_tensor_v3", storage(), integer(0), ONE, ONE, FALSE, NONE, text("float32")),
        "its dtype is not named by a global",
    ),
    "a parameter of text": (
        call(UTILS, "_rebuild_parameter", text("data"), TRUE, NONE),
        "the parameter's data is no tensor",
    ),
    "a parameter of 1 argument": (
        call(UTILS, "_rebuild_parameter", tensor()),
        "_rebuild_parameter takes 3 arguments",
    ),
    "a subclass of 2 arguments": (
        call("torch._tensor", "_rebuild_from_type_v2", name(UTILS, "_rebuild_tensor_v2"), FLOAT),
        "_rebuild_from_type_v2 takes 4 arguments",
    ),
    "a wrapper of 2 arguments": (
        call(UTILS, "_rebuild_wrapper_subclass", name("torch", "Tensor"), FLOAT),
        "_rebuild_wrapper_subclass takes 8 arguments",
    ),
    "a device's tensor of 1 argument": (
        call(UTILS, "_rebuild_device_tensor_from_cpu_tensor", tensor()),
        "_rebuild_device_tensor takes 4 arguments",
    ),
    "a device's tensor of a number": (
        call(UTILS, "_rebuild_xla_tensor", integer(1), FLOAT, text("cpu"), FALSE),
        "the data of a device tensor is no tensor",
    ),
    "a meta tensor of 3 arguments": (
        call(UTILS, "_rebuild_meta_tensor_no_storage", FLOAT, ONE, ONE),
        "_rebuild_meta_tensor_no_storage takes 4 arguments",
    ),
    "a dtype that there is not": (meta(name("torch", "float33")), "the dtype torch.float33 is unknown"),
    "a quantised tensor without a scheme": (
        call(UTILS, "_rebuild_qtensor", storage(), integer(0), ONE, ONE, tuple_of(AFFINE), FALSE, NONE),
        "_rebuild_qtensor takes 7 arguments",
    ),
    "an axis out of range": (
        quantised(PER_CHANNEL, floats(4), longs(4), integer(1)),
        "its quantisation axis is out of range",
    ),
    "a scheme that there is not": (
        quantised(name("torch", "per_row_affine"), SCALE, integer(0)),
        "its quantisation scheme per_row_affine is unknown",
    ),
    "a scheme that is a number": (
        quantised(integer(1), SCALE, integer(0)),
        "its quantisation scheme unknown is unknown",
    ),
    "three scales for four rows": (
        quantised(PER_CHANNEL, floats(3), longs(4), integer(0)),
        "its scales do not fit its axis",
    ),
    "three zero points in a list": (
        quantised(PER_CHANNEL, list_of(*[SCALE] * 4), list_of(*[integer(1)] * 3), integer(0)),
        "its zero points do not fit its axis",
    ),
    "scales past their storage": (
        quantised(PER_CHANNEL, tensor(of(4), of(9)), longs(4), integer(0)),
        "its scales do not fit its axis",
    ),
    "values that are sparse": (
        sparse("sparse_coo", longs(1, 2), sparse("sparse_coo", longs(1, 2), floats(2), of(4)), of(4)),
        "its values is no strided tensor",
    ),
    "a sparse tensor of its layout alone": (
        call(UTILS, "_rebuild_sparse_tensor", name("torch", "sparse_coo")),
        "_rebuild_sparse_tensor takes a layout and a tuple",
    ),
    "a sparse layout that there is not": (
        sparse("sparse_cube", longs(1), longs(1), floats(1), of(4)),
        "the sparse layout sparse_cube is unknown",
    ),
    "a sparse layout that is a number": (
        call(UTILS, "_rebuild_sparse_tensor", integer(4), tuple_of(longs(1, 2), floats(2), of(4))),
        "the sparse layout unknown is unknown",
    ),
    "coordinates beyond 64 bits": (
        sparse("sparse_coo", longs(2, 2), floats(2), of(1 << 32, 1 << 33)),
        "its sizes are larger than PyTorch can count",
    ),
    "rows and columns beyond 64 bits": (
        sparse("sparse_csr", longs(2), longs(2), floats(2), of(1, (1 << 63) - 1, 2)),
        "its sizes are larger than PyTorch can count",
    ),
    "a nested tensor of its buffer alone": (
        call(UTILS, "_rebuild_nested_tensor", floats(4)),
        "_rebuild_nested_tensor takes 4 arguments",
    ),
    "a table of sizes in a row": (
        call(UTILS, "_rebuild_nested_tensor", floats(4), longs(2), longs(2), longs(2)),
        "its table of sizes is not a 2-d int64 tensor",
    ),
    "a jagged tensor of text": (
        call("torch.nested._internal.nested_tensor", "_rebuild_njt", text("values")),
        "_rebuild_njt takes a dict",
    ),
    "a ragged dimension out of range": (
        jagged(values=floats(2, 2), offsets=longs(2), _ragged_idx=integer(3)),
        "its ragged dimension is out of range",
    ),
}  # fmt: skip


# Torch loads the first; no tensor of a model has so many.
LOADED = ("129 dimensions",)


def written(tmp_path: Path, odd: bytes) -> Path:
    """A file of a sound tensor `w` and another object."""
    path = tmp_path / "odd.pt"
    pickled = dict_of(text("w"), tensor(of(4)), text("odd"), odd) + STOP
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a/data.pkl", pickled)
        target.writestr("a/version", "3\n")
        for record, content in STORAGES.items():
            target.writestr(f"a/{record}", content)
    return path


@pytest.mark.parametrize("what", MALFORMED)
def test_a_call_that_makes_no_tensor_is_a_value_that_says_why(tmp_path: Path, what: str) -> None:
    odd, words = MALFORMED[what]
    path = written(tmp_path, odd)
    with torch.sparse.check_sparse_tensor_invariants():
        if what in LOADED:
            assert "odd" in torch.load(path, weights_only=False)
        else:
            with pytest.raises(Exception, match=""):
                torch.load(path, weights_only=False)
    checkpoint = opened(path)
    assert checkpoint.listing.names == ["w"]
    assert checkpoint.read("w").tolist() == [1, 2, 3, 4]
    assert values(checkpoint) == {"odd": f"not a readable tensor: {words}"}
    assert checkpoint.listing.warnings == [f"odd: not a readable tensor: {words}"]


SOUND = {
    "v1": call(UTILS, "_rebuild_tensor", storage(), integer(1), of(3), of(1)),
    "lists of sizes": v2(sizes=list_of(integer(2), integer(2)), strides=list_of(integer(1), integer(2))),
    "torch.Size": v2(sizes=call("torch", "Size", of(2, 2)), strides=of(2, 1)),
    "a storage of a number": v2(storage(integer(0)), sizes=of(4)),
    "v3": call(
        UTILS, "_rebuild_tensor_v3", storage(), integer(1), of(2), of(2), FALSE, NONE, FLOAT
    ),
    "v3 and its views": call(
        UTILS, "_rebuild_tensor_v3", storage(), integer(0), of(4), of(1), FALSE, NONE, FLOAT,
        dict_of(text("neg"), TRUE),
    ),
    "v2 and no dict of views": call(
        UTILS, "_rebuild_tensor_v2", storage(), integer(0), of(4), of(1), FALSE, NONE, NONE
    ),
    "a parameter by its type": call(
        "torch._tensor", "_rebuild_from_type_v2", name(UTILS, "_rebuild_tensor_v2"),
        name("torch.nn.parameter", "Parameter"),
        tuple_of(storage(), integer(0), of(4), of(1), TRUE, NONE), NONE,
    ),
    "one scale": quantised(AFFINE, SCALE, integer(3)),
    "scales in lists": quantised(
        PER_CHANNEL, list_of(*[SCALE] * 4), list_of(*map(integer, range(4))), integer(0)
    ),
    "scales in tensors": quantised(
        PER_CHANNEL, tensor(of(4), of(1), held=storage("2", "DoubleStorage")),
        tensor(of(4), of(0), held=LONGS), integer(0),
    ),
    "coordinates": sparse("sparse_coo", longs(1, 2), floats(2), of(4), FALSE),
    "another device": call(
        UTILS, "_rebuild_device_tensor_from_cpu_tensor", tensor(of(4)), FLOAT, text("cpu"), TRUE
    ),
    "another device, by its old name": call(
        UTILS, "_rebuild_device_tensor_from_cpu_tensor", tensor(of(4)), name("torch", "float64"),
        text("cpu"), FALSE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SOUND)
def test_a_call_that_is_seldom_written_makes_what_torch_makes(tmp_path: Path, what: str) -> None:
    path = written(tmp_path, SOUND[what])
    made = torch.load(path, weights_only=False)["odd"]
    checkpoint = opened(path)
    listing = checkpoint.listing
    assert listing.names == ["w", "odd"]
    assert listing.shape[1] == tuple(made.shape)
    assert listing.requires_grad[1] == made.requires_grad
    assert (listing.kind[1] == "parameter") == isinstance(made, torch.nn.Parameter)
    found, expected = checkpoint.read("odd"), numbers(made)
    assert found.tolist() == expected.tolist()


def misfit(layout: str, shape: tuple[int, ...], *parts: bytes) -> tuple[bytes, tuple[int, ...], str]:
    return sparse(layout, *parts, of(*shape)), shape, "its indices and values do not fit its size"


MISFITS = {
    "indices in a row": misfit("sparse_coo", (4,), longs(2), floats(2)),
    "indices for more dimensions": misfit("sparse_coo", (4,), longs(2, 2), floats(2)),
    "indices for fewer values": misfit("sparse_coo", (4,), longs(1, 1), floats(2)),
    "values of more dense sizes": misfit("sparse_coo", (3, 2), longs(1, 2), floats(2, 4)),
    "values that are one number": misfit("sparse_coo", (4,), longs(1, 2), floats()),
    "more columns than values": misfit("sparse_csr", (2, 2), longs(3), longs(2), floats(1)),
    "rows of values for single numbers": misfit("sparse_csr", (2, 4), longs(3), longs(2), floats(2, 3)),
    "dense sizes of another length": misfit("sparse_csc", (4, 2, 4), longs(3), longs(2), floats(2, 3)),
    "an end too few": misfit("sparse_csr", (2, 4), longs(2), longs(2), floats(2)),
    "ends for rows of a tensor of columns": misfit("sparse_csc", (2, 4), longs(3), longs(2), floats(2)),
    "an end that is one number": misfit("sparse_csr", (2, 4), longs(), longs(2), floats(2)),
    "a batch of a single dimension": misfit("sparse_csr", (2, 2), longs(2, 3), longs(2, 2), floats(2, 2)),
    "a batch for columns alone": misfit("sparse_csr", (2, 4), longs(3), longs(2, 2), floats(2, 2)),
    "another batch": misfit("sparse_csr", (2, 2, 4), longs(2, 3), longs(3, 2), floats(3, 2)),
    "blocks without rows": misfit("sparse_bsr", (2, 2), longs(3), longs(2), floats(2)),
    "blocks that do not divide its size": misfit("sparse_bsr", (4, 4), longs(3), longs(2), floats(2, 2, 3)),
    "blocks of another number": misfit("sparse_bsc", (4, 6), longs(3), longs(2), floats(2, 2, 2)),
    "blocks of no rows": misfit("sparse_bsr", (0, 4), longs(3), longs(2), floats(2, 0, 2)),
}  # fmt: skip

FLAGGED = {
    **MISFITS,
    "a wrapper of no class": (
        call(
            UTILS, "_rebuild_wrapper_subclass", text("Wrapper"), FLOAT, of(2, 3), of(3, 1), integer(0), NONE,
            NONE, FALSE,
        ),
        (2, 3),
        "a wrapper: its numbers lie in the tensors listed below it",
    ),
    "an array of fewer bytes": (
        call(
            "numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray"), of(0), raw_bytes(b"b")
        )
        + tuple_of(
            integer(1), of(2, 2),
            call("numpy", "dtype", text("f4"), FALSE, TRUE)
            + tuple_of(integer(3), text("<"), NONE, NONE, NONE, *[b"J\xff\xff\xff\xff"] * 2, integer(0))
            + BUILD,
            FALSE, raw_bytes(b"\0" * 12),
        )
        + BUILD,
        (2, 2),
        "it needs 16 bytes and has 12",
    ),
    "values of a sparse tensor past their storage": (
        sparse("sparse_coo", longs(1, 2), tensor(of(2), of(9)), of(4), FALSE),
        (4,),
        "its values: it reaches to byte 40 of a storage that has 16 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FLAGGED)
def test_a_tensor_whose_numbers_are_not_there_is_listed_with_its_shape(tmp_path: Path, what: str) -> None:
    odd, shape, words = FLAGGED[what]
    path = written(tmp_path, odd)
    with torch.sparse.check_sparse_tensor_invariants(), pytest.raises(Exception, match=""):
        torch.load(path, weights_only=False)
    checkpoint = opened(path)
    assert checkpoint.listing.names == ["w", "odd"]
    assert checkpoint.listing.shape[1] == shape
    assert checkpoint.listing.problem(1) == words
    with pytest.raises(ValuesError, match=words):
        checkpoint.read("odd")


def test_numbers_that_trip_the_reader_are_those_of_one_tensor(tmp_path: Path) -> None:
    pairs = call(
        UTILS, "_rebuild_tensor_v3", storage("3", "ByteStorage"), integer(0), of(2), of(1), FALSE, NONE,
        name("torch", "float4_e2m1fn_x2"),
    )  # fmt: skip
    checkpoint = opened(written(tmp_path, sparse("sparse_coo", longs(1, 2), pairs, of(4))))
    with pytest.raises(ValuesError, match="its numbers cannot be read: ValueError"):
        checkpoint.read("odd")
    assert checkpoint.read("w").tolist() == [1, 2, 3, 4]
