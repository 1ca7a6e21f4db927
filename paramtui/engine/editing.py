"""What a source over a model in an engine can change, asked for by messages."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from paramtui.core.catalogue import catalogue_from
from paramtui.core.editable import edit_reason
from paramtui.core.edits import edit_from, plain_call, plain_edit
from paramtui.core.file_names import free_name
from paramtui.core.plain_edits import preview_from
from paramtui.core.source import Outcome, Saved
from paramtui.engine.searching import SAVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.edits import Call, Edit
    from paramtui.core.geometry import Shape
    from paramtui.core.history import History
    from paramtui.core.journal import Head
    from paramtui.core.listing import Listing
    from paramtui.core.source import Preview
    from paramtui.engine.protocol import Message


class EditingMixin:
    """Needs `listing`, `_ask_engine` and `_do` of the source that it is mixed into."""

    history: History
    environment: dict[str, str]
    _told: dict[int, Callable[[int, int], None]]

    if TYPE_CHECKING:
        listing: Listing

        def _ask_engine(self, name: str, **arguments: Any) -> Future[Message]:  # noqa: ANN401
            """Sends a request."""

        async def _do(self, name: str, **arguments: Any) -> Outcome:  # noqa: ANN401
            """Does something and notes it, for when the model is built anew."""
            raise NotImplementedError

        async def interrupt(self) -> bool:
            """See `Editor.interrupt`."""
            raise NotImplementedError

    def edit_reason(self, tensor: int) -> str:
        """See `Editor.edit_reason`."""
        return edit_reason(self.listing, tensor)

    def function_words(self, block: str) -> str:  # noqa: ARG002  as the protocol has it
        """See `Editor.function_words`: a model knows its classes."""
        return ""

    async def catalogue(self) -> Catalogue:
        """See `Editor.catalogue`."""
        head, _ = await asyncio.wrap_future(self._ask_engine("catalogue", files=[]))
        found = catalogue_from(head["result"])
        self.environment = found.environment
        return found

    async def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """See `Editor.trial`."""
        plain = [[plain_call(call), list(shape), dtype] for call, shape, dtype in asked]
        head, _ = await asyncio.wrap_future(self._ask_engine("trial", asked=plain, files=[]))
        return list(head["result"])

    async def preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        """See `Editor.preview`."""
        request = self._ask_engine("preview", edit=plain_edit(edit), tensor=tensor, picks=plain_picks(picks))
        head, data = await asyncio.wrap_future(request)
        return preview_from(head["result"], data, picks)

    async def apply(self, edit: Edit, *, without_undo: bool = False) -> Outcome:
        """See `Editor.apply`."""
        return await self._do("apply", edit=plain_edit(edit), without_undo=without_undo)

    async def undo(self) -> Outcome:
        """See `Editor.undo`."""
        return await self._do("undo")

    async def redo(self) -> Outcome:
        """See `Editor.redo`."""
        return await self._do("redo")

    def _note_change(self, name: str, arguments: dict[str, Any], outcome: Outcome) -> None:
        """Brings the history up to what the engine has done."""
        if name == "apply":
            self.history.add(edit_from(arguments["edit"]), outcome.changed, outcome.digest)
        elif name == "undo":
            self.history.undo()
        elif name == "redo":
            self.history.redo()

    def head(self) -> Head:
        """What a journal of changes says it is about."""
        from paramtui.core.journal import Head

        file, colon, factory = self.listing.target.rpartition(":")
        path, tail = (file, f"{colon}{factory}") if file.endswith(".py") else (self.listing.target, "")
        target = os.path.realpath(path) + tail if path.endswith(".py") else path
        live = self.listing.live
        words = live.command if live is not None and live.command is not None else []
        return Head(target, tuple(words), "", tuple(self.environment.items()))

    async def script(self) -> str:
        """See `Editor.script`."""
        from paramtui.core.script import python_script
        from paramtui.core.tree import Tree

        environment = (await self.catalogue()).environment
        return python_script(Tree(self.listing), self.listing.target, environment, self.history.done, {})

    def save_name(self) -> str:
        """See `Editor.save_name`."""
        target = self.listing.target.partition(":")[0]
        stem = target.removesuffix(".py") if target.endswith(".py") else target.replace(".", "_")
        return free_name(f"{stem}.safetensors")

    async def save(self, path: str, *, over: bool, progress: Callable[[int, int], None]) -> Saved:
        """See `Editor.save`."""
        self._told[SAVE] = progress
        try:
            head, _ = await asyncio.wrap_future(self._ask_engine("save", path=path, over=over))
        finally:
            self._told.pop(SAVE, None)
        self.history.saved()
        paths, nbytes, said, durable = head["result"]
        return Saved(tuple(paths), nbytes, said, durable)

    async def stop_saving(self) -> None:
        """See `Editor.stop_saving`."""
        await self.interrupt()


def plain_picks(picks: Sequence[Sequence[int]]) -> list[Any]:
    """Indices by dimension as plain data."""
    return [
        {"range": [pick.start, pick.stop, pick.step]} if isinstance(pick, range) else list(pick)
        for pick in picks
    ]
