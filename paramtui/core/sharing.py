"""Which tensors share memory, told from storages, offsets, shapes and strides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.addresses import EMPTY, StridedSet, meet, piece_count, pieces, strided_set, union_size
from paramtui.core.dtypes import DTYPES, ITEMSIZE
from paramtui.core.listing import UNCOUNTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.listing import Geometry, Listing

# Counting a union piece by piece stops here; beyond it the union's upper bound is taken.
MAX_PIECES = 200_000
# Pairs of overlapping extents that are compared in one storage before all of them count as one group.
MAX_PAIRS = 1_000_000


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


class Sharing(NamedTuple):
    """Groups in the order of their first members, and sums that count shared memory once."""

    groups: tuple[Group, ...]
    unique_elements: int
    unique_nbytes: int


class _Extent(NamedTuple):
    begin: int
    tensor: int
    itemsize: int
    bytes_set: StridedSet
    signature: tuple[object, ...]


def find_sharing(listing: Listing) -> Sharing:
    """Groups all tensors of a listing by the memory they share."""
    return _survey(listing, range(len(listing)))


def distinct(listing: Listing, tensors: Iterable[int] | None = None) -> tuple[int, int]:
    """Distinct elements and bytes of some tensors, by default all."""
    sharing = listing.sharing if tensors is None else _survey(listing, tensors)
    return sharing.unique_elements, sharing.unique_nbytes


def _survey(listing: Listing, tensors: Iterable[int]) -> Sharing:
    extras = listing.extras
    if listing.disjoint and not extras:
        return Sharing((), *listing.sums(tensors))
    locations, begins, dtypes = listing.location, listing.begin, listing.dtype
    shapes, strides = listing.shape, listing.stride
    known: dict[tuple[object, ...], StridedSet] = {}
    by_location: dict[int, list[_Extent]] = {}
    elements = nbytes = 0
    chosen = list(tensors)
    # A storage that one tensor alone uses, as most are, needs no comparing.
    alone = _used_once(locations, chosen) if not extras else ()
    for tensor in chosen:
        extra = extras.get(tensor) if extras else None
        if extra is not None and extra.parts:
            for part in extra.parts.values():
                _note(by_location, known, tensor, part)
            continue
        location = locations[tensor]
        if location < 0:
            if extra is None or extra.layout not in UNCOUNTED:
                elements += listing.numel(tensor)
            continue
        if extra is not None and extra.problem is not None and extra.layout != "meta":
            # Its geometry reaches past its storage: only the storage's own bytes can be counted.
            continue
        dtype = dtypes[tensor]
        shape = shapes[tensor]
        stride = strides[tensor]
        key = (dtype, shape, stride)
        bytes_set = known.get(key)
        if bytes_set is None:
            bytes_set = known[key] = _bytes_of(dtype, shape, stride)  # type: ignore[arg-type]
        if location in alone and bytes_set.nbytes is not None and DTYPES[dtype].bits >= 8:
            nbytes += bytes_set.nbytes
            elements += bytes_set.nbytes // ITEMSIZE[dtype]
            continue
        extent = _Extent(begins[tensor], tensor, ITEMSIZE[dtype], bytes_set, key)
        found = by_location.get(location)
        if found is None:
            by_location[location] = [extent]
        else:
            found.append(extent)

    groups: list[Group] = []
    for extents in by_location.values():
        for cluster in _clusters(extents):
            members = _connected(cluster) if len(cluster) > 1 else [cluster]
            for member in members:
                size = _union(member)
                nbytes += size
                elements += _elements(member, size)
                ids = sorted({extent.tensor for extent in member})
                if len(ids) > 1:
                    groups.append(Group(_kind(member), tuple(ids), size))
    groups.sort(key=lambda group: group.members)
    return Sharing(tuple(groups), elements, nbytes)


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


def _note(
    by_location: dict[int, list[_Extent]],
    known: dict[tuple[object, ...], StridedSet],
    tensor: int,
    geometry: Geometry,
) -> None:
    if geometry.location < 0:
        return
    key = (geometry.dtype, geometry.shape, geometry.stride)
    bytes_set = known.get(key)
    if bytes_set is None:
        bytes_set = known[key] = _bytes_of(*key)
    by_location.setdefault(geometry.location, []).append(
        _Extent(geometry.begin, tensor, ITEMSIZE[geometry.dtype], bytes_set, key)
    )


def _bytes_of(dtype: str, shape: tuple[int, ...], stride: tuple[int, ...]) -> StridedSet:
    bits = DTYPES[dtype].bits
    if bits < 8:
        # Packed types are always stored whole and in order.
        count = 1
        for size in shape:
            count *= size
        length = (count * bits + 7) // 8
        return StridedSet(length, (), length, length) if length else EMPTY
    return strided_set(shape, stride, ITEMSIZE[dtype])


def _clusters(extents: list[_Extent]) -> list[list[_Extent]]:
    """Extents whose spans overlap in a chain; spans of different clusters do not touch."""
    if len(extents) == 1:
        return [extents]
    clusters: list[list[_Extent]] = []
    cluster: list[_Extent] = []
    reached = -1
    for extent in sorted(extents, key=lambda found: (found.begin, found.tensor)):
        if not extent.bytes_set.run:
            clusters.append([extent])
        elif cluster and extent.begin < reached:
            cluster.append(extent)
        else:
            cluster = [extent]
            clusters.append(cluster)
        reached = max(reached, extent.begin + extent.bytes_set.span)
    return clusters


def _connected(cluster: list[_Extent]) -> list[list[_Extent]]:
    """Splits a cluster into groups that truly have bytes in common."""
    if not any(extent.bytes_set.dims for extent in cluster):
        return [cluster]
    # The same bytes need comparing once.
    distinct_sets: dict[tuple[int, StridedSet], list[_Extent]] = {}
    for extent in cluster:
        distinct_sets.setdefault((extent.begin, extent.bytes_set), []).append(extent)
    items = list(distinct_sets.items())
    leader = list(range(len(items)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    pairs = 0
    active: list[int] = []
    for index, ((begin, bytes_set), _) in enumerate(items):
        active = [other for other in active if items[other][0][0] + items[other][0][1].span > begin]
        for other in active:
            if find(other) == find(index):
                continue
            pairs += 1
            other_begin, other_set = items[other][0]
            if pairs > MAX_PAIRS or meet(other_begin, other_set, begin, bytes_set):
                leader[find(index)] = find(other)
        active.append(index)
    groups: dict[int, list[_Extent]] = {}
    for index, (_, members) in enumerate(items):
        groups.setdefault(find(index), []).extend(members)
    return list(groups.values())


def _union(members: list[_Extent]) -> int:
    """Distinct bytes of a connected group."""
    first = members[0]
    if first.bytes_set.nbytes is not None and (
        len(members) == 1 or all(m.begin == first.begin and m.bytes_set == first.bytes_set for m in members)
    ):
        return first.bytes_set.nbytes
    last = max(m.begin + m.bytes_set.span for m in members)
    begin = min(m.begin for m in members)
    if not any(m.bytes_set.dims for m in members):
        return last - begin
    sets = {(m.begin, m.bytes_set) for m in members}
    if sum(piece_count(bytes_set) for _, bytes_set in sets) > MAX_PIECES:
        return min(last - begin, sum(bytes_set.nbytes or bytes_set.span for _, bytes_set in sets))
    return union_size([piece for start, bytes_set in sets for piece in pieces(start, bytes_set)])


def _elements(members: list[_Extent], nbytes: int) -> int:
    """Distinct elements of a connected group that covers `nbytes` bytes.

    Views of different element types are counted in the smallest of their elements.
    """
    first = members[0]
    if len(members) == 1 and DTYPES[str(first.signature[0])].bits >= 8:
        return nbytes // first.itemsize
    bits = min(DTYPES[str(member.signature[0])].bits for member in members)
    if bits < 8:
        return min(nbytes * 8 // bits, sum(_numel(member) for member in members))
    return nbytes * 8 // bits


def _numel(extent: _Extent) -> int:
    count = 1
    for size in extent.signature[1]:  # type: ignore[attr-defined]
        count *= size
    return count


def _kind(members: list[_Extent]) -> str:
    first = members[0]
    same = all(m.begin == first.begin and _order(m) == _order(first) for m in members)
    return "alias" if same else "overlap"


def _order(extent: _Extent) -> tuple[object, ...]:
    """What two exact aliases have in common: type and the dimensions that move."""
    dtype, shape, stride = extent.signature
    moving = tuple((n, s) for n, s in zip(shape, stride, strict=True) if n != 1)  # type: ignore[call-overload]
    return (dtype, moving)
