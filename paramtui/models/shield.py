"""Keeps a person's wish to stop out of what must be done whole."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whoever throws an exception into another thread holds this meanwhile.
LOCK: Final = threading.RLock()


@contextmanager
def unstoppable() -> Iterator[None]:
    """Holds back interrupts until the end: SIGINT in this thread, and exceptions from others."""
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with LOCK:
            # An exception that was thrown before arrives here, where nothing has begun.
            for _ in range(64):
                pass
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
