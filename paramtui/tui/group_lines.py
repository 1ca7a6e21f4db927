"""The entries of the list of all that shares memory."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from paramtui.core.describe import slack_words, tensors_in
from paramtui.core.text import bytes_text, safe_text, shape_text
from paramtui.core.tie_words import WORDS, all_names, how, saving_words
from paramtui.tui.pages import counted
from paramtui.tui.tie_lines import names_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.core.copies import Copies, CopySearch
    from paramtui.core.ties import Tied
    from paramtui.tui.opened import Opened

# Entries of one sort; the command line lists them all.
MAX_ENTRIES = 1000
MAX_NAMES = 40
MAX_DETAILED = 20


class Entry(NamedTuple):
    """A line of the list.

    Attributes:
        line: What it says.
        detail: More of it, below the list.
        row: Where it leads; -1 for a heading.
        copies: Whether it is one of equal copies.
    """

    line: Text
    detail: Sequence[Text]
    row: int
    copies: bool = False


def _heading(words: str, *, copies: bool = False) -> Entry:
    return Entry(Text(words, "dim"), (), -1, copies)


def _line(*parts: tuple[str, str]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for words, style in parts:
        line.append(words, style)
    return line


def entries(opened: Opened) -> list[Entry]:
    """Groups by what they save, views of one storage, contradictions, and storages that are mostly unused."""
    ties = opened.ties
    out: list[Entry] = []
    groups = sorted(ties.groups, key=lambda tied: -tied.saved)
    if groups:
        saved = sum(tied.saved for tied in groups)
        listed = f", the {MAX_ENTRIES:,} that save most are listed" if len(groups) > MAX_ENTRIES else ""
        total = f"{counted(len(groups), 'group')}, sharing saves {bytes_text(saved)}{listed}"
        out.append(_heading(f"names of one tensor: {total}"))
        out += [_group(opened, tied) for tied in groups[:MAX_ENTRIES]]
        out += _more(len(groups))
    else:
        out.append(_heading("no names share memory here"))
    if ties.apart:
        out.append(_heading("views of one storage that do not all touch each other"))
        out += [_group(opened, tied) for tied in ties.apart[:MAX_ENTRIES]]
        out += _more(len(ties.apart))
    problems = [declared for declared in opened.listing.declared if declared.problem]
    if problems:
        out.append(_heading("declared, but"))
        for declared in problems[:MAX_ENTRIES]:
            words = safe_text(declared.problem, 600)
            line = _line(("?   ", "bold"), (words, ""))
            out.append(Entry(line, [Text(words)], _row(opened, declared.tensor)))
    return out + _unused(opened)


def _more(count: int) -> Iterable[Entry]:
    if count > MAX_ENTRIES:
        yield _heading(f"and {count - MAX_ENTRIES:,} more: paramtui shared lists all")


def _group(opened: Opened, tied: Tied) -> Entry:
    listing, count = opened.listing, len(tied.members) + len(tied.ghosts)
    names = list(islice(all_names(listing, tied), MAX_NAMES))
    line = _line(
        (f"{tied.letter:>2}{tied.sign} ", "bold"),
        (f"{counted(count, 'name'):>9}  {bytes_text(tied.nbytes):>7}  ", ""),
        (f"{saving_words(tied):<14}  ", ""),
        (names_text(names, 3, count), ""),
    )
    reason = f"{WORDS[tied.kind]}  {how(listing, tied)}".rstrip()
    detail = [Text(reason, "bold"), Text(names_text(names, MAX_DETAILED, count))]
    return Entry(line, detail, _row(opened, tied.members[0]))


def _unused(opened: Opened) -> list[Entry]:
    listing = opened.listing
    found = [slack for slack in listing.sharing.slack if slack.location in opened.wasted]
    if not found:
        return []
    found.sort(key=lambda slack: slack.used - listing.locations[slack.location].nbytes)
    at = tensors_in(listing, [slack.location for slack in found])
    out = [_heading("views that keep larger storages in memory and in the file")]
    for slack in found[:MAX_ENTRIES]:
        tensors = at[slack.location]
        words = slack_words(listing, slack, tensors)
        row = _row(opened, tensors[0]) if tensors else -1
        detail = [Text(words), Text("x = x.clone() gives it memory of its own size", "dim")]
        out.append(Entry(_line(("?   ", "bold"), (words, "")), detail, row))
    return out


def _row(opened: Opened, tensor: int) -> int:
    row = opened.tree.row_of(tensor)
    return -1 if row is None else row


# Equal copies


def copies_entries(opened: Opened, found: CopySearch) -> list[Entry]:
    """Tensors whose bits are equal without their sharing memory."""
    if not found.groups:
        return [_heading("no equal copies", copies=True)]
    return [
        _heading("equal copies: the same bits in memory of their own, not shared", copies=True),
        *(_copies(opened, group) for group in found.groups[:MAX_ENTRIES]),
        *(entry._replace(copies=True) for entry in _more(len(found.groups))),
    ]


def _copies(opened: Opened, group: Copies) -> Entry:
    listing = opened.listing
    names = [listing.names[member] for member in group.members[:MAX_NAMES]]
    count, first = len(group.members), group.members[0]
    all_same = f"all {group.constant}  " if group.constant else ""
    line = _line(
        ("    ", ""),
        (f"{counted(count, 'copy').replace('copys', 'copies'):>9}  {bytes_text(group.nbytes):>7}  ", ""),
        (f"{all_same:<16}", ""),
        (names_text(names, 3), ""),
    )
    facts = f"{safe_text(listing.dtype[first])} {shape_text(listing.shape[first])}  {all_same}"
    detail = [Text(f"{facts}{bytes_text(group.again)} could be shared", "bold"), Text(names_text(names))]
    return Entry(line, detail, _row(opened, first), copies=True)


def outcome_words(opened: Opened, found: CopySearch) -> str:
    """What the search has come to."""
    copies = sum(group.again for group in found.groups)
    words = (
        f"{counted(len(found.groups), 'group')} of equal copies: {bytes_text(copies)} could be shared"
        if found.groups
        else "no two tensors are equal"
    )
    if found.skipped:
        name = safe_text(opened.listing.names[found.skipped[0][0]], 60)
        words += (
            f"; {counted(len(found.skipped), 'tensor')} could not be compared"
            f" ({name}: {safe_text(found.skipped[0][1], 100)})"
        )
    return words
