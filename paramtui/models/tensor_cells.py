"""Reads windows of live tensors, whatever their layout, type and device."""

from __future__ import annotations

from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn.parameter import is_lazy

from paramtui.core.dtypes import DTYPES
from paramtui.core.geometry import Extra, Geometry
from paramtui.core.readable import readable as core_readable
from paramtui.core.source import Window
from paramtui.errors import ValuesError
from paramtui.models.tensor_listing import NO_NUMBERS, NO_SHAPE, SPARSE_PARTS, dtype_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

MAX_CELLS: Final = 1 << 24


def read_window(tensor_id: int, tensor: torch.Tensor, picks: Sequence[Sequence[int]]) -> Window:
    """The cells of a tensor at the crossings of `picks`, one sequence of indices per dimension.

    Raises:
        ValuesError: It has no numbers, or they cannot be read; the message says why.
    """
    with readable():
        return _window(tensor_id, tensor, tuple(picks))


@contextmanager
def readable() -> Iterator[None]:
    """Stands around the reading of numbers.

    Raises:
        ValuesError: They cannot be read; the message says why.
    """
    # A subclass can refuse anything.
    with core_readable((Exception,)), torch.no_grad():
        yield


def _window(tensor_id: int, tensor: torch.Tensor, picks: tuple[Sequence[int], ...]) -> Window:
    if is_lazy(tensor):
        raise ValuesError(NO_SHAPE)
    if tensor.device.type == "meta":
        raise ValuesError(NO_NUMBERS)
    tensor = tensor.detach()
    if len(picks) != tensor.dim():
        raise ValuesError(f"{len(picks)} picks for {tensor.dim()} dimensions")
    if tensor.is_nested:
        parts = tensor.unbind()
        return Window(tensor_id, picks, None, [numbers(parts[row]) for row in picks[0]])
    count = prod(len(pick) for pick in picks)
    if count > MAX_CELLS:
        raise ValuesError(f"{count:,} cells are too many for one window", hint="ask for a slice")
    if tensor.layout in SPARSE_PARTS:
        return Window(tensor_id, picks, _sparse(tensor, picks))
    try:
        found = unwrapped(pick_cells(tensor, picks)).cpu()
    except (NotImplementedError, RuntimeError, TypeError):
        # Some subclasses cannot be sliced: as a whole they may still say what they stand for.
        if type(tensor) is torch.Tensor or tensor.numel() > MAX_CELLS:
            raise
        found = pick_cells(unwrapped(tensor).cpu(), picks)
    return Window(tensor_id, picks, numbers(found))


def pick_cells(tensor: torch.Tensor, picks: Sequence[Sequence[int]]) -> torch.Tensor:
    """The sub-tensor at the crossings of `picks`."""
    for dim, pick in enumerate(picks):
        if isinstance(pick, range) and pick.step > 0:
            # An empty range may begin anywhere.
            first, last = (pick.start, pick[-1] + 1) if len(pick) else (0, 0)
            tensor = tensor[(slice(None),) * dim + (slice(first, last, pick.step),)]
    for dim, pick in enumerate(picks):
        if not (isinstance(pick, range) and pick.step > 0):
            tensor = tensor[
                (slice(None),) * dim + (torch.tensor(list(pick), dtype=torch.long, device=tensor.device),)
            ]
    return tensor


def unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    """A strided tensor without a subclass around it, on the device where it lies."""
    if tensor.is_quantized:
        return tensor.dequantize()
    for way in ("full_tensor", "to_local", "dequantize"):
        # Distributed and quantised subclasses know what they stand for.
        if type(tensor) is not torch.Tensor and hasattr(tensor, way) and _is_wrapper(tensor):
            tensor = getattr(tensor, way)()
    if type(tensor) is not torch.Tensor:
        tensor = tensor.as_subclass(torch.Tensor)
    return tensor


def _is_wrapper(tensor: torch.Tensor) -> bool:
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    return is_traceable_wrapper_subclass(tensor)


def numbers(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A tensor's elements as NumPy has them; see `Window.values` for types."""
    import numpy as np

    from paramtui.core.decoding import decode

    dtype = dtype_name(tensor)
    if dtype not in DTYPES or DTYPES[dtype].bits < 8:
        raise ValuesError(f"its dtype {dtype} is not known here: its numbers cannot be shown")
    # A copy: the tensor may change while the numbers are looked at, and its strides can be odd.
    tensor = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
    shape = tuple(tensor.shape)
    size = tensor.element_size()
    if tensor.numel() == 0:
        raw: npt.NDArray[Any] = np.zeros((*shape, size), np.uint8)
    else:
        raw = tensor.reshape(-1).view(torch.uint8).numpy().reshape(*shape, size)
    return decode(raw, dtype)


def _sparse(tensor: torch.Tensor, picks: Sequence[Sequence[int]]) -> npt.NDArray[Any]:
    from paramtui.core.sparse import sparse_window

    extra = Extra()
    extra.layout = str(tensor.layout).removeprefix("torch.")
    held = [getattr(tensor, name)() for name in SPARSE_PARTS[tensor.layout]]
    for place, (name, part) in enumerate(zip(SPARSE_PARTS[tensor.layout], held, strict=True)):
        where = Geometry(place, 0, dtype_name(part), tuple(part.shape), tuple(part.stride()))
        extra.parts[name.removeprefix("_")] = where
    return sparse_window(extra, tuple(tensor.shape), picks, lambda part: numbers(held[part.location]))
