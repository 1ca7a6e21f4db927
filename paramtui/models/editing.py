"""Changes a live model, takes changes back to the bit, and leaves no trace of what fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from paramtui.core.digest import digest
from paramtui.core.editable import edit_reason
from paramtui.core.edits import ApplyFunction, Initialise, SetCells, edit_text
from paramtui.core.indexing import apply_index, parse_index
from paramtui.core.lookup import tensor_id
from paramtui.core.planning import memory_key
from paramtui.core.previewing import Figures
from paramtui.core.raw_cells import overlaps_itself, picked, split_picks
from paramtui.core.text import safe_text
from paramtui.core.touching import touched_by
from paramtui.errors import EditError, NoRoomError, RunStoppedError
from paramtui.models.cell_setting import set_cells
from paramtui.models.initializers import Available, available, initialise, module_function, trial
from paramtui.models.snapshots import Region, Snapshot, byte_span, regions_of, storage_of
from paramtui.models.state_guard import kept_random_state, seed_all
from paramtui.models.structure import Structure
from paramtui.models.tensor_cells import numbers, pick_cells
from paramtui.models.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.edits import Call, Edit
    from paramtui.core.listing import Listing, Shape
    from paramtui.core.source import Preview
    from paramtui.models.module_listing import ModuleListing


class Applied(NamedTuple):
    """What came of an edit.

    Attributes:
        tensors: Ids of all tensors whose memory changed.
        digest: Of them afterwards.
        said: What to tell the person.
    """

    tensors: tuple[int, ...]
    digest: str
    said: str


class Done(NamedTuple):
    """A change, and what it overwrote; None where that was not kept."""

    edit: Edit
    tensors: tuple[int, ...]
    kept: Snapshot | None


class ModelEditor:
    """Changes the tensors of one model.

    Args:
        listed: Gives the model's listing with its objects; it may be listed anew.
        device: Where the model is.
        files: Python files of custom initialisers.
    """

    def __init__(self, listed: Callable[[], ModuleListing], device: str, files: Sequence[str] = ()) -> None:
        self._listed = listed
        self._device = device
        self._files = files
        self._found: Available | None = None
        self._done: list[Done] = []
        self._undone: list[Done] = []
        self._pending: Done | None = None

    @property
    def _listing(self) -> Listing:
        return self._listed().listing

    @property
    def _model(self) -> nn.Module:
        return self._listed().modules[0]

    @property
    def _available(self) -> Available:
        if self._found is None:
            self._found = available(self._files, self._device)
        return self._found

    # What can be done

    def catalogue(self) -> Catalogue:
        """Which initialisers there are; a person's files are imported when it is first asked for."""
        return self._available.catalogue

    def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """See `Editor.trial`."""
        return trial(self._available, asked, self._device)

    # Changing

    def carry_out(self, edit: Edit, *, without_undo: bool = False) -> Done:
        """Makes a change that does not count before `commit`; raises as `Editor.apply`."""
        pending, self._pending = self._pending, None
        if pending is not None and pending.edit == edit:
            self._exchange(pending)
            return pending
        if pending is not None and pending.kept is not None:
            pending.kept.close()
        return self._carry_out(edit, without_undo=without_undo)

    def commit(self, done: Done) -> Applied:
        """Notes a change that was carried out."""
        for dropped in self._undone:
            if dropped.kept is not None:
                dropped.kept.close()
        self._undone = []
        self._done.append(done)
        return Applied(done.tensors, self._digest(done.tensors), edit_text(done.edit))

    def undo(self) -> Applied:
        """Takes the last change back."""
        if not self._done:
            raise EditError("there is nothing to undo")
        self._exchange(self._done[-1])
        self._undone.append(self._done.pop())
        done = self._undone[-1]
        return Applied(done.tensors, "", f"undone: {edit_text(done.edit)}")

    def redo(self) -> Applied:
        """Does again what was taken back last."""
        if not self._undone:
            raise EditError("there is nothing to redo")
        self._exchange(self._undone[-1])
        self._done.append(self._undone.pop())
        done = self._done[-1]
        return Applied(done.tensors, "", f"done again: {edit_text(done.edit)}")

    @staticmethod
    def _exchange(done: Done) -> None:
        if done.kept is None:
            raise EditError("what this change overwrote was not kept")
        done.kept.swap()

    def preview(
        self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]], window: Callable[..., Any]
    ) -> Preview:
        """What an edit would do: it is made, looked at, and taken back.

        Args:
            edit: Which.
            tensor: Of which to give cells; None for none.
            picks: Which cells.
            window: Reads them.
        """
        if self._pending is not None:
            if self._pending.kept is not None:
                self._pending.kept.close()
            self._pending = None
        before = window(tensor, picks) if tensor is not None else None
        # Which tensors it changes shows only afterwards: what they were is looked at once it is taken back.
        done = self._carry_out(edit, without_undo=False)
        assert done.kept is not None  # noqa: S101  undo was asked for
        there = True
        try:
            figures = Figures([each for each in done.tensors if not edit_reason(self._listing, each)])
            figures.look(self._numbers, after=True)
            after = window(tensor, picks) if tensor is not None else None
            done.kept.swap()
            there = False
            figures.look(self._numbers, after=False)
            figures.count(self._numbers, after=False)
            done.kept.swap()
            there = True
            figures.count(self._numbers, after=True)
        finally:
            if there:
                done.kept.swap()
        self._pending = done
        return figures.preview(before, after)

    # Carrying out

    def _carry_out(self, edit: Edit, *, without_undo: bool) -> Done:
        if isinstance(edit, ApplyFunction):
            return self._function(edit, without_undo=without_undo)
        targets = self._targets(edit)
        tensors = [self._listed().tensors[target] for target in targets]
        kept = self._kept(regions_of(tensors, whole=False), without_undo=without_undo)
        try:
            with kept_random_state():
                if isinstance(edit, SetCells):
                    changed = self._set(targets[0], edit)
                else:
                    changed = self._initialise(targets, edit)
        except BaseException as error:
            _take_back(kept)
            if isinstance(error, KeyboardInterrupt):
                raise RunStoppedError("stopped: all is as it was") from None
            raise
        return Done(edit, changed, kept)

    @staticmethod
    def _kept(regions: list[Region], *, without_undo: bool) -> Snapshot | None:
        if without_undo:
            return None
        return Snapshot(regions)

    def _targets(self, edit: Initialise | SetCells) -> list[int]:
        names = [edit.tensor] if isinstance(edit, SetCells) else [step.tensor for step in edit.steps]
        if not names:
            raise EditError("there is nothing to initialise")
        targets = [tensor_id(self._listing, name) for name in names]
        for target, name in zip(targets, names, strict=True):
            reason = edit_reason(self._listing, target)
            if reason:
                raise EditError(reason, where=safe_text(name))
            empty = not self._listing.numel(target)
            if not empty and storage_of(self._listed().tensors[target]) is None:
                raise EditError("has no memory that could be changed", where=safe_text(name))
        return targets

    def _set(self, target: int, edit: SetCells) -> tuple[int, ...]:
        geometry = self._listing.geometry(target)
        selection = apply_index(parse_index(edit.cells), geometry.shape)
        if not all(map(len, selection.picks)):
            raise EditError(f"[{edit.cells}] selects nothing of {safe_text(edit.tensor)}")
        cells = picked(geometry, selection.picks)
        if overlaps_itself(cells):
            raise EditError("several of these elements are the same memory", where=safe_text(edit.tensor))
        set_cells(self._listed().tensors[target], selection.picks, edit.operator, edit.number)
        return touched_by(self._listing, target, cells)

    def _initialise(self, targets: list[int], edit: Initialise) -> tuple[int, ...]:
        seed_all(edit.seed)
        for target, step in zip(targets, edit.steps, strict=True):
            initialise(self._available, self._listed().tensors[target].detach(), step.call)
        return self._touched(targets)

    def _touched(self, targets: Sequence[int]) -> tuple[int, ...]:
        found = {
            other
            for target in targets
            for other in touched_by(self._listing, target, self._listing.geometry(target))
        }
        return tuple(sorted(found))

    def _function(self, edit: ApplyFunction, *, without_undo: bool) -> Done:
        function = module_function(self._available, edit.call)
        try:
            block = self._model.get_submodule(edit.block)
        except AttributeError:
            raise EditError(f"there is no block {safe_text(edit.block)}") from None
        structure = Structure(self._model)
        # What it can reach is more than what it is given: all memory of the model is kept meanwhile.
        kept = self._kept(regions_of(structure.tensors, whole=True), without_undo=without_undo)
        try:
            with kept_random_state():
                seed_all(edit.seed)
                with user_code(edit.call.name):
                    block.apply(function)  # type: ignore[arg-type]
            structure.keep_numbers()
            regions = kept.differing() if kept is not None else None
        except BaseException as error:
            structure.restore()
            _take_back(kept)
            if isinstance(error, KeyboardInterrupt):
                raise RunStoppedError("stopped: all is as it was") from None
            if isinstance(error, EditError) and not isinstance(error, NoRoomError):
                words = f"{edit.call.name} does more than give values: {error.what}; all is as it was"
                raise EditError(words) from None
            raise
        if kept is None or regions is None:
            return Done(edit, tuple(range(len(self._listed().tensors))), None)
        kept.narrow(regions)
        return Done(edit, self._within(regions), kept)

    def _within(self, regions: list[Region]) -> tuple[int, ...]:
        """Tensors with bytes in the regions, and those that share memory with them."""
        found: list[int] = []
        for number, tensor in enumerate(self._listed().tensors):
            memory = storage_of(tensor)
            if memory is None or not tensor.numel():
                continue
            begin, end = byte_span(tensor)
            if any(
                region.memory.data_ptr() == memory.data_ptr() and region.begin < end and begin < region.end
                for region in regions
            ):
                found.append(number)
        return tuple(found)

    # Looking

    def _numbers(self, number: int) -> Iterator[npt.NDArray[Any]]:
        tensor = self._listed().tensors[number].detach()
        for picks in split_picks([range(size) for size in tensor.shape]):
            yield numbers(pick_cells(tensor, picks).cpu())

    def _digest(self, tensors: Sequence[int]) -> str:
        listing = self._listing

        def pieces() -> Iterator[npt.NDArray[np.uint8]]:
            seen: set[tuple[object, ...]] = set()
            for number in tensors:
                key = memory_key(listing, number)
                if key in seen or edit_reason(listing, number):
                    continue
                seen.add(key)
                tensor = self._listed().tensors[number].detach()
                for picks in split_picks([range(size) for size in tensor.shape]):
                    piece = pick_cells(tensor, picks).cpu().contiguous()
                    yield piece.reshape(-1).view(torch.uint8).numpy()

        return digest(pieces())


def _take_back(kept: Snapshot | None) -> None:
    if kept is not None:
        kept.restore()
        kept.close()
