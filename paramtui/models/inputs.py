"""What a model is run with: from a specification, from a function's result, or found out by trying."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from paramtui.core.input_spec import TensorSpec, spec_text
from paramtui.errors import InputsError, RunStoppedError, ValuesError
from paramtui.models.input_candidates import Candidate, candidates, learned
from paramtui.models.state_guard import modules_of
from paramtui.models.user_code import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

MAX_TRIALS: Final = 60
MAX_TOLD: Final = 12
MAX_NESTING: Final = 20
HINT: Final = "--inputs SPEC, or a function example_inputs() beside the factory"


class Inputs(NamedTuple):
    """Arguments of a forward pass.

    Attributes:
        args: By position.
        kwargs: By name.
        words: What they are and where from, for a person.
    """

    args: tuple[object, ...]
    kwargs: dict[str, object]
    words: str


def _place(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and floating type of the model's first parameters or buffers."""
    device: torch.device | None = None
    for module in modules_of(model):
        for table in ("_parameters", "_buffers"):
            for tensor in vars(module).get(table, {}).values():
                if tensor is None:
                    continue
                device = device or tensor.device
                small = tensor.is_floating_point() and tensor.dtype.itemsize == 1
                if (tensor.is_floating_point() or tensor.is_complex()) and not small:
                    return tensor.device, tensor.dtype
    return device or torch.device("cpu"), torch.get_default_dtype()


def make_inputs(specs: Sequence[TensorSpec], model: nn.Module) -> Inputs:
    """Random tensors as specified, on the model's device and, where no type is named, of its type.

    Raises:
        ValuesError: There is no memory for them.
    """
    device, default = _place(model)
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for spec in specs:
        dtype: torch.dtype = getattr(torch, spec.dtype) if spec.dtype else default
        try:
            tensor = _random(spec, dtype, device)
        except (RuntimeError, MemoryError) as error:
            words = str(error).splitlines()[0][:200] if str(error) else "there is not enough memory"
            raise ValuesError(f"inputs {spec_text([spec])} cannot be made: {words}") from None
        if spec.name is None:
            args.append(tensor)
        else:
            kwargs[spec.name] = tensor
    return Inputs(tuple(args), kwargs, spec_text(specs))


def _random(spec: TensorSpec, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if dtype == torch.bool:
        return torch.randint(0, 2, spec.shape).bool().to(device)
    if spec.high is not None:
        return torch.randint(0, spec.high, spec.shape).to(dtype).to(device)
    if dtype.is_complex or dtype.itemsize >= 4:
        # On the CPU, so that every device gets the same numbers.
        return torch.randn(spec.shape, dtype=dtype).to(device)
    return torch.randn(spec.shape).to(dtype).to(device)


def as_inputs(value: object, model: nn.Module, words: str) -> Inputs:
    """The arguments that a function gave.

    Args:
        value: A tuple or list of arguments by position, a mapping of arguments by name, or one argument.
        model: Tensors are moved to its device.
        words: Where they came from.
    """
    device, _ = _place(model)
    moved = _moved(value, device, 0)
    if isinstance(moved, Mapping):
        return Inputs((), {str(name): item for name, item in moved.items()}, words)
    if isinstance(moved, tuple | list):
        return Inputs(tuple(moved), {}, words)
    return Inputs((moved,), {}, words)


def _moved(value: Any, device: torch.device, depth: int) -> Any:  # noqa: ANN401  whatever a model takes
    """The same nest with its tensors on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if depth > MAX_NESTING:
        return value
    if isinstance(value, Mapping):
        return {key: _moved(item, device, depth + 1) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(item, device, depth + 1) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(_moved(item, device, depth + 1) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _moved(getattr(value, field.name), device, depth + 1)
            for field in dataclasses.fields(value)
            if field.init
        }
        return dataclasses.replace(value, **fields)
    return value


def derive_inputs(model: nn.Module, run: Callable[[Inputs], None]) -> Inputs:
    """The first of the inputs that its layers and its signature suggest which the model takes.

    Args:
        model: What is to be run.
        run: Runs it forward; raises what the model raises.

    Raises:
        InputsError: It takes none of them.
        RunStoppedError: A person stopped it.
    """
    waiting = list(candidates(model))
    seen: set[tuple[TensorSpec, ...]] = set()
    tried: list[tuple[str, str]] = []
    while waiting and len(seen) < MAX_TRIALS:
        candidate = waiting.pop(0)
        if candidate.specs in seen:
            continue
        seen.add(candidate.specs)
        try:
            inputs = make_inputs(candidate.specs, model)
            run(inputs)
        except KeyboardInterrupt:
            raise RunStoppedError("trying inputs was stopped") from None
        except Exception as error:  # noqa: BLE001  whatever a model raises on inputs that it does not take
            words = " ".join(str(error).split())
            told = words[:200] or _nameless(error)
            tried.append((spec_text(candidate.specs) or "no arguments", told))
            waiting[:0] = learned(candidate, words)
        else:
            shown = spec_text(candidate.specs) or "no arguments"
            return Inputs(inputs.args, inputs.kwargs, f"{shown} ({_from(candidate)})")
    known = f"no inputs are known for {_signature_text(model)}"
    what = f"{known}, and none of those tried fits" if tried else f"{known}, and its layers suggest none"
    raise InputsError(what, hint=HINT, tried=tried[:MAX_TOLD])


def _nameless(error: Exception) -> str:
    """An exception without a text: its type, and where it was raised."""
    found = described("", error)
    return f"{type(error).__name__}{f' at {found.where}' if found.where else ''}"


def _signature_text(model: nn.Module) -> str:
    """``forward(x, mask=None)``."""
    try:
        names = [
            entry.name if entry.default is entry.empty else f"{entry.name}=…"
            for entry in inspect.signature(model.forward).parameters.values()
        ]
    except (TypeError, ValueError):
        return "this model"
    return f"forward({', '.join(names)[:200]})"


def _from(candidate: Candidate) -> str:
    return f"derived from {candidate.why}"
