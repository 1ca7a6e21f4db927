"""Changes a live model, takes changes back to the bit, and shows what changes would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch

from paramtui.core.digest import digest, digested
from paramtui.core.editable import edit_reason
from paramtui.core.edits import ApplyFunction, Initialise, Tie, Untie, edit_text
from paramtui.core.previewing import Figures
from paramtui.core.raw_cells import split_picks
from paramtui.errors import EditError, RunStoppedError
from paramtui.models.carrying_out import Done, carry_out
from paramtui.models.initializers import Initializers, trial
from paramtui.models.shield import stoppable
from paramtui.models.snapshots import copied
from paramtui.models.tensor_cells import numbers, pick_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.edits import Call, Edit
    from paramtui.core.geometry import Shape
    from paramtui.core.listing import Listing
    from paramtui.core.source import Preview
    from paramtui.models.initializers import Available
    from paramtui.models.module_listing import ModuleListing

T = TypeVar("T")


class Applied(NamedTuple):
    """What came of an edit.

    Attributes:
        edit: Which.
        tensors: Ids of all tensors whose memory changed.
        digest: Of them afterwards; empty for one that was taken back or done again.
        said: What to tell the person.
        rewired: Whether other objects stand in the model now: it has been listed anew.
    """

    edit: Edit
    tensors: tuple[int, ...]
    digest: str
    said: str
    rewired: bool


class _Pending(NamedTuple):
    """A change that was looked at and taken back, to be made as it was then.

    Attributes:
        done: The change.
        found: The initialisers that made it.
        versions: What autograd has counted of each tensor's changes: another number means that it has
            changed since, and so may what the same edit would give.
    """

    done: Done
    found: Available | None
    versions: list[tuple[int, int]]


class ModelEditor:
    """Changes the tensors of one model; whoever calls it does so within `whole`.

    Args:
        listed: Gives the model's listing with its objects; it may be listed anew.
        relist: Lists the model anew.
        device: Where the model is.
        files: Python files of custom initialisers.
    """

    def __init__(
        self,
        listed: Callable[[], ModuleListing],
        relist: Callable[[], None],
        device: str,
        files: Sequence[str] = (),
    ) -> None:
        self._listed = listed
        self._relist = relist
        self._device = device
        self._initializers = Initializers(files, device)
        self._done: list[Done] = []
        self._undone: list[Done] = []
        self._pending: _Pending | None = None

    @property
    def _listing(self) -> Listing:
        return self._listed().listing

    # What can be done

    def catalogue(self) -> Catalogue:
        """Which initialisers there are; a person's files are imported when it is first asked for."""
        return self._initializers.current().catalogue

    def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """See `Editor.trial`."""
        return trial(self._initializers.current(), asked, self._device)

    # Changing

    def apply(self, edit: Edit, *, without_undo: bool = False) -> Applied:
        """Makes a change; raises as `Editor.apply`."""
        found = self._found_for(edit)
        done = self._from_preview(edit, found) or carry_out(
            self._listed(), found, edit, without_undo=without_undo
        )
        try:
            if done.rewired:
                self._list_rewired()
            told = _stopped_whole(lambda: self._digest(edit, done.tensors))
        except BaseException:
            done.take_back()
            if done.rewired:
                self._relist()
            raise
        for dropped in self._undone:
            dropped.forget()
        self._undone = []
        if done.kept is None:
            # Nothing before it can be taken back: what that had overwritten is in the way.
            for each in self._done:
                each.forget()
        self._done.append(done)
        self._count(done)
        said = edit_text(edit) + ("" if done.tensors else ": nothing was changed")
        return Applied(edit, done.tensors, told, said, done.rewired)

    def _list_rewired(self) -> None:
        """Lists the model anew; ids and names must be those that they were."""
        before = self._listing
        self._relist()
        after = self._listing
        if (before.node, before.node_parent, before.node_key) != (
            after.node,
            after.node_parent,
            after.node_key,
        ):
            raise EditError("modules that hold themselves would be listed at other places by this")

    def _found_for(self, edit: Edit) -> Available | None:
        """The initialisers, where an edit needs them: the files of a person's own may have changed."""
        needed = isinstance(edit, Initialise | ApplyFunction)
        return _stopped_whole(self._initializers.current) if needed else None

    def _from_preview(self, edit: Edit, found: Available | None) -> Done | None:
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        if pending.done.edit == edit and pending.found is found and pending.versions == self._versions():
            self._exchange(pending.done)
            return pending.done
        pending.done.forget()
        return None

    def _versions(self) -> list[tuple[int, int]]:
        return [
            (id(tensor), 0 if tensor.is_inference() else tensor._version)  # noqa: SLF001  it has no other name
            for tensor in self._listed().tensors
        ]

    def undo(self) -> Applied:
        """Takes the last change back."""
        return self._go(self._done, self._undone, "undo", "undone")

    def redo(self) -> Applied:
        """Does again what was taken back last."""
        return self._go(self._undone, self._done, "redo", "done again")

    def _go(self, there: list[Done], here: list[Done], what: str, words: str) -> Applied:
        if not there:
            raise EditError(f"there is nothing to {what}")
        self._forget_pending()
        done = there[-1]
        self._exchange(done)
        here.append(there.pop())
        if done.rewired:
            self._relist()
        self._count(done)
        return Applied(done.edit, done.tensors, "", f"{words}: {edit_text(done.edit)}", done.rewired)

    def _exchange(self, done: Done) -> None:
        if done.kept is None or done.kept.closed:
            raise EditError("what this change overwrote was not kept")
        done.kept.check(self._listed())
        done.kept.swap()

    def _count(self, done: Done) -> None:
        """Tells autograd: what it has saved of these tensors for a backward pass is no longer there."""
        # Tensors whose place another took have kept their numbers.
        for number in () if done.rewired else done.tensors:
            tensor = self._listed().tensors[number]
            if not tensor.is_inference():
                torch.autograd.graph.increment_version(tensor)

    def _forget_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.done.forget()

    def preview(
        self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]], window: Callable[..., Any]
    ) -> Preview:
        """What an edit would do: it is made, looked at, and taken back.

        Args:
            edit: Which.
            tensor: Of which to give cells; None for none.
            picks: Which cells.
            window: Reads them.

        Raises:
            EditError: It cannot be made, or changes no numbers that could be looked at.
        """
        if isinstance(edit, Tie | Untie):
            raise EditError(
                "tying and untying is done at once, and can be undone: there is nothing to look at before"
            )
        self._forget_pending()
        found = self._found_for(edit)
        before = window(tensor, picks) if tensor is not None else None
        # Which tensors it changes shows only afterwards: what they were is looked at once it is taken back.
        done = carry_out(self._listed(), found, edit, without_undo=False)
        assert done.kept is not None  # noqa: S101  undo was asked for
        there = True
        try:
            figures = Figures([each for each in done.tensors if not edit_reason(self._listing, each)])
            _stopped_whole(lambda: figures.look(self._numbers, after=True))
            after = window(tensor, picks) if tensor is not None else None
            done.kept.swap()
            there = False
            _stopped_whole(lambda: figures.look(self._numbers, after=False))
            _stopped_whole(lambda: figures.count(self._numbers, after=False))
            done.kept.swap()
            there = True
            _stopped_whole(lambda: figures.count(self._numbers, after=True))
        except BaseException:
            if there:
                done.kept.swap()
            done.forget()
            raise
        done.kept.swap()
        self._pending = _Pending(done, found, self._versions())
        return figures.preview(before, after)

    # Looking

    def _numbers(self, number: int) -> Iterator[npt.NDArray[Any]]:
        tensor = self._listed().tensors[number].detach()
        for picks in split_picks([range(size) for size in tensor.shape]):
            yield numbers(pick_cells(tensor, picks).cpu())

    def _digest(self, edit: Edit, tensors: Sequence[int]) -> str:
        def pieces() -> Iterator[npt.NDArray[np.uint8]]:
            for number, chosen in digested(self._listing, edit, tensors):
                tensor = self._listed().tensors[number].detach()
                for picks in split_picks(chosen):
                    piece = copied(pick_cells(tensor, picks)).reshape(-1)
                    # Of one element any stride is contiguous, but not to be seen as bytes.
                    flat = torch.empty(piece.shape, dtype=piece.dtype).copy_(piece)
                    yield flat.view(torch.uint8).numpy()

        return digest(pieces())


def _stopped_whole(function: Callable[[], T]) -> T:
    """As `stoppable`, for what changes nothing.

    Raises:
        RunStoppedError: The person stopped it.
    """
    try:
        return stoppable(function)
    except KeyboardInterrupt:
        raise RunStoppedError("stopped: all is as it was") from None
