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


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Puts back afterwards the random state of Python, NumPy (where it is imported) and torch."""
    python = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    array_state = numpy.random.get_state() if numpy is not None else None
    torch_state = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(array_state)
        torch.set_rng_state(torch_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def kept_settings() -> Iterator[None]:
    """Puts back afterwards what a person's code can set for all of torch in this thread or process."""
    dtype, gradients, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn = _warns_only()
    device = torch.get_default_device()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if (torch.are_deterministic_algorithms_enabled(), _warns_only()) != (strict, warn):
            # Only then: it imports a second's worth of PyTorch.
            torch.use_deterministic_algorithms(strict, warn_only=warn)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)


def _warns_only() -> bool:
    return torch.is_deterministic_algorithms_warn_only_enabled()


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


class Held(NamedTuple):
    """A buffer as it was.

    Attributes:
        buffer: The very object; None where the buffer is None.
        alias: Its memory and sizes, whatever becomes of the object; None where there are no elements to keep.
        copy: Its elements; None with `alias`.
    """

    buffer: torch.Tensor | None
    alias: torch.Tensor | None
    copy: torch.Tensor | None


class _Module(NamedTuple):
    """A module as it was.

    Attributes:
        module: The module.
        training: Its mode.
        buffers: Its buffers by name; empty for a scripted module, which has no table of its own.
        not_saved: Names of the buffers that a state dict leaves out.
    """

    module: nn.Module
    training: bool
    buffers: dict[str, torch.Tensor | None]
    not_saved: frozenset[str]


def held(buffer: torch.Tensor) -> Held:
    """A tensor with a copy of what it holds now."""
    if is_lazy(buffer) or buffer.device.type == "meta":
        return Held(buffer, None, None)
    with torch.no_grad():
        alias = buffer.detach()
        return Held(buffer, alias, alias.clone())


def _buffers(module: nn.Module) -> list[tuple[str, torch.Tensor | None]]:
    return list(vars(module).get("_buffers", {}).items())


def _tabled(module: nn.Module) -> bool:
    """Whether its buffers stand in a dict, as they do unless it is scripted."""
    return isinstance(vars(module).get("_buffers"), dict)


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Puts back afterwards, also after a failure: random state, the modes of modules, and buffers.

    A buffer is the same object with the same elements as before; one that was added or deleted meanwhile is
    gone or back. Where the object cannot take its elements back, one that equals it stands in its place. A
    buffer that had no shape before the pass keeps the one that it got. Parameters are not touched.
    """
    modules = [
        _Module(
            module,
            module.training,
            dict(_buffers(module)) if _tabled(module) else {},
            frozenset(vars(module).get("_non_persistent_buffers_set", ())),
        )
        for module in modules_of(model)
    ]
    copies: dict[int, Held] = {}
    for module in modules:
        for _, buffer in _buffers(module.module):
            if buffer is not None and id(buffer) not in copies:
                copies[id(buffer)] = held(buffer)
    try:
        with kept_random_state():
            yield
    finally:
        restored = {key: put_back(kept) for key, kept in copies.items()}
        for module in modules:
            _put_back_module(module, restored)


def _put_back_module(was: _Module, restored: dict[int, torch.Tensor]) -> None:
    module = was.module
    if module.training != was.training:
        module.training = was.training
    if not _tabled(module):
        return
    entries = vars(module)
    table: dict[str, torch.Tensor | None] = {}
    for name, buffer in was.buffers.items():
        # What took the name of a deleted buffer would hide it.
        entries.pop(name, None)
        entries.get("_parameters", {}).pop(name, None)
        table[name] = None if buffer is None else restored[id(buffer)]
    now: dict[str, torch.Tensor | None] = entries["_buffers"]
    if list(now) != list(table) or any(now[name] is not table[name] for name in table):
        now.clear()
        now.update(table)
    not_saved = entries.get("_non_persistent_buffers_set")
    if not_saved is not None and not_saved != was.not_saved:
        not_saved.clear()
        not_saved.update(was.not_saved)


def put_back(kept: Held) -> torch.Tensor:
    """The tensor with the elements that it had; a copy where it cannot take them."""
    buffer, alias, copy = kept
    if buffer is None or alias is None or copy is None:
        return buffer  # type: ignore[return-value]
    try:
        with torch.inference_mode(buffer.is_inference()), torch.no_grad():
            if copy.layout == torch.strided and not copy.is_nested:
                if not _equal(alias, copy):
                    # Only then: writing into a buffer would invalidate a graph of the caller's that saved it.
                    # The count of changes, `_version`, cannot tell: batch normalisation does not raise it.
                    alias.copy_(copy)
                if not same_place(buffer, alias):
                    buffer.data = alias
            elif not _equal_parts(buffer, copy):
                buffer.copy_(copy)
    except (RuntimeError, NotImplementedError, TypeError):
        return copy
    return buffer


def same_place(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same elements of the same memory."""
    if one.dtype != other.dtype or one.shape != other.shape or one.stride() != other.stride():
        return False
    try:
        return one.data_ptr() == other.data_ptr()
    except (RuntimeError, NotImplementedError):  # a wrapper without memory of its own
        return True


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    try:
        # Compared as bytes where there are NaNs, which equal nothing.
        return torch.equal(one, other) or _equal_bytes(one, other)
    except (RuntimeError, NotImplementedError):  # not of every type
        return False


def _equal_bytes(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.is_complex():
        one, other = torch.view_as_real(one.resolve_conj()), torch.view_as_real(other.resolve_conj())
    if not one.is_floating_point() or not one.isnan().any():
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def _equal_parts(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors without strides, sparse or nested, hold the same."""
    if one.is_nested:
        parts, others = one.unbind(), other.unbind()
        return len(parts) == len(others) and all(map(_equal, parts, others))
    if one.shape != other.shape or one.layout != other.layout:
        return False
    if one.layout == torch.sparse_coo:
        if not (one.is_coalesced() and other.is_coalesced()):
            return False
        return _equal(one.indices(), other.indices()) and _equal(one.values(), other.values())
    rows = one.layout in (torch.sparse_csr, torch.sparse_bsr)
    names = ("values", "crow_indices", "col_indices") if rows else ("values", "ccol_indices", "row_indices")
    return all(_equal(getattr(one, name)(), getattr(other, name)()) for name in names)
