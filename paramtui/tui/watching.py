"""Brings to the screen what a thread that opens a target tells, and stops it when nobody waits any more."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from paramtui.errors import OpeningStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# The thread that reads lets the screen paint first, for so many seconds at most.
COURTESY = 0.3
# Seconds between two words about progress: each is a repaint on a slow line.
INTERVAL = 0.25


class OpeningWatch:
    """A `Watch`; made and stopped in the screen's thread, told in another.

    Args:
        post: Calls a function in the screen's thread.
        outline: Shows the first rows: names with how many tensors lie below each; calls back once painted.
        progress: Shows a few words.
        told: Takes what a live model says, from any thread.
    """

    def __init__(
        self,
        post: Callable[..., object],
        outline: Callable[[list[tuple[str, int]], Callable[[], None]], None],
        progress: Callable[[str], None],
        told: Callable[[str, str], None] = lambda _kind, _words: None,
    ) -> None:
        self._post = post
        self._outline = outline
        self._progress = progress
        self._listener = told
        self._stopped = threading.Event()
        self._told = time.monotonic()

    def stop(self) -> None:
        """Makes the opening end at its next step."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether nobody waits any more."""
        return self._stopped.is_set()

    def outline(self, names: Iterable[str]) -> None:
        """Shows the outermost blocks, and waits until they are painted."""
        counts = Counter([name.partition(".")[0] for name in names])
        painted = threading.Event()
        self._tell(self._outline, list(counts.items()), painted.set)
        painted.wait(COURTESY)

    def progress(self, done: int, total: int, noun: str) -> None:
        """Says how far it is, a few times a second."""
        if self.stopped:
            raise OpeningStoppedError("opening was stopped")
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            self._tell(self._progress, f"reading {noun} {done + 1:,} of {total:,}")

    def told(self, kind: str, words: str) -> None:
        """Passes on what a live model says."""
        if not self.stopped:
            self._listener(kind, words)

    def _tell(self, function: Callable[..., object], *arguments: object) -> None:
        if not self.stopped:
            self._post(function, *arguments)
