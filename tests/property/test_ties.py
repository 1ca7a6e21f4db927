"""What shares memory against brute force: sets of byte addresses, intersected, and sums over them."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.listing import GHOST, ITEM, ROOT, Declared, Listing, Value
from paramtui.core.sharing import distinct, find_sharing
from paramtui.core.tie_rows import TieRows
from paramtui.core.tie_words import index_in, partners, strands
from paramtui.core.ties import ALIAS, APART, OVERLAP, Ties, letter, relation, wasteful
from paramtui.core.tree import Tree
from paramtui.core.unique_sums import saved_below
from tests.property.test_sharing import View, components, listing_of, touched, views

STORAGE = 10_000


def addresses(found: list[View]) -> list[set[tuple[int, int]]]:
    return [
        {(location, byte) for byte in touched(begin, ITEMSIZE[dtype], shape, stride)}
        for location, begin, dtype, shape, stride in found
    ]


def elements_in_order(view: View) -> list[tuple[int, int, str]]:
    """Address of each element in row-major order."""
    location, begin, dtype, shape, stride = view
    places = [begin]
    for size, step in zip(shape, stride, strict=True):
        places = [at + index * step * ITEMSIZE[dtype] for at in places for index in range(size)]
    return [(location, at, dtype) for at in places]


@st.composite
def close_views(draw: st.DrawFn) -> list[View]:
    """Views of two small storages, some of them the same, or the same with sizes of 1 put in."""
    found = draw(st.lists(views(), min_size=1, max_size=6))
    for view in list(found):
        kind = draw(st.integers(0, 3))
        location, begin, dtype, shape, stride = view
        if kind == 0:
            found.append(view)
        elif kind == 1:
            found.append((location, begin, dtype, (1, *shape), (7, *stride)))
        elif kind == 2:
            found.append((location, begin + ITEMSIZE[dtype], dtype, shape, stride))
    return found


@settings(max_examples=300)
@given(close_views())
def test_two_tensors_are_aliases_overlap_or_lie_apart_as_their_addresses_say(found: list[View]) -> None:
    listing, sets = listing_of(found), addresses(found)
    for one, other in combinations(range(len(found)), 2):
        told = relation(listing, one, other)
        assert told == relation(listing, other, one)
        if sets[one] & sets[other]:
            same = elements_in_order(found[one]) == elements_in_order(found[other])
            shapes = [[size for size in found[at][3] if size != 1] for at in (one, other)]
            steps = [
                [step for size, step in zip(*found[at][3:], strict=True) if size != 1] for at in (one, other)
            ]
            exact = same and shapes[0] == shapes[1] and steps[0] == steps[1]
            assert told == (ALIAS if exact else OVERLAP)
        else:
            assert told == (APART if found[one][0] == found[other][0] else "")


@settings(max_examples=300)
@given(close_views())
def test_groups_views_apart_and_storages_are_those_of_brute_force(found: list[View]) -> None:
    listing, sets = listing_of(found), addresses(found)
    ties = Ties(listing)
    groups = components(sets)
    assert [list(tied.members) for tied in ties.groups] == groups
    assert [tied.letter for tied in ties.groups] == [letter(place) for place in range(len(groups))]
    for tied in ties.groups:
        assert tied.nbytes == len(set().union(*(sets[member] for member in tied.members)))
        assert tied.saved == sum(listing.nbytes[member] for member in tied.members) - tied.nbytes
        for member in tied.members:
            assert ties.of(member) is tied
    by_location = [[at for at, view in enumerate(found) if view[0] == location] for location in (0, 1)]
    apart = [members for members in by_location if len(members) > 1 and members not in groups]
    assert sorted(list(tied.members) for tied in ties.apart) == sorted(apart)
    # Memory: every storage that a tensor lies in, once, with what no tensor uses.
    used = [len(set().union(*(sets[at] for at in members))) for members in by_location if members]
    sharing = find_sharing(listing)
    assert sharing.storage_nbytes == STORAGE * len(used)
    assert [slack.used for slack in sharing.slack] == used
    assert sum(used) == sharing.unique_nbytes
    mostly_unused = [count for count in used if STORAGE - count > STORAGE / 2]
    assert [slack.used for slack in wasteful(listing)] == mostly_unused


@settings(max_examples=200)
@given(close_views(), st.data())
def test_blocks_sum_what_their_tensors_touch(found: list[View], data: st.DataObject) -> None:
    listing = listing_of(found)
    # The tensors stand in blocks of two levels.
    for tensor, node in enumerate(listing.node):
        block, inner = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 1))
        listing.node_key[node] = f"{block}.{inner}.{tensor}"
    tree, sets = Tree(listing), addresses(found)
    saved = saved_below(tree)
    for row in range(len(tree)):
        below = tree.tensors_below(row)
        unique = len(set().union(*(sets[tensor] for tensor in below)))
        assert tree.nbytes[row] - saved.get(row, (0, 0))[1] == unique
        assert tree.elements[row] - saved.get(row, (0, 0))[0] == distinct(listing, below).unique_elements


@settings(max_examples=200)
@given(close_views())
def test_a_tensors_partners_are_told_by_what_they_have_in_common(found: list[View]) -> None:
    listing, sets = listing_of(found), addresses(found)
    for tied in Ties(listing).groups:
        assert sorted(name for names in strands(listing, tied) for name in names) == sorted(
            listing.names[member] for member in tied.members
        )
        for member in tied.members:
            told = dict(partners(listing, tied, member))
            others = {listing.names[other]: other for other in tied.members if other != member}
            named = [name.partition(" ")[0] for names in told.values() for name in names]
            assert sorted(named) == sorted(others)
            for words, names in told.items():
                for name in names:
                    common = bool(sets[member] & sets[others[name.partition(" ")[0]]])
                    assert common == (words in ("the same memory as", "overlaps"))


@settings(max_examples=300)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.data(),
)
def test_a_view_of_another_tensor_is_told_by_the_index_that_gives_it(
    sizes: list[int], data: st.DataObject
) -> None:
    import numpy as np

    whole = np.arange(int(np.prod(sizes)), dtype=np.float32).reshape(sizes)
    order = data.draw(st.permutations(range(len(sizes))))
    whole = whole.transpose(order)
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in whole.shape]
    part = whole[tuple(slice(*each) for each in bounds)]
    if not part.size or part.shape == whole.shape:
        return

    def view(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> View:
        begin = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        return 0, begin, "float32", array.shape, tuple(step // 4 for step in array.strides)

    listing = listing_of([view(whole), view(part)])
    told = index_in(listing, 1, 0)
    assert told
    assert np.array_equal(eval(f"whole[{told}]"), part)
    assert not index_in(listing, 0, 1)


@settings(max_examples=100)
@given(close_views(), st.booleans())
def test_going_from_name_to_name_visits_each_of_a_group_once(found: list[View], apart: bool) -> None:
    listing = listing_of(found)
    tree, ties = Tree(listing), Ties(listing)
    rows = TieRows(tree, ties, apart=apart)
    expected = {member for group in ties.groups for member in group.members}
    if apart:
        expected |= {member for tied in ties.apart for member in tied.members}
    assert {tree.tensor[row] for row in rows.rows} == expected
    for row in rows.rows:
        seen = [row]
        while (after := rows.next_member(seen[-1], 1)) != row:
            assert after is not None
            assert rows.next_member(after, -1) == seen[-1]
            seen.append(after)
        assert sorted(seen) == rows.members(row)
        group = rows.next_group(row, 1)
        assert group is not None
        assert rows.next_group(group, -1) == rows.members(row)[0]
    for first in range(len(tree)):
        for end in range(first + 1, len(tree) + 1):
            letters = [rows.of(row).letter for row in rows.rows if first <= row < end]  # type: ignore[union-attr]
            tied, only = rows.below(first, end)
            assert (tied.letter if tied is not None else None) == (letters[0] if letters else None)
            assert only == (len(set(letters)) == 1)


def test_a_name_that_is_declared_is_in_a_group_and_saves_what_it_would_take() -> None:
    listing = listing_of([(0, 0, "float32", (4,), (1,)), (0, 16, "float32", (2,), (1,))])
    node = listing.add_node(ROOT, "head", ITEM)
    listing.values.append(Value(node, GHOST, "= 0 (declared by the header)"))
    listing.declared.append(Declared(0, (0,), (), "the header"))
    listing.declared.append(Declared(1, (), (0,), "config.json", "says what is not so"))
    ties = Ties(listing)
    (tied,) = ties.groups
    assert (tied.kind, tied.letter, tied.members, tied.nbytes, tied.saved) == ("declared", "A", (0,), 16, 16)
    assert ties.of_ghost(0) is tied
    assert ties.problems(0) == ties.problems(1) == ["says what is not so"]
    rows = TieRows(Tree(listing), ties, apart=False)
    assert len(rows.rows) == 2


def test_columns_of_one_storage_are_told_apart_at_once() -> None:
    """Their spans all overlap: only the residues of their steps tell that no two have a byte in common."""
    listing = Listing("test", "torch-zip")
    count = 3000
    from paramtui.core.listing import Location

    listing.locations = [Location("0", 4 * count * 50)]
    for column in range(count):
        node = listing.add_node(ROOT, str(column), ITEM)
        listing.add_tensor(
            node, "tensor", 0, 4 * column, "float32", (50,), (count,), column, 200, requires_grad=False
        )
    sharing = find_sharing(listing)
    assert sharing.groups == ()
    assert sharing.unique_nbytes == 4 * count * 50
