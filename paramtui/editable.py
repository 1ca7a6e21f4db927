"""A checkpoint that can be changed; what changing needs is imported when it is first asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from paramtui.checkpoints.measuring import MeasuringMixin
from paramtui.core.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from paramtui.checkpoints.editing import CheckpointEditor
    from paramtui.checkpoints.measuring import Measuring
    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.copies import CopySearch
    from paramtui.core.journal import Head
    from paramtui.core.listing import Listing
    from paramtui.core.source import Window
    from paramtui.core.trust import Uses


class EditableCheckpoint(MeasuringMixin):
    """A `Reader` that becomes an `Editor` at the first wish to change something.

    Args:
        source: The checkpoint.
        init_files: Python files of custom initialisers.

    Attributes:
        history: What was changed.
    """

    def __init__(self, source: CheckpointSource, init_files: Sequence[str] = ()) -> None:
        self._source = source
        self._init_files = init_files
        self._editor: CheckpointEditor | None = None
        self._told: Callable[[str, str], None] | None = None
        self.history = History()
        source.listing.reasons.pop("edit", None)

    @property
    def listing(self) -> Listing:
        """What the checkpoint holds."""
        return self._source.listing

    @property
    def editor(self) -> CheckpointEditor:
        """What changes it."""
        if self._editor is None:
            from paramtui.checkpoints.editing import CheckpointEditor
            from paramtui.engine.computing import EngineComputer

            computer = EngineComputer(self._init_files)
            if self._told is not None:
                computer.listen(self._told)
            self._editor = CheckpointEditor(self._source, computer, self.history)
        return self._editor

    def read_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        return (self._editor or self._source).read_window(tensor, picks)

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        return await (self._editor or self._source).window(tensor, picks)

    def find_copies(
        self, progress: Callable[[int, int], None] | None = None, stop: Event | None = None
    ) -> CopySearch:
        """See `paramtui.core.copies.find_copies`."""
        return (self._editor or self._source).find_copies(progress, stop)

    async def copies(self, progress: Callable[[int, int], None] | None) -> CopySearch:
        """See `Searchable.copies`."""
        return await (self._editor or self._source).copies(progress)

    async def uses(self) -> Uses:
        """See `paramtui.checkpoints.source.CheckpointSource.find_uses`."""
        return await self._source.uses()

    def measuring(self) -> Measuring:
        """See `MeasuringMixin`."""
        return (self._editor or self._source).measuring()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever an editor has
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.editor, name)

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Calls `told` with what custom initialisers print, and in which stage their engine is."""
        self._told = told
        if self._editor is not None:
            self._editor.listen(told)

    def head(self) -> Head:
        """What a journal of changes says it is about."""
        from paramtui.core.journal import Head, identity_text

        options = [word for path in self._init_files for word in ("--init", os.path.abspath(path))]  # noqa: PTH100
        target = os.path.realpath(self.listing.target)
        environment = self._editor.environment if self._editor is not None else {}
        return Head(target, tuple(options), identity_text(self._source.paths()), tuple(environment.items()))

    def outdated(self) -> str:
        """See `CheckpointSource.outdated`."""
        return self._source.outdated()

    def leftovers(self) -> list[tuple[str, int]]:
        """Files that a save which was ended has left beside the checkpoint, with their sizes in bytes."""
        from paramtui.checkpoints.temporary import leftovers

        folders = dict.fromkeys(os.path.dirname(os.path.realpath(path)) for path in self._source.paths())  # noqa: PTH120
        return [(found.path, found.nbytes) for folder in folders for found in leftovers(folder)]

    def remove_leftover(self, path: str) -> None:
        """Deletes one of them."""
        from paramtui.checkpoints.temporary import remove_leftover

        remove_leftover(path)

    def close(self) -> None:
        """Lets go of what changes need."""
        self._source.close()
        if self._editor is not None:
            self._editor.close()
