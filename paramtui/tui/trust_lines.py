"""The entries of the list of what a file's pickles name and of what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from paramtui.core.health import ERROR, RULES, place_name, summary
from paramtui.core.text import count_text, safe_text
from paramtui.core.trust import RUNS, UNUSUAL, counted_verdicts, nodes_at
from paramtui.tui.group_lines import Entry
from paramtui.tui.tie_lines import names_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paramtui.core.health import Finding
    from paramtui.core.statistics import Statistics
    from paramtui.core.trust import GlobalUse, Uses
    from paramtui.tui.opened import Opened

# Entries of one sort; the command line lists all.
MAX_ENTRIES: Final = 1000
NAME_ROOM: Final = 60
_MARKS: Final = {RUNS: "!!", UNUSUAL: "? "}


def figures_known(opened: Opened) -> Mapping[int, Statistics]:
    """The figures of the tensors that were looked at."""
    of = opened.figures.of
    return {tensor: found for tensor in range(len(opened.listing)) if (found := of(tensor)) is not None}


def trust_entries(opened: Opened, uses: Uses, found: Sequence[Finding]) -> list[Entry]:
    """First the globals, the worst first, then the findings.

    Args:
        opened: What was opened.
        uses: What its pickles refer to.
        found: Findings about it.
    """
    return [*_globals(opened, uses), *_findings(opened, found)]


def _heading(words: str) -> Entry:
    return Entry(Text(words, "dim"), (), -1)


def _line(mark: str, *parts: str, strong: bool) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{mark} ", "bold")
    line.append("  ".join(parts), "bold" if strong else "")
    return line


def _globals(opened: Opened, uses: Uses) -> list[Entry]:
    if opened.listing.live is not None:
        return [_heading("a model: its own code was run to build it")]
    if not uses.found:
        return [_heading(uses.heading)]
    sums = ", ".join(
        f"{count:,} {words}" for words, count in counted_verdicts(use.name for use in uses.found).items()
    )
    out = [_heading(uses.heading), _heading(f"classes and functions that its pickles name: {sums}")]
    shown = uses.found[:MAX_ENTRIES]
    width = min(max(len(safe_text(use.name)) for use in shown), NAME_ROOM)
    verdicts = max(len(use.verdict) for use in shown)
    rows = _rows(opened, shown)
    out += [_global(use, row, width, verdicts) for use, row in zip(shown, rows, strict=True)]
    return out + _more(len(uses.found))


def _global(use: GlobalUse, row: int, width: int, verdicts: int) -> Entry:
    name = safe_text(use.name)
    places = [place_name(path) for path in use.paths]
    line = _line(
        _MARKS.get(use.verdict, "  "),
        f"{use.verdict:<{verdicts}}",
        f"{safe_text(use.name, NAME_ROOM):<{width}}",
        f"{count_text(use.times):>6}",
        names_text(places, 3) if places else "what it makes is thrown away",
        strong=use.verdict in (RUNS, UNUSUAL),
    )
    what = "runs code if the file is loaded by pickle" if use.verdict == RUNS else use.verdict
    detail = [Text(f"{name}: {what}", "bold"), Text(names_text(places, len(places), use.times))]
    # One that leads nowhere can still be read in full.
    return Entry(line, detail, row)


def _rows(opened: Opened, uses: Sequence[GlobalUse]) -> list[int]:
    """The row of the first place of each, or of the block around it; -1 where it has none."""
    parents = opened.listing.node_parent
    rows = {node: row for row, node in enumerate(opened.tree.node) if node >= 0}
    out = []
    for node in nodes_at(opened.listing, [use.paths[0] if use.paths else ("(nowhere)",) for use in uses]):
        at = node
        while at > 0 and at not in rows:
            at = parents[at]
        out.append(rows.get(at, at))
    return out


def _findings(opened: Opened, found: Sequence[Finding]) -> list[Entry]:
    unknown = len(opened.figures.unknown())
    numbers = f"; numbers of {unknown:,} tensors are not looked at yet (I)" if unknown else ""
    out = [_heading(f"health: {summary(found)}{numbers}")]
    shown = found[:MAX_ENTRIES]
    rules = max((len(finding.rule) for finding in shown), default=0)
    width = min(max((len(safe_text(finding.where)) for finding in shown), default=0), 40)
    for finding in shown:
        where = safe_text(finding.where, 40) or "(tensor)"
        line = _line(
            "!!" if finding.severity == ERROR else "  ",
            f"{finding.severity:<7}",
            f"{finding.rule:<{rules}}",
            f"{where:<{width}}",
            safe_text(finding.message, 300),
            strong=finding.severity == ERROR,
        )
        detail = [
            Text(f"{finding.severity} {finding.rule}: {RULES[finding.rule].words}", "bold"),
            Text(f"{safe_text(finding.where)}: {safe_text(finding.message, 600)}"),
        ]
        row = opened.tree.row_of(finding.tensor) if finding.tensor >= 0 else None
        if row is None and not finding.is_file:
            # Places in a pickle are no tensors.
            row = next(iter(opened.tree.find(finding.where)), None)
        out.append(Entry(line, detail, -1 if row is None else row))
    return out + _more(len(found))


def _more(count: int) -> list[Entry]:
    more = count - MAX_ENTRIES
    return [_heading(f"and {more:,} more: paramtui check lists all")] if more > 0 else []
