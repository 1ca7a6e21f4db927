"""The picture of a whole tensor, put together from what several processes have added up of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from paramtui.checkpoints.scan_crew import Work
from paramtui.core.countable import SMALL, picture_refusal
from paramtui.core.readable import readable
from paramtui.core.scan_work import OVERVIEW
from paramtui.errors import RunStoppedError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paramtui.checkpoints.scan_crew import Crew, Stop
    from paramtui.core.listing import Listing
    from paramtui.core.overview import Overview, OverviewTally
    from paramtui.core.runs import ByteRuns


def overview(
    listing: Listing,
    tensor: int,
    room: tuple[int, int],
    runs: ByteRuns,
    messages: Iterable[tuple[dict[str, Any], Callable[[], list[int]]]],
    crew: Crew,
    moved: Callable[[int], None],
    stop: Stop,
) -> Overview:
    """A picture of a tensor: of a small one here, else by the processes.

    Args:
        listing: What has the tensor.
        tensor: Its id.
        room: Entries down and across, at most.
        runs: The bytes, for what is added up here.
        messages: Its parts for the processes, which are asked for where these do the work.
        crew: The processes.
        moved: Told bytes that were dealt with, from threads.
        stop: Ends the work when it is set.

    Raises:
        ValuesError: It cannot be read, or makes no picture.
        RunStoppedError: It was stopped.
        EngineError: A process has ended.
    """
    reason = picture_refusal(listing, tensor)
    if reason:
        raise ValuesError(reason)
    if listing.numel(tensor) <= SMALL:
        from paramtui.core.overview_reading import draw, overview_tally

        def step(_: int) -> None:
            if stop.is_set():
                raise RunStoppedError("stopped")

        with readable():
            whole = overview_tally(listing, tensor, *room)
            draw(listing, runs, tensor, whole, step)
            return whole.finished()
    parts = _Parts()
    crew.work(
        (
            Work({**message, "work": OVERVIEW, "room": room}, files, parts.answered)
            for message, files in messages
        ),
        moved,
        stop,
    )
    return parts.whole()


class _Parts:
    """Adds up what comes from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: list[str] = []
        self._whole: OverviewTally | None = None

    def answered(self, message: dict[str, Any], data: bytes) -> None:
        """Takes what came of one part."""
        from paramtui.core.overview import OverviewTally  # once there is something: processes start meanwhile

        (result,) = message["results"]
        with self._lock:
            if "problem" in result:
                self._problems.append(result["problem"])
            elif self._whole is None:
                self._whole = OverviewTally.from_plain(data)
            else:
                self._whole.merge(OverviewTally.from_plain(data))

    def whole(self) -> Overview:
        """The picture of all parts."""
        if self._problems or self._whole is None:
            raise ValuesError(self._problems[0] if self._problems else "nothing came of it")
        return self._whole.finished()
