"""What the records of a journal come to: the changes that its target lacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from paramtui.core.edits import Edit, edit_from
from paramtui.errors import EditError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Recorded(NamedTuple):
    """An edit with the digest of what it gave; an empty digest where that was not noted any more."""

    edit: Edit
    digest: str


class Records:
    """Takes the records of a journal one after the other.

    A save over the target puts what counts into it; one under another name does not, and what is made after
    it builds on changes that the target lacks.
    """

    def __init__(self) -> None:
        self.target = ""
        self._done: list[Recorded] = []
        self._undone: list[Recorded] = []
        self._intent: Edit | None = None
        # What counted at the last save over the target, and at the last save under whatever name.
        self._inside: list[Recorded] = []
        self._saved: list[Recorded] = []

    def take(self, kind: object, plain: Mapping[str, Any]) -> None:
        """Takes note of a record.

        Raises:
            EditError: It holds no edit.
        """
        if kind == "intent":
            self._intent = edit_from(plain.get("edit") or {})
        elif kind == "done" and self._intent is not None:
            self._do(str(plain.get("digest", "")))
        elif kind == "failed":
            self._intent = None
        elif kind == "undone" and self._done:
            self._undone.append(self._done.pop())
        elif kind == "redone" and self._undone:
            self._done.append(self._undone.pop())
        elif kind == "saved":
            self._saved = list(self._done)
            try:
                inside = is_within(str(plain.get("path", "")), self.target)
            except ValueError:
                # A NUL or half a character.
                raise EditError("names a file that no file system can hold") from None
            if inside:
                self._inside = list(self._done)

    def _do(self, digest: str) -> None:
        if self._intent is not None:
            self._done.append(Recorded(self._intent, digest))
            self._undone, self._intent = [], None

    def changes(self) -> tuple[Recorded, ...]:
        """Those that give what was there last, made to the target as it is; none where that was saved.

        Raises:
            EditError: What was there last lacks changes that a save has put into the target.
        """
        self._do("")
        if _same(self._done, self._saved):
            return ()
        if not _same(self._done[: len(self._inside)], self._inside):
            raise EditError("takes changes back that were saved before, which a journal cannot do again")
        return tuple(self._done[len(self._inside) :])


def _same(some: Sequence[Recorded], others: Sequence[Recorded]) -> bool:
    """Whether these are the same changes: equal ones that were made at different times are not."""
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


def is_within(path: str, target: str) -> bool:
    """Whether saving to a path has changed a target, which may be a directory or its index."""
    if not path:
        return True
    saved, own = os.path.realpath(path), os.path.realpath(target)
    home = os.path.dirname(own) if own.endswith(".index.json") else own  # noqa: PTH120
    return saved == home or saved.startswith(os.path.join(home, ""))  # noqa: PTH118
