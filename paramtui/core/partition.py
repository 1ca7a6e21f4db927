"""Which of some memories of one length hold the same bytes, told exactly and with few reads.

All begin as one class. A class is split by comparing its members' next chunk of bytes; a member that is alone
is read no further. So one without a twin costs a small chunk, and where all are equal each byte is read once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeVar

from paramtui.errors import TargetError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

P = TypeVar("P")

# Bytes that are read first, and of the middle and the end of what is long; later chunks grow up to `CHUNK`.
FIRST: Final = 16 << 10
CHUNK: Final = 1 << 20
LONG: Final = 64 * FIRST
SMALLEST: Final = 512
# Bytes of different chunks that are held at once.
BUDGET: Final = 64 << 20


class Pieces(Protocol[P]):
    """Gives pieces of memories by number, in a form that can be compared."""

    def piece(self, member: int, at: int, nbytes: int) -> P:
        """Exactly `nbytes` bytes from byte `at`.

        Raises:
            ValuesError, TargetError: They cannot be read.
        """

    def same(self, one: P, other: P) -> bool:
        """Whether two pieces of one length hold the same bytes."""

    def key(self, piece: P) -> Hashable:
        """Equal for equal pieces; rarely equal for others."""

    def element(self, piece: P, nbytes: int) -> bytes:
        """The first bytes of a piece."""

    def repeats(self, piece: P, element: bytes) -> bool:
        """Whether a piece is nothing but copies of some bytes."""

    def done(self, piece: P) -> None:
        """Takes a piece back that is not needed any more."""


class Equal(NamedTuple):
    """Members that hold the same bytes.

    Attributes:
        members: Two or more.
        element: What the bytes are copies of, if of one element alone; else empty.
    """

    members: list[int]
    element: bytes


class _Class(NamedTuple):
    """Members that are equal as far as they were read.

    Attributes:
        members: Their numbers.
        at: Bytes that were read from the begin.
        chunk: Bytes to read next.
        probes: Places to look at before.
        element: As in `Equal`, of what was read; None before the first byte.
    """

    members: list[int]
    at: int
    chunk: int
    probes: tuple[int, ...]
    element: bytes | None


class Partition(Generic[P]):
    """Partitions sets of members.

    Args:
        pieces: Gives their bytes.
        moved: Told how many bytes of a set were dealt with by reading, and how many will not be read.

    Attributes:
        nbytes_read: Bytes that were read.
        failed: Members that could not be read, with the reason.
    """

    def __init__(self, pieces: Pieces[P], moved: Callable[[int, int], None]) -> None:
        self._pieces = pieces
        self._moved = moved
        self.nbytes_read = 0
        self.failed: list[tuple[int, str]] = []

    def equal(self, members: Sequence[int], nbytes: int, itemsize: int, limit: int = CHUNK) -> list[Equal]:
        """The classes of two or more members, of `nbytes` bytes each.

        Args:
            members: Their numbers.
            nbytes: Length of each, a positive multiple of `itemsize`.
            itemsize: Bytes of an element, a power of two up to 16.
            limit: Bytes that are read at once.
        """
        out: list[Equal] = []
        end = nbytes - FIRST
        probes = (end // 2 // itemsize * itemsize, end) if nbytes >= LONG else ()
        stack = [_Class(list(members), 0, min(FIRST, limit), probes, None)]
        while stack:
            found = stack.pop()
            if found.at == nbytes:
                out.append(Equal(found.members, found.element or b""))
            elif found.at and found.probes:
                stack += self._probed(found, nbytes)
            else:
                stack += self._advanced(found, nbytes, itemsize, limit)
        return out

    def _probed(self, found: _Class, nbytes: int) -> list[_Class]:
        place, *probes = found.probes
        split, rest = self._split(found.members, place, FIRST)
        kept = [members for _, members in split if len(members) > 1]
        for piece, _ in split:
            self._pieces.done(piece)
        # What one pass had no room for goes on without the probe.
        kept += [rest] if len(rest) > 1 else []
        self._moved(0, (len(found.members) - sum(map(len, kept))) * (nbytes - found.at))
        return [found._replace(members=members, probes=tuple(probes)) for members in kept]

    def _advanced(self, found: _Class, nbytes: int, itemsize: int, limit: int) -> list[_Class]:
        length = min(found.chunk, nbytes - found.at)
        split, rest = self._split(found.members, found.at, length)
        at = found.at + length
        gone = len(found.members) - len(rest)
        out: list[_Class] = []
        for piece, members in split:
            if len(members) > 1:
                element = self._element(found.element, piece, itemsize)
                out.append(_Class(members, at, min(4 * found.chunk, limit), found.probes, element))
            self._pieces.done(piece)
        kept = sum(len(each.members) for each in out)
        self._moved(gone * length, (gone - kept) * (nbytes - at))
        if len(rest) == 1:
            self._moved(0, nbytes - found.at)
        elif rest:
            out.append(found._replace(members=rest, chunk=max(found.chunk // 8, SMALLEST)))
        return out

    def _element(self, before: bytes | None, piece: P, itemsize: int) -> bytes:
        element = self._pieces.element(piece, itemsize) if before is None else before
        return element if element and self._pieces.repeats(piece, element) else b""

    def _split(self, members: list[int], at: int, length: int) -> tuple[list[tuple[P, list[int]]], list[int]]:
        """Members by their next bytes, and those for which there was no room.

        The latter are equal to none of the others.
        """
        pieces = self._pieces
        heads: list[tuple[P, list[int]]] = []
        by_key: dict[Hashable, list[int]] = {}
        rest: list[int] = []
        last = -1
        for member in members:
            try:
                piece = pieces.piece(member, at, length)
            except (ValuesError, TargetError) as error:
                self.failed.append((member, str(error)))
                continue
            self.nbytes_read += length
            # Mostly it is as the one before it, and needs no key.
            if last >= 0 and pieces.same(heads[last][0], piece):
                heads[last][1].append(member)
                pieces.done(piece)
                continue
            if len(heads) == 1:
                by_key[pieces.key(heads[0][0])] = [0]
            places = by_key.setdefault(pieces.key(piece), []) if heads else []
            place = next((each for each in places if pieces.same(heads[each][0], piece)), -1)
            if place >= 0:
                last = place
                heads[last][1].append(member)
                pieces.done(piece)
            elif len(heads) * length >= BUDGET:
                rest.append(member)
                pieces.done(piece)
            else:
                last = len(heads)
                heads.append((piece, [member]))
                places.append(last)
        return heads, rest
