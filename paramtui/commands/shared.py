"""``paramtui shared``: which names stand for one tensor, what that saves, and what only looks shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.commands.ls import title
from paramtui.core.describe import all_warnings, tensors_in
from paramtui.core.text import bytes_text, safe_text
from paramtui.core.tie_words import WORDS, all_names, how, saving_words, strands
from paramtui.core.ties import OVERLAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramtui.commands.ls import Selection
    from paramtui.core.copies import CopySearch
    from paramtui.core.listing import Listing
    from paramtui.core.ties import Tied


def shared_json(listing: Listing, selection: Selection, copies: CopySearch | None) -> Iterator[str]:
    """Groups as one JSON object, in pieces; what else there is to say stands beside them, if there is any."""
    import json

    ties, names = selection.ties(), listing.names
    yield '{"groups": ['
    separator = "\n  "
    for tied in ties.groups:
        yield separator + json.dumps(_entry(listing, tied))
        separator = ",\n  "
    yield "]"
    more: dict[str, list[dict[str, object]]] = {
        "storages": [_entry(listing, tied) for tied in ties.apart],
        "declarations": [
            {
                "by": declared.by,
                "members": [
                    *(names[tensor] for tensor in (declared.tensor, *declared.stored)),
                    *(listing.node_name(listing.values[ghost].node) for ghost in declared.ghosts),
                ],
                "contradiction": declared.problem or None,
            }
            for declared in listing.declared
        ],
        "unused": _unused(listing),
    }
    if copies is not None:
        yield ',\n "copies": ' + json.dumps(
            [
                {
                    "members": [names[member] for member in group.members],
                    "nbytes": group.nbytes,
                    "constant": group.constant or None,
                }
                for group in copies.groups
            ]
        )
        more["not_compared"] = [
            {"name": names[tensor], "reason": reason} for tensor, reason in copies.skipped
        ]
    for key, found in more.items():
        if found:
            yield f',\n "{key}": {json.dumps(found)}'
    yield "}\n"


def _entry(listing: Listing, tied: Tied) -> dict[str, object]:
    return {"kind": tied.kind, "members": list(all_names(listing, tied)), "nbytes": tied.nbytes}


def _unused(listing: Listing) -> list[dict[str, object]]:
    """Storages that tensors do not use to the last byte."""
    slack = listing.sharing.slack
    at = tensors_in(listing, [each.location for each in slack])
    return [
        {
            "storage": listing.locations[each.location].key,
            "members": [listing.names[tensor] for tensor in at[each.location]],
            "used": each.used,
            "nbytes": listing.locations[each.location].nbytes,
        }
        for each in slack
    ]


def shared_text(listing: Listing, selection: Selection, copies: CopySearch | None) -> Iterator[str]:
    """Groups with their names, one name a line; then what only looks shared, and what is kept for nothing."""
    ties = selection.ties()
    yield title(listing, selection) + "\n"
    if not ties.groups:
        yield "no names share memory\n"
    for tied in (*ties.groups, *ties.apart):
        yield from _group(listing, tied)
    if ties.groups:
        saved = sum(tied.saved for tied in ties.groups)
        count = len(ties.groups)
        yield f"\n{count:,} group{'' if count == 1 else 's'}, sharing saves {bytes_text(saved)}\n"
    if copies is not None:
        yield from _copies(listing, copies)
    for warning in all_warnings(listing):
        yield f"warning: {safe_text(warning, 1000)}\n"


def _group(listing: Listing, tied: Tied) -> Iterator[str]:
    parts = [WORDS[tied.kind], bytes_text(tied.nbytes), saving_words(tied), how(listing, tied)]
    yield f"\n{tied.letter}{tied.sign} {'  '.join(part for part in parts if part)}\n"
    for names in strands(listing, tied) if tied.kind == OVERLAP else zip(all_names(listing, tied)):
        # Of views that overlap, those that are exactly the same stand on one line.
        yield f"   {' = '.join(safe_text(name) or '(tensor)' for name in names)}\n"


def _copies(listing: Listing, copies: CopySearch) -> Iterator[str]:
    names = listing.names
    again = sum((len(group.members) - 1) * group.nbytes for group in copies.groups)
    yield "\nequal copies, which share nothing\n" if copies.groups else "\nno equal copies\n"
    for group in copies.groups:
        constant = f"  all {safe_text(group.constant, 40)}" if group.constant else ""
        yield f"\n   {len(group.members):,} x {bytes_text(group.nbytes)}{constant}\n"
        for member in group.members:
            yield f"   {safe_text(names[member]) or '(tensor)'}\n"
    if copies.groups:
        yield f"\n{bytes_text(again)} are there again\n"
    for tensor, reason in copies.skipped:
        yield f"not compared: {safe_text(names[tensor])}: {safe_text(reason, 200)}\n"
