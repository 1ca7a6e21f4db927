"""Carries out one edit of a live model, or leaves it as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.editable import edit_reason
from paramtui.core.edits import ApplyFunction, SetCells, Tie, Untie
from paramtui.core.indexing import apply_index, parse_index
from paramtui.core.lookup import tensor_id
from paramtui.core.raw_cells import overlaps_itself, picked
from paramtui.core.text import safe_text
from paramtui.core.touching import touched_by
from paramtui.errors import EditError, NoRoomError, RunStoppedError, UserCodeError
from paramtui.models.cell_setting import set_cells
from paramtui.models.initializers import initialise, module_function
from paramtui.models.kept import KeptNumbers
from paramtui.models.new_numbers import keep_numbers
from paramtui.models.shield import stoppable
from paramtui.models.snapshots import Region, Snapshot, byte_span, places_of, regions_of, storage_of
from paramtui.models.state_guard import kept_random_state, kept_settings, seed_all
from paramtui.models.structure import Structure
from paramtui.models.tensor_cells import pick_cells
from paramtui.models.tying import rewiring
from paramtui.models.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch

    from paramtui.core.edits import Edit, Initialise
    from paramtui.core.indexing import Selection
    from paramtui.models.initializers import Available
    from paramtui.models.kept import Kept
    from paramtui.models.module_listing import ModuleListing


class Done(NamedTuple):
    """A change.

    Attributes:
        edit: Which.
        tensors: Ids of all tensors whose memory changed.
        kept: What it overwrote; None where that was not kept.
        rewired: Whether other objects stand in the model now, and not other numbers in the same ones.
    """

    edit: Edit
    tensors: tuple[int, ...]
    kept: Kept | None
    rewired: bool = False

    def take_back(self) -> None:
        """Puts back what it overwrote, for good."""
        if self.kept is not None:
            self.kept.restore()
            self.kept.close()

    def forget(self) -> None:
        """Lets go of what it overwrote."""
        if self.kept is not None:
            self.kept.close()


def carry_out(listed: ModuleListing, found: Available | None, edit: Edit, *, without_undo: bool) -> Done:
    """Makes a change; to be called within `whole`.

    Args:
        listed: The model.
        found: The initialisers; None for an edit that needs none.
        edit: Which change.
        without_undo: Do not keep what is overwritten; then what fails half-way stays half done.

    Raises:
        EditError: It cannot be made.
        NoRoomError: There is no room to keep what would be overwritten.
        UserCodeError: A custom initialiser failed.
        RunStoppedError: The person stopped it.
    """
    if isinstance(edit, Tie | Untie):
        return _rewire(listed, edit)
    work = _Work(listed, found, without_undo=without_undo)
    try:
        if isinstance(edit, ApplyFunction):
            tensors = work.apply_function(edit)
        elif isinstance(edit, SetCells):
            tensors = work.set_cells(edit)
        else:
            tensors = work.initialise(edit)
    except BaseException as error:  # noqa: BLE001  whatever it is, it is told once all is as it was
        work.take_back()
        raise work.told(error) from None
    return Done(edit, tensors, None if work.kept is None else KeptNumbers(work.kept, listed, tensors))


def _rewire(listed: ModuleListing, edit: Tie | Untie) -> Done:
    """Ties or unties; what it replaces is always kept, which takes no room but what it took before."""
    try:
        made = stoppable(lambda: rewiring(listed, edit))
    except KeyboardInterrupt:
        raise RunStoppedError("stopped: all is as it was") from None
    made.swap()
    return Done(edit, made.tensors, made, rewired=True)


class _Work:
    """A change that is being made.

    Attributes:
        kept: What it overwrites.
    """

    def __init__(self, listed: ModuleListing, found: Available | None, *, without_undo: bool) -> None:
        self._listed = listed
        self._listing = listed.listing
        self._initializers = found
        self._without_undo = without_undo
        self._structure: Structure | None = None
        self._begun = False
        self.kept: Snapshot | None = None

    @property
    def _found(self) -> Available:
        if self._initializers is None:
            raise EditError("there are no initialisers")
        return self._initializers

    def _keep(self, tensors: Iterable[torch.Tensor], *, whole: bool) -> None:
        if not self._without_undo:
            self.kept = stoppable(lambda: Snapshot(regions_of(tensors, whole=whole)))

    def _run(self, function: Callable[[], None]) -> None:
        """Runs what changes numbers; whatever it does to random numbers and settings is put back."""
        self._begun = True
        with kept_random_state(), kept_settings():
            stoppable(function)

    def take_back(self) -> None:
        """Leaves all as it was."""
        if self._structure is not None:
            self._structure.restore()
        if self.kept is not None:
            self.kept.restore()
            self.kept.close()

    def told(self, error: BaseException) -> BaseException:
        """What went wrong, for whoever asked."""
        lost = self._begun and self.kept is None
        if isinstance(error, KeyboardInterrupt | RunStoppedError):
            words = "what it has overwritten was not kept" if lost else "all is as it was"
            return RunStoppedError(f"stopped: {words}")
        if lost and isinstance(error, UserCodeError):
            error.what += "; what it has overwritten until then was not kept"
        return error

    # What there is to do

    def _targets(self, names: Sequence[str]) -> list[int]:
        if not names:
            raise EditError("there is nothing to initialise")
        targets = [tensor_id(self._listing, name) for name in names]
        for target, name in zip(targets, names, strict=True):
            reason = edit_reason(self._listing, target)
            if reason:
                raise EditError(reason, where=safe_text(name))
            empty = not self._listing.numel(target)
            if not empty and storage_of(self._listed.tensors[target]) is None:
                raise EditError("has no memory that could be changed", where=safe_text(name))
        return targets

    def set_cells(self, edit: SetCells) -> tuple[int, ...]:
        """Sets some numbers of one tensor."""
        target = self._targets([edit.tensor])[0]
        geometry = self._listing.geometry(target)
        selection: Selection = apply_index(parse_index(edit.cells), geometry.shape)
        if not all(map(len, selection.picks)):
            raise EditError(f"[{edit.cells}] selects nothing of {safe_text(edit.tensor)}")
        cells = picked(geometry, selection.picks)
        if overlaps_itself(cells):
            raise EditError("several of these elements are the same memory", where=safe_text(edit.tensor))
        # Not its alias: autograd would take a preview, which is taken back, for a change.
        tensor = self._listed.tensors[target].data
        self._keep([pick_cells(tensor, selection.picks)], whole=False)
        self._run(lambda: set_cells(tensor, selection.picks, edit.operator, edit.number))
        return touched_by(self._listing, target, cells)

    def initialise(self, edit: Initialise) -> tuple[int, ...]:
        """Calls functions of a tensor."""
        targets = self._targets([step.tensor for step in edit.steps])
        tensors = [self._listed.tensors[target].data for target in targets]
        # A person's own function can reach all of the memory that its tensor lies in.
        own = any(step.call.source for step in edit.steps)
        self._keep(tensors, whole=own)

        def run() -> None:
            seed_all(edit.seed)
            for tensor, step in zip(tensors, edit.steps, strict=True):
                initialise(self._found, tensor, step.call)

        self._run(run)
        if own and self.kept is not None:
            # What it changed shows only afterwards; it may have changed nothing.
            return tuple(sorted(self._within(stoppable(self.kept.differing))))
        changed = {
            other
            for target in targets
            for other in touched_by(self._listing, target, self._listing.geometry(target))
        }
        return tuple(sorted(changed))

    def apply_function(self, edit: ApplyFunction) -> tuple[int, ...]:
        """Calls ``block.apply(function)``."""
        function = module_function(self._found, edit.call)
        try:
            block = self._listed.modules[0].get_submodule(edit.block)
        except AttributeError:
            raise EditError(f"there is no block {safe_text(edit.block)}") from None
        structure = self._structure = Structure(self._listed.modules[0])
        # What it can reach is more than what it is given: all memory of the model is kept meanwhile.
        self._keep(structure.tensors, whole=True)

        def run() -> None:
            seed_all(edit.seed)
            with user_code(edit.call.name):
                block.apply(function)  # type: ignore[arg-type]

        self._run(run)
        try:
            keep_numbers(structure)
        except NoRoomError:
            raise
        except EditError as error:
            raise EditError(
                f"{edit.call.name} does more than give values: {error.what}; all is as it was"
            ) from None
        if self.kept is None:
            return tuple(range(len(self._listed.tensors)))
        regions = stoppable(self.kept.differing)
        tensors = self._within(regions)
        self.kept.narrow(regions)
        return tuple(sorted(tensors))

    def _within(self, regions: list[Region]) -> set[int]:
        """Tensors with bytes in the regions."""
        from bisect import bisect_left

        places = places_of(regions)
        found: set[int] = set()
        for number, tensor in enumerate(self._listed.tensors):
            memory = storage_of(tensor)
            here = places.get(str(tensor.device))
            if memory is None or here is None or not tensor.numel():
                continue
            begin, end = (memory.data_ptr() + at for at in byte_span(tensor))
            # Regions do not overlap: of those that begin before the tensor's end, the last reaches farthest.
            at = bisect_left(here, (end, -1))
            if at and here[at - 1][1] > begin:
                found.add(number)
        return found
