"""Where the numbers of a live tensor lie, whatever its layout, and pieces of them in row-major order."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch.nn.parameter import is_lazy

from paramtui.core.dtypes import DTYPES
from paramtui.errors import ValuesError
from paramtui.models.tensor_cells import unwrapped
from paramtui.models.tensor_listing import NO_NUMBERS, NO_SHAPE, SPARSE_PARTS, dtype_name

if TYPE_CHECKING:
    from collections.abc import Iterator

# Elements of a piece: as many as a device works on well, and few enough to stop soon.
_PIECE: Final = {"cuda": 1 << 23}
_CPU_PIECE: Final = 1 << 20
# Elements that are read side by side of a sample.
RUN: Final = 4096


class Held(NamedTuple):
    """The numbers of a tensor.

    Attributes:
        dtype: Their type; of a quantised tensor the one of what it stands for.
        parts: Strided tensors whose elements they are.
        zeros: How many more are zero and stored nowhere.
    """

    dtype: str
    parts: list[torch.Tensor]
    zeros: int = 0

    @property
    def elements(self) -> int:
        """How many elements there are, stored or not."""
        return sum(part.numel() for part in self.parts) + self.zeros

    @property
    def nbytes(self) -> int:
        """Bytes of what is stored."""
        return sum(part.numel() * part.element_size() for part in self.parts)


def check_numbers(tensor: torch.Tensor) -> None:
    """Says why a tensor has no numbers.

    Raises:
        ValuesError: It has none, or they lie in a way that is not known.
    """
    if is_lazy(tensor):
        raise ValuesError(NO_SHAPE)
    if tensor.device.type == "meta":
        raise ValuesError(NO_NUMBERS)
    if not tensor.is_nested and tensor.layout != torch.strided and tensor.layout not in SPARSE_PARTS:
        layout = str(tensor.layout).removeprefix("torch.").lstrip("_")
        raise ValuesError(f"its layout {layout} is opaque: its numbers cannot be read")


def held_numbers(tensor: torch.Tensor) -> Held:
    """The numbers of a tensor; plain ones are not copied.

    Raises:
        ValuesError: It has none, or their type is not known.
    """
    check_numbers(tensor)
    tensor = tensor.detach()
    zeros = 0
    if tensor.is_nested:
        parts = [unwrapped(part) for part in tensor.unbind()]
    elif tensor.layout in SPARSE_PARTS:
        # Coordinates that are named twice add up.
        values = tensor.coalesce().values() if tensor.layout == torch.sparse_coo else tensor.values()
        parts, zeros = [values], tensor.numel() - values.numel()
    else:
        parts = [unwrapped(tensor)]
    dtype = dtype_name(parts[0] if parts else tensor)
    if dtype not in DTYPES or DTYPES[dtype].bits < 8:
        raise ValuesError(f"its dtype {dtype} is not known here: its numbers cannot be read")
    return Held(dtype, parts, zeros)


def piece_size(tensor: torch.Tensor) -> int:
    """Elements that are worked on at once."""
    return _PIECE.get(tensor.device.type, _CPU_PIECE)


def pieces(tensor: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
    """A strided tensor as views of at most so many elements, which follow each other in row-major order."""
    if tensor.numel() <= count:
        if tensor.numel():
            yield tensor
    elif tensor.is_contiguous():
        yield from torch.split(tensor.view(-1), count)
    else:
        inner = prod(tensor.shape[1:])
        if inner <= count:
            yield from torch.split(tensor, count // inner)
        else:
            for place in range(len(tensor)):
                yield from pieces(tensor.select(0, place), count)


def once(tensor: torch.Tensor) -> tuple[torch.Tensor, int]:
    """A strided tensor without the dimensions along which it repeats itself, and how often it does."""
    times = 1
    for dim, (size, step) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if size > 1 and step == 0:
            times *= size
            tensor = tensor.narrow(dim, 0, 1)
    return tensor, times


def sampled(tensor: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
    """About `count` elements of a strided tensor in pieces: runs of neighbours, spread evenly."""
    runs = max(count // RUN, 2)
    total = tensor.numel()
    together = max(piece_size(tensor) // RUN, 1)
    for first in range(0, runs, together):
        begins = [at * (total - RUN) // (runs - 1) for at in range(first, min(first + together, runs))]
        if tensor.is_contiguous():
            flat = tensor.view(-1)
            yield torch.cat([flat[begin : begin + RUN] for begin in begins])
            continue
        left = torch.tensor(begins, device=tensor.device)[:, None] + torch.arange(RUN, device=tensor.device)
        places = []
        for size in reversed(tensor.shape):
            places.append(left % size)
            left //= size
        yield tensor[tuple(reversed(places))].reshape(-1)
