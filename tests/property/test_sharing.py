"""Sharing against brute force: sets of byte addresses, intersected."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.addresses import meet, piece_count, pieces, strided_set, union_size
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.listing import ITEM, ROOT, Listing, Location
from paramtui.core.sharing import distinct, find_sharing

View = tuple[int, int, str, tuple[int, ...], tuple[int, ...]]


def touched(begin: int, itemsize: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> set[int]:
    """Every byte of a strided tensor, one by one."""
    out: set[int] = set()
    for index in product(*map(range, shape)):
        first = begin + itemsize * sum(i * s for i, s in zip(index, stride, strict=True))
        out.update(range(first, first + itemsize))
    return out


@st.composite
def views(draw: st.DrawFn) -> View:
    dims = draw(st.integers(0, 3))
    dtype = draw(st.sampled_from(["uint8", "float16", "float32", "float64", "complex128"]))
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=dims, max_size=dims)))
    stride = tuple(draw(st.lists(st.integers(0, 12), min_size=dims, max_size=dims)))
    offset = draw(st.integers(0, 40))
    return draw(st.integers(0, 1)), offset * ITEMSIZE[dtype], dtype, shape, stride


def listing_of(found: list[View]) -> Listing:
    listing = Listing("test", "torch-zip")
    listing.locations = [Location("0", 10_000), Location("1", 10_000)]
    for place, (location, begin, dtype, shape, stride) in enumerate(found):
        node = listing.add_node(ROOT, str(place), ITEM)
        count = 1
        for size in shape:
            count *= size
        itemsize = ITEMSIZE[dtype]
        listing.add_tensor(
            node, "tensor", location, begin, dtype, shape, stride, begin // itemsize, count * itemsize, False
        )
    return listing


def components(sets: list[set[tuple[int, int]]]) -> list[list[int]]:
    """Connected components of two or more by intersection, the slow way."""
    groups: list[set[int]] = []
    for place, found in enumerate(sets):
        near = [group for group in groups if any(sets[other] & found for other in group)]
        merged = {place}.union(*near)
        groups = [group for group in groups if group not in near] + [merged]
    return sorted(sorted(group) for group in groups if len(group) > 1)


@settings(max_examples=300)
@given(st.lists(views(), max_size=8))
def test_groups_are_connected_components_and_unique_bytes_are_the_union(found: list[View]) -> None:
    sets = [
        {(location, byte) for byte in touched(begin, ITEMSIZE[dtype], shape, stride)}
        for location, begin, dtype, shape, stride in found
    ]
    sharing = find_sharing(listing_of(found))
    assert [list(group.members) for group in sharing.groups] == components(sets)
    assert sharing.unique_nbytes == len(set().union(*sets))
    for group in sharing.groups:
        assert group.nbytes == len(set().union(*(sets[member] for member in group.members)))


@settings(max_examples=100)
@given(st.lists(views(), max_size=6), st.sets(st.integers(0, 5)))
def test_distinct_bytes_of_some_tensors_are_the_union_of_theirs(found: list[View], chosen: set[int]) -> None:
    picked = sorted(place for place in chosen if place < len(found))
    sets = [
        {
            (found[place][0], byte)
            for byte in touched(found[place][1], ITEMSIZE[found[place][2]], *found[place][3:])
        }
        for place in picked
    ]
    assert distinct(listing_of(found), picked).unique_nbytes == len(set().union(*sets))


@settings(max_examples=100)
@given(
    st.lists(
        views().map(lambda view: (view[0], view[1] // ITEMSIZE[view[2]] * 4, "float32", *view[3:])),
        max_size=6,
    )
)
def test_unique_elements_of_one_dtype_are_the_distinct_ones(found: list[View]) -> None:
    elements = {
        (location, begin // 4 + sum(i * s for i, s in zip(index, stride, strict=True)))
        for location, begin, _, shape, stride in found
        for index in product(*map(range, shape))
    }
    assert find_sharing(listing_of(found)).unique_elements == len(elements)


@settings(max_examples=200)
@given(views(), views())
def test_two_strided_sets_meet_where_their_bytes_do(first: View, second: View) -> None:
    sets = [
        (begin, strided_set(shape, stride, ITEMSIZE[dtype]))
        for _, begin, dtype, shape, stride in (first, second)
    ]
    slow = [
        touched(begin, ITEMSIZE[dtype], shape, stride) for _, begin, dtype, shape, stride in (first, second)
    ]
    assert meet(*sets[0], *sets[1])[0] == bool(slow[0] & slow[1])
    for (begin, found), bytes_touched in zip(sets, slow, strict=True):
        parts = list(pieces(begin, found))
        assert len(parts) == piece_count(found)
        assert {byte for start, stop in parts for byte in range(start, stop)} == bytes_touched
        assert union_size(parts) == len(bytes_touched)
        assert found.nbytes in (None, len(bytes_touched))


@given(views())
def test_the_same_elements_in_the_same_order_are_an_alias_and_others_an_overlap(view: View) -> None:
    groups = find_sharing(listing_of([view, view])).groups
    if 0 in view[3]:
        assert groups == ()
    else:
        assert [(group.kind, group.members) for group in groups] == [("alias", (0, 1))]


def test_interleaved_columns_do_not_share_and_rows_do_with_them() -> None:
    even: View = (0, 0, "float32", (4,), (2,))
    odd: View = (0, 4, "float32", (4,), (2,))
    both: View = (0, 0, "float32", (2,), (1,))
    assert find_sharing(listing_of([even, odd])).groups == ()
    (group,) = find_sharing(listing_of([even, odd, both])).groups
    assert (group.kind, group.members, group.nbytes) == ("overlap", (0, 1, 2), 32)
