"""The tree of blocks and its view, against brute force."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.listing import ITEM, ROOT, Listing, Location
from paramtui.core.ordering import ORDERS, natural_key
from paramtui.core.tree import Tree
from paramtui.core.tree_view import TreeView

parts = st.sampled_from(
    ["a", "b", "0", "1", "2", "10", "block 0", "weight", "block 10", "block 2", "", "x.y"]
)
dotted = st.lists(parts, min_size=1, max_size=5).map(".".join)


def listing_of(names: list[str], nested: bool = False) -> Listing:
    """A state dict of these keys; `nested` makes dicts of dicts of what the dots separate."""
    listing = Listing("test", "torch-zip")
    listing.locations = [Location("0", 1 << 20)]
    nodes: dict[tuple[str, ...], int] = {(): ROOT}
    for place, name in enumerate(names):
        keys = tuple(name.split(".")) if nested else (name,)
        for depth in range(1, len(keys)):
            if keys[:depth] not in nodes:
                nodes[keys[:depth]] = listing.add_node(nodes[keys[: depth - 1]], keys[depth - 1], ITEM)
        node = listing.add_node(nodes[keys[:-1]], keys[-1], ITEM)
        size = place % 7 + 1
        listing.add_tensor(
            node, "tensor", 0, 64 * place, "float32", (size,), (1,), 16 * place, 4 * size, False
        )
    return listing


def check_shape(tree: Tree) -> None:
    """Parents, depths and ends describe one tree in pre-order."""
    for row in range(1, len(tree)):
        above = tree.parent[row]
        assert 0 <= above < row < tree.end[row] <= tree.end[above]
        assert tree.depth[row] == tree.depth[above] + 1
    for row in range(len(tree)):
        below = [other for other in range(len(tree)) if row in (other, *tree.ancestors(other))]
        assert below == list(range(row, tree.end[row]))
        assert tree.children(row) == [other for other in range(len(tree)) if tree.parent[other] == row]
        inside = [tree.tensor[other] for other in below if tree.tensor[other] >= 0]
        assert tree.tensors_below(row) == inside
        listing = tree.listing
        assert tree.tensors[row] == len(inside)
        assert tree.nbytes[row] == sum(listing.nbytes[tensor] for tensor in inside)
        assert tree.elements[row] == sum(listing.nbytes[tensor] // 4 for tensor in inside)


@settings(max_examples=150)
@given(st.lists(dotted, max_size=10), st.booleans(), st.sampled_from(ORDERS))
def test_every_tensor_has_one_row_under_its_name_and_blocks_sum_what_they_hold(
    names: list[str], nested: bool, order: str
) -> None:
    tree = Tree(listing_of(names, nested), order=order)
    check_shape(tree)
    assert sorted(tensor for tensor in tree.tensor if tensor >= 0) == list(range(len(names)))
    for tensor, name in enumerate(names):
        row = tree.row_of(tensor)
        assert row is not None
        assert tree.tensor[row] == tensor
        assert tree.name(row) == name or nested
        assert row in tree.find(tree.name(row))


@given(st.lists(dotted, min_size=1, max_size=10), st.data())
def test_a_narrowed_tree_holds_the_chosen_tensors_only(names: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(names) - 1), min_size=1))
    tree = Tree(listing_of(names), tensors=chosen, values=[])
    check_shape(tree)
    assert {tensor for tensor in tree.tensor if tensor >= 0} == chosen
    assert all(tree.tensors[row] for row in range(len(tree)))


def slow_key(text: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", text) if part
    ]


@settings(max_examples=200)
@given(st.lists(st.text(alphabet="ab 019.", max_size=6), max_size=8))
def test_natural_order_puts_numbers_in_the_order_of_numbers(texts: list[str]) -> None:
    found = sorted(texts, key=natural_key)
    assert [slow_key(text) for text in found] == sorted(map(slow_key, texts))


def test_two_comes_before_ten_in_every_kind_of_name() -> None:
    tree = Tree(listing_of(["l.10.w", "l.2.w", "l.1.w", "block 10", "block 2", "z", "a"]))
    assert [tree.label[row] for row in tree.children(0)] == ["l", "block 2", "block 10", "z", "a"]
    assert [tree.label[row] for row in tree.children(1)] == ["1", "2", "10"]


def test_dots_that_separate_nothing_make_no_blocks() -> None:
    names = ["a.", ".b", "a..b", ".", ""]
    tree = Tree(listing_of(names))
    assert [tree.label[row] for row in tree.children(0)] == names
    assert tree.find("a.") == [1]


def visible(tree: Tree, expanded: set[int], kept: set[int] | None) -> list[int]:
    """Rows on screen by definition: all blocks around are expanded, and the filter keeps the row."""
    return [
        row
        for row in range(1, len(tree))
        if set(tree.ancestors(row)) <= expanded and (kept is None or row in kept)
    ]


@settings(max_examples=200)
@given(st.lists(dotted, min_size=1, max_size=10), st.integers(1, 3), st.data())
def test_expanding_collapsing_filtering_and_revealing_show_what_brute_force_shows(
    names: list[str], depth: int, data: st.DataObject
) -> None:
    tree = Tree(listing_of(names))
    view = TreeView(tree, depth=depth)
    expanded = {row for row in range(len(tree)) if tree.depth[row] < depth}
    kept: set[int] | None = None
    actions = ["expand", "collapse", "toggle", "filter", "unfilter", "reveal", "expand all", "collapse all"]
    for action in data.draw(st.lists(st.sampled_from(actions), max_size=12)):
        row = data.draw(st.integers(1, len(tree) - 1))
        block = tree.is_block(row)
        if action == "expand" or (action == "toggle" and row not in expanded):
            view.toggle(row) if action == "toggle" else view.expand(row)
            expanded |= {row} if block else set()
        elif action in ("collapse", "toggle"):
            view.toggle(row) if action == "toggle" else view.collapse(row)
            expanded -= {row} if block else set()
        elif action == "filter":
            letter = data.draw(st.sampled_from(["a", "0", "w", "zz"]))
            leaves = [
                leaf for leaf in range(1, len(tree)) if tree.tensor[leaf] >= 0 and letter in tree.name(leaf)
            ]
            count = view.keep(leaves)
            assert count == len(leaves)
            kept = {0, *leaves, *(above for leaf in leaves for above in tree.ancestors(leaf))}
            expanded |= {above for leaf in leaves for above in tree.ancestors(leaf)}
        elif action == "unfilter":
            view.keep(None)
            kept = None
        elif action == "reveal":
            if kept is not None and row not in kept:
                continue
            place = view.reveal(row)
            expanded |= set(tree.ancestors(row))
            assert view.rows[place] == row
        elif action == "expand all":
            view.expand_all()
            expanded = set(range(len(tree)))
        else:
            view.collapse_all()
            expanded = {0}
        assert view.rows == visible(tree, expanded, kept)
        assert len(view) == len(view.rows)
        for at, shown in enumerate(view.rows):
            assert view.place(shown) == at
