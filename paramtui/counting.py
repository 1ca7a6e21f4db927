"""What the command line does with commands that read all numbers: starts what counts, says how far it is."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.commands.ls import Selection
    from paramtui.core.statistics import Statistics
    from paramtui.engine.client import EngineSource
    from paramtui.errors import ValuesError

T = TypeVar("T")

# Seconds between two words of how far it is.
PAUSE: Final = 0.1


def run_stats(
    options: argparse.Namespace,
    opened: Callable[[], CheckpointSource | EngineSource],
    write: Callable[[Iterable[str]], None],
    check: Callable[[Selection, Sequence[str]], None],
) -> int:
    """``paramtui stats``; returns its exit status.

    Args:
        options: Of the command line.
        opened: Opens the target.
        write: Writes text in pieces.
        check: Says that no name matches, where none does.
    """
    from paramtui.core.model_target import model_target

    with contextlib.ExitStack() as held:
        if model_target(options.target) is None:
            from paramtui.checkpoints.scan_crew import Crew

            # They start while the target is opened.
            crew = Crew()
            crew.start()
            held.enter_context(contextlib.closing(crew))
            source = opened()
            cast("CheckpointSource", source).scanner(crew=crew)
        else:
            source = held.enter_context(contextlib.closing(cast("EngineSource", opened())))
        from paramtui.commands import ls, stats
        from paramtui.core.statistics import Statistics

        listing = source.listing
        selection = ls.Selection(listing, options.patterns)
        check(selection, options.patterns)
        if options.patterns and not selection:
            return 2
        found: dict[int, Statistics | ValuesError] = {}
        tensors = selection.tensors
        told(lambda progress: source.scan(tensors, found.__setitem__, exact=options.exact, progress=progress))
    ordered = stats.in_order(listing, tensors, found, options.sort)
    if options.json:
        write(stats.stats_json(listing, ordered, found))
    else:
        plain = "utf" not in (sys.stdout.encoding or "").lower()
        write(stats.stats_text(listing, ordered, found, plain=plain))
    return 2 if found and not any(isinstance(each, Statistics) for each in found.values()) else 0


def told(work: Callable[[Callable[[int, int], None]], Coroutine[Any, Any, T]]) -> T:
    """Does something that reads much; on a terminal it says on stderr how far it is."""
    import asyncio
    import time

    from paramtui.core.text import bytes_text

    shown = sys.stderr.isatty()
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if shown and (now - last > PAUSE or done == total):
            last = now
            sys.stderr.write(f"\r\x1b[Kreading {bytes_text(done)} of {bytes_text(total)}")
            sys.stderr.flush()

    try:
        return asyncio.run(work(progress))
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
