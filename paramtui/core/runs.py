"""Where bytes come from: the protocol between formats and the decoding of windows."""

from __future__ import annotations

from typing import Protocol, cast


class ReadableRuns(Protocol):
    """Runs of bytes by location, as `Listing.locations` numbers them."""

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from byte `begin` of a run, or a `ValuesError`."""


class ByteRuns(ReadableRuns, Protocol):
    """Runs with what is known of them."""

    def big_endian(self, location: int) -> bool:
        """Whether numbers in this run have their most significant byte first."""

    def nbytes(self, location: int) -> int:
        """Length of a run."""


class FillingRuns(ByteRuns, Protocol):
    """Runs whose bytes can be laid where others lay: fresh memory each time costs more than reading."""

    def read_into(self, location: int, begin: int, buffer: bytearray | memoryview) -> None:
        """As `read`, as many bytes as the buffer has, into it."""


def filling(runs: object) -> FillingRuns | None:
    """Runs if they are `FillingRuns`, by what tells it soonest: it is asked for every tensor."""
    return cast("FillingRuns", runs) if hasattr(runs, "read_into") else None
