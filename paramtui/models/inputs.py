"""What a model is run with: from a specification, from a function's result, or found out by trying."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence

from paramtui.core.input_spec import TensorSpec, spec_text
from paramtui.errors import InputsError, RunStoppedError, ValuesError
from paramtui.models.input_candidates import Candidate, candidates
from paramtui.models.input_refusals import learned
from paramtui.models.state_guard import modules_of
from paramtui.models.user_code import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

MAX_TRIALS: Final = 40
MAX_TOLD: Final = 12
MAX_NESTING: Final = 20
MAX_MESSAGE: Final = 4000
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
        ValuesError: There is no memory for them, or their type is too small for their bound.
    """
    device, default = _place(model)
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for spec in specs:
        dtype: torch.dtype = getattr(torch, spec.dtype) if spec.dtype else default
        if spec.high is not None and spec.high - 1 > torch.iinfo(dtype).max:
            largest = torch.iinfo(dtype).max
            raise ValuesError(
                f"inputs {spec_text([spec])} cannot be made: {spec.dtype} holds no number above {largest}",
                hint=f"the bound can be up to {largest + 1}",
            )
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
        value: A tuple or list of arguments by position, a mapping of arguments by name, or one argument. Both
            kinds together are ``((x, y), {"mask": mask})``, a tuple and a dict of names that forward has.
        model: Tensors are moved to its device.
        words: Where they came from.
    """
    device, _ = _place(model)
    moved = _moved(value, device, 0)
    if isinstance(moved, Mapping):
        return Inputs((), {str(name): item for name, item in moved.items()}, words)
    if isinstance(moved, PackedSequence) or not isinstance(moved, tuple | list):
        return Inputs((moved,), {}, words)
    if len(moved) == 2 and type(moved[0]) is tuple and type(moved[1]) is dict and moved[1]:
        args, kwargs = moved
        if kwargs.keys() <= _names(model):
            return Inputs(args, kwargs, words)
    return Inputs(tuple(moved), {}, words)


def _names(model: nn.Module) -> set[object]:
    """What forward calls its arguments."""
    try:
        return set(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        return set()


def _moved(value: Any, device: torch.device, depth: int) -> Any:  # noqa: ANN401  whatever a model takes
    """The same nest with its tensors on a device; the very object where nothing in it moves."""
    if isinstance(value, torch.Tensor | PackedSequence):
        return value.to(device)  # type: ignore[arg-type]  # its stubs know dtypes only
    if depth > MAX_NESTING:
        return value
    if isinstance(value, Mapping):
        entries = {key: _moved(item, device, depth + 1) for key, item in value.items()}
        return value if all(entries[key] is item for key, item in value.items()) else entries
    if isinstance(value, tuple | list):
        items = [_moved(item, device, depth + 1) for item in value]
        if all(map(operator.is_, items, value)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        changed = {name: _moved(item, device, depth + 1) for name, item in fields.items()}
        if all(map(operator.is_, changed.values(), fields.values())):
            return value
        # Not by its constructor, which can ask for more or do more than hold the fields.
        twin = copy.copy(value)
        for name, item in changed.items():
            object.__setattr__(twin, name, item)
        return twin
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
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a model raises on what does not fit
            words = _text(error)
            told = words[:200] or _nameless(error)
            tried.append((spec_text(candidate.specs) or "no arguments", told))
            waiting[:0] = learned(candidate, words)
        else:
            shown = spec_text(candidate.specs) or "no arguments"
            return Inputs(inputs.args, inputs.kwargs, f"{shown} ({_from(candidate)})")
    known = f"no inputs are known for {_signature_text(model)}"
    what = f"{known}, and none of those tried fits" if tried else f"{known}, and its layers suggest none"
    raise InputsError(what, hint=HINT, tried=tried[:MAX_TOLD])


def _text(error: BaseException) -> str:
    try:
        return " ".join(str(error)[:MAX_MESSAGE].split())
    except Exception:  # noqa: BLE001  an exception's own text can fail
        return ""


def _nameless(error: BaseException) -> str:
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
