"""The same edits made by torch itself, on the tensors that it loads."""

from __future__ import annotations

import operator
import random
from typing import Any

import torch
from torch import nn

from paramtui.core.edits import ApplyFunction, Call, Edit, Initialise, SetCells, Step
from tests.editing.checkpoints import Tensors, bits, network

IN_PLACE = {"*=": operator.imul, "/=": operator.itruediv, "+=": operator.iadd, "-=": operator.isub}


class _Index:
    def __getitem__(self, index: Any) -> Any:
        return index


def index_of(cells: str) -> Any:
    """What Python makes of an index expression."""
    return eval(f"index[{cells or '...'}]", {"index": _Index()})


def make(tensors: Tensors, edit: Edit) -> None:
    """Makes an edit with torch."""
    if isinstance(edit, SetCells):
        tensor, index = tensors[edit.tensor], index_of(edit.cells)
        if edit.operator == "=":
            tensor[index] = edit.number  # type: ignore[assignment]
        else:
            tensor[index] = IN_PLACE[edit.operator](tensor[index], edit.number)
    elif isinstance(edit, Initialise):
        torch.manual_seed(edit.seed)
        for step in edit.steps:
            getattr(nn.init, step.call.name)(tensors[step.tensor], **dict(step.call.arguments))
    else:
        assert isinstance(edit, ApplyFunction)
        layer = over(tensors, edit.block)
        torch.manual_seed(edit.seed)
        layer.apply(_reset)


def _reset(layer: nn.Module) -> None:
    own: Any = getattr(layer, "reset_parameters", None)
    if own is not None:
        own()


def over(tensors: Tensors, block: str) -> nn.Module:
    """The network, or a layer of it, with its parameters and buffers being the tensors themselves."""
    net = network()
    prefix = "model." if any(name.startswith("model.") for name in tensors) else ""
    whole = block in ("", "model")
    layer = net if whole else net.get_submodule(block.removeprefix("model."))
    at = prefix if whole else f"{block}."
    for path, inner in layer.named_modules():
        for table in (inner._parameters, inner._buffers):
            for name, old in list(table.items()):
                full = f"{at}{path}.{name}" if path else f"{at}{name}"
                if old is not None:
                    held = tensors[full]
                    table[name] = (
                        nn.Parameter(held, requires_grad=False) if table is inner._parameters else held
                    )
    return layer


def agree(mine: torch.Tensor, other: bytes) -> bool:
    """Whether bytes are those of a tensor; which NaN it is depends on the processor: these are taken over."""
    if bits(mine) == other:
        return True
    if not (mine.is_floating_point() or mine.is_complex()):
        return False
    theirs = torch.frombuffer(bytearray(other), dtype=torch.uint8).view(mine.dtype).reshape(mine.shape)
    parts = [(mine, theirs)]
    if mine.is_complex():
        parts = [(torch.view_as_real(mine), torch.view_as_real(theirs))]
    for ours, given in parts:
        nan = ours.to(torch.float64).isnan()
        if not torch.equal(nan, given.to(torch.float64).isnan()):
            return False
        if bits(torch.where(nan, torch.zeros_like(ours), ours)) != bits(
            torch.where(nan, torch.zeros_like(given), given)
        ):
            return False
    mine.copy_(theirs)
    return bits(mine) == other


# Random edits


def random_index(draw: random.Random, shape: tuple[int, ...]) -> str:
    """An index expression that selects something."""
    if not shape or draw.random() < 0.08:
        return draw.choice(["...", ""])
    entries = [_entry(draw, size) for size in shape]
    kind = draw.random()
    if kind < 0.2:
        entries = entries[: draw.randint(1, len(entries))]
    elif kind < 0.35:
        entries = ["...", *entries[draw.randint(0, len(entries) - 1) :]]
    return draw.choice([", ", ","]).join(entries)


def _entry(draw: random.Random, size: int) -> str:
    kind = draw.random()
    if kind < 0.35:
        return str(draw.randint(-size, size - 1))
    if kind < 0.55:
        return ":"
    low, high = sorted((draw.randint(0, size), draw.randint(0, size)))
    if low == high:
        return str(draw.randint(0, size - 1))
    first = draw.choice([str(low), str(low - size) if low else "0"])
    last = draw.choice([str(high), "" if high == size else str(high)])
    step = draw.choice(["", "", ":2", ":3"])
    return f"{first}:{last}{step}"


def random_number(draw: random.Random, kind: torch.dtype, sign: str) -> Any:
    """A number that torch takes for a type and an operator, small enough to go on with."""
    if kind == torch.bool:
        return draw.choice([True, False])
    if kind.is_complex:
        # Exact factors: a product may else differ by a rounding, as torch's own kernels do.
        return (
            draw.choice([2, 0.5, -1, 1j, -2j]) if sign in ("*=", "/=") else draw.choice([1.5, 2 - 1j, 0.1j])
        )
    if not kind.is_floating_point:
        return draw.randint(0, 7) if kind in (torch.uint8, torch.uint16) else draw.randint(-7, 7)
    choices = [0.0, -0.0, 1, -3, 0.1, 2.5, True, draw.uniform(-2, 2)]
    if sign == "=" and kind != torch.float8_e4m3fn:
        choices += [float("nan"), float("inf"), -float("inf"), 1e-40 if kind == torch.float32 else 1.0]
    return draw.choice(choices)


def random_set(draw: random.Random, tensors: Tensors, names: list[str]) -> SetCells:
    name = draw.choice(names)
    tensor = tensors[name]
    sign = draw.choice(["=", "=", "*=", "/=", "+=", "-="])
    return SetCells(
        name, random_index(draw, tuple(tensor.shape)), sign, random_number(draw, tensor.dtype, sign)
    )


BUILT_IN: tuple[Call, ...] = (
    Call("normal_", (("mean", 0.5), ("std", 0.2))),
    Call("uniform_", (("a", -1.0), ("b", 2.0))),
    Call("trunc_normal_", (("std", 0.3),)),
    Call("constant_", (("val", 0.25),)),
    Call("zeros_"),
    Call("ones_"),
)
BUILT_IN_2D: tuple[Call, ...] = (
    Call("xavier_uniform_", (("gain", 1.5),)),
    Call("kaiming_normal_", (("mode", "fan_out"), ("nonlinearity", "relu"))),
    Call("sparse_", (("sparsity", 0.5),)),
    Call("eye_"),
)


def random_initialise(draw: random.Random, tensors: Tensors, names: list[str]) -> Initialise:
    wanted = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    floats = [name for name in names if tensors[name].dtype in wanted]
    steps = []
    for name in draw.sample(floats, draw.randint(1, 3)):
        calls = BUILT_IN
        if tensors[name].dim() == 2 and tensors[name].dtype == torch.float32:
            calls += (*BUILT_IN_2D, Call("orthogonal_"))
        steps.append(Step(name, draw.choice(calls)))
    return Initialise(tuple(steps), draw.randint(0, 1 << 40))


def random_reset(draw: random.Random, tensors: Tensors) -> ApplyFunction:
    prefix = "model." if any(name.startswith("model.") for name in tensors) else ""
    blocks = [f"{prefix}{name}" for name in ("fc1", "bn", "conv", "lm_head")]
    return ApplyFunction(draw.choice(blocks), Call("reset_parameters"), draw.randint(0, 1 << 40))


def random_edit(draw: random.Random, tensors: Tensors, names: list[str]) -> Edit:
    """An edit of any kind; most are of single numbers, which need no engine."""
    chance = draw.random()
    if chance < 0.9:
        return random_set(draw, tensors, names)
    return random_initialise(draw, tensors, names) if chance < 0.96 else random_reset(draw, tensors)
