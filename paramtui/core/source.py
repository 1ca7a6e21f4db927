"""What the screen and the commands ask of whatever holds tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import Any

    import numpy as np
    import numpy.typing as npt

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.copies import CopySearch
    from paramtui.core.edits import Call, Edit
    from paramtui.core.geometry import Shape
    from paramtui.core.gradients import Gradients
    from paramtui.core.history import History
    from paramtui.core.listing import Listing
    from paramtui.core.overview import Overview
    from paramtui.core.statistics import Measured, Statistics
    from paramtui.core.summary import Summary
    from paramtui.errors import ValuesError


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


@runtime_checkable
class Searchable(Reader, Protocol):
    """A source that can tell which of its tensors hold equal bits without sharing memory."""

    async def copies(self, progress: Callable[[int, int], None] | None) -> CopySearch:
        """Finds them; cancelling the task ends the search.

        Args:
            progress: Is told bytes done and bytes in all as far as is known, from any thread.

        Raises:
            RunStoppedError: It was stopped.
            EngineError: The process that holds the model has ended.
        """


@runtime_checkable
class Measurable(Reader, Protocol):
    """A source that can say what the numbers of its tensors are like.

    Cancelling a task ends the work, not only the waiting for it. `progress` is told bytes done and bytes in
    all, from any thread. All raise `ValuesError` where numbers cannot be read, and `EngineError` where the
    process that holds the model, or one that counts, has ended.
    """

    async def measure(
        self,
        tensor: int,
        *,
        gradient: bool = False,
        exact: bool = False,
        sample: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Measured:
        """The figures of one tensor.

        Args:
            tensor: Its id.
            gradient: Of its gradient instead; a model's alone.
            exact: Whether quantiles are wanted exactly, for which wide types are read again.
            sample: Look at about so many elements only, spread over the tensor; 0 for all.
            progress: See the class.
        """

    async def overview(
        self,
        tensor: int,
        rows: int,
        columns: int,
        *,
        gradient: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Overview:
        """A picture of one whole tensor: its elements by block, so that the picture fills the room.

        Args:
            tensor: Its id.
            rows: Entries of the picture down, at most.
            columns: Entries across, at most.
            gradient: Of its gradient instead; a model's alone.
            progress: See the class.

        Raises:
            ValuesError: As the class says, and for components of several sizes, which make no one picture.
        """

    async def scan(
        self,
        tensors: Sequence[int],
        found: Callable[[int, Statistics | ValuesError], None],
        *,
        exact: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """The figures of many tensors, in any order.

        Args:
            tensors: Ids; exact aliases are read once.
            found: Called with an id and its figures, or why there are none, from any thread.
            exact: As in `measure`.
            progress: See the class.
        """


class Outcome(NamedTuple):
    """What a source says after something was done to its model or tensors.

    Attributes:
        gradients: What is known of the gradients now.
        listing: What there is now, where that has changed; else None.
        said: What to tell the person; empty for nothing.
        changed: Ids of the tensors whose numbers are not what they were, aliases included.
        digest: Of these afterwards, see `paramtui.core.digest`; empty where nothing was changed for good.
    """

    gradients: Gradients
    listing: Listing | None
    said: str = ""
    changed: tuple[int, ...] = ()
    digest: str = ""


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


class Preview(NamedTuple):
    """What an edit would do, without its being done.

    Attributes:
        summaries: Figures before and after, by the ids of the tensors that would change.
        histograms: Counts before and after in equal bins over the range of both, by id.
        before, after: Some cells of one of them.
    """

    summaries: dict[int, tuple[Summary, Summary]]
    histograms: dict[int, tuple[tuple[int, ...], tuple[int, ...]]]
    before: Window | None
    after: Window | None


class Saved(NamedTuple):
    """What came of saving.

    Attributes:
        paths: The files that were written.
        nbytes: Of them together.
        said: What to tell the person.
        durable: Whether the system confirmed that it lies on the disk.
    """

    paths: tuple[str, ...]
    nbytes: int
    said: str
    durable: bool


@runtime_checkable
class Editor(Reader, Protocol):
    """A source whose numbers can be changed, and saved.

    Every method that changes something raises, besides what it names, `EditError` where it cannot be done,
    `RunStoppedError` when it was stopped, and `EngineError` when the process that it needs has ended; then
    all is as it was.
    """

    @property
    def history(self) -> History:
        """What was changed."""

    def edit_reason(self, tensor: int) -> str:
        """Why a tensor cannot be changed, in words; empty where it can."""

    async def catalogue(self) -> Catalogue:
        """Which initialisers there are; starts an engine where there is none yet."""

    async def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """Why initialisers cannot do a shape and dtype, tried on small tensors; empty where they can."""

    def function_words(self, block: str) -> str:
        """How the classes of the layers below a block are known; empty where nothing needs saying.

        Raises:
            ValuesError: A function of a module cannot be applied there; the message says why.
        """

    async def preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        """What an edit would do; `tensor` and `picks` say of which cells to give the numbers."""

    async def apply(self, edit: Edit, *, without_undo: bool = False) -> Outcome:
        """Makes a change.

        Args:
            edit: Which.
            without_undo: Do not keep what is overwritten; nothing before it can be taken back either.

        Raises:
            NoRoomError: There is no room to keep what would be overwritten.
            UserCodeError: A custom initialiser failed.
        """

    async def undo(self) -> Outcome:
        """Takes the last change back, to the bit."""

    async def redo(self) -> Outcome:
        """Does again what was taken back last."""

    async def script(self) -> str:
        """A Python script that makes the changes that count again, with plain torch."""

    def save_name(self) -> str:
        """A path to propose for saving: beside the target, under a new name."""

    async def save(self, path: str, *, over: bool, progress: Callable[[int, int], None]) -> Saved:
        """Saves to a path; its suffix decides the format.

        Args:
            path: Where to; a directory for a checkpoint in several files.
            over: Whether a file that is there may be replaced.
            progress: Is told bytes done and bytes in all, from any thread.

        Raises:
            SavingError: It could not be saved; what was there is as it was, or the message says what is not.
            SavingStoppedError: It was stopped.
        """

    async def stop_saving(self) -> None:
        """Asks a save that runs to stop."""

    async def interrupt(self) -> bool:
        """Asks the code that runs to stop; False if it could not be asked."""

    def close(self) -> None:
        """Lets go of what the source holds."""


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
