"""Runs a model forward and backward, and measures what that leaves in ``.grad``."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Final

import torch

from paramtui.core.gradients import Figures
from paramtui.errors import UserCodeError, ValuesError
from paramtui.models.tensor_listing import SPARSE_PARTS
from paramtui.models.user_code import place_of, user_code

if TYPE_CHECKING:
    from torch import nn

    from paramtui.models.inputs import Inputs
    from paramtui.models.module_listing import ModuleListing

MAX_OUTPUTS: Final = 10_000
SUM_OF_OUTPUTS: Final = "sum of the outputs"
_HALVES: Final = (torch.float16, torch.bfloat16)

LossFunction = Callable[..., object]


def held_gradient(parameter: torch.Tensor) -> torch.Tensor | None:
    """``.grad`` of a tensor, which for one that is no leaf is None without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parameter.grad


def run_backward(
    model: nn.Module, inputs: Inputs, loss_function: LossFunction | None, loss_words: str, *, accumulate: bool
) -> tuple[float, str]:
    """One forward and one backward pass; gradients are those of before if it fails.

    Args:
        model: What to run, in the mode that it is in.
        inputs: What to run it with.
        loss_function: Called as ``loss(model, *args, **kwargs)``; None to sum the outputs.
        loss_words: What to call that function.
        accumulate: Add to the gradients that are there instead of replacing them.

    Returns:
        The loss, and where it came from in words.

    Raises:
        UserCodeError: The model's code or the loss function failed.
        ValuesError: There is nothing to differentiate.
        RunStoppedError: A person stopped it.
    """
    with torch.enable_grad():
        if loss_function is not None:
            with user_code(loss_words):
                result = loss_function(model, *inputs.args, **inputs.kwargs)
            loss, words = _checked(result, loss_function, loss_words)
        else:
            with user_code("the forward pass"):
                output = model(*inputs.args, **inputs.kwargs)
            loss, words = sum_of_outputs(output), SUM_OF_OUTPUTS
        _backward(model, loss, accumulate=accumulate)
    return float(loss.detach().item()), words


def _backward(model: nn.Module, loss: torch.Tensor, *, accumulate: bool) -> None:
    parameters = list(unique_parameters(model))
    before = [held_gradient(parameter) for parameter in parameters]
    done = False
    try:
        for parameter in parameters:
            parameter.grad = None
        with user_code("the backward pass"):
            loss.backward()  # type: ignore[no-untyped-call]
        if accumulate:
            for parameter, old in zip(parameters, before, strict=True):
                new = held_gradient(parameter)
                if old is not None:
                    parameter.grad = old if new is None else old + new
        done = True
    finally:
        if not done:
            for parameter, old in zip(parameters, before, strict=True):
                parameter.grad = old


def _checked(result: object, function: LossFunction, words: str) -> tuple[torch.Tensor, str]:
    where = place_of(function)
    if not isinstance(result, torch.Tensor):
        raise UserCodeError(
            f"{words} returned a {type(result).__name__}, not a tensor", where=where, hint="return the loss"
        )
    if not result.requires_grad:
        raise UserCodeError(
            f"{words} returned a tensor that does not depend on any parameter that requires a gradient",
            where=where,
        )
    if result.numel() == 1:
        return result.reshape(()), words
    return result.sum(), f"{words}, summed"


def sum_of_outputs(output: object) -> torch.Tensor:
    """The sum of all elements of all floating or complex tensors in an output that carry a gradient.

    Raises:
        ValuesError: There are none.
    """
    found = [tensor for tensor in tensors_in(output) if tensor.is_floating_point() or tensor.is_complex()]
    if not found:
        raise ValuesError(
            f"the forward pass returned no floating tensor but a {type(output).__name__}",
            hint="write a function loss(model, *inputs) beside the factory",
        )
    carrying = [tensor for tensor in found if tensor.requires_grad]
    if not carrying:
        raise ValuesError("no output depends on a parameter that requires a gradient")
    total: torch.Tensor | None = None
    for tensor in carrying:
        part = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        # The sum of many halves would overflow; its gradient is the same.
        part = (part.float() if part.dtype in _HALVES else part).sum()
        total = part if total is None else total + part.to(total.device)
    if total is None:  # pragma: no cover  there is at least one
        raise ValuesError("no output depends on a parameter that requires a gradient")
    return total


def tensors_in(value: object) -> list[torch.Tensor]:
    """All tensors in nested dicts, lists, tuples and dataclasses, each once, in order."""
    out: list[torch.Tensor] = []
    seen: set[int] = set()
    rest: list[object] = [value]
    while rest and len(out) < MAX_OUTPUTS:
        item = rest.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            out.append(item)
        elif isinstance(item, Mapping):
            rest.extend(reversed(list(item.values())))
        elif isinstance(item, list | tuple):
            rest.extend(reversed(item))
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            rest.extend(reversed([getattr(item, field.name, None) for field in dataclasses.fields(item)]))
    return out


def unique_parameters(model: nn.Module) -> list[torch.Tensor]:
    """All parameters of a model once, whatever its modules point to."""
    modules: list[nn.Module] = [model]
    seen_modules: set[int] = {id(model)}
    seen: set[int] = set()
    out: list[torch.Tensor] = []
    while modules:
        module = modules.pop()
        for parameter in vars(module).get("_parameters", {}).values():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                out.append(parameter)
        children = [child for child in vars(module).get("_modules", {}).values() if child is not None]
        for child in reversed(children):
            if id(child) not in seen_modules:
                seen_modules.add(id(child))
                modules.append(child)
    return out


def gradient_figures(listed: ModuleListing, owners: Mapping[int, int]) -> dict[int, Figures]:
    """Figures of every parameter's gradient, by tensor id; aliases have those of their owner."""
    out: dict[int, Figures] = {}
    for tensor, owner in owners.items():
        out[tensor] = out[owner] if owner != tensor else _figures(listed.tensors[tensor], owner)
    return out


def _figures(parameter: torch.Tensor, owner: int) -> Figures:
    wanted = bool(parameter.requires_grad)
    gradient = held_gradient(parameter)
    if gradient is None or gradient.device.type == "meta":
        return Figures(wanted, None, None, 0, 0, 0, 0, None, owner)
    with torch.no_grad():
        count = gradient.numel()
        values = _values(gradient)
        norm = _norm(values)
        largest = float(values.abs().max().item()) if values.numel() else 0.0
        nan = infinite = 0
        if not isfinite(norm):
            nan = int(torch.isnan(values).sum().item())
            infinite = int(torch.isinf(values).sum().item())
        zero = count - int(torch.count_nonzero(values).item())
        return Figures(wanted, norm, largest, nan, infinite, zero, count, _weight_norm(parameter), owner)


def _values(gradient: torch.Tensor) -> torch.Tensor:
    """The elements of a gradient that are stored, on its device; repeated ones added up."""
    gradient = gradient.detach()
    if hasattr(gradient, "full_tensor"):
        gradient = gradient.full_tensor()
    if gradient.is_nested:
        return gradient.values()
    if gradient.layout == torch.sparse_coo:
        return gradient.coalesce().values()
    return gradient.values() if gradient.layout in SPARSE_PARTS else gradient


def _norm(values: torch.Tensor) -> float:
    if not values.numel():
        return 0.0
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    # Not every device has float64.
    wide = torch.float32 if values.device.type == "mps" else torch.float64
    if values.dtype.itemsize == 1:
        values = values.to(torch.float32)
    return float(torch.linalg.vector_norm(values, dtype=wide).item())


def _weight_norm(parameter: torch.Tensor) -> float | None:
    try:
        return _norm(_values(parameter))
    except Exception:  # noqa: BLE001  a subclass can refuse anything; the gradient is shown without it
        return None
