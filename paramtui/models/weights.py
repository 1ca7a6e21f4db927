"""Copies tensors of a checkpoint into a live model, in place and in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch.nn.parameter import is_lazy

from paramtui.core.dtypes import DTYPES
from paramtui.core.geometry import contiguous_stride
from paramtui.core.key_matching import Entry
from paramtui.errors import ParamtuiError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn

    from paramtui.checkpoints.source import CheckpointSource

# Bytes held at a time beside the model.
PIECE: Final = 64 << 20
ON_META: Final = "the model is on the meta device: names and shapes were compared, no numbers loaded"


class _Place(NamedTuple):
    """One entry of the state dict."""

    name: str
    tensor: torch.Tensor


def _places(model: nn.Module) -> Iterator[_Place]:
    """The state dict in its order, by a walk that survives a module that holds itself."""
    stack: list[tuple[nn.Module, str, tuple[int, ...]]] = [(model, "", ())]
    while stack:
        module, prefix, around = stack.pop()
        held = vars(module)
        for name, parameter in held.get("_parameters", {}).items():
            if parameter is not None:
                yield _Place(prefix + name, parameter)
        transient = held.get("_non_persistent_buffers_set", set())
        for name, buffer in held.get("_buffers", {}).items():
            if buffer is not None and name not in transient:
                yield _Place(prefix + name, buffer)
        inside = (*around, id(module))
        children = [
            (child, f"{prefix}{name}.", inside)
            for name, child in held.get("_modules", {}).items()
            if child is not None and id(child) not in inside
        ]
        stack.extend(reversed(children))


def state_entries(model: nn.Module) -> list[Entry]:
    """Names, shapes and types of a model's state dict, in its order."""
    return [
        Entry(
            name,
            None if is_lazy(tensor) else tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
        )
        for name, tensor in _places(model)
    ]


def aliases(model: nn.Module) -> dict[str, str]:
    """Of each name that is the same tensor, or all of the same memory, as an earlier one: that one."""
    first: dict[object, str] = {}
    out: dict[str, str] = {}
    for name, tensor in _places(model):
        key: object = id(tensor)
        if not is_lazy(tensor) and tensor.layout == torch.strided and tensor.device.type != "meta":
            try:
                start = tensor.data_ptr()
            except RuntimeError:  # a wrapper has no memory of its own
                start = 0
            if start and tensor.numel():
                key = (str(tensor.device), start, tuple(tensor.shape), tensor.stride(), tensor.dtype)
        other = first.setdefault(key, name)
        if other != name:
            out[name] = other
    return out


def load_weights(
    model: nn.Module,
    source: CheckpointSource,
    pairs: Sequence[tuple[str, int]],
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Copies tensors into the parameters and buffers of a model; ties, types and devices stay.

    Args:
        model: What to load into.
        source: The checkpoint.
        pairs: Name in the model's state dict, and id in the checkpoint, of equal shapes.
        progress: Is told how many of how many tensors are loaded.

    Returns:
        What else a person should know.

    Raises:
        ValuesError: A tensor cannot be read or does not fit; what was copied before stays.
    """
    places = {place.name: place.tensor for place in _places(model)}
    notes: list[str] = []
    for done, (name, tensor) in enumerate(pairs):
        if progress is not None:
            progress(done, len(pairs))
        target = places[name]
        if target.device.type == "meta":
            notes = [ON_META]
            continue
        try:
            with torch.no_grad():
                _copy(target, source, tensor)
        except ParamtuiError as error:
            before = f"; {done:,} of {len(pairs):,} were loaded before" if done else ""
            raise ValuesError(f"{error.what}{before}", where=name, hint=error.hint) from None
        except (RuntimeError, NotImplementedError, TypeError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValuesError(f"cannot be loaded: {words[:200]}", where=name) from None
    return notes


def _copy(target: torch.Tensor, source: CheckpointSource, tensor: int) -> None:
    listing = source.listing
    problem = listing.problem(tensor)
    if problem:
        raise ValuesError(problem)
    shape = tuple(size or 0 for size in listing.shape[tensor])
    if is_lazy(target):
        target.materialize(shape)
    target = target.detach()
    name = listing.dtype[tensor]
    dtype = getattr(torch, name, None)
    plain = (
        listing.extras.get(tensor) is None
        and listing.stride[tensor] == contiguous_stride(shape)
        and isinstance(dtype, torch.dtype)
        and DTYPES[name].bits >= 8
        and not source.big_endian(listing.location[tensor])
        and target.is_contiguous()
    )
    if plain and isinstance(dtype, torch.dtype):
        _copy_bytes(target, source, tensor, dtype)
    else:
        _copy_windows(target, source, tensor, shape)


def _copy_bytes(target: torch.Tensor, source: CheckpointSource, tensor: int, dtype: torch.dtype) -> None:
    """Elements as they lie in the file, a piece at a time."""
    listing = source.listing
    flat = target.view(-1)
    step = max(PIECE // dtype.itemsize, 1)
    for first in range(0, flat.numel(), step):
        count = min(step, flat.numel() - first)
        begin = listing.begin[tensor] + first * dtype.itemsize
        raw = bytearray(source.read(listing.location[tensor], begin, count * dtype.itemsize))
        flat[first : first + count].copy_(torch.frombuffer(raw, dtype=torch.uint8).view(dtype))


def _copy_windows(
    target: torch.Tensor, source: CheckpointSource, tensor: int, shape: tuple[int, ...]
) -> None:
    """Elements of any layout, some rows at a time."""
    rows = max(PIECE // max(target[0].numel() * 8, 1), 1) if shape and shape[0] else 1
    for first in range(0, shape[0] if shape else 1, rows):
        chosen = [range(size) for size in shape]
        if shape:
            chosen[0] = range(first, min(first + rows, shape[0]))
        values = source.read_window(tensor, chosen).values
        if values is None:
            raise ValuesError("a ragged tensor cannot be loaded")
        part = torch.from_numpy(values.copy())
        (target[first : first + rows] if shape else target).copy_(part.reshape(-1)[0] if not shape else part)
