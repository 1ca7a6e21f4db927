"""What the command line does to check a target: opens it, and reads what is asked for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

from paramtui.errors import FormatError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.damage import Damage
    from paramtui.core.health import Finding
    from paramtui.core.listing import Listing
    from paramtui.core.statistics import Statistics
    from paramtui.core.trust import Uses
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
    from paramtui.core.health import failed
    from paramtui.core.model_target import model_target

    if model_target(options.target) is not None:
        checked = _model(options, cast("EngineSource", opened()))
    else:
        try:
            checked = _checkpoint(options, cast("Callable[[], CheckpointSource]", opened))
        except FormatError as error:
            # What is wrong with a file is what was asked for.
            checked = _unreadable(options.target, error)
    listing, findings, uses = checked
    if options.sarif:
        from paramtui.commands.sarif import check_sarif

        write(check_sarif(listing, findings))
    else:
        from paramtui.commands.check import check_json, check_text

        render = check_json if options.json else check_text
        write(render(listing, findings, uses, numbers=options.values))
    return int(failed(findings))


def _model(options: argparse.Namespace, source: EngineSource) -> tuple[Listing, list[Finding], Uses]:
    from paramtui.core.health import check
    from paramtui.core.trust import Uses

    found: dict[int, Statistics | ValuesError] = {}
    with contextlib.closing(source):
        if options.values:
            _read_numbers(source, found)
    return source.listing, check(source.listing, Uses(), found), Uses()


def _checkpoint(
    options: argparse.Namespace, opened: Callable[[], CheckpointSource]
) -> tuple[Listing, list[Finding], Uses]:
    from paramtui.core.health import check

    found: dict[int, Statistics | ValuesError] = {}
    damages: list[Damage] = []
    with contextlib.ExitStack() as held:
        crew = None
        if options.values:
            from paramtui.checkpoints.scan_crew import Crew

            # They start while the target is opened.
            crew = Crew()
            crew.start()
            held.enter_context(contextlib.closing(crew))
        source = held.enter_context(contextlib.closing(opened()))
        uses = source.find_uses()
        if crew is not None:
            from paramtui.counting import told

            damages = told(source.damage)
            source.scanner(crew=crew)
            _read_numbers(source, found)
    return source.listing, check(source.listing, uses, found, damages), uses


def _read_numbers(
    source: CheckpointSource | EngineSource, found: dict[int, Statistics | ValuesError]
) -> None:
    from paramtui.counting import told

    listing = source.listing
    tensors = [tensor for tensor in range(len(listing)) if not listing.problem(tensor)]
    told(lambda progress: source.scan(tensors, found.__setitem__, progress=progress))


def _unreadable(target: str, error: FormatError) -> tuple[Listing, list[Finding], Uses]:
    """What can be said of a file that is no checkpoint, or a damaged one."""
    from paramtui.core.health import UNREADABLE, unreadable
    from paramtui.core.listing import Listing
    from paramtui.core.trust import GlobalUse, Uses, in_order, verdict

    found = [GlobalUse(name, verdict(name), 1, (("(the file)",),)) for name in error.named or ()]
    uses = Uses(in_order(found), whole=False)
    words = str(error).removeprefix(f"{target}: ")
    return Listing(target, UNREADABLE), unreadable(target, words, uses), uses
