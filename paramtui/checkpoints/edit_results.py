"""Carries an edit of a checkpoint out: gives the new bytes over those that are there, before it counts."""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from paramtui.checkpoints.edit_work import Layout, changed_ranges, covered, lay_out, make_file
from paramtui.core.cell_arithmetic import changed as changed_cells
from paramtui.core.computing import Work
from paramtui.core.editable import edit_reason
from paramtui.core.edits import RESET, Initialise, SetCells, Tie, Untie
from paramtui.core.indexing import apply_index, parse_index
from paramtui.core.lookup import rows_named, tensor_id
from paramtui.core.raw_cells import cell_begins, overlaps_itself, picked, raw_cells, span, split_picks
from paramtui.core.runs import filling
from paramtui.core.text import safe_text
from paramtui.core.touching import touched_by
from paramtui.errors import EditError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.computing import Computer
    from paramtui.core.edits import ApplyFunction, Edit
    from paramtui.core.layers import Recipe
    from paramtui.core.listing import Listing
    from paramtui.core.overlay import Overlay, Piece, State
    from paramtui.core.runs import ByteRuns
    from paramtui.core.tree import Tree

    Ranges = dict[int, list[tuple[int, int, int]]]


class Result(NamedTuple):
    """What an edit gives, before it counts.

    Attributes:
        state: With the new bytes.
        tensors: Ids of those whose memory changed, ascending.
        files: Those that only it needs.
        lines: As `Computer.compute` gives them.
    """

    state: State
    tensors: tuple[int, ...]
    files: tuple[int, ...]
    lines: tuple[str, ...] = ()


class View:
    """Runs of bytes as they are in one state of an overlay; `base` is another way to those of the files."""

    def __init__(
        self, source: CheckpointSource, overlay: Overlay, state: State, base: ByteRuns | None = None
    ) -> None:
        self._source = source
        self._overlay = overlay
        self._state = state
        self._base = base
        self._filling = filling(base)

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        """Bytes of a run, changed ones in place of those of the file."""
        return self._overlay.read(self._state, location, begin, nbytes, self._base)

    def read_into(self, location: int, begin: int, buffer: bytearray | memoryview) -> None:
        """As `read`, as many bytes as the buffer has, into it."""
        if self._filling is not None and location not in self._state:
            self._filling.read_into(location, begin, buffer)
        else:
            buffer[:] = self.read(location, begin, len(buffer))

    def big_endian(self, location: int) -> bool:
        """Whether the numbers of a run are big-endian; a tensor without elements may lie in none."""
        return location >= 0 and self._source.big_endian(location)

    def nbytes(self, location: int) -> int:
        """Length of a run."""
        return self._source.nbytes(location)


class EditMaker:
    """Works out what edits give.

    Args:
        source: The checkpoint.
        overlay: Holds new bytes.
        computer: Reaches an engine for what needs torch.
        check: Called between pieces; what it raises ends the work.
    """

    def __init__(
        self, source: CheckpointSource, overlay: Overlay, computer: Computer, check: Callable[[], None]
    ) -> None:
        self._source = source
        self._overlay = overlay
        self._computer = computer
        self._check = check
        self._tree: Tree | None = None

    @property
    def _listing(self) -> Listing:
        return self._source.listing

    @property
    def tree(self) -> Tree:
        """Rows of the checkpoint."""
        if self._tree is None:
            from paramtui.core.tree import Tree

            self._tree = Tree(self._listing)
        return self._tree

    def recipe(self, block: str) -> Recipe:
        """The layers below a block.

        Raises:
            EditError: There is no such block.
            ValuesError: Their classes cannot be told.
        """
        from paramtui.core.layers import layers_below

        rows = rows_named(self.tree, block)
        if len(rows) != 1:
            raise EditError(f"{len(rows) or 'no'} blocks are named {safe_text(block)}")
        return layers_below(self.tree, rows[0])

    def edit_reason(self, tensor: int) -> str:
        """See `Editor.edit_reason`."""
        reason = edit_reason(self._listing, tensor)
        if reason or self._listing.location[tensor] < 0:
            return reason
        try:
            place = self._source.runs[self._listing.location[tensor]].place()
        except ValuesError as error:
            return error.what
        return (
            "" if place is not None else "its bytes lie packed inside the file: nothing can take their place"
        )

    def result(self, edit: Edit, state: State) -> Result:
        """What an edit gives where a state is what is there; nothing is kept where it fails.

        Raises:
            EditError, ValuesError, NameLookupError, IndexSyntaxError, UserCodeError, EngineError,
            RunStoppedError: It cannot be carried out.
        """
        if isinstance(edit, Tie | Untie):
            raise EditError(
                "only parameters of a live model can be tied or untied: a checkpoint keeps what it was saved"
                " with",
                hint="open the model itself, with the checkpoint as its weights: --weights CHECKPOINT",
            )
        mark = self._overlay.mark()
        try:
            if isinstance(edit, SetCells):
                return self._set(edit, state)
            if isinstance(edit, Initialise):
                return self._initialise(edit, state)
            return self._function(edit, state)
        except BaseException:
            self._overlay.rewind(mark)
            raise

    def _view(self, state: State) -> View:
        return View(self._source, self._overlay, state)

    def _editable(self, name: str) -> int:
        tensor = tensor_id(self._listing, name)
        reason = self.edit_reason(tensor)
        if reason:
            raise EditError(reason, where=safe_text(name))
        return tensor

    def _native(self, tensors: Iterable[int]) -> None:
        for tensor in tensors:
            location = self._listing.location[tensor]
            if location >= 0 and self._source.big_endian(location):
                raise EditError(
                    "its numbers are big-endian; only single numbers can be set",
                    where=safe_text(self._listing.names[tensor]),
                )

    def _touched(self, tensors: Iterable[int]) -> tuple[int, ...]:
        listing = self._listing
        return tuple(
            sorted({each for one in tensors for each in touched_by(listing, one, listing.geometry(one))})
        )

    # Single numbers

    def _set(self, edit: SetCells, state: State) -> Result:
        tensor = self._editable(edit.tensor)
        geometry = self._listing.geometry(tensor)
        selection = apply_index(parse_index(edit.cells), geometry.shape)
        if not all(map(len, selection.picks)):
            raise EditError(f"[{safe_text(edit.cells)}] selects nothing of {safe_text(edit.tensor)}")
        cells = picked(geometry, selection.picks)
        if overlaps_itself(cells):
            raise EditError("several of these elements are the same memory", where=safe_text(edit.tensor))
        big_endian = self._source.big_endian(geometry.location)
        view = self._view(state)
        for picks in split_picks(selection.picks):
            self._check()
            begins, length = cell_begins(geometry, picks)
            raw = raw_cells(view, geometry, picks)
            new = changed_cells(raw, geometry.dtype, edit.operator, edit.number, big_endian=big_endian)
            state = self._overlay.write_rows(state, geometry.location, begins, new.reshape(-1, length))
        return Result(state, touched_by(self._listing, tensor, cells), ())

    # What needs torch

    def _initialise(self, edit: Initialise, state: State) -> Result:
        if not edit.steps:
            raise EditError("there is nothing to initialise")
        if any(step.call.name == RESET and not step.call.source for step in edit.steps):
            raise EditError(f"{RESET} is a function of modules: a tensor has no such thing")
        tensors = [self._editable(step.tensor) for step in edit.steps]
        self._native(tensors)
        layout = lay_out(self._listing, tensors)
        custom = any(step.call.source for step in edit.steps)
        fill = custom or not covered(self._listing, layout, tensors)
        steps = tuple((tensor, step.call) for tensor, step in zip(tensors, edit.steps, strict=True))
        work = Work("", tuple(tensors), layout.tensors, steps, None, None, edit.seed)
        descriptor, _ = self._compute(work, layout, state, fill=fill)
        if custom:
            # What it changed shows only afterwards; it may have changed nothing.
            return self._differing(descriptor, layout, state, tensors, ())
        file = self._overlay.adopt(descriptor)
        by_location: dict[int, list[Piece]] = {}
        for region in layout.regions:
            if region.begin < region.end:
                pieces = by_location.setdefault(region.location, [])
                pieces.append((region.begin, region.end, file, region.position))
        return Result(self._overlay.with_all(state, by_location), self._touched(tensors), (file,))

    def _function(self, edit: ApplyFunction, state: State) -> Result:
        recipe = self.recipe(edit.block)
        tensors = sorted(recipe.tensors())
        for tensor in tensors:
            reason = self.edit_reason(tensor)
            if reason:
                raise EditError(reason, where=safe_text(self._listing.names[tensor]))
        self._native(tensors)
        layout = lay_out(self._listing, tensors)
        work = Work("", tuple(tensors), layout.tensors, (), recipe.plain(), edit.call, edit.seed)
        descriptor, lines = self._compute(work, layout, state, fill=True)
        return self._differing(descriptor, layout, state, tensors, lines)

    def _differing(
        self,
        descriptor: int,
        layout: Layout,
        state: State,
        tensors: Sequence[int],
        lines: Sequence[str],
    ) -> Result:
        """The state with those bytes of a file that are not what was there."""
        try:
            ranges = changed_ranges(descriptor, layout, self._view(state), self._check)
        except BaseException:
            os.close(descriptor)
            raise
        file = self._overlay.adopt(descriptor)
        new = {
            location: [(begin, end, file, position) for begin, end, position in found]
            for location, found in ranges.items()
        }
        return Result(
            self._overlay.with_all(state, new), self._within(ranges, tensors), (file,), tuple(lines)
        )

    def _within(self, ranges: Ranges, tensors: Iterable[int]) -> tuple[int, ...]:
        """Tensors, and those that share memory with them, with bytes in the ranges that changed."""
        hit: list[int] = []
        for tensor in tensors:
            geometry = self._listing.geometry(tensor)
            found = ranges.get(geometry.location, [])
            # They ascend and do not meet: the last that begins before the tensor's end decides.
            place = bisect_right(found, (geometry.begin + span(geometry), -1, -1)) - 1
            if place >= 0 and found[place][1] > geometry.begin:
                hit.append(tensor)
        return self._touched(hit)

    def _compute(self, work: Work, layout: Layout, state: State, *, fill: bool) -> tuple[int, Sequence[str]]:
        """An open file with new bytes, and lines that make the block."""
        folder = self._computer.folder
        path, descriptor = make_file(folder, layout, self._view(state), fill=fill, check=self._check)
        try:
            return descriptor, self._computer.compute(work._replace(path=path))
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            os.unlink(path)  # noqa: PTH108
