"""The journal of a target, written beside the event loop and in order."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from paramtui.core.journal import Journal
from paramtui.errors import ParamtuiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.core.edits import Edit
    from paramtui.core.journal import Head, Recovery


class Log:
    """Writes what happens to one target; without a head, nothing.

    Args:
        head: Says what is changed; called beside the event loop.

    Attributes:
        pending: Whether an edit was begun whose outcome is not noted yet.
    """

    def __init__(self, head: Callable[[], Head] | None) -> None:
        self._head = head
        self._journal: Journal | None = None
        self._problem = ""
        self._told = False
        # One thread: what is written is written in the order in which it happened.
        self._thread = ThreadPoolExecutor(1, "journal")
        self.pending = False

    @property
    def kept(self) -> bool:
        """Whether changes will still be there when the program has ended without saving."""
        return self._head is not None and not self.problem

    @property
    def problem(self) -> str:
        """Why nothing can be written; empty where it can."""
        return self._problem or (self._journal.problem if self._journal is not None else "")

    def take_problem(self) -> str:
        """`problem`, the first time that there is one."""
        words = "" if self._told else self.problem
        self._told = self._told or bool(words)
        return words

    def _do(self, write: Callable[[Journal], None]) -> None:
        if self._head is None or self._problem:
            return
        try:
            if self._journal is None:
                self._journal = Journal(self._head())
        except (ParamtuiError, OSError) as error:
            self._problem = f"changes are not safe against a dropped line: {error}"
            return
        write(self._journal)

    async def _write(self, write: Callable[[Journal], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._do, write)

    async def intent(self, edit: Edit) -> None:
        """An edit is about to be made; on the disk when this returns."""
        self.pending = True
        head = self._head
        await self._write(lambda journal: journal.intent(edit, head() if head is not None else None))

    async def done(self, digest: str) -> None:
        """It was made."""
        self.pending = False
        await self._write(lambda journal: journal.done(digest))

    def failed(self) -> None:
        """It was not made."""
        if self.pending:
            self.pending = False
            self._thread.submit(self._do, Journal.failed)

    async def undone(self) -> None:
        """The last change was taken back."""
        await self._write(Journal.undone)

    async def redone(self) -> None:
        """The change taken back last was made again."""
        await self._write(Journal.redone)

    async def saved(self, path: str) -> None:
        """What is there now was saved."""
        head = self._head
        await self._write(lambda journal: journal.saved(path, head() if head is not None else None))

    async def adopt(self, recovery: Recovery) -> None:
        """Takes the place of a journal whose changes were made again."""
        await self._write(lambda journal: journal.adopt(recovery))

    async def close(self, *, keep: bool) -> None:
        """Ends the journal; its changes are offered again only with `keep`."""

        def end() -> None:
            if self._journal is not None:
                self._journal.close(keep=keep)

        await asyncio.get_running_loop().run_in_executor(self._thread, end)
        self._thread.shutdown(wait=False)
