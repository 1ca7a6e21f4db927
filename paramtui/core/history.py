"""What was changed, what was taken back, and what of it is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from paramtui.core.edits import Edit


class Change(NamedTuple):
    """An edit that was carried out.

    Attributes:
        number: Counts carried-out edits; none is used twice.
        edit: What was asked for.
        tensors: Ids of the tensors whose memory changed, aliases and overlapping ones included.
        digest: Of the changed tensors afterwards, see `paramtui.core.digest`.
    """

    number: int
    edit: Edit
    tensors: tuple[int, ...]
    digest: str


class History:
    """Changes that count, and changes that were taken back and can be done again.

    Attributes:
        done: In order.
        undone: The one that was taken back last comes last.
    """

    def __init__(self) -> None:
        self.done: list[Change] = []
        self.undone: list[Change] = []
        self._count = 0
        self._saved = 0

    @property
    def state(self) -> int:
        """Number of the last change that counts; 0 for none. Equal states are equal bits."""
        return self.done[-1].number if self.done else 0

    @property
    def unsaved(self) -> bool:
        """Whether what is there now differs from what was opened or saved last."""
        return self.state != self._saved

    @property
    def changed(self) -> frozenset[int]:
        """Ids of all tensors that are not as they were when the target was opened."""
        return frozenset().union(*(change.tensors for change in self.done))

    def add(self, edit: Edit, tensors: tuple[int, ...], digest: str) -> list[Change]:
        """Notes an edit that was carried out; gives the changes that cannot be done again any more."""
        self._count += 1
        self.done.append(Change(self._count, edit, tensors, digest))
        dropped, self.undone = self.undone, []
        return dropped

    def undo(self) -> Change:
        """Notes that the last change was taken back."""
        self.undone.append(self.done.pop())
        return self.undone[-1]

    def redo(self) -> Change:
        """Notes that the change which was taken back last was done again."""
        self.done.append(self.undone.pop())
        return self.done[-1]

    def saved(self) -> None:
        """Notes that what is there now was saved."""
        self._saved = self.state

    def clear(self) -> None:
        """Forgets all; what is there now is what was opened."""
        self.done, self.undone, self._saved, self._count = [], [], 0, 0
