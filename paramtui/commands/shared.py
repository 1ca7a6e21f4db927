"""``paramtui shared``: which names stand for one tensor, what that saves, and what only looks shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.commands.ls import title
from paramtui.core.describe import all_warnings, tensors_in
from paramtui.core.text import bytes_text, safe_text
from paramtui.core.tie_words import WORDS, all_names, how, saving_words, strands
from paramtui.core.ties import ALIAS, DECLARED, OVERLAP, relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paramtui.commands.ls import Selection
    from paramtui.core.copies import Copies, CopySearch
    from paramtui.core.listing import Declared, Listing
    from paramtui.core.ties import Tied

# Tensors that a line names of many.
MAX_NAMED = 3


def shared_json(listing: Listing, selection: Selection, copies: CopySearch | None) -> Iterator[str]:
    """Groups as one JSON object, in pieces; what else there is to say stands beside them, if there is any."""
    import json

    names = listing.names
    found = _Copied(selection, copies) if copies is not None else None
    yield '{"groups": ['
    separator = "\n  "
    for tied in selection.groups():
        yield separator + json.dumps(_entry(listing, tied))
        separator = ",\n  "
    yield "]"
    more: dict[str, list[dict[str, object]]] = {
        "storages": [_entry(listing, tied) for tied in selection.apart()],
        "declarations": [
            _declaration(listing, declared, found) for declared in _declarations(listing, selection)
        ],
        "unused": _unused(listing, selection),
    }
    if found is not None:
        yield ',\n "copies": ' + json.dumps(
            [
                {
                    "members": [names[member] for member in group.members],
                    "nbytes": group.nbytes,
                    "constant": group.constant or None,
                }
                for group in found.groups
            ]
        )
        more["not_compared"] = [{"name": names[tensor], "reason": reason} for tensor, reason in found.skipped]
    for key, entries in more.items():
        if entries:
            yield f',\n "{key}": {json.dumps(entries)}'
    yield "}\n"


def _entry(listing: Listing, tied: Tied) -> dict[str, object]:
    return {"kind": tied.kind, "members": list(all_names(listing, tied)), "nbytes": tied.nbytes}


def _declarations(listing: Listing, selection: Selection) -> list[Declared]:
    """What is declared of a name that is kept."""
    if not selection.narrowed:
        return listing.declared
    tensors, values = frozenset(selection.tensors), frozenset(selection.values)
    return [
        declared
        for declared in listing.declared
        if not tensors.isdisjoint((declared.tensor, *declared.stored))
        or not values.isdisjoint(declared.ghosts)
    ]


def _declaration(listing: Listing, declared: Declared, found: _Copied | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "by": declared.by,
        "members": [
            *(listing.names[tensor] for tensor in (declared.tensor, *declared.stored)),
            *(listing.node_name(listing.values[ghost].node) for ghost in declared.ghosts),
        ],
        "contradiction": declared.problem or None,
    }
    if found is not None and declared.stored:
        entry["equal"] = found.equal(declared)
    return entry


def _unused(listing: Listing, selection: Selection) -> list[dict[str, object]]:
    """Storages that tensors do not use to the last byte."""
    slack = listing.sharing.slack
    at = tensors_in(listing, [each.location for each in slack])
    kept = frozenset(selection.tensors) if selection.narrowed else None
    return [
        {
            "storage": listing.locations[each.location].key,
            "members": [listing.names[tensor] for tensor in at[each.location]],
            "used": each.used,
            "nbytes": listing.locations[each.location].nbytes,
        }
        for each in slack
        if kept is None or not kept.isdisjoint(at[each.location])
    ]


def shared_text(listing: Listing, selection: Selection, copies: CopySearch | None) -> Iterator[str]:
    """Groups with their names, one name a line; then what only looks shared, and what is kept for nothing."""
    groups = selection.groups()
    yield title(listing, selection) + "\n"
    if not groups:
        yield "no name that matches shares memory\n" if selection.narrowed else "no names share memory\n"
    for tied in (*groups, *selection.apart()):
        yield from _group(listing, tied)
    if groups:
        saved = sum(tied.saved for tied in groups)
        count = len(groups)
        yield f"\n{count:,} group{'' if count == 1 else 's'}, sharing saves {bytes_text(saved)}\n"
    if copies is not None:
        found = _Copied(selection, copies)
        yield from _copies(listing, found)
        for declared in _declarations(listing, selection):
            if declared.stored:
                yield from _verdict(listing, declared, found.equal(declared))
    for warning in all_warnings(listing):
        yield f"warning: {safe_text(warning, 1000)}\n"


def _group(listing: Listing, tied: Tied) -> Iterator[str]:
    parts = [WORDS[tied.kind], bytes_text(tied.nbytes), saving_words(tied), how(listing, tied)]
    yield f"\n{tied.letter}{tied.sign} {'  '.join(part for part in parts if part)}\n"
    for names in strands(listing, tied) if tied.kind == OVERLAP else zip(all_names(listing, tied)):
        # Of views that overlap, those that are exactly the same stand on one line.
        yield f"   {' = '.join(safe_text(name) or '(tensor)' for name in names)}\n"


def _copies(listing: Listing, found: _Copied) -> Iterator[str]:
    names = listing.names
    yield "\nequal copies, which share nothing\n" if found.groups else "\nno equal copies\n"
    for group in found.groups:
        constant = f"  all {safe_text(group.constant, 40)}" if group.constant else ""
        yield f"\n   {len(group.members):,} x {bytes_text(group.nbytes)}{constant}\n"
        for member in group.members:
            yield f"   {safe_text(names[member]) or '(tensor)'}\n"
    if found.groups:
        yield f"\n{bytes_text(sum(group.again for group in found.groups))} could be shared\n"
    reasons: dict[str, list[int]] = {}
    for tensor, reason in found.skipped:
        reasons.setdefault(reason, []).append(tensor)
    for reason, tensors in reasons.items():
        yield f"not compared: {_some(listing, tensors)}: {safe_text(reason, 200)}\n"


def _some(listing: Listing, tensors: Sequence[int]) -> str:
    """``0.weight``, or ``2,000 tensors (0.weight, 0.bias, 1.weight, …)``."""
    shown = ", ".join(safe_text(listing.names[tensor]) or "(tensor)" for tensor in tensors[:MAX_NAMED])
    if len(tensors) == 1:
        return shown
    return f"{len(tensors):,} tensors ({shown}{', …' if len(tensors) > MAX_NAMED else ''})"


def _verdict(listing: Listing, declared: Declared, equal: bool | None) -> Iterator[str]:  # noqa: FBT001
    """Whether tensors that are stored apart and declared to be one are equal; nothing if it is not known."""
    if equal is not None:
        names = " and ".join(
            safe_text(listing.names[tensor]) for tensor in (*declared.stored, declared.tensor)
        )
        words = "they are equal copies" if equal else "they differ"
        yield f"{names}, which {safe_text(declared.by, 80)} declares to be one: {words}\n"


class _Copied:
    """What a search for copies says of the names that a selection keeps.

    Attributes:
        groups: Copies with a name that is kept, or that is another name of one of them.
        skipped: Tensors that are kept and could not be compared, with the reason.
    """

    def __init__(self, selection: Selection, copies: CopySearch) -> None:
        self._listing = selection.listing
        self._ties = selection.ties
        self._group = {member: at for at, group in enumerate(copies.groups) for member in group.members}
        self._skipped = frozenset(tensor for tensor, _ in copies.skipped)
        self.groups: Sequence[Copies] = copies.groups
        self.skipped: Sequence[tuple[int, str]] = copies.skipped
        if selection.narrowed:
            ghosts = [self._ties.of_ghost(index) for index in selection.values]
            meant = (*selection.tensors, *(tied.members[0] for tied in ghosts if tied is not None))
            kept = {self._group.get(self._compared(tensor)) for tensor in meant}
            self.groups = [group for at, group in enumerate(copies.groups) if at in kept]
            chosen = frozenset(meant)
            self.skipped = [(tensor, reason) for tensor, reason in copies.skipped if tensor in chosen]

    def _compared(self, tensor: int) -> int:
        """The lowest exact alias of a tensor, which was compared for all of them."""
        listing, tied = self._listing, self._ties.of(tensor)
        if tied is None or tied.kind == DECLARED:
            return tensor

        def place(member: int) -> tuple[object, ...]:
            return (
                listing.location[member],
                listing.begin[member],
                listing.dtype[member],
                listing.shape[member],
            )

        return next(
            member
            for member in tied.members
            if member == tensor
            or (place(member) == place(tensor) and relation(listing, member, tensor) == ALIAS)
        )

    def equal(self, declared: Declared) -> bool | None:
        """Whether tensors that are declared to be one have the same bits; None where that is not known."""
        listing = self._listing
        tensors = {self._compared(tensor) for tensor in (declared.tensor, *declared.stored)}
        groups = {self._group.get(tensor, -1) for tensor in tensors}
        if len(tensors) == 1 or (len(groups) == 1 and -1 not in groups):
            return True
        kinds = {(listing.dtype[tensor], listing.shape[tensor]) for tensor in tensors}
        if len(kinds) == 1 and all(not listing.numel(tensor) for tensor in tensors):
            return True
        return None if any(map(self._unsure, tensors)) else False

    def _unsure(self, tensor: int) -> bool:
        """Whether a tensor can be equal to one that is in no group with it."""
        tied, extra = self._ties.of(tensor), self._listing.extras.get(tensor)
        # Of equal views that overlap only some are called copies.
        return (
            tensor in self._skipped
            or (tied is not None and tied.kind == OVERLAP)
            or (extra is not None and (extra.conj or extra.neg or extra.quantizer is not None))
        )
