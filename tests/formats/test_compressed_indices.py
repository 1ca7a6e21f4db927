"""Compressed rows and columns that do not divide what is stored, and batches of those that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.core import windows
from paramtui.core.scan_reading import feed, tally_of
from paramtui.errors import ValuesError
from tests.support import assert_same_numbers, numbers, opened

if TYPE_CHECKING:
    from tests.conftest import Save

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")

LAYOUTS = {"sparse_csr": "crow_indices", "sparse_csc": "ccol_indices"}


class Rebuilt:
    """Saved as the call that makes a sparse tensor, whether or not its parts make one."""

    def __init__(self, layout: str, *parts: object) -> None:
        self.args = getattr(torch, layout), parts

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_sparse_tensor, self.args


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("ends", "words"),
    {
        "differences that wrap around": (
            [0, 2**62, -(2**63), -(2**62), 0, 2],
            "are not all between 0 and 2, the number of what is stored",
        ),
        "one below zero": ([0, -1, 0, 0, 1, 2], "are not all between 0 and 2, the number of what is stored"),
        "one past the end": ([0, 3, 0, 1, 1, 2], "are not all between 0 and 2, the number of what is stored"),
        "a beginning past zero": ([1, 1, 1, 1, 1, 2], "do not begin with 0"),
        "an end too soon": ([0, 0, 0, 0, 0, 1], "do not end with 2, the number of what is stored"),
        "a way back": ([0, 1, 0, 1, 1, 2], "decrease"),
    }.values(),
)
def test_ends_that_do_not_divide_what_is_stored_are_refused_in_words(
    save: Save, layout: str, ends: list[int], words: str
) -> None:
    parts = torch.tensor(ends), torch.tensor([0, 1]), torch.ones(2), (5, 5)
    path = save({"s": Rebuilt(layout, *parts), "w": torch.ones(2)})
    with torch.sparse.check_sparse_tensor_invariants(), pytest.raises(RuntimeError):
        torch.load(path, weights_only=False)
    checkpoint = opened(path)
    with pytest.raises(ValuesError, match=f"its {LAYOUTS[layout]} {words}"):
        checkpoint.read("s")
    source = checkpoint._source
    with pytest.raises(ValuesError, match=f"its {LAYOUTS[layout]} {words}"):
        feed(source.listing, source, 0, tally_of(source.listing, 0), lambda _: None)
    assert checkpoint.read("w").tolist() == [1, 1]


def test_one_row_of_a_batch_that_does_not_divide_what_is_stored_is_refused(save: Save) -> None:
    ends, places = torch.tensor([[0, 1, 2], [0, 0, 1]]), torch.tensor([[0, 1], [1, 0]])
    checkpoint = opened(save({"s": Rebuilt("sparse_csr", ends, places, torch.ones(2, 2), (2, 2, 2))}))
    with pytest.raises(ValuesError, match="its crow_indices do not end with 2"):
        checkpoint.read("s")


def made(layout: torch.layout, *shape: int, dense: int = 0) -> torch.Tensor:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    # Every matrix of a batch stores as many.
    mask = torch.ones(4, 6)
    mask[::2, ::2] = 0
    mask[:2, 4:] = 0
    matrix *= mask.reshape(4, 6, *[1] * dense)
    blocks = (2, 2) if layout in (torch.sparse_bsr, torch.sparse_bsc) else None
    return matrix.to_sparse(layout=layout, blocksize=blocks, dense_dim=dense)


COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


@pytest.mark.parametrize("layout", COMPRESSED, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("dense", [(), (2,)], ids=str)
def test_batches_and_dense_dimensions_read_as_their_dense_form(
    save: Save, layout: torch.layout, batch: tuple[int, ...], dense: tuple[int, ...]
) -> None:
    tensor = made(layout, *batch, 4, 6, *dense, dense=len(dense))
    assert tensor.layout == layout
    assert_same_numbers(opened(save({"s": tensor})).read("s"), numbers(tensor.to_dense()))


@pytest.mark.parametrize("shape", [(0, 2, 3, 2), (2, 0, 3, 2), (2, 2, 0, 2), (2, 2, 3, 0)], ids=str)
def test_one_without_numbers_reads_as_none(save: Save, shape: tuple[int, ...]) -> None:
    batch, rows, _, dense = shape
    parts = torch.zeros(batch, rows + 1).long(), torch.zeros(batch, 0).long(), torch.zeros(batch, 0, dense)
    tensor = torch.sparse_csr_tensor(*parts, shape)
    assert_same_numbers(opened(save({"s": tensor})).read("s"), torch.zeros(shape).numpy())


def test_memory_that_is_not_there_is_an_error_of_one_tensor(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    checkpoint = opened(save({"s": made(torch.sparse_csr, 4, 6)}))
    monkeypatch.setattr(windows, "gather", none)
    with pytest.raises(ValuesError, match="there is not enough memory to read this"):
        checkpoint.read("s")
