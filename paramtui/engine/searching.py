"""What a source over a model in an engine asks of whole tensors: it takes long, and can be stopped."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.plain_copies import copies_from
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from paramtui.core.copies import CopySearch
    from paramtui.core.listing import Listing
    from paramtui.core.overview import Overview
    from paramtui.core.statistics import Measured, Statistics
    from paramtui.engine.protocol import Message

    Told = Callable[[int, int], None]

# Stands for a save, of which there is one at a time.
SAVE: Final = 0


class SearchingMixin:
    """Needs `listing` and `_ask_engine` of the source that it is mixed into."""

    _token = SAVE
    # By the numbers that requests were given: who is told how far they are, and what was found.
    _told: dict[int, Told]
    _finds: dict[int, Callable[[int, Statistics | ValuesError], None]]

    if TYPE_CHECKING:
        listing: Listing

        def _ask_engine(self, name: str, **arguments: Any) -> Future[Message]:  # noqa: ANN401
            """Sends a request."""

    async def _search(self, name: str, progress: Told | None, **arguments: Any) -> Message:  # noqa: ANN401
        """Asks for something; cancelling the task stops it."""
        token = self._token = self._token + 1
        return await self._search_as(token, name, progress, **arguments)

    async def _search_as(
        self,
        token: int,
        name: str,
        progress: Told | None,
        **arguments: Any,  # noqa: ANN401  whatever the call takes
    ) -> Message:
        if progress is not None:
            self._told[token] = progress
        try:
            return await asyncio.wrap_future(self._ask_engine(name, token=token, **arguments))
        except asyncio.CancelledError:
            # It may still wait for its turn: to interrupt what runs could stop something else.
            self._ask_engine("stop_search", token=token)
            raise
        finally:
            self._told.pop(token, None)

    def _progressed(self, words: str) -> None:
        """From the thread that listens: bytes done, in all, and of which request."""
        done, total, token = (*map(int, words.split()), SAVE)[:3]
        told = self._told.get(token)
        if told is not None:
            told(done, total)

    def _found(self, words: str) -> None:
        """From the thread that listens: some of what a scan has found."""
        from paramtui.core.statistics import statistics_from

        token, lot = json.loads(words)
        found = self._finds.get(token)
        if found is not None:
            for tensor, plain in lot:
                found(tensor, ValuesError(plain) if isinstance(plain, str) else statistics_from(plain))

    async def copies(self, progress: Told | None) -> CopySearch:
        """See `Searchable.copies`."""
        head, _ = await self._search("copies", progress)
        return copies_from(head["result"])

    async def measure(
        self,
        tensor: int,
        *,
        gradient: bool = False,
        exact: bool = False,
        sample: int = 0,
        progress: Told | None = None,
    ) -> Measured:
        """See `Measurable.measure`."""
        from paramtui.core.levels import levels_from
        from paramtui.core.statistics import Measured, statistics_from

        self._check(tensor)
        head, data = await self._search(
            "measure", progress, tensor=tensor, gradient=gradient, exact=exact, sample=sample
        )
        return Measured(statistics_from(head["result"]), levels_from(data))

    async def overview(
        self,
        tensor: int,
        rows: int,
        columns: int,
        *,
        gradient: bool = False,
        progress: Told | None = None,
    ) -> Overview:
        """See `Measurable.overview`."""
        from paramtui.core.overview import OverviewTally

        self._check(tensor)
        _, data = await self._search(
            "overview", progress, tensor=tensor, rows=rows, columns=columns, gradient=gradient
        )
        return OverviewTally.from_plain(data).finished()

    def _check(self, tensor: int) -> None:
        problem = self.listing.problem(tensor)
        if problem:
            raise ValuesError(problem)

    async def scan(
        self,
        tensors: Sequence[int],
        found: Callable[[int, Statistics | ValuesError], None],
        *,
        exact: bool = False,
        progress: Told | None = None,
    ) -> None:
        """See `Measurable.scan`."""
        token = self._token = self._token + 1
        self._finds[token] = found
        try:
            await self._search_as(token, "scan", progress, tensors=list(tensors), exact=exact)
        finally:
            self._finds.pop(token, None)
