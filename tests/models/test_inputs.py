"""Inputs are found for models of many kinds, and what was tried is told for the others."""

from __future__ import annotations

import collections
import dataclasses
from typing import NamedTuple

import pytest
import torch
from torch import nn

from paramtui.core.input_spec import is_function_reference, parse_inputs
from paramtui.errors import InputsError, RunStoppedError, ValuesError
from paramtui.models.inputs import Inputs, as_inputs, derive_inputs, make_inputs
from tests.models.input_models import FOUND


@pytest.mark.parametrize("name", FOUND)
def test_inputs_are_found(name: str) -> None:
    make, expected = FOUND[name]
    model = make()
    runs = 0

    def run(inputs: Inputs) -> None:
        nonlocal runs
        runs += 1
        with torch.no_grad():
            model(*inputs.args, **inputs.kwargs)

    found = derive_inputs(model, run)
    assert found.words.partition(" (derived from ")[0] == expected
    model(*found.args, **found.kwargs)
    assert runs < 15


def test_no_more_than_a_few_dozen_are_tried() -> None:
    runs = 0

    def run(_: Inputs) -> None:
        nonlocal runs
        runs += 1
        raise ValueError("mat1 and mat2 shapes cannot be multiplied (2x7 and 9x4)")

    with pytest.raises(InputsError):
        derive_inputs(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv1d(3, 4, 3), nn.Linear(4, 2)), run)
    assert 10 < runs <= 40


class Untold(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [SystemExit(3), Untold()])
def test_whatever_a_model_raises_is_a_refusal(error: BaseException) -> None:
    def run(inputs: Inputs) -> None:
        (x,) = inputs.args
        if isinstance(x, torch.Tensor) and x.dim() == 2:
            raise error

    assert derive_inputs(nn.Linear(4, 2), run).words.startswith("2x8x4 ")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_floats_have_the_model_s_type(dtype: torch.dtype) -> None:
    model = nn.Linear(4, 2).to(dtype)
    (tensor,) = derive_inputs(model, lambda inputs: model(*inputs.args)).args
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == dtype


def test_what_was_tried_is_told_when_nothing_fits() -> None:
    class Refuses(nn.Linear):
        def forward(self, x: torch.Tensor, kind: str) -> torch.Tensor:  # type: ignore[override]
            raise ValueError(f"kind {type(kind).__name__} is unknown")

    model = Refuses(4, 2)
    with pytest.raises(InputsError) as caught:
        derive_inputs(model, lambda inputs: model(*inputs.args))
    assert ("2x4; 2x4", "kind Tensor is unknown") in caught.value.tried
    assert "--inputs" in (caught.value.hint or "")


def test_a_person_can_stop_the_trials() -> None:
    def stopped(_: Inputs) -> None:
        raise KeyboardInterrupt

    with pytest.raises(RunStoppedError):
        derive_inputs(nn.Linear(4, 2), stopped)


def test_a_specification_is_made_as_it_says() -> None:
    made = make_inputs(
        parse_inputs("2x3; int64:4x16<7; bool:5; t=float16:[]; k=complex64:2"), nn.Linear(1, 1).double()
    )
    a, b, c = made.args
    assert isinstance(a, torch.Tensor) and a.shape == (2, 3) and a.dtype == torch.float64
    assert isinstance(b, torch.Tensor) and b.shape == (4, 16) and b.min() >= 0 and b.max() < 7
    assert isinstance(c, torch.Tensor) and c.dtype == torch.bool
    assert {name: (t.dtype, t.shape) for name, t in made.kwargs.items() if isinstance(t, torch.Tensor)} == {
        "t": (torch.float16, ()),
        "k": (torch.complex64, (2,)),
    }


def test_inputs_too_large_for_this_machine_say_so() -> None:
    with pytest.raises(ValuesError, match="cannot be made"):
        make_inputs(parse_inputs("999999x999999"), nn.Linear(1, 1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.uint16, torch.int32])
def test_a_bound_that_a_type_cannot_hold_is_refused(dtype: torch.dtype) -> None:
    name, largest = str(dtype).removeprefix("torch."), torch.iinfo(dtype).max
    model = nn.Linear(1, 1)
    (made,) = make_inputs(parse_inputs(f"{name}:500<{largest + 1}"), model).args
    assert isinstance(made, torch.Tensor) and made.long().min() >= 0
    with pytest.raises(ValuesError, match=f"holds no number above {largest}"):
        make_inputs(parse_inputs(f"{name}:500<{largest + 2}"), model)


class Pair(NamedTuple):
    """Two of them."""

    left: object
    right: dict[str, list[object]]


def test_a_function_s_result_becomes_arguments() -> None:
    x, model = torch.ones(2), nn.Linear(1, 1)
    assert as_inputs(x, model, "w").args == (x,)
    assert len(as_inputs((x, 3), model, "w").args) == 2
    named = as_inputs(collections.UserDict({"ids": x}), model, "w")
    assert not named.args and named.kwargs["ids"] is x
    (nested,) = as_inputs([Pair(x, {"deep": [x]})], model, "w").args
    assert isinstance(nested, Pair) and nested.right["deep"][0] is x


def test_arguments_by_position_and_by_name_come_together() -> None:
    x, model = torch.ones(2, 1), nn.Linear(1, 1)
    assert as_inputs(((x,), {"input": 3}), model, "w")[:2] == ((x,), {"input": 3})
    assert as_inputs(((), {"input": x}), model, "w")[:2] == ((), {"input": x})
    # A dict of what forward does not take is an argument of its own.
    assert as_inputs(((x,), {"mask": 3}), model, "w")[:2] == (((x,), {"mask": 3}), {})
    assert as_inputs((x, {"input": 3}), model, "w")[:2] == ((x, {"input": 3}), {})


@dataclasses.dataclass
class Batch:
    """Cannot be made again from its fields."""

    x: torch.Tensor
    extra: dataclasses.InitVar[int]
    size: int = dataclasses.field(init=False)

    def __post_init__(self, extra: int) -> None:
        self.size = extra


def test_what_holds_tensors_is_kept_and_its_tensors_are_moved() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.ones(2), torch.ones(1)])
    values = [Batch(torch.ones(1), 3), collections.defaultdict(list, a=[torch.ones(1)]), torch.Size([2])]
    here = nn.Linear(1, 1)
    assert as_inputs(packed, here, "w").args == (packed,)
    assert all(one is other for one, other in zip(as_inputs(values, here, "w").args, values, strict=True))
    batch, table, size = as_inputs(values, nn.Linear(1, 1, device="meta"), "w").args
    assert isinstance(batch, Batch) and batch.x.is_meta and batch.size == 3 and batch is not values[0]
    assert isinstance(table, dict) and table["a"][0].is_meta
    assert size == torch.Size([2])
    (moved,) = as_inputs(packed, nn.Linear(1, 1, device="meta"), "w").args
    assert isinstance(moved, nn.utils.rnn.PackedSequence) and moved.data.is_meta


def test_a_function_reference_is_told_from_a_shape() -> None:
    assert is_function_reference("a/b c.py:batch") == ("a/b c.py", "batch")
    assert is_function_reference("C:/x.py:f") == ("C:/x.py", "f")
    for text in ("int64:4x16", "file.py", "file.txt:f", "file.py:", "file.py:1"):
        assert is_function_reference(text) is None
