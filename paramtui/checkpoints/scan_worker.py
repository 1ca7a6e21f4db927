"""The process that counts: reads the files that it is handed, and ends when whoever asked is gone."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from paramtui.checkpoints.files import fill, os_error_text, stamp_of
from paramtui.checkpoints.scan_wire import WireEndedError, receive, send
from paramtui.core.countable import refusal, span_nbytes
from paramtui.core.finer import bounds_of, finer
from paramtui.core.levels import levels_bytes
from paramtui.core.ranks import RankCounts
from paramtui.core.readable import readable
from paramtui.core.scan_reading import feed, tally_of
from paramtui.core.scan_work import COUNT, OVERVIEW, RANKS, Segment, SegmentRuns, listing_of
from paramtui.core.statistics import plain_statistics
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from paramtui.core.listing import Listing

# Seconds between two words of how far it is.
PAUSE: Final = 0.05
# Bytes of a tensor whose figures are kept for others of the same bytes: steps, empty biases, scales.
TINY: Final = 64
# How many of them are kept.
KEPT: Final = 4096


class _StoppedError(Exception):
    pass


class _Worker:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._done = 0
        self._told = 0.0
        self._known: dict[tuple[str, bytes, bool], tuple[dict[str, Any], bytes]] = {}

    def run(self) -> None:
        """Works until the other side is gone."""
        while True:
            message, _, files = receive(self._connection)
            try:
                if "work" in message:
                    self._work(message, files)
            finally:
                for file in files:
                    os.close(file)

    def _work(self, message: dict[str, Any], files: list[int]) -> None:
        runs = SegmentRuns(
            {
                int(location): (nbytes, big, [Segment(*each) for each in segments])
                for location, (nbytes, big, segments) in message["runs"].items()
            },
            lambda file, position, view: _fill(files[file], position, view),
        )
        self._done = 0
        results: list[dict[str, Any]] = []
        data: list[bytes] = []
        try:
            for plain in message["tensors"]:
                try:
                    with readable():
                        listing = listing_of(plain)
                        result, extra = self._one(message, listing, runs)
                        _check_stamps(files, message["stamps"])
                except ValuesError as error:
                    result, extra = {"problem": str(error)}, b""
                results.append({"id": plain["id"], **result, "nbytes": len(extra)})
                data.append(extra)
        except _StoppedError:
            send(self._connection, {"stopped": True})
            return
        send(self._connection, {"results": results, "done": self._done}, b"".join(data))

    def _one(
        self, message: dict[str, Any], listing: Listing, runs: SegmentRuns
    ) -> tuple[dict[str, Any], bytes]:
        part = tuple(message["part"]) if message.get("part") else None
        if message["work"] == RANKS:
            counts = RankCounts([(low, high) for low, high in message["bounds"]])
            feed(listing, runs, 0, counts, self._step, part)
            return {}, counts.table.tobytes()
        if message["work"] == OVERVIEW:
            from paramtui.core.overview_reading import draw, overview_tally

            picture = overview_tally(listing, 0, *message["room"])
            draw(listing, runs, 0, picture, self._step, part)
            return {}, picture.plain()
        assert message["work"] == COUNT  # noqa: S101  nothing else is asked for
        key = self._same(listing, runs, levels=bool(message.get("levels"))) if part is None else None
        if key is not None and key in self._known:
            self._done += len(key[1])
            return self._known[key]
        found = self._count(message, listing, runs, part)
        if key is not None:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = found
        return found

    @staticmethod
    def _same(listing: Listing, runs: SegmentRuns, *, levels: bool) -> tuple[str, bytes, bool] | None:
        """What tiny tensors of the same figures have in common."""
        nbytes = span_nbytes(listing, 0)
        if not 0 < nbytes <= TINY or refusal(listing, 0):
            return None
        place = listing.geometry(0)
        raw = runs.read(place.location, place.begin, nbytes)
        return f"{'>' if runs.big_endian(place.location) else '<'}{place.dtype}", raw, levels

    def _count(
        self,
        message: dict[str, Any],
        listing: Listing,
        runs: SegmentRuns,
        part: tuple[int, int] | None,
    ) -> tuple[dict[str, Any], bytes]:
        tally = tally_of(listing, 0)
        feed(listing, runs, 0, tally, self._step, part)
        if part is not None:
            return {"sums": tally.sums.plain(), "size": tally.size}, tally.table.tobytes()
        found = tally.measured()
        bounds = bounds_of(found)
        if bounds:
            counts = RankCounts(bounds)
            feed(listing, runs, 0, counts, self._step, part)
            found = finer(found, bounds, counts.table, tally.dtype)
        levels = levels_bytes(found.levels) if message.get("levels") else b""
        return {"statistics": plain_statistics(found.statistics)}, levels

    def _step(self, nbytes: int) -> None:
        """Tells how far it is; ends the work when that is wished, or when nobody is there any more."""
        self._done += nbytes
        if select.select([self._connection], [], [], 0)[0]:
            # Nothing else is said to one that works.
            receive(self._connection)
            raise _StoppedError
        now = time.monotonic()
        if now - self._told > PAUSE:
            self._told = now
            send(self._connection, {"done": self._done})


def _check_stamps(files: list[int], stamps: list[list[int] | None]) -> None:
    """Refuses what was counted while something wrote: it may be partly old and partly new."""
    for file, stamp in zip(files, stamps, strict=True):
        if stamp is not None and stamp_of(file) != tuple(stamp):
            raise ValuesError("changed while it was read", hint="open it again")


def _fill(file: int, position: int, view: memoryview) -> None:
    at = 0
    try:
        while at < len(view):
            got = fill(file, view[at:], position + at)
            if not got:
                raise ValuesError(
                    f"was cut while it was read: byte {position + at:,} is gone", hint="open it again"
                )
            at += got
    except OSError as error:
        raise ValuesError(os_error_text(error), where=f"byte {position + at:,}") from None


def _watch(connection: socket.socket) -> None:
    """Ends the process once nobody is at the other end, also in the middle of a long step."""
    poll = select.poll()
    # Nothing to wait for but that it is hung up, which is always told.
    poll.register(connection, 0)
    poll.poll()
    os._exit(0)


def main(descriptor: int, niceness: int) -> None:
    """Serves one program.

    Args:
        descriptor: Of the socket to it.
        niceness: How much it gives way to others.
    """
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The program says when it ends, or its end of the socket does.
        signal.signal(number, signal.SIG_IGN)
    if niceness:
        os.nice(niceness)
    connection = socket.socket(fileno=descriptor)
    threading.Thread(target=_watch, args=(connection,), daemon=True).start()
    with contextlib.suppress(WireEndedError):
        _Worker(connection).run()
    os._exit(0)
