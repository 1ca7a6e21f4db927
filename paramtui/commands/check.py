"""``paramtui check``: what a file would run when loaded by pickle, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from paramtui.commands.ls import Selection, title
from paramtui.core.health import RULES, UNREADABLE, place_name, summary
from paramtui.core.jsonable import json_key
from paramtui.core.text import safe_text
from paramtui.core.trust import LIBRARY, USUAL, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paramtui.core.health import Finding
    from paramtui.core.listing import Listing
    from paramtui.core.trust import GlobalUse, Uses

# Findings of one rule, places of a global, and names of usual ones that the text tells; JSON has all.
MAX_OF_RULE: Final = 20
MAX_PLACES: Final = 3
MAX_USUAL: Final = 40
MAX_NAME: Final = 60


def executed(listing: Listing) -> list[str]:
    """What was run: a model's own code; nothing of a checkpoint."""
    return [listing.target] if listing.live is not None else []


def check_json(listing: Listing, found: Sequence[Finding], uses: Uses, *, numbers: bool) -> Iterator[str]:
    """Findings and globals as one JSON object, in pieces; arguments are those of `check_text`."""
    head = {"target": listing.target, "format": listing.format, "tensors": len(listing), "values": numbers}
    yield json.dumps(head)[:-1] + ',\n "findings": ['
    separator = "\n  "
    for finding in found:
        entry: dict[str, object] = {
            "rule": finding.rule,
            "severity": finding.severity,
            "where": finding.where,
            "message": finding.message,
        }
        yield separator + json.dumps(entry)
        separator = ",\n  "
    yield '],\n "globals": ['
    separator = "\n  "
    for use in uses.found:
        paths = [[json_key(key) for key in path] for path in use.paths]
        facts = {"name": use.name, "known": use.known, "verdict": use.verdict, "times": use.times}
        yield separator + json.dumps({**facts, "used_at": paths})
        separator = ",\n  "
    yield f'],\n "executed": {json.dumps(executed(listing))}}}\n'


def check_text(listing: Listing, found: Sequence[Finding], uses: Uses, *, numbers: bool) -> Iterator[str]:
    """The report for a person.

    Args:
        listing: What was checked.
        found: Findings, as `paramtui.core.health.check` gives them.
        uses: What its pickles refer to.
        numbers: Whether numbers were read.
    """
    if listing.format == UNREADABLE:
        yield f"{safe_text(listing.target)}  cannot be opened as a checkpoint\n"
    else:
        yield title(listing, Selection(listing, [])) + "\n"
    if listing.live is not None:
        yield f"{safe_text(listing.live.built, 300)}; to list a model its code is run\n"
    else:
        yield f"{uses.heading}\n"
    yield from _globals(uses)
    more = (
        "" if numbers or listing.format == UNREADABLE else "  (--values reads all numbers and checksums too)"
    )
    yield f"\n{summary(found)}{more}\n"
    yield from _findings(found)


def _globals(uses: Uses) -> Iterator[str]:
    if not uses.found:
        return
    counts = {words: [use for use in uses.found if use.verdict == words] for words in VERDICTS}
    sums = ", ".join(f"{len(members):,} {words}" for words, members in counts.items() if members)
    yield f"\nclasses and functions that its pickles name: {sums}\n"
    width = max(len(words) for words, members in counts.items() if members)
    listed = [use for use in uses.found if use.verdict not in (USUAL, LIBRARY)]
    names = min(max((len(safe_text(use.name)) for use in listed), default=0), MAX_NAME)
    for use in listed:
        yield f"  {use.verdict:<{width}}  {safe_text(use.name):<{names}}  {places_text(use)}\n"
    for words in (LIBRARY, USUAL):
        members = counts[words]
        if members:
            shown = ", ".join(safe_text(use.name) for use in members[:MAX_USUAL])
            more = f" and {len(members) - MAX_USUAL:,} more" if len(members) > MAX_USUAL else ""
            yield f"  {words:<{width}}  {shown}{more}\n"


def places_text(use: GlobalUse) -> str:
    """``hook, args and 3 more``: where a global is used."""
    if not use.times:
        return "what it makes is thrown away"
    shown = ", ".join(safe_text(place_name(path), MAX_NAME) for path in use.paths[:MAX_PLACES])
    more = use.times - min(len(use.paths), MAX_PLACES)
    return f"{shown} and {more:,} more" if more > 0 else shown


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    rules = max((len(finding.rule) for finding in found), default=0)
    names = min(max((len(safe_text(finding.where)) for finding in found), default=0), MAX_NAME)
    counts: dict[tuple[str, str], int] = {}
    for finding in found:
        group = finding.severity, finding.rule
        counts[group] = counts.get(group, 0) + 1
    told = dict.fromkeys(counts, 0)
    for finding in found:
        group = finding.severity, finding.rule
        told[group] += 1
        head = f"{finding.severity:<7}  {finding.rule:<{rules}}  "
        if told[group] <= MAX_OF_RULE:
            where = safe_text(finding.where) or "(tensor)"
            yield f"{head}{where:<{names}}  {safe_text(finding.message, 600)}\n"
        elif told[group] == counts[group]:
            more = counts[group] - MAX_OF_RULE
            yield f"{head}and {more:,} more: {RULES[finding.rule].words}\n"
