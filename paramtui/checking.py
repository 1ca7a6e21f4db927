"""What the command line does to check a target: opens it, and reads what is asked for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.damage import Damage
    from paramtui.core.statistics import Statistics
    from paramtui.engine.client import EngineSource
    from paramtui.errors import ValuesError


def run_check(
    options: argparse.Namespace,
    opened: Callable[[], CheckpointSource | EngineSource],
    write: Callable[[Iterable[str]], None],
) -> int:
    """``paramtui check``; returns its exit status: 1 if there is more than notes.

    Args:
        options: Of the command line.
        opened: Opens the target.
        write: Writes text in pieces.
    """
    from paramtui.core.health import check, failed
    from paramtui.core.model_target import model_target
    from paramtui.core.trust import Uses

    found: dict[int, Statistics | ValuesError] = {}
    damages: list[Damage] = []
    with contextlib.ExitStack() as held:
        checkpoint = model_target(options.target) is None
        crew = None
        if checkpoint and options.values:
            from paramtui.checkpoints.scan_crew import Crew

            # They start while the target is opened.
            crew = Crew()
            crew.start()
            held.enter_context(contextlib.closing(crew))
        source = held.enter_context(contextlib.closing(opened()))
        uses = cast("CheckpointSource", source).find_uses() if checkpoint else Uses()
        listing = source.listing
        if options.values:
            from paramtui.counting import told

            if checkpoint:
                damages = told(cast("CheckpointSource", source).damage)
            if crew is not None:
                cast("CheckpointSource", source).scanner(crew=crew)
            tensors = [tensor for tensor in range(len(listing)) if not listing.problem(tensor)]
            told(lambda progress: source.scan(tensors, found.__setitem__, progress=progress))
    findings = check(listing, uses, found, damages)
    if options.sarif:
        from paramtui.commands.sarif import check_sarif

        write(check_sarif(listing, findings))
    else:
        from paramtui.commands.check import check_json, check_text

        if options.json:
            write(check_json(listing, findings, uses))
        else:
            write(check_text(listing, findings, uses, numbers=options.values))
    return int(failed(findings))
