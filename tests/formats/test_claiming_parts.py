"""Parts of tensors that claim far more elements than the file has bytes for, by strides of 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from paramtui.core import windows
from paramtui.core.scan_reading import feed, tally_of
from paramtui.errors import ValuesError
from tests.support import assert_same_numbers, numbers, opened

if TYPE_CHECKING:
    from tests.conftest import Save

pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse"),
    pytest.mark.filterwarnings("ignore:.*[Qq]uantiz"),
]

MANY = windows.MAX_PART + 1
ONE, ZERO, TWO_ENDS = torch.ones(1), torch.zeros(1, dtype=torch.int64), torch.tensor([0, 1])


class Rebuilt:
    """Saved as the call that makes a sparse tensor; parts keep their strides."""

    def __init__(self, layout: torch.layout, *parts: object) -> None:
        self.args = layout, parts

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_sparse_tensor, self.args


CLAIMING = {
    "coordinates": Rebuilt(torch.sparse_coo, ZERO.expand(1, MANY), ONE.expand(MANY), (4,), True),
    "a block": Rebuilt(torch.sparse_bsr, TWO_ENDS, ZERO, ONE.expand(1, 1, MANY), (1, MANY)),
    "a batch": Rebuilt(
        torch.sparse_csr, TWO_ENDS.expand(MANY, 2), ZERO.expand(MANY, 1), ONE.expand(MANY, 1), (MANY, 1, 1)
    ),
}


@pytest.mark.parametrize("what", CLAIMING)
def test_a_part_that_claims_far_more_than_the_file_holds_is_not_read(save: Save, what: str) -> None:
    checkpoint = opened(save({"s": CLAIMING[what]}))
    cell = [0] * len(checkpoint.listing.shape[0])
    with pytest.raises(ValuesError, match=r"a part of it claims (1,048,577|2,097,154) elements"):
        checkpoint.read("s", str(cell))
    source = checkpoint._source
    with pytest.raises(ValuesError, match=r"a part of it claims (1,048,577|2,097,154) elements"):
        feed(source.listing, source, 0, tally_of(source.listing, 0), lambda _: None)


def test_a_part_that_repeats_itself_a_little_is_read(save: Save) -> None:
    indices, values = torch.tensor([[0, 1, 2, 1]]), torch.ones(1).expand(4)
    checkpoint = opened(save({"s": Rebuilt(torch.sparse_coo, indices, values, (4,), False)}))
    assert checkpoint.listing.extras[0].parts["values"].stride == (0,)
    dense = torch.sparse_coo_tensor(indices, values, (4,)).to_dense()
    assert_same_numbers(checkpoint.read("s"), numbers(dense))


def test_as_many_elements_as_are_stored_are_read(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_PART", 3)
    tensor = torch.randn(4, 6).relu().to_sparse()
    assert_same_numbers(opened(save(tensor)).read(""), numbers(tensor))


def test_only_the_scales_of_the_rows_that_are_asked_for_are_read(save: Save) -> None:
    count = 10_000
    stored = torch.arange(count * 2).reshape(count, 2).to(torch.int8)
    scales, zeros = torch.rand(count, dtype=torch.float64) + 0.5, torch.randint(-9, 9, (count,))
    tensor = torch._make_per_channel_quantized_tensor(stored, scales, zeros, 0)
    checkpoint = opened(save(tensor))
    source = checkpoint._source
    told: list[int] = []
    read = source.read

    def counted(location: int, begin: int, nbytes: int) -> bytes:
        told.append(nbytes)
        return read(location, begin, nbytes)

    source.read = counted  # type: ignore[method-assign]
    found = windows.read_window(source.listing, source, 0, (range(7, 9000, 4400), range(2))).values
    assert found is not None
    np.testing.assert_array_equal(found, tensor.dequantize()[7:9000:4400].numpy())
    # Three rows of two bytes, three scales and three zero points, each of 8 bytes.
    assert sum(told) == 3 * (2 + 8 + 8)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_what_adds_up_beyond_its_type_is_infinite_without_a_warning(save: Save, dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    values = torch.tensor([largest, largest, float("inf"), -float("inf"), 1], dtype=dtype)
    tensor = torch.sparse_coo_tensor(torch.tensor([[0, 0, 1, 1, 2]]), values, (4,))
    checkpoint = opened(save(tensor))
    assert_same_numbers(checkpoint.read(""), numbers(tensor))
    source, tally = checkpoint._source, tally_of(checkpoint.listing, 0)
    feed(source.listing, source, 0, tally, lambda _: None)
    figures = tally.measured().statistics
    assert (figures.posinf, figures.nan, figures.zero) == (1, 1, 1)
