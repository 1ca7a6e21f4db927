"""Which tensors share memory, told from storages, offsets, shapes and strides."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.dtypes import DTYPES, ITEMSIZE
from paramtui.core.extents import Budget, Extent, bytes_of, groups_of, kind_of, unique_elements
from paramtui.core.gc_pause import paused_gc
from paramtui.core.geometry import UNCOUNTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.addresses import StridedSet
    from paramtui.core.geometry import Geometry
    from paramtui.core.listing import Listing


class Group(NamedTuple):
    """Tensors that share memory, directly or through one another.

    Attributes:
        kind: ``alias`` where all members are the same elements in the same order, else ``overlap``.
        members: Tensor ids, ascending.
        nbytes: Distinct bytes that the members touch.
    """

    kind: str
    members: tuple[int, ...]
    nbytes: int


class Slack(NamedTuple):
    """A storage of which the tensors use a part only; the rest is kept in memory and saved all the same.

    Attributes:
        location: Index in `Listing.locations`.
        used: Distinct bytes of it that tensors touch.
    """

    location: int
    used: int


class Sharing(NamedTuple):
    """Groups in the order of their first members, and sums that count shared memory once.

    Attributes:
        groups: Two or more tensors each.
        unique_elements, unique_nbytes: Distinct elements, and the bytes that they touch.
        storage_nbytes: Bytes of the distinct storages that the tensors lie in, used or not; of a format
            without storages the bytes that the tensors touch.
        slack: Storages that are not used to the last byte, by location.
        folded: Tensors that share with no other, and of which several elements are one memory, as those of
            ``expand``.
    """

    groups: tuple[Group, ...]
    unique_elements: int
    unique_nbytes: int
    storage_nbytes: int
    slack: tuple[Slack, ...] = ()
    folded: tuple[int, ...] = ()


def find_sharing(listing: Listing) -> Sharing:
    """Groups all tensors of a listing by the memory they share."""
    return _survey(listing, range(len(listing)))


def distinct(listing: Listing, tensors: Iterable[int] | None = None) -> Sharing:
    """What some tensors, by default all, share among themselves, with sums that count it once."""
    return listing.sharing if tensors is None else _survey(listing, tensors)


def _survey(listing: Listing, tensors: Iterable[int]) -> Sharing:
    if listing.disjoint and not listing.extras:
        elements, nbytes = listing.sums(tensors)
        return Sharing((), elements, nbytes, nbytes)
    with paused_gc():
        survey = _Survey(listing)
        survey.take(list(tensors))
        return survey.result()


class _Survey:
    """Sums and groups while tensors are gone through."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._known: dict[tuple[object, ...], StridedSet] = {}
        self._several: dict[int, list[int]] = {}
        self._parts: dict[int, list[Extent]] = {}
        self._budget = Budget()
        self._groups: list[Group] = []
        self._slack: list[Slack] = []
        self._folded: list[int] = []
        self._elements = self._nbytes = self._stored = 0

    def take(self, tensors: list[int]) -> None:
        """Counts tensors that lie alone, and puts the others with those of the same location."""
        listing, known, several = self._listing, self._known, self._several
        extras, locations, slack = listing.extras, listing.location, self._slack
        dtypes, shapes, strides, listed = listing.dtype, listing.shape, listing.stride, listing.nbytes
        elements = nbytes = stored = 0
        # A storage that one tensor alone uses, as most are, needs no comparing.
        alone = _used_once(locations, tensors)
        if extras:
            odd = (extras[tensor] for tensor in tensors if tensor in extras)
            alone -= {part.location for extra in odd for part in extra.parts.values()}
        for tensor in tensors:
            extra = extras.get(tensor) if extras else None
            if extra is not None and extra.parts:
                for part in extra.parts.values():
                    self._add_part(tensor, part)
                continue
            location = locations[tensor]
            if location < 0:
                if extra is None or extra.layout not in UNCOUNTED:
                    elements += listing.numel(tensor)
                continue
            if extra is not None and extra.problem is not None and extra.layout != "meta":
                # Its geometry reaches past its storage: only the storage's own bytes can be counted.
                continue
            if location in alone:
                dtype = dtypes[tensor]
                key = (dtype, shapes[tensor], strides[tensor])
                bytes_set = known.get(key)
                if bytes_set is None:
                    bytes_set = known[key] = bytes_of(*key)  # type: ignore[arg-type]
                used = bytes_set.nbytes
                if used is not None and DTYPES[dtype].bits >= 8:
                    nbytes += used
                    elements += used // ITEMSIZE[dtype]
                    size = self._size(location)
                    stored += max(used, size)
                    if size > used:
                        slack.append(Slack(location, used))
                    if used != listed[tensor]:
                        self._folded.append(tensor)
                    continue
            found = several.get(location)
            if found is None:
                several[location] = [tensor]
            else:
                found.append(tensor)
        self._elements += elements
        self._nbytes += nbytes
        self._stored += stored

    def _bytes(self, key: tuple[object, ...]) -> StridedSet:
        bytes_set = self._known.get(key)
        if bytes_set is None:
            bytes_set = self._known[key] = bytes_of(*key)  # type: ignore[arg-type]
        return bytes_set

    def _add_part(self, tensor: int, part: Geometry) -> None:
        if part.location >= 0:
            key = (part.dtype, part.shape, part.stride)
            extent = Extent(part.begin, tensor, ITEMSIZE[part.dtype], self._bytes(key), key)
            self._parts.setdefault(part.location, []).append(extent)

    def _extent(self, tensor: int) -> Extent:
        listing = self._listing
        dtype = listing.dtype[tensor]
        key: tuple[object, ...] = (dtype, listing.shape[tensor], listing.stride[tensor])
        bytes_set = self._bytes(key)
        extra = listing.extras.get(tensor)
        if extra is not None and (extra.conj or extra.neg):
            # The same memory, read as other numbers.
            key = (*key, extra.conj, extra.neg)
        return Extent(listing.begin[tensor], tensor, ITEMSIZE[dtype], bytes_set, key)

    def result(self) -> Sharing:
        """Compares what lies in one location, and gives all together."""
        parts = self._parts
        for location, tensors in self._several.items():
            if location in parts or not self._same(location, tensors):
                parts.setdefault(location, []).extend(map(self._extent, tensors))
        for location, extents in parts.items():
            used = 0
            for members, nbytes in groups_of(extents, self._budget):
                used += nbytes
                self._elements += unique_elements(members, nbytes)
                if len(members) > 1:
                    ids = sorted({extent.tensor for extent in members})
                    if len(ids) > 1:
                        self._groups.append(Group(kind_of(members), tuple(ids), nbytes))
                elif nbytes != self._listing.nbytes[members[0].tensor]:
                    self._folded.append(members[0].tensor)
            self._count(location, used)
        self._groups.sort(key=itemgetter(1))
        return Sharing(
            tuple(self._groups),
            self._elements,
            self._nbytes,
            self._stored,
            tuple(sorted(self._slack)),
            tuple(sorted(self._folded)),
        )

    def _same(self, location: int, tensors: list[int]) -> bool:
        """Counts tensors that are all the same elements, as most are that share a storage; else False."""
        listing = self._listing
        begins, dtypes, shapes, strides = listing.begin, listing.dtype, listing.shape, listing.stride
        first = tensors[0]
        begin, dtype, shape, stride = begins[first], dtypes[first], shapes[first], strides[first]
        for tensor in tensors:
            if (
                begins[tensor] != begin
                or shapes[tensor] != shape
                or dtypes[tensor] != dtype
                or strides[tensor] != stride
                or tensor in listing.extras
            ):
                return False
        used = self._bytes((dtype, shape, stride)).nbytes
        if not used or DTYPES[dtype].bits < 8:
            return False
        self._elements += used // ITEMSIZE[dtype]
        if len(tensors) > 1:
            self._groups.append(Group("alias", tuple(sorted(tensors)), used))
        elif used != listing.nbytes[first]:
            self._folded.append(first)
        self._count(location, used)
        return True

    def _size(self, location: int) -> int:
        """Bytes of a storage; a file without storages has none."""
        found = self._listing.locations[location]
        return found.nbytes if found.key is not None else -1

    def _count(self, location: int, used: int) -> None:
        size = self._size(location)
        self._nbytes += used
        self._stored += max(used, size)
        if size > used:
            self._slack.append(Slack(location, used))


def _used_once(locations: list[int], tensors: list[int]) -> set[int]:
    seen: set[int] = set()
    twice: set[int] = set()
    for tensor in tensors:
        location = locations[tensor]
        if location in seen:
            twice.add(location)
        else:
            seen.add(location)
    return seen - twice
