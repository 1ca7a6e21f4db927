"""Keeps what a pass through a model changes besides gradients: random state, buffers, modes."""

from __future__ import annotations

import random
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.parameter import is_lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def seed_all(seed: int) -> None:
    """Seeds Python, NumPy (where it is imported) and torch on all devices."""
    random.seed(seed)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % (1 << 32))
    torch.manual_seed(seed)


def modules_of(model: nn.Module) -> list[nn.Module]:
    """Every module once, whatever they point to."""
    found = [model]
    seen = {id(model)}
    for module in found:
        for child in vars(module).get("_modules", {}).values():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                found.append(child)
    return found


class _Held(NamedTuple):
    """A buffer as it was.

    Attributes:
        buffer: The very object; None where the buffer is None.
        copy: Its elements; None where there are none to keep.
    """

    buffer: torch.Tensor | None
    copy: torch.Tensor | None


def _held(buffer: torch.Tensor | None) -> _Held:
    if buffer is None or is_lazy(buffer) or buffer.device.type == "meta":
        return _Held(buffer, None)
    with torch.no_grad():
        return _Held(buffer, buffer.detach().clone())


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Puts back afterwards, also after a failure: random state, the modes of modules, and buffers.

    A buffer is the same object with the same elements as before; one that was added or deleted meanwhile is
    gone or back. Parameters are not touched.
    """
    python = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    array_state = numpy.random.get_state() if numpy is not None else None
    torch_state = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    modules = modules_of(model)
    modes = [module.training for module in modules]
    copies: dict[int, _Held] = {}
    kept: list[dict[str, _Held]] = []
    for module in modules:
        held: dict[str, _Held] = {}
        for name, buffer in vars(module).get("_buffers", {}).items():
            if id(buffer) not in copies:
                copies[id(buffer)] = _held(buffer)
            held[name] = copies[id(buffer)]
        kept.append(held)
    try:
        yield
    finally:
        for module, mode, held in zip(modules, modes, kept, strict=True):
            module.training = mode
            buffers = vars(module).get("_buffers")
            if buffers is not None:
                for name in [name for name in buffers if name not in held]:
                    del buffers[name]
                for name, (buffer, _) in held.items():
                    # A buffer that had no shape has one now: that cannot be taken back.
                    if buffer is None or not is_lazy(buffer):
                        buffers[name] = buffer
        for held_once in copies.values():
            _restore(held_once)
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(array_state)
        torch.set_rng_state(torch_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def _restore(held: _Held) -> None:
    buffer, copy = held
    if buffer is None or copy is None:
        return
    with torch.inference_mode(buffer.is_inference()), torch.no_grad():
        now = buffer.detach()
        if now.shape != copy.shape:
            now.set_(copy.untyped_storage(), copy.storage_offset(), copy.shape, copy.stride())
        elif not _equal(now, copy):
            # Only then: writing into a buffer would invalidate a graph of the caller's that has saved it.
            # The count of changes, `_version`, cannot tell: batch normalisation does not raise it.
            now.copy_(copy)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    try:
        return torch.equal(one, other)
    except (RuntimeError, NotImplementedError):  # not of every type and layout
        return False
