"""Which names stand for one tensor, and how: a letter for each group, and the storages with several views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.addresses import meet
from paramtui.core.extents import bytes_of
from paramtui.core.sharing import distinct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from paramtui.core.addresses import StridedSet
    from paramtui.core.geometry import Geometry
    from paramtui.core.listing import Listing
    from paramtui.core.sharing import Slack

ALIAS: Final = "alias"
OVERLAP: Final = "overlap"
DECLARED: Final = "declared"
APART: Final = "storage"

SIGNS: Final = {ALIAS: "=", OVERLAP: "~", DECLARED: ":", APART: "/"}
"""What stands beside the letter of a group: the same elements, some bytes in common, said to be the same,
and one storage without a byte in common."""

# Unused bytes of a storage that are worth a word: so many, or most of it and more than a page.
MUCH: Final = 1 << 20
SOME: Final = 1 << 12


class Tied(NamedTuple):
    """Names that stand for one tensor, for overlapping ones, or for views of one storage.

    Attributes:
        kind: `ALIAS`, `OVERLAP`, `DECLARED` or `APART`.
        place: Number of its letter, from 0.
        members: Tensor ids, ascending.
        ghosts: Places in `Listing.values` of names without numbers of their own.
        nbytes: Distinct bytes that the members touch.
        listed: Bytes that they would take if each name had its own.
        by: What declares it, for a person; empty where memory shows it.
    """

    kind: str
    place: int
    members: tuple[int, ...]
    ghosts: tuple[int, ...]
    nbytes: int
    listed: int
    by: str = ""

    @property
    def letter(self) -> str:
        """A to Z, then AA, AB ...; small letters for views of one storage."""
        return letter(self.place).lower() if self.kind == APART else letter(self.place)

    @property
    def sign(self) -> str:
        """The mark that tells its kind."""
        return SIGNS[self.kind]

    @property
    def saved(self) -> int:
        """Bytes that sharing saves."""
        return self.listed - self.nbytes


class Ties:
    """All ties of a listing.

    Args:
        listing: What holds the tensors.
        chosen: Ids to look at alone; None for all.

    Attributes:
        groups: Names that share memory, in the order of their first members, then those that are declared.
        apart: Views of one storage of which some do not touch each other.
    """

    def __init__(self, listing: Listing, chosen: Collection[int] | None = None) -> None:
        kept = frozenset(chosen) if chosen is not None else None
        # Without a member that overlaps two others, these two may share nothing.
        shared = distinct(listing, None if kept is None else sorted(kept)).groups
        sizes = listing.nbytes
        groups = [
            Tied(
                group.kind,
                place,
                group.members,
                (),
                group.nbytes,
                sum(sizes[member] for member in group.members),
            )
            for place, group in enumerate(shared)
        ]
        self._of: dict[int, Tied] = {member: tie for tie in groups for member in tie.members}
        self._ghosts: dict[int, Tied] = {}
        self._declare(listing, kept, groups)
        self.groups: tuple[Tied, ...] = tuple(groups)
        self._last = self._free_place(groups) - 1
        self._listing = listing
        self._kept = kept
        self._apart: tuple[Tied, ...] | None = None
        self._apart_of: dict[int, Tied] = {}

    def _declare(self, listing: Listing, kept: frozenset[int] | None, groups: list[Tied]) -> None:
        """Adds the names that are declared to be a tensor, all those of one tensor as one group."""
        ghosts: dict[int, list[int]] = {}
        by: dict[int, dict[str, None]] = {}
        for declared in listing.declared:
            if declared.ghosts and (kept is None or declared.tensor in kept):
                ghosts.setdefault(declared.tensor, []).extend(declared.ghosts)
                by.setdefault(declared.tensor, {})[declared.by] = None
        free = self._free_place(groups)
        for tensor, places in ghosts.items():
            shared = self._of.get(tensor)
            place = shared.place if shared is not None else free
            free = max(free, place + 1)
            nbytes = listing.nbytes[tensor]
            tie = Tied(
                DECLARED,
                # Names that are said to be one with a group are in that group for the eye.
                place,
                (tensor,),
                tuple(places),
                nbytes,
                nbytes * (1 + len(places)),
                " and ".join(by[tensor]),
            )
            groups.append(tie)
            self._of.setdefault(tensor, tie)
            for ghost in places:
                self._ghosts[ghost] = tie

    @staticmethod
    def _free_place(groups: list[Tied]) -> int:
        return max((tie.place for tie in groups), default=-1) + 1

    def letters(self, *, apart: bool) -> int:
        """Length of the longest letter: of groups, and of views of one storage where they count too."""
        places = [self._last, len(self.apart) - 1 if apart else -1]
        return max(len(letter(place)) if place >= 0 else 0 for place in places)

    def __bool__(self) -> bool:
        return bool(self.groups)

    @property
    def apart(self) -> tuple[Tied, ...]:
        """See the class; found when it is first asked for."""
        if self._apart is None:
            self._apart = tuple(self._separate())
            self._apart_of = {member: tie for tie in self._apart for member in tie.members}
        return self._apart

    def _separate(self) -> Iterable[Tied]:
        listing = self._listing
        by_location: dict[int, list[int]] = {}
        for tensor, location in enumerate(listing.location):
            if (
                location >= 0
                and listing.locations[location].key is not None
                and (self._kept is None or tensor in self._kept)
            ):
                by_location.setdefault(location, []).append(tensor)
        place = 0
        for members in by_location.values():
            if len(members) < 2:
                continue
            # One group that is all of them leaves nothing apart.
            group = self._of.get(members[0])
            if group is not None and group.kind != DECLARED and len(group.members) == len(members):
                continue
            nbytes = distinct(listing, members).unique_nbytes
            listed = sum(listing.nbytes[member] for member in members)
            yield Tied(APART, place, tuple(members), (), nbytes, listed)
            place += 1

    def of(self, tensor: int) -> Tied | None:
        """The group of a tensor; None where it shares memory with nothing, and nothing says so."""
        return self._of.get(tensor)

    def of_ghost(self, value: int) -> Tied | None:
        """The group of a name without numbers, by its place in `Listing.values`."""
        return self._ghosts.get(value)

    def storage_of(self, tensor: int) -> Tied | None:
        """The views of the storage of a tensor, where some of them do not touch each other."""
        return self._apart_of.get(tensor) if self.apart else None

    @property
    def members(self) -> dict[int, Tied]:
        """The group of each tensor that is in one."""
        return self._of

    @property
    def ghosts(self) -> dict[int, Tied]:
        """The group of each name without numbers."""
        return self._ghosts

    def problems(self, tensor: int) -> list[str]:
        """How a file contradicts what is declared of a tensor, as sentences without a full stop."""
        return [
            declared.problem
            for declared in self._listing.declared
            if declared.problem and (tensor == declared.tensor or tensor in declared.stored)
        ]


def letter(index: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    text = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        text = chr(65 + digit) + text
    return text


# Pairs


def geometries(listing: Listing, tensor: int) -> list[Geometry]:
    """Where the elements of a tensor lie; of a layout that is not strided those of each of its parts."""
    extra = listing.extras.get(tensor)
    if extra is not None and extra.parts:
        return list(extra.parts.values())
    return [listing.geometry(tensor)] if listing.location[tensor] >= 0 else []


def touched(geometry: Geometry) -> StridedSet:
    """The bytes of a tensor or part, relative to its first element."""
    return bytes_of(geometry.dtype, geometry.shape, geometry.stride)


def relation(listing: Listing, one: int, other: int) -> str:
    """What two tensors of a listing have to do with each other in memory.

    Returns:
        ``alias`` where they are the same elements in the same order, ``overlap`` where they have bytes in
        common, ``storage`` where they lie in one storage and have not; else nothing.
    """
    if one == other:
        return ALIAS
    here, there = geometries(listing, one), geometries(listing, other)
    if not here or not there:
        return ""
    if len(here) == len(there) and _flags(listing, one) == _flags(listing, other):
        pairs = list(zip(here, there, strict=True))
        # Without elements there is nothing to be the same.
        if all(
            a.location == b.location and a.begin == b.begin and order(a) == order(b) and 0 not in a.shape
            for a, b in pairs
        ):
            return ALIAS
    if any(a.location == b.location and _meet(a, b) for a in here for b in there):
        return OVERLAP
    stored = {a.location for a in here} & {b.location for b in there}
    return APART if any(listing.locations[location].key is not None for location in stored) else ""


def _flags(listing: Listing, tensor: int) -> tuple[bool, bool]:
    extra = listing.extras.get(tensor)
    return (False, False) if extra is None else (extra.conj, extra.neg)


def order(geometry: Geometry) -> tuple[object, ...]:
    """What two exact aliases have in common besides where they begin."""
    sizes = zip(geometry.shape, geometry.stride, strict=True)
    return geometry.dtype, tuple((size, step) for size, step in sizes if size != 1)


def _meet(one: Geometry, other: Geometry) -> bool:
    return meet(one.begin, touched(one), other.begin, touched(other))[0]


# Memory that is kept for nothing


def wasteful(listing: Listing) -> list[Slack]:
    """Storages of which so much is unused that a person should know."""
    out = []
    for slack in listing.sharing.slack:
        nbytes = listing.locations[slack.location].nbytes
        unused = nbytes - slack.used
        if unused >= MUCH or (unused >= SOME and 2 * unused > nbytes):
            out.append(slack)
    return out
