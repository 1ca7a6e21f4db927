"""What the screen and the commands ask of whatever holds tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import Any

    import numpy as np
    import numpy.typing as npt

    from paramtui.core.gradients import Gradients
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


class Outcome(NamedTuple):
    """What a source says after something was done to its model.

    Attributes:
        gradients: What is known of the gradients now.
        listing: What there is now, where that has changed; else None.
        said: What to tell the person; empty for nothing.
    """

    gradients: Gradients
    listing: Listing | None
    said: str = ""


@runtime_checkable
class Differentiable(Reader, Protocol):
    """A source with a model in it, which can be run."""

    @property
    def gradients(self) -> Gradients:
        """What is known of the gradients."""

    async def gradient_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """As `window`, of the gradient.

        Raises:
            ValuesError: There is none, or it cannot be read.
        """

    async def backward(self, inputs: str | None, *, accumulate: bool) -> Outcome:
        """Runs forward and backward.

        Args:
            inputs: A specification, see `paramtui.core.input_spec`; None for what is known.
            accumulate: Add to the gradients that are there.

        Raises:
            InputsError: Nothing is known to run the model with.
            UserCodeError: Its code failed.
            ValuesError: There is nothing to differentiate, or there are no numbers.
            RunStoppedError: It was stopped.
            EngineError: The process that holds the model has ended.
        """

    async def zero_gradients(self) -> Outcome:
        """Sets all gradients to None; raises as `backward`."""

    async def set_training(self, *, training: bool) -> Outcome:
        """Puts the whole model in training or evaluation mode; raises as `backward`."""

    async def apply_proposal(self) -> Outcome:
        """Loads the weights in the way that was proposed; raises as `backward`."""

    async def interrupt(self) -> bool:
        """Asks the code that runs to stop; False if it could not be asked."""

    async def restart(self, *, replay: bool) -> Outcome:
        """Ends the process that holds the model, builds it anew, and does again what was done to it.

        Raises:
            EngineError: It could not be done.
        """

    @property
    def ended(self) -> str:
        """Why the process that holds the model has ended; empty while it is there."""

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Calls `told` with a kind (``output``, ``stage``, ``ended``) and words, from any thread."""

    def close(self) -> None:
        """Lets go of the model; its process ends."""


class Watch(Protocol):
    """Is told how far the opening of a target has come, from the thread that opens it."""

    def told(self, kind: str, words: str) -> None:
        """What a live model says while it is built: ``stage`` or ``output``, and words."""

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
