"""Opens targets beside the screen; the first one gets a head start, so that the first paint can show it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.source import Watch

# Seconds that the screen waits for a target before it paints that it is waiting. Both share one
# interpreter lock: painting an empty screen meanwhile would only make both late.
HEAD_START = 0.08


class TargetOpener:
    """An `Opener` of checkpoints.

    Args:
        first: What to begin with at once, in a thread of its own; None for nothing.
    """

    def __init__(self, first: str | None = None) -> None:
        self._early = _Early(first) if first is not None else None
        if self._early is not None:
            self._early.done.wait(HEAD_START)

    async def __call__(self, target: str, watch: Watch) -> CheckpointSource:
        """The opened target, from the thread that has begun with it where there is one.

        Raises:
            TargetError: It is missing, not readable, or neither a file nor a directory.
            FormatError: It is of no known format, or damaged.
            OpeningStoppedError: The watch stopped it.
        """
        import asyncio

        early, self._early = self._early, None
        if early is None or early.target != target:
            return await asyncio.to_thread(_open, target, watch)
        early.watch.follow(watch)
        if not early.done.is_set():
            await asyncio.to_thread(early.done.wait)
        return early.result()


class _Early:
    """A target that is being opened."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.watch = _LateWatch()
        self.done = threading.Event()
        self._source: CheckpointSource | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._source = _open(self.target, self.watch)
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            self._error = error
        self.done.set()

    def result(self) -> CheckpointSource:
        """The opened target, or what went wrong."""
        if self._source is None:
            raise self._error or RuntimeError("the target is still being opened")
        return self._source


class _LateWatch:
    """Keeps what it is told until there is somebody to tell."""

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._names: Iterable[str] | None = None

    def follow(self, watch: Watch) -> None:
        """Tells `watch` from now on, from the thread that opens."""
        self._watch = watch

    def outline(self, names: Iterable[str]) -> None:
        """Keeps the names."""
        self._names = names

    def progress(self, done: int, total: int, noun: str) -> None:
        """Passes on the names, once, and how far it is."""
        if self._watch is not None:
            names, self._names = self._names, None
            if names is not None:
                self._watch.outline(names)
            self._watch.progress(done, total, noun)


def _open(target: str, watch: Watch) -> CheckpointSource:
    from paramtui.checkpoints.registry import open_checkpoint

    return open_checkpoint(target, watch)
