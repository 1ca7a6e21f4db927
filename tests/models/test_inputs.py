"""Inputs are found for models of many kinds, and what was tried is told for the others."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from paramtui.core.input_spec import is_function_reference, parse_inputs
from paramtui.errors import InputsError, RunStoppedError, ValuesError
from paramtui.models.inputs import Inputs, as_inputs, derive_inputs, make_inputs


class Lenet(nn.Module):
    """Takes pictures of 28 x 28 and no others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.out = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = nn.functional.max_pool2d
        return self.out(pool(self.conv2(pool(self.conv1(x), 2)), 2).flatten(1))  # type: ignore[no-any-return]


class TwoBranches(nn.Module):
    """Two arguments of different width."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(5, 4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.left(x) + self.right(y)  # type: ignore[no-any-return]


class Backwards(nn.Module):
    """Layers registered in another order than they are used in."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.first = nn.Linear(16, 2), nn.Linear(4, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.first(x))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A recurrent layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(7, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])  # type: ignore[no-any-return]


class Language(nn.Module):
    """Positions are registered before tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.tokens = nn.Embedding(16, 8), nn.Embedding(100, 8)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))  # type: ignore[no-any-return]


@dataclasses.dataclass
class Config:
    """As those of Hugging Face."""

    vocab_size: int = 30
    is_encoder_decoder: bool = False


class HuggingLike(nn.Module):
    """All arguments are optional, and some are needed."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        self.config = Config(is_encoder_decoder=both)
        self.shared = nn.Embedding(30, 4)

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, decoder_input_ids: Any = None
    ) -> dict[str, torch.Tensor]:
        if input_ids is None or (self.config.is_encoder_decoder and decoder_input_ids is None):
            raise ValueError("You have to specify input_ids")
        return {"logits": self.shared(input_ids)}


class NoArguments(nn.Module):
    """A function of its parameters alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self) -> torch.Tensor:
        return self.weight.sum()


class Bare(nn.Module):
    """A parameter without a layer around it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


FOUND = {
    "linear": (lambda: nn.Linear(4, 2), "2x4"),
    "sequential": (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU()), "2x4"),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3), "2x3x32"),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), "2x3x32x32"),
    "conv3d": (lambda: nn.Conv3d(1, 2, 3), "2x1x16x16x16"),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3), "2x2x32x32"),
    "lenet": (Lenet, "2x1x28x28"),
    "two branches": (TwoBranches, "2x3; 2x5"),
    "backwards": (Backwards, "2x4"),
    "recurrent": (Recurrent, "2x8x7"),
    "gru cell": (lambda: nn.GRUCell(4, 5), "2x4"),
    "tokens": (Language, "int64:2x8<16"),
    "bag": (lambda: nn.EmbeddingBag(10, 3), "int64:2x8<10"),
    "attention": (lambda: nn.MultiheadAttention(8, 2), "2x8x8; 2x8x8; 2x8x8"),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2), "2x8x8"),
    "decoder": (lambda: nn.TransformerDecoderLayer(8, 2), "2x8x8; 2x8x8"),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1), "2x8x8; 2x8x8"),
    "batch norm 1d": (lambda: nn.BatchNorm1d(4), "2x4"),
    "batch norm 2d": (lambda: nn.BatchNorm2d(4), "2x4x8x8"),
    "group norm": (lambda: nn.GroupNorm(2, 4), "2x4x8x8"),
    "layer norm": (lambda: nn.LayerNorm(5), "2x8x5"),
    "bilinear": (lambda: nn.Bilinear(3, 4, 5), "2x3; 2x4"),
    "hugging": (lambda: HuggingLike(both=False), "input_ids=int64:2x8<30"),
    "hugging both": (
        lambda: HuggingLike(both=True),
        "input_ids=int64:2x8<30; decoder_input_ids=int64:2x8<30",
    ),
    "no arguments": (NoArguments, "no arguments"),
    "bare": (Bare, "2x5"),
    "no layers": (nn.ReLU, "2x4"),
    "lazy": (lambda: nn.LazyLinear(3), "2x4"),
    "parametrised": (lambda: parametrizations.weight_norm(nn.Linear(4, 2)), "2x4"),
    "flattened": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 62 * 62, 2)),
        "2x3x64x64",
    ),
}


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


def test_a_function_reference_is_told_from_a_shape() -> None:
    assert is_function_reference("a/b c.py:batch") == ("a/b c.py", "batch")
    assert is_function_reference("C:/x.py:f") == ("C:/x.py", "f")
    for text in ("int64:4x16", "file.py", "file.txt:f", "file.py:", "file.py:1"):
        assert is_function_reference(text) is None
