"""NumPy arrays and scalars inside torch checkpoints, read without NumPy's pickling."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.formats.handmade import listed
from tests.hostile.opcodes import BUILD, FALSE, STOP, call, dict_of, integer, raw_bytes, text, tuple_of
from tests.support import assert_same_numbers, opened, value_types, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


def native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(array.dtype.newbyteorder("="))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_read_as_numpy_has_them(save: Save, dtype: str, protocol: int) -> None:
    generator = np.random.default_rng(1)
    array = generator.integers(0, 100, (3, 4, 5)).astype(dtype)
    arrays = {
        "c": array,
        "fortran": np.asfortranarray(array),
        "transposed": array.T,
        "stepped": array[::2, 1:, ::3],
        "0d": np.array(array[1, 2, 3]),
        "empty": array[:0],
    }
    checkpoint = opened(save(arrays, pickle_protocol=protocol))
    assert checkpoint.listing.names == list(arrays)
    for tensor_id, (name, expected) in enumerate(arrays.items()):
        assert checkpoint.listing.dtype[tensor_id] == dtype
        assert checkpoint.listing.shape[tensor_id] == expected.shape
        assert checkpoint.listing.nbytes[tensor_id] == expected.nbytes
        assert_same_numbers(checkpoint.read(name), expected)


@pytest.mark.parametrize("dtype", [">f8", ">i4", ">u2", ">c8", ">f2"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_big_endian_arrays_read_in_the_order_of_this_machine(save: Save, dtype: str, protocol: int) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    checkpoint = opened(save({"a": array, "f": np.asfortranarray(array)}, pickle_protocol=protocol))
    assert_same_numbers(checkpoint.read("a"), native(array))
    assert_same_numbers(checkpoint.read("f"), native(array))
    assert_same_numbers(checkpoint.read("a", "1, :2, -1"), native(array)[1, :2, -1])


@pytest.mark.parametrize("protocol", range(6))
def test_scalars_read_as_numbers_of_their_type(save: Save, protocol: int) -> None:
    scalars: dict[str, np.generic] = {
        "f8": np.float64(0.1),
        "f4": np.float32(0.1),
        "f2": np.float16(0.1),
        "i8": np.int64(-3),
        "u1": np.uint8(200),
        "b": np.bool_(True),
        "c": np.complex128(1 - 2j),
        "u8": np.uint64(2**64 - 1),
    }
    checkpoint = opened(save(scalars, pickle_protocol=protocol))
    assert values(checkpoint) == {name: scalar.item() for name, scalar in scalars.items()}
    types = value_types(checkpoint)
    assert (types["f8"], types["u1"], types["c"]) == ("numpy.float64", "numpy.uint8", "numpy.complex128")


def test_arrays_that_torch_has_no_dtype_for_are_described_as_values(save: Save) -> None:
    arrays = {
        "text": np.array(["a", "bc"]),
        "objects": np.array([{"x": 1}, None], dtype=object),
        "fields": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        "dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    }
    checkpoint = opened(save(arrays))
    assert len(checkpoint.listing) == 0
    assert {name.split(".")[0] for name in values(checkpoint)} == set(arrays)
    assert value_types(checkpoint)["text"] == "numpy.ndarray"


def test_one_array_saved_twice_reads_alike_under_both_names(save: Save) -> None:
    array = np.arange(4.0)
    checkpoint = opened(save({"a": array, "b": array}))
    for name in "ab":
        assert_same_numbers(checkpoint.read(name), array)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_subclass_of_array_is_read_and_names_its_class(save: Save) -> None:
    checkpoint = opened(save({"m": np.asmatrix(np.eye(2))}))
    assert checkpoint.listing.extras[0].class_name is not None
    assert checkpoint.listing.extras[0].class_name.endswith("matrix")
    assert_same_numbers(checkpoint.read("m"), np.eye(2))


def dtype_of(code: bytes) -> bytes:
    return call("numpy", "dtype", code, FALSE, b"\x88")


def array_of(*state: bytes) -> bytes:
    """An array as NumPy writes it: an empty one, and its state."""
    empty = call(
        "numpy.core.multiarray",
        "_reconstruct",
        b"cnumpy\nndarray\n",
        tuple_of(integer(0)),
        raw_bytes(b"b"),
    )
    return empty + tuple_of(*state) + BUILD


def scalar_of(*arguments: bytes) -> bytes:
    return call("numpy.core.multiarray", "scalar", *arguments)


EIGHT = raw_bytes(bytes(8))
BROKEN = {
    "an array of a dtype in words": array_of(integer(1), tuple_of(integer(1)), text("f8"), FALSE, EIGHT),
    "an array with a short state": array_of(integer(1), tuple_of(integer(1)), dtype_of(text("f8"))),
    "an array of a dtype of nothing": array_of(
        integer(1), tuple_of(integer(1)), call("numpy", "dtype"), FALSE, EIGHT
    ),
    "a number of a dtype in words": scalar_of(text("f8"), EIGHT),
    "a number of a dtype of nothing": scalar_of(call("numpy", "dtype"), EIGHT),
    "a number of a dtype that is a number": scalar_of(dtype_of(integer(8)), EIGHT),
    "a number of a dtype with a long name": scalar_of(dtype_of(text("f8" * 100)), EIGHT),
    "a number of too few bytes": scalar_of(dtype_of(text("f8")), raw_bytes(bytes(7))),
    "a number of no bytes": scalar_of(dtype_of(text("f8")), integer(5)),
    "a number of a call's bytes": scalar_of(
        dtype_of(text("f8")), call("builtins", "bytes", call("builtins", "list"))
    ),
}


@pytest.mark.parametrize("which", list(BROKEN))
def test_what_numpy_refuses_is_a_value_and_no_number(tmp_path: Path, which: str) -> None:
    body = dict_of(text("v"), BROKEN[which])
    with pytest.raises((TypeError, ValueError)):
        pickle.loads(body + STOP)
    checkpoint = listed(tmp_path, body)
    assert len(checkpoint.listing) == 0
    wanted = "numpy.ndarray" if "array" in which else "numpy.core.multiarray.scalar"
    assert value_types(checkpoint)["v"] == wanted
    assert type(values(checkpoint)["v"]) is str


def test_numbers_whose_bytes_are_a_bytearray_read_as_numpy_reads_them(tmp_path: Path) -> None:
    raw = b"\x96" + (8).to_bytes(8, "little") + np.float64(2.5).tobytes()
    state = (integer(1), tuple_of(integer(1)), dtype_of(text("f8")), FALSE, call("builtins", "bytes", raw))
    body = dict_of(text("a"), array_of(*state))
    expected = pickle.loads(body + STOP)["a"]
    assert_same_numbers(listed(tmp_path, body).read("a"), expected)
