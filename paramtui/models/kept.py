"""What a change has overwritten, to be exchanged with what is there now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from paramtui.errors import EditError
from paramtui.models.snapshots import storage_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.models.module_listing import ModuleListing
    from paramtui.models.snapshots import Snapshot


class Kept(Protocol):
    """What was there before a change, or after it where that is taken back."""

    @property
    def closed(self) -> bool:
        """Whether nothing is kept any more."""

    def check(self, listed: ModuleListing) -> None:
        """Looks whether the model still is what this change, or taking it back, has left.

        Raises:
            EditError: Something else stands there now: nothing can be exchanged.
        """

    def swap(self) -> None:
        """Puts back what was kept, and keeps what was there.

        Raises:
            EditError: It cannot; then all is as it was.
        """

    def restore(self) -> None:
        """Leaves what was there before the change."""

    def close(self) -> None:
        """Lets go of what was kept."""


class KeptNumbers:
    """Numbers that a change has overwritten.

    Args:
        snapshot: The numbers.
        listed: The model after the change.
        tensors: Ids of the tensors that it changed.
    """

    def __init__(self, snapshot: Snapshot, listed: ModuleListing, tensors: Iterable[int]) -> None:
        self._snapshot = snapshot
        self._tensors = tuple(tensors)
        self._memory = _memory_of(listed, self._tensors)

    @property
    def closed(self) -> bool:
        """See `Kept.closed`."""
        return self._snapshot.closed

    def check(self, listed: ModuleListing) -> None:
        """See `Kept.check`."""
        if _memory_of(listed, self._tensors) != self._memory:
            raise EditError("the tensors that this changed have been replaced since by others")

    def swap(self) -> None:
        """See `Kept.swap`."""
        self._snapshot.swap()

    def restore(self) -> None:
        """See `Kept.restore`."""
        self._snapshot.restore()

    def close(self) -> None:
        """See `Kept.close`."""
        self._snapshot.close()


def _memory_of(listed: ModuleListing, tensors: Iterable[int]) -> tuple[int, ...]:
    """The storage of each tensor, as a number that no other has; 0 where one has none."""
    found = []
    for tensor in tensors:
        memory = storage_of(listed.tensors[tensor]) if tensor < len(listed.tensors) else None
        found.append(0 if memory is None else int(memory.untyped_storage()._cdata))  # noqa: SLF001
    return tuple(found)
