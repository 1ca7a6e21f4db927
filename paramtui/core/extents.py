"""Extents of tensors in one storage: which of them have bytes in common, and how many bytes they touch."""

from __future__ import annotations

from math import gcd
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.addresses import EMPTY, StridedSet, meet, piece_count, pieces, strided_set, union_size
from paramtui.core.dtypes import DTYPES, ITEMSIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

# Pieces of unions that are counted one by one; for what is beyond them an upper bound is taken.
MAX_PIECES = 1_000_000
# Pairs of extents that are compared; beyond them all whose spans overlap count as one group.
MAX_PAIRS = 2_000_000
# Steps of all searches for a common byte together.
MAX_STEPS = 500_000


class Extent(NamedTuple):
    """A tensor, or a part of one, in a storage.

    Attributes:
        begin: Byte of the storage where its first element starts.
        tensor: Its id.
        itemsize: Bytes of an element.
        bytes_set: The bytes that it touches, relative to `begin`.
        signature: Its dtype, shape and stride, and what else tells how it is read.
    """

    begin: int
    tensor: int
    itemsize: int
    bytes_set: StridedSet
    signature: tuple[object, ...]


class Budget:
    """How much more may be spent on comparing; a file can be made to be slow to compare.

    Attributes:
        pairs: Pairs of extents.
        pieces: Contiguous pieces of unions.
        steps: Steps of a search for a common byte.
    """

    __slots__ = ("pairs", "pieces", "steps")

    def __init__(self) -> None:
        self.pieces = MAX_PIECES
        self.pairs = MAX_PAIRS
        self.steps = MAX_STEPS


def bytes_of(dtype: str, shape: tuple[int, ...], stride: tuple[int, ...]) -> StridedSet:
    """The bytes of a strided tensor, relative to its first element."""
    bits = DTYPES[dtype].bits
    if bits < 8:
        # Packed types are always stored whole and in order.
        count = 1
        for size in shape:
            count *= size
        length = (count * bits + 7) // 8
        return StridedSet(length, (), length, length) if length else EMPTY
    return strided_set(shape, stride, ITEMSIZE[dtype])


def groups_of(extents: list[Extent], budget: Budget) -> Iterator[tuple[list[Extent], int]]:
    """Groups of the extents of one storage that have bytes in common, with the distinct bytes of each."""
    for cluster, nbytes, whole in _clusters(extents):
        if whole:
            yield cluster, nbytes
        elif len(cluster) == 1:
            yield cluster, _union(cluster, budget)
        else:
            for members in _connected(cluster, budget):
                yield members, _union(members, budget)


def _clusters(extents: list[Extent]) -> Iterator[tuple[list[Extent], int, bool]]:
    """Extents whose spans overlap in a chain, bytes from the first to the last, and whether they touch all.

    Spans of different clusters do not touch.
    """
    cluster: list[Extent] = []
    start = reached = -1
    whole = True
    for extent in sorted(extents, key=itemgetter(0, 1)) if len(extents) > 1 else extents:
        begin, bytes_set = extent.begin, extent.bytes_set
        if not bytes_set.run:
            yield [extent], 0, True
            continue
        if cluster and begin < reached:
            cluster.append(extent)
        else:
            if cluster:
                yield cluster, reached - start, whole
            cluster, start, whole = [extent], begin, True
        if bytes_set.dims:
            whole = False
        reached = max(reached, begin + bytes_set.span)
    if cluster:
        yield cluster, reached - start, whole


def _connected(cluster: list[Extent], budget: Budget) -> list[list[Extent]]:
    """Splits a cluster into groups that truly have bytes in common."""
    # The same bytes need comparing once.
    by_set: dict[tuple[int, StridedSet], list[Extent]] = {}
    for extent in cluster:
        by_set.setdefault((extent.begin, extent.bytes_set), []).append(extent)
    return [
        [extent for found in joined for extent in by_set[found]]
        for sets in _by_residue(list(by_set))
        for joined in _joined(sets, budget)
    ]


def _by_residue(sets: list[tuple[int, StridedSet]]) -> list[list[tuple[int, StridedSet]]]:
    """Sets that can have a byte in common: all their pieces begin at the same residues of their common step.

    The columns of a matrix, whose spans all overlap, are told apart by this alone.
    """
    step = gcd(*(stride for _, found in sets for stride, _ in found.dims))
    if any(found.run >= step for _, found in sets):
        return [sets]
    order = sorted(sets, key=lambda found: found[0] % step)
    out: list[list[tuple[int, StridedSet]]] = []
    reached = -1
    for found in order:
        first = found[0] % step
        if first >= reached:
            out.append([])
        out[-1].append(found)
        reached = max(reached, first + found[1].run)
    # What reaches over the end of the step goes on at its begin.
    while len(out) > 1 and out[0][0][0] % step < reached - step:
        out[-1] += out.pop(0)
    return [sorted(found, key=itemgetter(0)) for found in out]


def _joined(sets: list[tuple[int, StridedSet]], budget: Budget) -> list[list[tuple[int, StridedSet]]]:
    """Connected components of sets, which come in the order of their first bytes."""
    if len(sets) == 1:
        return [sets]
    leader = list(range(len(sets)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    active: list[int] = []
    for index, (begin, bytes_set) in enumerate(sets):
        active = [other for other in active if sets[other][0] + sets[other][1].span > begin]
        budget.pairs -= len(active)
        if budget.pairs < 0 or budget.steps < 0:
            return [sets]
        for other in active:
            if find(other) == find(index):
                continue
            found, steps = meet(*sets[other], begin, bytes_set)
            budget.steps -= steps
            if found:
                leader[find(index)] = find(other)
        active.append(index)
    groups: dict[int, list[tuple[int, StridedSet]]] = {}
    for index, found_set in enumerate(sets):
        groups.setdefault(find(index), []).append(found_set)
    return list(groups.values())


def _union(members: list[Extent], budget: Budget) -> int:
    """Distinct bytes of a connected group; an upper bound where counting them would take too long."""
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
    count = sum(piece_count(bytes_set) for _, bytes_set in sets)
    budget.pieces -= count
    if budget.pieces < 0:
        budget.pieces += count
        return min(last - begin, sum(bytes_set.nbytes or bytes_set.span for _, bytes_set in sets))
    return union_size([piece for start, bytes_set in sets for piece in pieces(start, bytes_set)])


def unique_elements(members: list[Extent], nbytes: int) -> int:
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


def _numel(extent: Extent) -> int:
    count = 1
    for size in extent.signature[1]:  # type: ignore[attr-defined]
        count *= size
    return count


def kind_of(members: list[Extent]) -> str:
    """``alias`` where all are the same elements in the same order, else ``overlap``."""
    first = members[0]
    for other in members:
        if other.begin != first.begin:
            return "overlap"
        if other.signature != first.signature and _order(other) != _order(first):
            return "overlap"
    return "alias"


def _order(extent: Extent) -> tuple[object, ...]:
    """What two exact aliases have in common: type and the dimensions that move."""
    dtype, shape, stride, *flags = extent.signature
    moving = tuple((n, s) for n, s in zip(shape, stride, strict=True) if n != 1)  # type: ignore[call-overload]
    return (dtype, moving, *flags)
