"""What readings of numbers keep to: they wait for changes, stop when asked to, tell how far they are."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, Final

from paramtui.errors import RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

# Seconds between two words of how far a reading is, and between two looks whether it is still wanted.
PAUSE: Final = 0.05


class Gate:
    """Lets many threads read pieces of numbers at once, or one change numbers, which goes first.

    A change may be taken back, as that of a preview: what is read while it is made would count for nothing.
    """

    def __init__(self) -> None:
        self._condition = Condition()
        self._readers = 0
        self._changes = 0

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Waits until no piece is being read, and keeps others from being read."""
        with self._condition:
            self._changes += 1
            try:
                self._condition.wait_for(lambda: not self._readers)
            except BaseException:
                self._changes -= 1
                self._condition.notify_all()
                raise
        try:
            yield
        finally:
            with self._condition:
                self._changes -= 1
                self._condition.notify_all()

    @contextmanager
    def reading(self, stop: Event | None) -> Iterator[None]:
        """Waits until nothing is being changed.

        Raises:
            RunStoppedError: `stop` was set.
        """
        with self._condition:
            while True:
                if stop is not None and stop.is_set():
                    raise RunStoppedError("stopped")
                if not self._changes:
                    break
                self._condition.wait(PAUSE)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                if not self._readers:
                    self._condition.notify_all()


class Pace:
    """What a reading keeps to.

    Args:
        gate: Held while a piece is read; may be set anew between tensors.
        stop: Ends the reading before the next piece.
        progress: Is told bytes done and bytes in all, a few times a second.
    """

    def __init__(
        self,
        gate: Gate | None = None,
        stop: Event | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.gate = gate or Gate()
        self._stop = stop
        self._progress = progress
        self._done = 0
        self._told = 0.0
        self.total = 0

    @contextmanager
    def piece(self, nbytes: int = 0) -> Iterator[None]:
        """Stands around the reading of so many bytes.

        Raises:
            RunStoppedError: It was stopped.
        """
        with self.gate.reading(self._stop):
            yield
        self.moved(self._done + nbytes)

    def moved(self, done: int) -> None:
        """So many bytes are done."""
        self._done = done
        now = time.monotonic()
        if self._progress is not None and self.total and (now - self._told > PAUSE or done >= self.total):
            self._told = now
            self._progress(min(done, self.total), self.total)
