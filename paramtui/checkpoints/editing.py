"""A checkpoint whose numbers can be changed: new bytes lie over the file, which stays as it is."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from paramtui.checkpoints.edit_work import Layout, changed_ranges, covered, lay_out, make_file
from paramtui.core.cell_arithmetic import changed as changed_cells
from paramtui.core.computing import Work
from paramtui.core.digest import digest
from paramtui.core.editable import edit_reason
from paramtui.core.edits import ApplyFunction, Initialise, SetCells, edit_text
from paramtui.core.file_names import free_name
from paramtui.core.gradients import NO_GRADIENTS
from paramtui.core.history import History
from paramtui.core.indexing import apply_index, parse_index
from paramtui.core.lookup import rows_named, tensor_id
from paramtui.core.overlay import Overlay
from paramtui.core.planning import memory_key
from paramtui.core.raw_cells import (
    cell_begins,
    number_pieces,
    overlaps_itself,
    picked,
    raw_cells,
    raw_pieces,
    span,
    split_picks,
)
from paramtui.core.source import Outcome
from paramtui.core.text import safe_text
from paramtui.core.touching import touched_by
from paramtui.errors import EditError, RunStoppedError, SavingStoppedError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.catalogue import Catalogue
    from paramtui.core.computing import Computer
    from paramtui.core.edits import Call, Edit
    from paramtui.core.layers import Recipe
    from paramtui.core.listing import Geometry, Listing, Shape
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


class _Result(NamedTuple):
    """What an edit gives, before it counts."""

    state: State
    tensors: tuple[int, ...]
    files: tuple[int, ...]
    lines: tuple[str, ...] = ()


class View:
    """Runs of bytes as they are in one state of an overlay."""

    def __init__(self, source: CheckpointSource, overlay: Overlay, state: State) -> None:
        self._source = source
        self._overlay = overlay
        self._state = state

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        """Bytes of a run, changed ones in place of those of the file."""
        return self._overlay.read(self._state, location, begin, nbytes)

    def big_endian(self, location: int) -> bool:
        """Whether the numbers of a run are big-endian."""
        return self._source.big_endian(location)

    def nbytes(self, location: int) -> int:
        """Length of a run."""
        return self._source.nbytes(location)


class CheckpointEditor:
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
        self._pending: tuple[Edit, _Result] | None = None
        self._stopping = threading.Event()
        self._stop_saving = threading.Event()
        self._lock = threading.Lock()
        self._tree: Tree | None = None
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

    # What can be done

    def edit_reason(self, tensor: int) -> str:
        """See `Editor.edit_reason`."""
        reason = edit_reason(self.listing, tensor)
        if reason or self.listing.location[tensor] < 0:
            return reason
        try:
            place = self.source.runs[self.listing.location[tensor]].place()
        except ValuesError as error:
            return error.what
        return (
            "" if place is not None else "its bytes lie packed inside the file: nothing can take their place"
        )

    @property
    def tree(self) -> Tree:
        """Its rows."""
        if self._tree is None:
            from paramtui.core.tree import Tree

            self._tree = Tree(self.listing)
        return self._tree

    def _recipe(self, block: str) -> Recipe:
        from paramtui.core.layers import layers_below

        rows = rows_named(self.tree, block)
        if len(rows) != 1:
            raise EditError(f"{len(rows) or 'no'} blocks are named {safe_text(block)}")
        return layers_below(self.tree, rows[0])

    def function_words(self, block: str) -> str:
        """See `Editor.function_words`."""
        from paramtui.core.layers import words

        return words(self._recipe(block))

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
            pending, self._pending = self._pending, None
            if pending is not None and pending[0] == edit:
                result = pending[1]
            else:
                if pending is not None:
                    self._drop(pending[1].files)
                result = self._result(edit)
            try:
                found = self._digest(result)
                step = self._step(result)
            except BaseException:
                self._drop(result.files)
                raise
            for dropped in self.history.add(edit, result.tensors, found):
                self._drop(self._steps.pop(dropped.number).files)
            self._steps[self.history.state] = step
            self._state = result.state
            return Outcome(NO_GRADIENTS, None, edit_text(edit), result.tensors, found)

    def _step(self, result: _Result) -> _Step:
        from paramtui.core.overlay import EMPTY

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

    def _digest(self, result: _Result) -> str:
        view = View(self.source, self._overlay, result.state)

        def pieces() -> Iterator[npt.NDArray[np.uint8]]:
            seen: set[tuple[object, ...]] = set()
            for tensor in result.tensors:
                key = memory_key(self.listing, tensor)
                if key in seen or self.edit_reason(tensor):
                    continue
                seen.add(key)
                geometry = self.listing.geometry(tensor)
                swap = view.big_endian(geometry.location)
                for piece in raw_pieces(view, geometry):
                    self._check()
                    yield piece[:, ::-1] if swap else piece

        return digest(pieces())

    # Carrying out

    def _result(self, edit: Edit) -> _Result:
        if isinstance(edit, SetCells):
            return self._set(edit)
        if isinstance(edit, Initialise):
            return self._initialise(edit)
        return self._function(edit)

    def _editable(self, name: str) -> int:
        tensor = tensor_id(self.listing, name)
        reason = self.edit_reason(tensor)
        if reason:
            raise EditError(reason, where=safe_text(name))
        return tensor

    def _set(self, edit: SetCells) -> _Result:
        tensor = self._editable(edit.tensor)
        geometry = self.listing.geometry(tensor)
        selection = apply_index(parse_index(edit.cells), geometry.shape)
        if not all(map(len, selection.picks)):
            raise EditError(f"[{edit.cells}] selects nothing of {safe_text(edit.tensor)}")
        cells = picked(geometry, selection.picks)
        if overlaps_itself(cells):
            raise EditError("several of these elements are the same memory", where=safe_text(edit.tensor))
        big_endian = self.source.big_endian(geometry.location)
        state = self._state
        view = self.runs
        for picks in split_picks(selection.picks):
            self._check()
            begins, length = cell_begins(geometry, picks)
            raw = raw_cells(view, geometry, picks)
            new = changed_cells(raw, geometry.dtype, edit.operator, edit.number, big_endian=big_endian)
            state = self._overlay.write_rows(state, geometry.location, begins, new.reshape(-1, length))
        return _Result(state, touched_by(self.listing, tensor, cells), ())

    def _native(self, tensors: Iterable[int]) -> None:
        for tensor in tensors:
            if self.source.big_endian(self.listing.location[tensor]):
                raise EditError(
                    "its numbers are big-endian; only single numbers can be set",
                    where=safe_text(self.listing.names[tensor]),
                )

    def _initialise(self, edit: Initialise) -> _Result:
        if not edit.steps:
            raise EditError("there is nothing to initialise")
        tensors = [self._editable(step.tensor) for step in edit.steps]
        self._native(tensors)
        layout = lay_out(self.listing, tensors)
        custom = any(step.call.source for step in edit.steps)
        fill = custom or not covered(self.listing, layout, tensors)
        steps = tuple((tensor, step.call) for tensor, step in zip(tensors, edit.steps, strict=True))
        descriptor, _, _ = self._compute(tensors, layout, steps, None, None, edit.seed, fill=fill)
        file = self._overlay.adopt(descriptor)
        state = self._state
        by_location: dict[int, list[tuple[int, int, int, int]]] = {}
        for region in layout.regions:
            by_location.setdefault(region.location, []).append(
                (region.begin, region.end, file, region.position)
            )
        for location, pieces in by_location.items():
            state = self._overlay.with_pieces(state, location, [each for each in pieces if each[0] < each[1]])
        touched = {
            other
            for tensor in tensors
            for other in touched_by(self.listing, tensor, self.listing.geometry(tensor))
        }
        return _Result(state, tuple(sorted(touched)), (file,))

    def _function(self, edit: ApplyFunction) -> _Result:
        recipe = self._recipe(edit.block)
        tensors = sorted(recipe.tensors())
        for tensor in tensors:
            reason = self.edit_reason(tensor)
            if reason:
                raise EditError(reason, where=safe_text(self.listing.names[tensor]))
        self._native(tensors)
        layout = lay_out(self.listing, tensors)
        descriptor, lines, ranges = self._compute(
            tensors, layout, (), recipe.plain(), edit.call, edit.seed, fill=True, compare=True
        )
        file = self._overlay.adopt(descriptor)
        state = self._state
        for location, found in ranges.items():
            state = self._overlay.with_pieces(
                state, location, [(begin, end, file, position) for begin, end, position in found]
            )
        return _Result(state, self._within(ranges, tensors), (file,), tuple(lines))

    def _within(
        self, ranges: dict[int, list[tuple[int, int, int]]], tensors: Iterable[int]
    ) -> tuple[int, ...]:
        """Tensors, and those that share memory with them, with bytes in the ranges that changed."""
        out: set[int] = set()
        for tensor in tensors:
            geometry = self.listing.geometry(tensor)
            if any(self._meets(geometry, begin, end) for begin, end, _ in ranges.get(geometry.location, ())):
                out.update(touched_by(self.listing, tensor, geometry))
        return tuple(sorted(out))

    @staticmethod
    def _meets(geometry: Geometry, begin: int, end: int) -> bool:
        return geometry.begin < end and begin < geometry.begin + span(geometry)

    def _compute(
        self,
        tensors: Sequence[int],
        layout: Layout,
        steps: tuple[tuple[int, Call], ...],
        recipe: dict[str, object] | None,
        call: Call | None,
        seed: int,
        *,
        fill: bool,
        compare: bool = False,
    ) -> tuple[int, list[str], dict[int, list[tuple[int, int, int]]]]:
        """An open file with new bytes, lines that make the block, and with `compare` which bytes are new."""
        view = self.runs
        path, descriptor = make_file(self._computer.folder, layout, view, fill=fill, check=self._check)
        try:
            work = Work(path, tuple(tensors), layout.tensors, steps, recipe, call, seed)
            lines = self._computer.compute(work)
            ranges = changed_ranges(descriptor, layout, view, self._check) if compare else {}
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            os.unlink(path)  # noqa: PTH108
        return descriptor, lines, ranges

    def _preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        from paramtui.core.previewing import Figures
        from paramtui.core.windows import read_window

        with self._lock:
            self._stopping.clear()
            if self._pending is None or self._pending[0] != edit:
                if self._pending is not None:
                    self._drop(self._pending[1].files)
                    self._pending = None
                self._pending = edit, self._result(edit)
            result = self._pending[1]
            views = {False: self.runs, True: View(self.source, self._overlay, result.state)}
            figures = Figures([each for each in result.tensors if not self.edit_reason(each)])
            for work in (figures.look, figures.count):
                for after, view in views.items():
                    work(self._pieces(view), after=after)
            if tensor is None:
                return figures.preview(None, None)
            windows = [read_window(self.listing, view, tensor, picks) for view in views.values()]
            return figures.preview(*windows)

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
        head, suffix = os.path.splitext(target.rstrip("/"))  # noqa: PTH122
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

    def leftovers(self) -> list[tuple[str, int]]:
        """Files that a save which was ended has left beside the checkpoint, with their sizes in bytes."""
        from paramtui.checkpoints.temporary import leftovers

        folders = dict.fromkeys(os.path.dirname(os.path.realpath(path)) for path in self.source.paths())  # noqa: PTH120
        return [(found.path, found.nbytes) for folder in folders for found in leftovers(folder)]

    def remove_leftover(self, path: str) -> None:
        """Deletes one of them."""
        from paramtui.checkpoints.temporary import remove_leftover

        remove_leftover(path)

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Calls `told` with what code in the engine prints, and in which stage it is."""
        self._computer.listen(told)

    def close(self) -> None:
        """See `Editor.close`."""
        self._computer.close()
        self._overlay.close()
