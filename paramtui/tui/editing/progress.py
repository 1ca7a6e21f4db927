"""How far a file is written or read, how fast, and how long it will take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from paramtui.core.text import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds after which a rate can be told.
KNOWN: Final = 0.5
FILLED, HALF, EMPTY = "━", "╸", "─"


class Progress:
    """Is told bytes from any thread; says them in the screen's.

    Args:
        now: Seconds that only go forward.
        end: What is said once all bytes are done.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, end: str = "flushing to the disk…") -> None:
        self._now = now
        self._end = end
        self._began = now()
        self._last = (0, 0)

    def told(self, done: int, total: int) -> None:
        """So many bytes of so many are written."""
        self._last = done, total

    def line(self, width: int) -> str:
        """``━━━━╸────  42%  1.2 GB of 2.8 GB  350 MB/s  5 s left`` in so many cells."""
        done, total = self._last
        waited = self._now() - self._began
        if not total:
            return f"preparing… {waited:.0f} s"
        share = min(done / total, 1.0)
        parts = [f"{100 * share:3.0f}%", f"{bytes_text(done)} of {bytes_text(total)}"]
        if waited >= KNOWN and done:
            rate = done / waited
            parts.append(f"{bytes_text(round(rate))}/s")
            parts.append(f"{time_text((total - done) / rate)} left" if done < total else self._end)
        # How many bytes matters least, then how fast.
        while len(parts) > 1 and len("  ".join(parts)) > width:
            del parts[1]
        words = f"  {'  '.join(parts)}"
        room = width - len(words)
        if room < 8:
            return words.strip()[:width]
        halves = round(2 * share * room)
        bar = FILLED * (halves // 2) + HALF * (halves % 2)
        return bar + EMPTY * (room - len(bar)) + words


def time_text(seconds: float) -> str:
    """``5 s``, ``3 min``, ``1.5 h``."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
