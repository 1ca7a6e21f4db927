"""What a reader finds out about stored bytes that are not those which were written."""

from __future__ import annotations

from typing import NamedTuple


class Damage(NamedTuple):
    """Stored bytes that disagree with their checksum.

    Attributes:
        path: The file.
        location: Where tensors lie in them, as `Listing.locations` numbers it; -1 where none can.
        words: What is wrong, for a person.
    """

    path: str
    location: int
    words: str
