"""`show` prints numbers as ``print(tensor)`` does, and reads no more than it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from paramtui.api import Checkpoint
from paramtui.checkpoints.source import CheckpointSource
from paramtui.commands.show import show_text
from paramtui.core.indexing import apply_index, parse_index
from paramtui.core.listing import ITEM, ROOT, Listing, Location
from paramtui.core.printing import summary_picks, tensor_text
from tests.support import PLAIN_DTYPES, numbers, random_tensor

if TYPE_CHECKING:
    import numpy as np


class CountedRun:
    """The bytes of a tensor, and how many of them were read."""

    file = None

    big_endian = False

    def __init__(self, tensor: torch.Tensor) -> None:
        flat = tensor.contiguous().reshape(-1)
        self.data = (flat.view(torch.uint8) if flat.numel() else torch.empty(0, dtype=torch.uint8)).numpy()
        self.nbytes = self.data.nbytes
        self.bytes_read = 0

    def read(self, begin: int, nbytes: int) -> bytes:
        self.bytes_read += nbytes
        return self.data[begin : begin + nbytes].tobytes()

    def place(self) -> None:
        """In no file."""


def source_of(tensor: torch.Tensor) -> tuple[CheckpointSource, CountedRun]:
    """A source with one tensor, in memory."""
    listing = Listing("memory", "torch-zip")
    run = CountedRun(tensor)
    listing.locations.append(Location("0", run.nbytes))
    dtype = str(tensor.dtype).removeprefix("torch.")
    node = listing.add_node(ROOT, "w", ITEM)
    shape = tuple(tensor.shape)
    listing.add_tensor(node, "tensor", 0, 0, dtype, shape, tensor.contiguous().stride(), 0, run.nbytes, False)
    return CheckpointSource(listing, [run]), run


def shown(tensor: torch.Tensor, index: str = "") -> str:
    """What `show` prints below its first line."""
    source, _ = source_of(tensor)
    head, _, text = "".join(show_text(source.listing, source.read_window, 0, index)).partition("\n")
    assert head.startswith("w")
    return text.removesuffix("\n")


SHAPES = [
    (),
    (0,),
    (1,),
    (5,),
    (23,),
    (1000,),
    (1001,),
    (2, 3),
    (0, 3),
    (40, 3),
    (3, 400),
    (50, 50),
    (2, 3, 4),
    (12, 11, 10),
    (2, 2, 2, 3),
    (7, 8, 9, 10),
    (1, 1, 1, 1, 2),
    (6, 200),
    (1, 3000),
    (3000, 1),
    (2, 0, 2),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
    ],
    ids=str,
)
def test_numbers_of_any_shape_are_printed_as_torch_prints_them(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    tensor = (torch.randn(shape, dtype=torch.complex128 if dtype.is_complex else torch.float64) * 3).to(dtype)
    assert shown(tensor) == str(tensor)


@pytest.mark.parametrize("dtype", [dtype for dtype in PLAIN_DTYPES if dtype != torch.complex32], ids=str)
def test_random_bits_are_printed_as_torch_prints_them(dtype: torch.dtype) -> None:
    for seed, shape in enumerate([(), (4,), (3, 7), (40, 30)]):
        tensor = random_tensor(dtype, shape, seed)
        if dtype == torch.float8_e8m0fnu:
            # torch takes this type's NaN for a finite number when it chooses how to print.
            tensor = tensor.view(torch.uint8).clamp(max=254).view(dtype)
        assert shown(tensor) == str(tensor)


SPECIAL = {
    "nan": [float("nan")] * 3,
    "inf": [float("inf"), -float("inf")],
    "nan among numbers": [1.5, float("nan"), -2.25],
    "inf among whole numbers": [1.0, float("inf"), -3.0],
    "zeros": [0.0] * 4,
    "negative zero": [-0.0, 0.0],
    "whole": [1.0, 20.0, -300.0],
    "huge": [1e20, 2e20],
    "huge whole": [1e9, 1.0],
    "small": [1e-8, 2e-8],
    "huge and small": [1e-5, 1e5],
    "ratio of 1000": [1.5, 1500.0],
    "ratio above 1000": [1.5, 1501.5],
    "just under 1e8": [99999999.0],
    "one subnormal": [1e-45],
    "rounding": [0.99999, 9.99995],
    "negative first": [-1.0, 1.0],
}


@pytest.mark.parametrize("name", list(SPECIAL))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_special_numbers_are_printed_as_torch_prints_them(name: str, dtype: torch.dtype) -> None:
    tensor = torch.tensor(SPECIAL[name], dtype=torch.float64).to(dtype)
    assert shown(tensor) == str(tensor)


@pytest.mark.parametrize("name", list(SPECIAL))
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_special_complex_numbers_are_printed_as_torch_prints_them(name: str, dtype: torch.dtype) -> None:
    real = torch.tensor(SPECIAL[name], dtype=torch.float64)
    tensor = torch.complex(real, real.flip(0)).to(dtype)
    assert shown(tensor) == str(tensor)


@settings(max_examples=150)
@given(arrays("float64", array_shapes(max_dims=4, min_side=0, max_side=12)))
def test_any_float64_array_is_printed_as_torch_prints_it(array: np.ndarray) -> None:
    tensor = torch.from_numpy(array)
    assert shown(tensor) == str(tensor)


@settings(max_examples=100)
@given(arrays("int64", array_shapes(max_dims=4, max_side=12)))
def test_any_int64_array_is_printed_as_torch_prints_it(array: np.ndarray) -> None:
    assert shown(torch.from_numpy(array)) == str(torch.from_numpy(array))


@settings(max_examples=100)
@given(
    st.sampled_from([(30, 40), (5, 6, 50), (2000,), (4, 4)]),
    st.sampled_from(["0", "-1", "1:", "::2", ":, 0", "..., -1", "1:3, 2:", "...", "1:1", "3"]),
    st.integers(0, 9),
)
def test_a_slice_is_printed_as_torch_prints_the_slice(shape: tuple[int, ...], index: str, seed: int) -> None:
    torch.manual_seed(seed)
    tensor = torch.randn(shape)
    try:
        expected = eval(f"tensor[{index}]")
    except IndexError:
        return
    assert shown(tensor, index) == str(expected)


@pytest.mark.parametrize("shape", [(2000, 3000), (6_000_000,), (200, 100, 300)], ids=str)
def test_only_the_edges_of_a_large_tensor_are_read(shape: tuple[int, ...]) -> None:
    tensor = torch.arange(6_000_000, dtype=torch.float32).reshape(shape)
    source, run = source_of(tensor)
    text = "".join(show_text(source.listing, source.read_window, 0, ""))
    assert text.partition("\n")[2] == f"{tensor}\n"
    assert run.bytes_read < 2_000_000  # of 24 MB; neighbouring rows are read with what lies between


def test_one_row_of_a_large_tensor_reads_that_row(tmp_path: object) -> None:
    tensor = torch.randn(1000, 1000)
    source, run = source_of(tensor)
    found = Checkpoint(source).read("w", "500")
    assert torch.from_numpy(found).equal(tensor[500])
    assert run.bytes_read == 4000


def test_a_thousand_cells_are_printed_whole_and_more_are_summarised() -> None:
    for count, whole in (1000, True), (1001, False):
        selection = apply_index(parse_index(""), (count,))
        assert (len(summary_picks(selection.picks)[0]) == count) is whole
        tensor = torch.arange(count)
        assert ("..." in shown(tensor)) is not whole
        assert shown(tensor) == str(tensor)


def test_text_of_numbers_needs_no_listing() -> None:
    tensor = torch.tensor([[1.5, -2], [3, 4]], dtype=torch.float16)
    assert tensor_text(numbers(tensor), (2, 2), "float16") == str(tensor)
