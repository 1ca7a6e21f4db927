"""Nested tensors by their tables of sizes: views, very many components, and tables that cannot be read."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.checkpoints import rebuild_layouts
from paramtui.errors import ValuesError
from tests.support import opened, rewrite_zip, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")


class Nested:
    """Saved as the call that makes a nested tensor of a buffer and its tables."""

    def __init__(self, *parts: torch.Tensor) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_nested_tensor, self.parts


BUFFER = torch.arange(20.0)
SIZES = torch.tensor([[2, 3], [4, 3]])
STRIDES = torch.tensor([[3, 1], [3, 1]])
STARTS = torch.tensor([0, 6])


@pytest.mark.parametrize(
    "sizes",
    [
        SIZES.t().contiguous().t(),
        torch.tensor([[9, 2, 9, 3], [9, 4, 9, 3]])[:, 1::2],
        torch.tensor([[2, 3]]).expand(2, 2),
        torch.tensor([3]).expand(2, 2),
    ],
    ids=["transposed", "stepped", "repeated", "one number"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_table_that_is_not_contiguous_is_refused_as_torch_refuses_it(
    save: Save, sizes: torch.Tensor
) -> None:
    path = save({"n": Nested(BUFFER, sizes, STRIDES, STARTS), "after": BUFFER})
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=False)
    checkpoint = opened(path)
    assert checkpoint.listing.names == ["after"]
    assert values(checkpoint) == {"n": "not a readable tensor: its sizes are not contiguous"}


def test_very_many_components_of_few_bytes_of_pickle_are_listed(save: Save) -> None:
    count = 70_000
    sizes = torch.stack([torch.ones(count), torch.arange(count) % 2 + 1, torch.full((count,), 2)], 1).long()
    strides = torch.stack([sizes[:, 1] * 2, torch.full((count,), 2), torch.ones(count).long()], 1)
    lengths = sizes.prod(1)
    nested = Nested(torch.zeros(int(lengths.sum())), sizes, strides, lengths.cumsum(0) - lengths)
    path = save({"n": nested})
    made = torch.load(path, weights_only=False)["n"]
    assert (made.size(0), made.size(1), made.size(3)) == (count, 1, 2)
    checkpoint = opened(path)
    assert checkpoint.listing.shape == [(count, 1, None, 2)]
    assert checkpoint.listing.numel(0) == made.numel()


def test_a_table_without_components_is_a_tensor_of_none(save: Save) -> None:
    empty = torch.zeros((0, 2), dtype=torch.int64)
    checkpoint = opened(save({"n": Nested(BUFFER, empty, empty, empty[:, 0])}))
    assert checkpoint.listing.shape == [(0, None, None)]
    assert checkpoint.read_parts("n") == []


def test_a_table_of_more_numbers_than_any_model_has_is_refused(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_layouts, "MAX_NESTED_PARTS", 2)
    sizes = torch.ones((17, 1), dtype=torch.int64)
    nested = Nested(BUFFER, sizes, sizes, sizes[:, 0])
    words = "not a readable tensor: its table of 17 sizes is too large"
    assert values(opened(save({"n": nested}))) == {"n": words}


def test_a_nested_tensor_without_its_buffer_has_the_sizes_that_are_said(save: Save, tmp_path: Path) -> None:
    path = save({"w": torch.ones(3), "n": Nested(BUFFER, SIZES, STRIDES, STARTS)})
    cut = rewrite_zip(path, tmp_path / "cut.pt", lambda name, c: None if name.endswith("/data/1") else c)
    checkpoint = opened(cut)
    assert checkpoint.listing.shape == [(3,), (2, None, None)]
    assert checkpoint.listing.problem(1) == "its buffer: its storage '1' is not in the file"
    with pytest.raises(ValuesError, match="its buffer: its storage '1' is not in the file"):
        checkpoint.read_parts("n")


def test_a_table_that_cannot_be_inflated_leaves_the_rest_listed(save: Save, tmp_path: Path) -> None:
    path = save({"w": torch.ones(3), "n": Nested(BUFFER, SIZES, STRIDES, STARTS)})
    packed = rewrite_zip(path, tmp_path / "packed.pt", lambda _, c: c, method=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(packed) as archive:
        info = next(found for found in archive.infolist() if found.filename.endswith("/data/2"))
    raw = bytearray(packed.read_bytes())
    # A block of a kind that there is not.
    raw[info.header_offset + 30 + len(info.filename)] |= 6
    packed.write_bytes(raw)
    checkpoint = opened(packed)
    assert checkpoint.listing.shape == [(3,), (2, None, None)]
    assert checkpoint.read("w").tolist() == [1, 1, 1]
    problem = str(checkpoint.listing.problem(1))
    assert problem.startswith("its sizes: the record 'saved1/data/2' cannot be inflated: ")
    with pytest.raises(ValuesError, match="cannot be inflated"):
        checkpoint.read_parts("n")
