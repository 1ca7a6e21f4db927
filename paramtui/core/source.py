"""What the screen and the commands ask of whatever holds tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import Any

    import numpy as np
    import numpy.typing as npt

    from paramtui.core.listing import Listing


@dataclass(slots=True)
class Window:
    """Some cells of a tensor, decoded.

    Attributes:
        tensor: Its id.
        picks: The indices that were asked for, by dimension.
        values: Array of one entry per crossing of the picks. Types that NumPy lacks are widened
            without loss: bfloat16 and 8-bit floats to float32, complex32 to complex64, quantised
            numbers to the float32 that they stand for. ``float4_e2m1fn_x2`` has one more axis of
            two numbers. None for a ragged tensor.
        parts: One window per entry of the first dimension, for a ragged tensor.
    """

    tensor: int
    picks: tuple[Sequence[int], ...]
    values: npt.NDArray[Any] | None
    parts: list[npt.NDArray[np.generic]] = field(default_factory=list)


class Reader(Protocol):
    """A source of names and numbers. What else it can do, `listing.reasons` says."""

    @property
    def listing(self) -> Listing:
        """What there is."""

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """The cells at the crossings of `picks`, one sequence of indices per dimension.

        Raises:
            ValuesError: The values cannot be read; the message says why.
        """


class Watch(Protocol):
    """Is told how far the opening of a target has come, from the thread that opens it."""

    def outline(self, names: Iterable[str]) -> None:
        """The dotted names of all tensors, where they are known before their shapes."""

    def progress(self, done: int, total: int, noun: str) -> None:
        """`done` of `total` files or other parts have been read.

        Raises:
            OpeningStoppedError: The person does not want to wait any longer.
        """


if TYPE_CHECKING:
    Opener = Callable[[str, Watch], Awaitable[Reader]]
    """Opens a target; raises `TargetError` or `FormatError`, or `OpeningStoppedError` when the watch does."""
