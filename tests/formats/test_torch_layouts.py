"""Tensors that are not strided: sparse, quantised, nested; equal to what torch makes of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.errors import ValuesError
from tests.support import assert_same_numbers, numbers, opened, values

if TYPE_CHECKING:
    from tests.conftest import Save

pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
    pytest.mark.filterwarnings("ignore:.*[Qq]uantiz"),
]


def sparse_tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    indices = torch.tensor([[0, 2, 2, 0, 1], [1, 0, 0, 1, 3]])
    dense = torch.randn(4, 6) * (torch.rand(4, 6) > 0.6)
    batched = torch.randn(2, 4, 6) * torch.tensor([[1.0, 0, 0, 1, 0, 1]] * 4)
    blocks = torch.randn(4, 6) * torch.tensor([[1.0, 1, 0, 0, 1, 1]] * 2 + [[0.0, 0, 1, 1, 0, 0]] * 2)
    return {
        "coo": dense.to_sparse(),
        "coo uncoalesced": torch.sparse_coo_tensor(indices, torch.arange(1.0, 6), (3, 4)),
        "coo hybrid": torch.sparse_coo_tensor(indices, torch.randn(5, 2, 3), (3, 4, 2, 3)),
        "coo 1d": torch.tensor([0.0, 3, 0, 4]).to_sparse(),
        "coo empty": torch.zeros(3, 4).to_sparse(),
        "coo complex": torch.sparse_coo_tensor(indices, torch.randn(5, dtype=torch.complex64), (3, 4)),
        "coo int": torch.sparse_coo_tensor(indices, torch.arange(5), (3, 4)),
        "coo bool": torch.sparse_coo_tensor(indices[:, :3], torch.tensor([True, True, False]), (3, 4)),
        "csr": dense.to_sparse_csr(),
        "csr batched": batched.to_sparse_csr(),
        "csr int32": torch.sparse_csr_tensor(
            torch.tensor([0, 1, 3], dtype=torch.int32),
            torch.tensor([1, 0, 2], dtype=torch.int32),
            torch.randn(3),
            (2, 3),
        ),
        "csc": dense.to_sparse_csc(),
        "bsr": blocks.to_sparse_bsr((2, 2)),
        "bsr oblong": blocks.to_sparse_bsr((2, 3)),
        "bsc": blocks.to_sparse_bsc((2, 2)),
        "bsr batched": torch.stack([blocks, 2 * blocks]).to_sparse_bsr((2, 2)),
        "csr dense": torch.sparse_csr_tensor(
            torch.tensor([0, 1, 2]), torch.tensor([1, 0]), torch.randn(2, 3), (2, 3, 3)
        ),
    }


@pytest.mark.parametrize("name", list(sparse_tensors()))
def test_a_sparse_tensor_reads_as_its_dense_form(save: Save, name: str) -> None:
    tensor = sparse_tensors()[name]
    checkpoint = opened(save({"s": tensor}))
    listing = checkpoint.listing
    assert listing.names == ["s"]
    assert listing.shape == [tuple(tensor.shape)]
    assert f"torch.{listing.dtype[0]}" == str(tensor.dtype)
    assert listing.extras[0].layout == str(tensor.layout).removeprefix("torch.")
    assert (listing.stride[0], listing.offset[0], listing.storage(0)) == (None, None, None)
    dense = tensor.to_dense()
    assert_same_numbers(checkpoint.read("s"), numbers(dense))
    assert_same_numbers(
        checkpoint.read("s", "1:, ..., -1") if dense.dim() > 1 else checkpoint.read("s", "1:"),
        numbers(dense[1:, ..., -1] if dense.dim() > 1 else dense[1:]),
    )
    parts = list(
        (tensor._indices(), tensor._values())
        if tensor.layout == torch.sparse_coo
        else (tensor.crow_indices(), tensor.col_indices(), tensor.values())
        if tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
        else (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    )
    assert listing.nbytes == [sum(part.numel() * part.element_size() for part in parts)]


def test_uncoalesced_entries_are_summed_and_others_zero(save: Save) -> None:
    tensor = torch.sparse_coo_tensor(torch.tensor([[1, 1, 1]]), torch.tensor([1.0, 2.0, 4.0]), (3,))
    assert opened(save(tensor)).read("").tolist() == [0, 7, 0]


QUANTISED = [torch.quint8, torch.qint8, torch.qint32]


@pytest.mark.parametrize("dtype", QUANTISED, ids=str)
def test_per_tensor_quantised_numbers_are_those_of_dequantize(save: Save, dtype: torch.dtype) -> None:
    base = torch.quantize_per_tensor(torch.randn(5, 8) * 3, 0.05, 3, dtype)
    tensors = {"whole": base, "view": base[1:, ::2], "transposed": base.t()}
    checkpoint = opened(save(tensors))
    for tensor_id, (name, tensor) in enumerate(tensors.items()):
        assert f"torch.{checkpoint.listing.dtype[tensor_id]}" == str(dtype)
        assert checkpoint.listing.stride[tensor_id] == tensor.stride()
        assert_same_numbers(checkpoint.read(name), tensor.dequantize().numpy())
    assert_same_numbers(checkpoint.read("view", "2, 1:"), base.dequantize()[3, 2::2].numpy())


@pytest.mark.parametrize("dtype", QUANTISED, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_per_channel_quantised_numbers_are_those_of_dequantize(
    save: Save, dtype: torch.dtype, axis: int
) -> None:
    size = (5, 8)[axis]
    scales = torch.rand(size, dtype=torch.float64) + 0.01
    zeros = torch.randint(0, 10, (size,))
    tensor = torch.quantize_per_channel(torch.randn(5, 8) * 3, scales, zeros, axis, dtype)
    checkpoint = opened(save({"w": tensor}))
    assert_same_numbers(checkpoint.read("w"), tensor.dequantize().numpy())
    assert_same_numbers(checkpoint.read("w", "3:, 2"), tensor.dequantize()[3:, 2].numpy())


@pytest.mark.parametrize("dtype", [torch.quint8, torch.quint4x2, torch.quint2x4], ids=str)
@pytest.mark.parametrize("columns", [8, 6, 5])
def test_quantised_rows_with_float_zero_points_are_those_of_dequantize(
    save: Save, dtype: torch.dtype, columns: int
) -> None:
    scales = torch.rand(3) + 0.05
    tensor = torch.quantize_per_channel(torch.randn(3, columns), scales, torch.rand(3), 0, dtype)
    checkpoint = opened(save({"w": tensor}))
    assert f"torch.{checkpoint.listing.dtype[0]}" == str(dtype)
    assert checkpoint.listing.shape == [(3, columns)]
    expected = tensor.dequantize().numpy()
    assert_same_numbers(checkpoint.read("w"), expected)
    assert_same_numbers(checkpoint.read("w", "1:, 2::2"), expected[1:, 2::2])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [1e300, float("inf"), float("nan"), 1e-300])
def test_quantised_numbers_of_any_scale_are_those_of_dequantize_without_a_warning(
    save: Save, scale: float
) -> None:
    stored = torch.tensor([0, 1, 200], dtype=torch.uint8)
    scales = torch.tensor([scale, 1.0, scale], dtype=torch.float64)
    zeros = torch.tensor([0, 3, 1])
    one = torch._make_per_tensor_quantized_tensor(stored, scale, 1)
    each = torch._make_per_channel_quantized_tensor(stored, scales, zeros, 0)
    checkpoint = opened(save({"one": one, "each": each}))
    assert_same_numbers(checkpoint.read("one"), numbers(one))
    assert_same_numbers(checkpoint.read("each"), numbers(each))


def test_components_of_a_strided_nested_tensor_are_those_of_unbind(save: Save) -> None:
    nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3), torch.randn(1, 3)])
    checkpoint = opened(save({"n": nested}))
    assert checkpoint.listing.shape == [(3, None, 3)]
    assert checkpoint.listing.extras[0].layout == "nested"
    assert checkpoint.listing.numel(0) == nested.numel()
    for found, expected in zip(checkpoint.read_parts("n"), nested.unbind(), strict=True):
        assert_same_numbers(found, expected.numpy())
    with pytest.raises(ValuesError, match="ragged"):
        checkpoint.read("n")


def test_components_of_a_transposed_nested_tensor_are_those_of_unbind(save: Save) -> None:
    nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)]).transpose(1, 2)
    checkpoint = opened(save({"n": nested}))
    for found, expected in zip(checkpoint.read_parts("n"), nested.unbind(), strict=True):
        assert_same_numbers(found, expected.numpy())


@pytest.mark.parametrize("transposed", [False, True])
def test_components_of_a_jagged_tensor_are_those_of_unbind(save: Save, transposed: bool) -> None:
    jagged = torch.nested.nested_tensor(
        [torch.randn(2, 3), torch.randn(4, 3), torch.randn(0, 3)], layout=torch.jagged
    )
    expected = [part.detach() for part in jagged.unbind()]
    if transposed:
        jagged = jagged.transpose(1, 2)
        expected = [part.t() for part in expected]
    checkpoint = opened(save({"j": jagged}))
    assert checkpoint.listing.shape == [(3, 3, None) if transposed else (3, None, 3)]
    assert checkpoint.listing.extras[0].layout == "jagged"
    for found, want in zip(checkpoint.read_parts("j"), expected, strict=True):
        assert_same_numbers(found, want.numpy())


def test_a_jagged_tensor_with_gaps_reads_only_what_belongs_to_it(save: Save) -> None:
    padded = torch.randn(3, 5, 2)
    jagged = torch.nested.narrow(
        padded, 1, torch.tensor([0, 1, 2]), torch.tensor([2, 3, 1]), layout=torch.jagged
    )
    checkpoint = opened(save({"j": jagged}))
    expected = [padded[0, 0:2], padded[1, 1:4], padded[2, 2:3]]
    for found, want in zip(checkpoint.read_parts("j"), expected, strict=True):
        assert_same_numbers(found, want.numpy())


class Rebuilt:
    """Saved as a call with these arguments, whether or not they fit each other."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


ONES = torch.ones(4)
PACKED = torch.quantize_per_channel(
    torch.arange(16.0).repeat(2, 1), torch.ones(2), torch.zeros(2), 0, torch.quint4x2
)
SIZES = torch.tensor([[2], [1]])
STARTS = torch.tensor([0, 2, 3])
ODD = {
    "strides of another shape": (
        Rebuilt(torch._utils._rebuild_nested_tensor, ONES, SIZES, SIZES[:1], STARTS[:2]),
        "its tables of sizes, strides and offsets do not fit each other",
    ),
    "too many offsets": (
        Rebuilt(torch._utils._rebuild_nested_tensor, ONES, SIZES, SIZES, STARTS),
        "its tables of sizes, strides and offsets do not fit each other",
    ),
    "strides that are no integers": (
        Rebuilt(torch._utils._rebuild_nested_tensor, ONES, SIZES, SIZES.float(), STARTS[:2]),
        "its strides are float32",
    ),
    "lengths and offsets of a jagged tensor": (
        Rebuilt(
            torch.nested._internal.nested_tensor._rebuild_njt,
            {"values": ONES, "offsets": STARTS, "lengths": STARTS, "_ragged_idx": 1},
        ),
        "its lengths and offsets do not fit each other",
    ),
    "offsets that are no integers": (
        Rebuilt(
            torch.nested._internal.nested_tensor._rebuild_njt,
            {"values": ONES, "offsets": STARTS.double(), "_ragged_idx": 1},
        ),
        "its offsets are float64",
    ),
    "indices that are no integers": (
        Rebuilt(
            torch._utils._rebuild_sparse_tensor, torch.sparse_coo, (SIZES.t().float(), ONES[:2], (4,), True)
        ),
        "its indices are float32",
    ),
    "columns that are no integers": (
        Rebuilt(
            torch._utils._rebuild_sparse_tensor, torch.sparse_csr, (STARTS, ONES[:3].bool(), ONES[:3], (2, 4))
        ),
        "its col_indices are bool",
    ),
    "a scale that no number holds": (
        Rebuilt(
            torch._utils._rebuild_qtensor,
            torch.quantize_per_tensor(ONES, 1.0, 0, torch.quint8).storage(),
            0,
            (4,),
            (1,),
            (torch.per_tensor_affine, 1.0, 10**400),
            False,
            OrderedDict(),
        ),
        "its zero point is no number",
    ),
    "a storage of other numbers": (
        Rebuilt(
            torch._utils._rebuild_qtensor,
            ONES.storage(),
            0,
            (4,),
            (1,),
            (torch.per_tensor_affine, 1.0, 0),
            False,
            OrderedDict(),
        ),
        "it is quantised and its storage is of float32",
    ),
    "scales that are truth": (
        Rebuilt(
            torch._utils._rebuild_qtensor,
            torch.quantize_per_tensor(ONES, 1.0, 0, torch.quint8).storage(),
            0,
            (4,),
            (1,),
            (torch.per_channel_affine, ONES.bool(), ONES, 0),
            False,
            OrderedDict(),
        ),
        "its scales are bool",
    ),
}


@pytest.mark.parametrize("name", list(ODD))
def test_parts_that_do_not_fit_each_other_are_a_value_that_says_so(save: Save, name: str) -> None:
    odd, words = ODD[name]
    checkpoint = opened(save({"w": ONES, "odd": odd}))
    assert checkpoint.listing.names == ["w"]
    assert values(checkpoint) == {"odd": f"not a readable tensor: {words}"}


def test_a_packed_tensor_whose_offset_leads_past_its_storage_is_flagged(save: Save) -> None:
    def rebuilt(offset: int) -> Rebuilt:
        scheme = (torch.per_channel_affine, ONES[:2].double(), ONES[:2].long(), 0)
        storage = PACKED.storage()
        return Rebuilt(
            torch._utils._rebuild_qtensor, storage, offset, (2, 8), (8, 1), scheme, False, OrderedDict()
        )

    checkpoint = opened(save({"in": rebuilt(8), "past": rebuilt(9)}))
    assert checkpoint.listing.problem(0) is None
    # The second row of 16 numbers, less the zero point.
    assert checkpoint.read("in").flatten().tolist() == [n - 1 for n in range(16)]
    assert checkpoint.listing.problem(1) == "it reaches to byte 17 of a storage that has 16 bytes"


def test_a_tensor_of_more_dimensions_than_numpy_has_is_listed_and_its_numbers_are_refused_in_words(
    save: Save,
) -> None:
    deep = torch.full([1] * 100, 2.0)
    checkpoint = opened(save({"deep": deep, "flat": deep.reshape([1] * 30), "v": ONES}))
    assert checkpoint.listing.shape[0] == tuple(deep.shape)
    with pytest.raises(ValuesError, match="has 100 dimensions; numbers of at most"):
        checkpoint.read("deep")
    assert_same_numbers(checkpoint.read("flat"), deep.reshape([1] * 30).numpy())
    assert checkpoint.read("v").tolist() == [1, 1, 1, 1]
