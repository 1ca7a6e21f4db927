"""What the right side says of a tensor's partners: who shares its memory, and what is declared of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from paramtui.core.describe import slack_words, tensor_facts, tensors_in
from paramtui.core.text import safe_text
from paramtui.core.tie_words import how, partners
from paramtui.core.ties import APART

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.ties import Tied
    from paramtui.tui.opened import Opened

MAX_NAMES = 8


def tie_head(opened: Opened, tensor: int) -> list[Text]:
    """Lines about what shares memory with a tensor, contradicts what is declared, or is kept for nothing."""
    listing, ties = opened.listing, opened.ties
    lines: list[Text] = []
    tied = ties.of(tensor)
    if tied is not None:
        lines += _partners(opened, tied, tensor)
    for declared in ties.groups:
        # A tensor can be in a group, and besides be declared to be what is not stored.
        if declared is not tied and declared.ghosts and tensor in declared.members:
            lines += _partners(opened, declared, tensor)
    apart = ties.storage_of(tensor)
    if apart is not None and (tied is None or tied.kind != APART):
        rest = apart
        if tied is not None:
            rest = apart._replace(
                members=tuple(m for m in apart.members if m == tensor or m not in tied.members)
            )
        if len(rest.members) > 1:
            lines += _partners(opened, rest, tensor)
    if listing.location[tensor] in opened.wasted:
        for slack in listing.sharing.slack:
            if slack.location == listing.location[tensor]:
                tensors = tensors_in(listing, [slack.location])[slack.location]
                words = f"{slack_words(listing, slack, tensors)}, all of which is kept in memory and saved"
                lines.append(Text(f"?  {words}", "bold"))
    lines += [Text(f"?  {safe_text(problem, 400)}", "bold") for problem in ties.problems(tensor)]
    return lines


def ghost_head(opened: Opened, value: int) -> list[Text]:
    """What a name without numbers of its own stands for."""
    listing, tied = opened.listing, opened.ties.of_ghost(value)
    if tied is None:
        return []
    tensor = tied.members[0]
    line = Text(f"{tied.letter}{tied.sign} ", "bold")
    line.append(f" {safe_text(listing.names[tensor], 400) or '(tensor)'}: ) goes there")
    dtype, shape, size = tensor_facts(listing, tensor)
    return [
        Text(f"not stored here: declared by {safe_text(tied.by, 80)} to be the same tensor as"),
        line,
        Text(f"    {dtype}  {shape}  {size}"),
    ]


def declared_words(opened: Opened, row: int) -> str:
    """Why a row has no numbers of its own, and where they are; empty where nothing is declared of it."""
    tensor = opened.declared(row)
    if tensor < 0:
        return ""
    name = safe_text(opened.listing.names[tensor], 200)
    return f"it is not stored here: it is declared to be {name}, ) goes there"


def _partners(opened: Opened, tied: Tied, tensor: int) -> list[Text]:
    lines = []
    for words, names in partners(opened.listing, tied, tensor):
        line = Text(f"{tied.letter}{tied.sign} ", "bold")
        line.append(f" {words} {names_text(names)}")
        lines.append(line)
    reason = how(opened.listing, tied) if not tied.ghosts else ""
    if reason:
        lines.append(Text(f"    {reason}"))
    return lines


def names_text(names: Sequence[str], limit: int = MAX_NAMES, count: int | None = None) -> str:
    """The first few of some names, and how many more there are.

    Args:
        names: Some of them, or all.
        limit: How many are written out.
        count: How many there are; None for as many as are given.
    """
    shown = ", ".join(safe_text(name, 80) or "(tensor)" for name in names[:limit])
    more = (len(names) if count is None else count) - limit
    return f"{shown} and {more:,} more" if more > 0 else shown
