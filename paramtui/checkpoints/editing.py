"""A checkpoint whose numbers can be changed: new bytes lie over the file, which stays as it is."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from paramtui.checkpoints.edit_results import EditMaker, Result, View
from paramtui.checkpoints.measuring import Measuring, MeasuringMixin
from paramtui.core.digest import digest, digested
from paramtui.core.dtypes import DTYPES
from paramtui.core.edits import edit_text, same_edit
from paramtui.core.file_names import free_name
from paramtui.core.gradients import NO_GRADIENTS
from paramtui.core.history import History
from paramtui.core.overlay import EMPTY, Overlay
from paramtui.core.raw_cells import claims_too_much, number_pieces, picked, raw_pieces, span_pieces
from paramtui.core.source import Outcome
from paramtui.errors import EditError, RunStoppedError, SavingStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.catalogue import Catalogue
    from paramtui.core.computing import Computer
    from paramtui.core.copies import CopySearch
    from paramtui.core.edits import Call, Edit
    from paramtui.core.geometry import Shape
    from paramtui.core.listing import Listing
    from paramtui.core.overlay import Kept, State
    from paramtui.core.source import Preview, Saved, Window
    from paramtui.core.tree import Tree


class _Step(NamedTuple):
    """A change that can be gone back over.

    Attributes:
        before, after: Tables of the locations that it changed.
        files: Those that only it needs.
        lines: As `Computer.compute` gives them.
    """

    before: dict[int, Kept]
    after: dict[int, Kept]
    files: tuple[int, ...]
    lines: tuple[str, ...]


class _Pending(NamedTuple):
    """What was worked out for a preview.

    Attributes:
        edit: What was asked for.
        before: The state that it was worked out over: over another one it is worth nothing.
        mark: Where the overlay's changed bytes ended before.
        result: What it gives.
    """

    edit: Edit
    before: State
    mark: int
    result: Result


class CheckpointEditor(MeasuringMixin):
    """The `Editor` of a checkpoint.

    Args:
        source: The checkpoint.
        computer: Reaches an engine for what needs torch.
        history: Where changes are noted.

    Attributes:
        environment: As in `Catalogue`; empty before that was asked for.
    """

    def __init__(self, source: CheckpointSource, computer: Computer, history: History | None = None) -> None:
        self.source = source
        self._computer = computer
        self._overlay = Overlay(source)
        self._state: State = {}
        self._steps: dict[int, _Step] = {}
        self._pending: _Pending | None = None
        self._stopping = threading.Event()
        self._stop_saving = threading.Event()
        self._lock = threading.Lock()
        self._maker = EditMaker(source, self._overlay, computer, self._check)
        self.environment: dict[str, str] = {}
        self.history = history if history is not None else History()
        source.listing.reasons.pop("edit", None)

    # Reading

    @property
    def listing(self) -> Listing:
        """What the checkpoint holds."""
        return self.source.listing

    @property
    def runs(self) -> View:
        """Its bytes as they are now."""
        return View(self.source, self._overlay, self._state)

    @property
    def state(self) -> State:
        """Which bytes are not those of the file."""
        return self._state

    def read_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        from paramtui.core.windows import read_window

        return read_window(self.listing, self.runs, tensor, picks)

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        return await asyncio.to_thread(self.read_window, tensor, picks)

    def find_copies(
        self, progress: Callable[[int, int], None] | None = None, stop: threading.Event | None = None
    ) -> CopySearch:
        """As `CheckpointSource.find_copies`, of the bytes as they are when it begins."""
        from paramtui.checkpoints.copies import find_copies

        state = self._state
        return find_copies(
            self.source, progress, stop, lambda base: View(self.source, self._overlay, state, base)
        )

    async def copies(self, progress: Callable[[int, int], None] | None) -> CopySearch:
        """See `Searchable.copies`."""
        from paramtui.core.background import in_thread

        return await in_thread(lambda stop: self.find_copies(progress, stop), threading.Event())

    def measuring(self) -> Measuring:
        """See `MeasuringMixin`."""
        return Measuring(self.source.scanner(self._overlay), self.runs, self._state)

    # What can be done

    def edit_reason(self, tensor: int) -> str:
        """See `Editor.edit_reason`."""
        return self._maker.edit_reason(tensor)

    @property
    def tree(self) -> Tree:
        """Its rows."""
        return self._maker.tree

    def function_words(self, block: str) -> str:
        """See `Editor.function_words`."""
        from paramtui.core.layers import words

        return words(self._maker.recipe(block))

    async def catalogue(self) -> Catalogue:
        """See `Editor.catalogue`."""
        found = await asyncio.to_thread(self._computer.catalogue)
        self.environment = found.environment
        return found

    async def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """See `Editor.trial`."""
        return await asyncio.to_thread(self._computer.trial, asked)

    # Changing

    async def apply(self, edit: Edit, *, without_undo: bool = False) -> Outcome:  # noqa: ARG002  never needed
        """See `Editor.apply`."""
        return await asyncio.to_thread(self._apply, edit)

    async def undo(self) -> Outcome:
        """See `Editor.undo`."""
        return await asyncio.to_thread(self._go_back)

    async def redo(self) -> Outcome:
        """See `Editor.redo`."""
        return await asyncio.to_thread(self._go_forward)

    async def preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        """See `Editor.preview`."""
        return await asyncio.to_thread(self._preview, edit, tensor, picks)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise RunStoppedError("stopped: nothing was changed")

    def _apply(self, edit: Edit) -> Outcome:
        with self._lock:
            self._stopping.clear()
            pending = self._worked_out(edit)
            self._pending = None
            result = pending.result
            try:
                found = self._digest(edit, result)
                step = self._step(result)
            except BaseException:
                self._let_go(pending)
                raise
            for dropped in self.history.add(edit, result.tensors, found):
                self._drop(self._steps.pop(dropped.number).files)
            self._steps[self.history.state] = step
            self._state = result.state
            said = edit_text(edit) + ("" if result.tensors else ": nothing was changed")
            return Outcome(NO_GRADIENTS, None, said, result.tensors, found)

    def _worked_out(self, edit: Edit) -> _Pending:
        """What an edit gives over what is there now; a preview may have worked it out already."""
        pending = self._pending
        if pending is not None and (pending.before is not self._state or not same_edit(pending.edit, edit)):
            self._let_go(pending)
            pending = None
        if pending is None:
            mark = self._overlay.mark()
            self._pending = None
            pending = _Pending(edit, self._state, mark, self._maker.result(edit, self._state))
        self._pending = pending
        return pending

    def _let_go(self, pending: _Pending) -> None:
        """Gives back the room of what is not to count; nothing was written since but for it."""
        self._pending = None
        self._drop(pending.result.files)
        self._overlay.rewind(pending.mark)

    def _step(self, result: Result) -> _Step:
        before, after = self._state, result.state
        moved = [location for location, table in after.items() if before.get(location) is not table]
        keep = self._overlay.keep
        return _Step(
            {location: keep(before.get(location, EMPTY)) for location in moved},
            {location: keep(after[location]) for location in moved},
            result.files,
            result.lines,
        )

    def _drop(self, files: Iterable[int]) -> None:
        for file in files:
            self._overlay.drop(file)

    def _go_back(self) -> Outcome:
        with self._lock:
            if not self.history.done:
                raise EditError("there is nothing to undo")
            change = self.history.done[-1]
            self._go(self._steps[change.number].before)
            self.history.undo()
            return Outcome(NO_GRADIENTS, None, f"undone: {edit_text(change.edit)}", change.tensors)

    def _go_forward(self) -> Outcome:
        with self._lock:
            if not self.history.undone:
                raise EditError("there is nothing to redo")
            change = self.history.undone[-1]
            self._go(self._steps[change.number].after)
            self.history.redo()
            return Outcome(NO_GRADIENTS, None, f"done again: {edit_text(change.edit)}", change.tensors)

    def _go(self, tables: dict[int, Kept]) -> None:
        self._state = {
            **self._state,
            **{location: self._overlay.kept(table) for location, table in tables.items()},
        }

    def _digest(self, edit: Edit, result: Result) -> str:
        view = View(self.source, self._overlay, result.state)

        def pieces() -> Iterator[npt.NDArray[np.uint8]]:
            for tensor, picks in digested(self.listing, edit, result.tensors):
                geometry = self.listing.geometry(tensor)
                geometry = picked(geometry, picks) if all(picks) else geometry
                swap = view.big_endian(geometry.location)
                # A complex number is two numbers, each with its own order of bytes.
                parts = 2 if DTYPES[geometry.dtype].family == "complex" else 1
                # Of what is claimed many times over, the memory itself is looked at.
                for piece in (span_pieces if claims_too_much(geometry) else raw_pieces)(view, geometry):
                    self._check()
                    yield piece.reshape(len(piece), parts, -1)[:, :, ::-1] if swap else piece

        return digest(pieces())

    # Looking ahead

    def _preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        from paramtui.core.previewing import Figures
        from paramtui.core.windows import read_window

        with self._lock:
            self._stopping.clear()
            result = self._worked_out(edit).result
            views = {False: self.runs, True: View(self.source, self._overlay, result.state)}
            figures = Figures([each for each in result.tensors if self._can_be_summed_up(each)])
            for work in (figures.look, figures.count):
                for after, view in views.items():
                    work(self._pieces(view), after=after)
            if tensor is None:
                return figures.preview(None, None)
            windows = [read_window(self.listing, view, tensor, picks) for view in views.values()]
            return figures.preview(*windows)

    def _can_be_summed_up(self, tensor: int) -> bool:
        return not self.edit_reason(tensor) and not claims_too_much(self.listing.geometry(tensor))

    def _pieces(self, view: View) -> Callable[[int], Iterator[npt.NDArray[Any]]]:
        def pieces(tensor: int) -> Iterator[npt.NDArray[Any]]:
            for piece in number_pieces(view, self.listing.geometry(tensor)):
                self._check()
                yield piece

        return pieces

    # Stopping and saving

    async def interrupt(self) -> bool:
        """See `Editor.interrupt`."""
        self._stopping.set()
        await asyncio.to_thread(self._computer.interrupt)
        return True

    async def script(self) -> str:
        """See `Editor.script`."""
        from paramtui.core.script import python_script

        environment = (await self.catalogue()).environment if self.history.done else {}
        blocks = {number: step.lines for number, step in self._steps.items() if step.lines}
        return python_script(self.tree, self.listing.target, environment, self.history.done, blocks)

    def save_name(self) -> str:
        """See `Editor.save_name`."""
        target = self.listing.target
        if target.endswith(".index.json"):
            target = os.path.dirname(os.path.abspath(target))  # noqa: PTH100, PTH120
        if os.path.isdir(target):  # noqa: PTH112
            plain = target.rstrip("/")
            home = plain if os.path.basename(plain).strip(".") else os.path.abspath(target)  # noqa: PTH100, PTH119
            return free_name(f"{home}-edited")
        head, suffix = os.path.splitext(target)  # noqa: PTH122
        return free_name(f"{head}-edited{suffix}")

    async def save(self, path: str, *, over: bool, progress: Callable[[int, int], None]) -> Saved:
        """See `Editor.save`."""
        return await asyncio.to_thread(self._save, path, over, progress)

    def _save(self, path: str, over: bool, progress: Callable[[int, int], None]) -> Saved:  # noqa: FBT001
        from paramtui.checkpoints.saving import Edited, save

        def told(done: int, total: int) -> None:
            if self._stop_saving.is_set():
                raise SavingStoppedError("stopped: nothing was saved")
            progress(done, total)

        with self._lock:
            self._stop_saving.clear()
            saved = save(Edited(self.source, self.runs, self._state), path, over=over, progress=told)
            self.history.saved()
            return saved

    async def stop_saving(self) -> None:
        """See `Editor.stop_saving`."""
        self._stop_saving.set()

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Calls `told` with what code in the engine prints, and in which stage it is."""
        self._computer.listen(told)

    def close(self) -> None:
        """See `Editor.close`."""
        self._computer.close()
        self.source.close()
        self._overlay.close()
