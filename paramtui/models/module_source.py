"""A source over a model in this very process, for `paramtui.browse`."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from paramtui.core.background import in_thread
from paramtui.core.editable import edit_reason
from paramtui.core.file_names import free_name
from paramtui.core.history import History
from paramtui.errors import RunStoppedError, ValuesError
from paramtui.models.shield import begin, stop_thread, stoppable, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.copies import CopySearch
    from paramtui.core.edits import Call, Edit
    from paramtui.core.geometry import Shape
    from paramtui.core.gradients import Gradients
    from paramtui.core.listing import Listing
    from paramtui.core.overview import Overview
    from paramtui.core.source import Outcome, Preview, Saved, Window
    from paramtui.core.statistics import Measured, Statistics
    from paramtui.models.host import ModuleHost

T = TypeVar("T")

NOT_RESTARTED = "the model lives in your own process, which cannot be started again from here"


class ModuleSource:
    """The source of a model that the caller holds.

    Args:
        host: Holds the model.

    Attributes:
        listing, gradients: As they were after what was done last.
        ended: Always empty: this process is there.
    """

    ended = ""

    def __init__(self, host: ModuleHost) -> None:
        self._host = host
        self._worker: int | None = None
        self._lock = threading.Lock()
        # Held while numbers are read, and while they are changed: what is looked at may be taken back.
        self._steady = asyncio.Lock()
        self.history = History()
        self.listing: Listing = host.listing
        self.gradients: Gradients = host.gradients()

    def read_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        return self._host.window(tensor, picks)

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        async with self._steady:
            return await asyncio.to_thread(self._host.window, tensor, picks)

    async def gradient_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Differentiable.gradient_window`."""
        async with self._steady:
            return await asyncio.to_thread(self._host.gradient_window, tensor, picks)

    async def copies(self, progress: Callable[[int, int], None] | None) -> CopySearch:
        """See `Searchable.copies`."""
        return await in_thread(
            lambda stop: self._run(lambda: self._host.copies(progress, stop), stoppable), threading.Event()
        )

    async def measure(
        self,
        tensor: int,
        *,
        gradient: bool = False,
        exact: bool = False,
        sample: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Measured:
        """See `Measurable.measure`."""
        return await in_thread(
            lambda stop: self._host.measure(
                tensor, gradient=gradient, exact=exact, sample=sample, progress=progress, stop=stop
            ),
            threading.Event(),
        )

    async def overview(
        self,
        tensor: int,
        rows: int,
        columns: int,
        *,
        gradient: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Overview:
        """See `Measurable.overview`."""
        return await in_thread(
            lambda stop: self._host.overview(
                tensor, rows, columns, gradient=gradient, progress=progress, stop=stop
            ).finished(),
            threading.Event(),
        )

    async def scan(
        self,
        tensors: Sequence[int],
        found: Callable[[int, Statistics | ValuesError], None],
        *,
        exact: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """See `Measurable.scan`."""
        await in_thread(
            lambda stop: self._host.scan(tensors, found, exact=exact, progress=progress, stop=stop),
            threading.Event(),
        )

    async def _do(self, work: Callable[[], Outcome]) -> Outcome:
        outcome = await asyncio.to_thread(self._run, work, stoppable)
        self._note(outcome)
        return outcome

    def _note(self, outcome: Outcome) -> None:
        self.gradients = outcome.gradients
        if outcome.listing is not None:
            self.listing = outcome.listing

    async def _change(self, work: Callable[[], Outcome], note: Callable[[Outcome], object]) -> Outcome:
        """Changes numbers, and notes it even where whoever asked does not wait for it any more."""

        async def changed() -> Outcome:
            async with self._steady:
                outcome = await asyncio.to_thread(self._run, work, whole)
                self._note(outcome)
                note(outcome)
                return outcome

        return await asyncio.shield(asyncio.ensure_future(changed()))

    def _run(self, work: Callable[[], T], run: Callable[[Callable[[], T]], T]) -> T:
        """Does something in the thread that `interrupt` stops.

        Args:
            work: What to do.
            run: `stoppable`, or `whole` for what says by itself where it can be stopped: once it counts,
                whoever asked must hear of it.
        """
        begin()
        with self._lock:
            self._worker = threading.get_ident()
        try:
            return run(work)
        except KeyboardInterrupt:
            raise RunStoppedError("stopped") from None
        finally:
            with self._lock:
                self._worker = None

    async def backward(self, inputs: str | None, *, accumulate: bool) -> Outcome:
        """See `Differentiable.backward`."""
        return await self._do(lambda: self._host.backward(inputs, accumulate=accumulate))

    async def zero_gradients(self) -> Outcome:
        """See `Differentiable.zero_gradients`."""
        return await self._do(self._host.zero_gradients)

    async def set_training(self, *, training: bool) -> Outcome:
        """See `Differentiable.set_training`."""
        return await self._do(lambda: self._host.set_training(training=training))

    async def apply_proposal(self) -> Outcome:
        """See `Differentiable.apply_proposal`."""
        return await self._do(self._host.apply_proposal)

    async def interrupt(self) -> bool:
        """See `Differentiable.interrupt`; counts at the next step of Python code where it can."""
        with self._lock:
            return self._worker is not None and stop_thread(self._worker)

    # Changing

    def edit_reason(self, tensor: int) -> str:
        """See `Editor.edit_reason`."""
        return edit_reason(self.listing, tensor)

    def function_words(self, block: str) -> str:  # noqa: ARG002  as the protocol has it
        """See `Editor.function_words`: a model knows its classes."""
        return ""

    async def catalogue(self) -> Catalogue:
        """See `Editor.catalogue`."""
        return await asyncio.to_thread(self._host.editor.catalogue)

    async def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """See `Editor.trial`."""
        return await asyncio.to_thread(self._host.editor.trial, asked)

    async def preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        """See `Editor.preview`."""

        async def previewed() -> Preview:
            async with self._steady:
                work = partial(self._host.preview, edit, tensor, picks)
                return await asyncio.to_thread(self._run, work, whole)

        return await asyncio.shield(asyncio.ensure_future(previewed()))

    async def apply(self, edit: Edit, *, without_undo: bool = False) -> Outcome:
        """See `Editor.apply`."""
        return await self._change(
            lambda: self._host.apply(edit, without_undo=without_undo),
            lambda outcome: self.history.add(edit, outcome.changed, outcome.digest),
        )

    async def undo(self) -> Outcome:
        """See `Editor.undo`."""
        return await self._change(self._host.undo, lambda _: self.history.undo())

    async def redo(self) -> Outcome:
        """See `Editor.redo`."""
        return await self._change(self._host.redo, lambda _: self.history.redo())

    async def script(self) -> str:
        """See `Editor.script`."""
        from paramtui.core.script import python_script
        from paramtui.core.tree import Tree

        environment = (await self.catalogue()).environment
        return python_script(Tree(self.listing), self.listing.target, environment, self.history.done, {})

    def save_name(self) -> str:
        """See `Editor.save_name`."""
        return free_name("model.safetensors")

    async def save(self, path: str, *, over: bool, progress: Callable[[int, int], None]) -> Saved:
        """See `Editor.save`."""
        saved = await asyncio.to_thread(
            self._run, lambda: self._host.save(path, over=over, progress=progress), whole
        )
        self.history.saved()
        return saved

    async def stop_saving(self) -> None:
        """See `Editor.stop_saving`."""
        await self.interrupt()

    async def restart(self, *, replay: bool) -> Outcome:  # noqa: ARG002  as the protocol has it
        """Cannot be done.

        Raises:
            ValuesError: Always.
        """
        raise ValuesError(NOT_RESTARTED)

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Nothing is told: what the model prints is caught where it is drawn."""

    def close(self) -> None:
        """Nothing to let go of: the model is the caller's."""
