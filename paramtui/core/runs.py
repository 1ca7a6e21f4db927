"""Where bytes come from: the protocol between formats and the decoding of windows."""

from __future__ import annotations

from typing import Protocol


class ByteRuns(Protocol):
    """Runs of bytes by location, as `Listing.locations` numbers them."""

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from byte `begin` of a run, or a `ValuesError`."""

    def big_endian(self, location: int) -> bool:
        """Whether numbers in this run have their most significant byte first."""

    def nbytes(self, location: int) -> int:
        """Length of a run."""
