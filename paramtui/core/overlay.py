"""Changed bytes over runs of bytes that stay as they are.

A *table* says which ranges of one run are replaced: an int64 array of rows (begin, end, file, position),
sorted and without overlaps. A *state* maps locations to tables. Both are never changed in place: going back
to an earlier state takes back what was changed since, to the bit. The replaced bytes lie in unlinked files,
so that memory is bounded and nothing stays behind however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from paramtui.errors import EditError, NoRoomError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import MappingProxyType

    import numpy.typing as npt

    from paramtui.core.runs import ByteRuns

    Table: TypeAlias = npt.NDArray[np.int64]
    State: TypeAlias = Mapping[int, Table] | MappingProxyType[int, Table]
    Piece: TypeAlias = tuple[int, int, int, int]

EMPTY: Final = np.zeros((0, 4), np.int64)
# Changed bytes closer together than this become one range: a column of a large matrix must not become a
# million of them.
MAX_GAP: Final = 4096
MAX_GROUP: Final = 4 << 20
# Tables of more rows than this lie on disk while they wait to be gone back to.
KEPT_ROWS: Final = 128


class Kept(NamedTuple):
    """A table that waits, in memory or on disk.

    Attributes:
        table: The table, or None where it is on disk.
        position: Byte of the cells' file where it begins.
        rows: How many it has.
    """

    table: Table | None
    position: int
    rows: int


class Overlay:
    """Holds replaced bytes, and reads through a state of them.

    Args:
        base: What lies below.
    """

    def __init__(self, base: ByteRuns) -> None:
        self._base = base
        self._files: dict[int, int] = {}
        self._next = 1
        self._cells = -1
        self._end = 0

    # Reading

    def read(
        self, state: State, location: int, begin: int, nbytes: int, base: ByteRuns | None = None
    ) -> bytes:
        """Exactly `nbytes` bytes from byte `begin` of a run, as they are in a state.

        Args:
            state: Which.
            location: The run.
            begin: First byte.
            nbytes: How many.
            base: Another way to what lies below.
        """
        base = base if base is not None else self._base
        table = state.get(location)
        if table is None or not len(table):
            return base.read(location, begin, nbytes)
        end = begin + nbytes
        first = int(np.searchsorted(table[:, 1], begin, "right"))
        last = int(np.searchsorted(table[:, 0], end, "left"))
        if first >= last:
            return base.read(location, begin, nbytes)
        out = bytearray()
        at = begin
        for low, high, file, position in table[first:last].tolist():
            if low > at:
                out += base.read(location, at, low - at)
                at = low
            stop = min(high, end)
            out += self._pread(file, position + at - low, stop - at)
            at = stop
        if at < end:
            out += base.read(location, at, end - at)
        return bytes(out)

    def _pread(self, file: int, position: int, nbytes: int) -> bytes:
        parts = []
        while nbytes:
            descriptor = self._files.get(file, -1)
            if descriptor < 0:
                # Whoever reads beside a change may hold a state that can be gone back to no more.
                raise ValuesError("these numbers were changed while they were read")
            part = os.pread(descriptor, min(nbytes, 1 << 30), position)
            if not part:
                raise ValuesError("changed bytes are gone from the temporary directory")
            parts.append(part)
            position += len(part)
            nbytes -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # Changing

    def write_rows(
        self, state: State, location: int, begins: npt.NDArray[np.int64], rows: npt.NDArray[np.uint8]
    ) -> State:
        """The state after pieces of equal length were written.

        Args:
            state: Before.
            location: Which run.
            begins: First byte of each piece, in any order; pieces do not overlap.
            rows: The pieces, array [pieces, bytes].

        Raises:
            NoRoomError: The temporary directory is full; what was written of the pieces is let go of.
        """
        order = np.argsort(begins, kind="stable")
        begins, rows = begins[order], rows[order]
        pieces: list[Piece] = []
        mark = self.mark()
        try:
            for low, data in self._blocks(state, location, begins, rows):
                pieces.append((low, low + len(data), *self._append(data)))
        except BaseException:
            self.rewind(mark)
            raise
        return self.with_pieces(state, location, pieces)

    def _blocks(
        self, state: State, location: int, begins: npt.NDArray[np.int64], rows: npt.NDArray[np.uint8]
    ) -> Iterator[tuple[int, bytes]]:
        """Sorted pieces as first byte and bytes; those close together are one, with what is between."""
        length = rows.shape[1]
        at = 0
        while at < len(begins):
            low = int(begins[at])
            reach = int(np.searchsorted(begins[at:], low + max(MAX_GROUP - length, 0), "right")) + at
            gaps = np.flatnonzero(np.diff(begins[at:reach]) > length + MAX_GAP)
            stop = at + int(gaps[0]) + 1 if len(gaps) else reach
            high = int(begins[stop - 1]) + length
            if (stop - at) * length == high - low:
                data = rows[at:stop].tobytes()
            else:
                buffer = np.frombuffer(bytearray(self.read(state, location, low, high - low)), np.uint8)
                places = (begins[at:stop] - low)[:, None] + np.arange(length)[None, :]
                buffer[places] = rows[at:stop]
                data = buffer.tobytes()
            yield low, data
            at = stop

    def with_pieces(self, state: State, location: int, pieces: Sequence[Piece]) -> State:
        """The state after ranges (begin, end, file, position), sorted and disjoint, were replaced."""
        return self.with_all(state, {location: pieces})

    def with_all(self, state: State, by_location: Mapping[int, Sequence[Piece]]) -> State:
        """As `with_pieces`, of many locations at once: a state of 100,000 is copied once, not for each."""
        out: dict[int, Table] = dict(state)
        for location, pieces in by_location.items():
            if not pieces:
                continue
            added = np.array(pieces, np.int64)
            table = _without(out.get(location, EMPTY), added)
            merged = np.concatenate([table, added]) if len(table) else added
            out[location] = merged[np.argsort(merged[:, 0], kind="stable")]
        return out

    def mark(self) -> int:
        """Where the changed bytes end now, for `rewind`."""
        return self._end

    def rewind(self, mark: int) -> None:
        """Gives the room back of all that was written since, which no state names any more."""
        if mark < self._end and self._cells >= 0:
            with suppress(OSError):
                os.truncate(self._cells, mark)
            self._end = mark

    def _append(self, data: bytes) -> tuple[int, int]:
        """Lays bytes into the cells' file; gives its number and their position."""
        if self._cells < 0:
            try:
                with tempfile.TemporaryFile(prefix="paramtui-") as file:
                    self._cells = self._files[0] = os.dup(file.fileno())
            except OSError as error:
                raise _no_room(error, len(data)) from None
        position, view = self._end, memoryview(data)
        try:
            while view:
                view = view[os.pwrite(self._cells, view, position + len(data) - len(view)) :]
        except OSError as error:
            # What fitted in would keep the disk full although no state names it.
            with suppress(OSError):
                os.truncate(self._cells, position)
            raise _no_room(error, len(data)) from None
        self._end += len(data)
        return 0, position

    def adopt(self, descriptor: int) -> int:
        """Takes over an open file whose bytes tables may name; gives its number."""
        number = self._next
        self._next += 1
        self._files[number] = descriptor
        return number

    def descriptor(self, file: int) -> int:
        """The descriptor of a file that tables name; it stays the overlay's.

        Raises:
            ValuesError: It was let go of meanwhile.
        """
        found = self._files.get(file, -1)
        if found < 0:
            raise ValuesError("these numbers were changed while they were read")
        return found

    def drop(self, file: int) -> None:
        """Lets go of a file that no state to be gone back to names any more."""
        descriptor = self._files.pop(file, -1)
        if descriptor >= 0:
            os.close(descriptor)

    # Tables that wait

    def keep(self, table: Table) -> Kept:
        """Puts a table by, on disk if it is long."""
        if len(table) <= KEPT_ROWS:
            return Kept(table, 0, len(table))
        return Kept(None, self._append(table.tobytes())[1], len(table))

    def kept(self, kept: Kept) -> Table:
        """The table that was put by."""
        if kept.table is not None:
            return kept.table
        return np.frombuffer(self._pread(0, kept.position, kept.rows * 32), np.int64).reshape(-1, 4)

    def close(self) -> None:
        """Lets go of all files."""
        for number in list(self._files):
            self.drop(number)
        self._cells = -1


def _without(table: Table, added: Table) -> Table:
    """What is left of the ranges of a table outside other ranges."""
    first = np.searchsorted(added[:, 1], table[:, 0], "right")
    last = np.searchsorted(added[:, 0], table[:, 1], "left")
    untouched = first >= last
    if untouched.all():
        return table
    rest: list[tuple[int, int, int, int]] = []
    for place in np.flatnonzero(~untouched).tolist():
        low, high, file, position = table[place].tolist()
        at = low
        for begin, end in added[first[place] : last[place], :2].tolist():
            if begin > at:
                rest.append((at, begin, file, position + at - low))
            at = max(at, end)
        if at < high:
            rest.append((at, high, file, position + at - low))
    left = np.array(rest, np.int64).reshape(-1, 4)
    return np.concatenate([table[untouched], left])


def _no_room(error: OSError, needed: int) -> EditError:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return NoRoomError(
            f"there is no room for changed bytes in {tempfile.gettempdir()}",
            hint="set TMPDIR to a directory with more room",
            needed=needed,
            undo=False,
        )
    return EditError(f"changed bytes cannot be kept in {tempfile.gettempdir()}: {error.strerror}")
