"""What a search for copies found as plain data, to be sent between processes."""

from __future__ import annotations

from typing import Any

from paramtui.core.copies import Copies, CopySearch


def plain_copies(found: CopySearch) -> list[Any]:
    """What was found as plain data."""
    return [
        [[list(group.members), group.nbytes, group.constant] for group in found.groups],
        found.compared,
        [list(skipped) for skipped in found.skipped],
        found.nbytes_read,
    ]


def copies_from(plain: list[Any]) -> CopySearch:
    """What `plain_copies` wrote."""
    groups, compared, skipped, nbytes_read = plain
    return CopySearch(
        tuple(Copies(tuple(members), nbytes, constant) for members, nbytes, constant in groups),
        compared,
        tuple((tensor, reason) for tensor, reason in skipped),
        nbytes_read,
    )
