"""Components of nested and jagged tensors that claim the same bytes again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.commands.show import show_json, show_text
from paramtui.core import ragged, windows
from paramtui.core.scan_reading import feed, tally_of
from paramtui.errors import ValuesError
from tests.support import assert_same_numbers, opened

if TYPE_CHECKING:
    from paramtui.api import Checkpoint
    from paramtui.core.source import Window
    from paramtui.core.statistics import Statistics
    from tests.conftest import Save

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")


class Nested:
    """Saved as the call that makes a nested tensor; parts keep their strides."""

    def __init__(self, *parts: torch.Tensor) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_nested_tensor, self.parts


class Jagged(Nested):
    """As `Nested`, jagged: values, offsets and lengths."""

    def __reduce__(self) -> Any:
        named = dict(zip(("values", "offsets", "lengths"), self.parts, strict=False))
        return torch.nested._internal.nested_tensor._rebuild_njt, ({**named, "_ragged_idx": 1},)


def counted(checkpoint: Checkpoint) -> Statistics:
    source, tally = checkpoint._source, tally_of(checkpoint.listing, 0)
    feed(source.listing, source, 0, tally, lambda _: None)
    return tally.measured().statistics


def parts_of(checkpoint: Checkpoint, rows: range | None = None) -> list[Any]:
    source, shape = checkpoint._source, checkpoint.listing.shape[0]
    return source.read_window(0, (rows or range(shape[0] or 0), *[range(0)] * (len(shape) - 1))).parts


def longs(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def everything(rows: int, values: torch.Tensor) -> Jagged:
    """Each component is all of the values."""
    return Jagged(values, torch.zeros(rows + 1).long(), torch.full((rows,), len(values)))


def test_a_component_that_repeats_one_number_beyond_all_measure_is_not_read(save: Save) -> None:
    many = windows.MAX_PART + 1
    checkpoint = opened(save(Nested(torch.ones(1), longs(many)[:, None], longs(0)[:, None], longs(0))))
    for reads in (lambda: parts_of(checkpoint), lambda: counted(checkpoint)):
        with pytest.raises(ValuesError, match="a part of it claims 1,048,577 elements"):
            reads()


def test_a_buffer_that_repeats_one_number_beyond_all_measure_is_not_read(save: Save) -> None:
    many = windows.MAX_PART + 1
    checkpoint = opened(save(Jagged(torch.ones(1).expand(many), longs(0, 1, many))))
    with pytest.raises(ValuesError, match="a part of it claims 1,048,577 elements"):
        parts_of(checkpoint, range(1))


def test_components_that_claim_the_same_again_and_again_are_read_one_by_one_only(save: Save) -> None:
    values = torch.randn(1000)
    checkpoint = opened(save(everything(10, values)))
    assert_same_numbers(parts_of(checkpoint, range(7, 8))[0], values.numpy())
    words = "its components claim 10,000 elements, 10 times what is stored of it"
    for reads in (lambda: parts_of(checkpoint), lambda: counted(checkpoint)):
        with pytest.raises(ValuesError, match=words):
            reads()


def test_components_that_overlap_a_few_times_are_read_and_counted(save: Save) -> None:
    values = torch.randn(ragged.FEW)
    checkpoint = opened(save(everything(5, values)))
    for part in parts_of(checkpoint):
        assert_same_numbers(part, values.numpy())
    found = counted(checkpoint)
    assert found.numel == 5 * ragged.FEW
    assert found.mean == pytest.approx(values.double().mean().item())
    assert found.max == values.max().item()


@pytest.mark.parametrize("transposed", [False, True])
def test_figures_of_a_ragged_tensor_are_those_of_its_components(save: Save, transposed: bool) -> None:
    parts = [torch.randn(rows, 3) for rows in (2, 0, 70, 5)] * 40
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    found = counted(opened(save(nested.transpose(1, 2) if transposed else nested)))
    whole = torch.cat(parts).double()
    assert found.numel == whole.numel()
    assert found.mean == pytest.approx(whole.mean().item())
    assert (found.min, found.max) == (whole.min().item(), whole.max().item())


def test_more_components_than_its_tables_can_hold_are_not_gone_through(save: Save) -> None:
    rows = 1 << 40
    checkpoint = opened(save(Jagged(torch.ones(4), longs(0).expand(rows + 1), longs(3).expand(rows))))
    assert parts_of(checkpoint, range(5, 7))[1].tolist() == [1, 1, 1]
    with pytest.raises(ValuesError, match="it claims 1,099,511,627,776 components"):
        counted(checkpoint)
    with pytest.raises(ValuesError, match=r"it claims 1,099,511,627,\d\d\d components"):
        parts_of(checkpoint, range(5, rows))


def test_of_many_components_the_first_and_the_last_are_shown_and_read(save: Save) -> None:
    count = 1500
    parts = [torch.full((1 + at % 2,), float(at)) for at in range(count)]
    source = opened(save(torch.nested.nested_tensor(parts, layout=torch.jagged)))._source
    read: list[int] = []

    def window(tensor: int, picks: Any) -> Window:
        read.extend(picks[0])
        return source.read_window(tensor, picks)

    shown = "".join(show_text(source.listing, window, 0, "")).split("\n", 1)[1]
    first = "[0]\ntensor([0.])\n[1]\ntensor([1., 1.])\n[2]\ntensor([2.])\n...\n"
    last = "[1497]\ntensor([1497., 1497.])\n[1498]\ntensor([1498.])\n[1499]\ntensor([1499., 1499.])\n"
    assert shown == first + last
    assert read == [0, 1, 2, 1497, 1498, 1499]
    few = "".join(show_text(source.listing, window, 0, "1::700"))
    assert few.split("\n")[1::2] == ["[1]", "[701]", "[1401]", ""]
    written = json.loads("".join(show_json(source.listing, source.read_window, 0, "")))
    assert written["values"] == [part.tolist() for part in parts]
    assert json.loads("".join(show_json(source.listing, source.read_window, 0, "3:3")))["values"] == []


def test_a_component_that_reaches_past_what_is_stored_is_refused(save: Save) -> None:
    nested = Nested(torch.ones(4), longs(2, 3)[:, None], longs(1, 1)[:, None], longs(0, 2))
    checkpoint = opened(save(nested))
    assert parts_of(checkpoint, range(1))[0].tolist() == [1, 1]
    with pytest.raises(ValuesError, match="component 1 reaches past the buffer"):
        parts_of(checkpoint)
    checkpoint = opened(save(Jagged(torch.ones(4), longs(0, 2, 5))))
    assert parts_of(checkpoint, range(1))[0].tolist() == [1, 1]
    with pytest.raises(ValuesError, match="component 1 reaches past the values"):
        parts_of(checkpoint)
