"""Blocks that are built alike, and a tree in which they are folded, against brute force."""

from __future__ import annotations

import re
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.folding import Fold, Folds
from paramtui.core.listing import ITEM, ROOT, Listing, Location
from paramtui.core.tree import Tree
from paramtui.core.tree_view import TreeView

# Few names and shapes, so that blocks are often alike and often nearly so.
parts = st.sampled_from(["0", "1", "2", "3", "4", "a", "a1", "a2", "w"])
dotted = st.lists(parts, min_size=1, max_size=4).map(".".join)
tensors = st.lists(
    st.tuples(dotted, st.sampled_from(["float32", "int8"]), st.sampled_from([(2,), (2,), (2,), (3, 1)])),
    min_size=1,
    max_size=24,
)


def listing_of(entries: list[tuple[str, str, tuple[int, ...]]]) -> Listing:
    """A state dict of these names, types and shapes."""
    listing = Listing("test", "torch-zip")
    listing.locations = [Location("0", 1 << 20)]
    for place, (name, dtype, shape) in enumerate(entries):
        size, width = prod(shape), 4 if dtype == "float32" else 1
        node = listing.add_node(ROOT, name, ITEM)
        listing.add_tensor(
            node, "tensor", 0, 64 * place, dtype, shape, (1,) * len(shape), 16 * place, size * width, False
        )
    return listing


def layers(count: int, *, odd: int = -1) -> list[tuple[str, str, tuple[int, ...]]]:
    """Layers of three names each, one of them of another shape, between two other tensors."""
    inside = [
        (f"model.layers.{layer}.{name}", "float32", (3, 1) if layer == odd and name == "mlp.up" else (2,))
        for layer in range(count)
        for name in ("attn.q", "attn.k", "mlp.up")
    ]
    return [("model.embed", "float32", (2,)), *inside, ("model.norm", "float32", (2,))]


def content(tree: Tree, row: int) -> object:
    """All that lies below a row, written out."""
    listing, tensor = tree.listing, tree.tensor[row]
    return (
        (listing.dtype[tensor], listing.shape[tensor]) if tensor >= 0 else None,
        [(tree.label[child], content(tree, child)) for child in tree.children(row)],
    )


def slow_folds(tree: Tree, least: int) -> list[Fold]:
    """Runs by definition: each sibling is compared with the one before as a whole."""
    out: list[Fold] = []
    for block in range(len(tree)):
        run: list[int] = []
        for child in [*tree.children(block), None]:
            if (
                child is not None
                and run
                and content(tree, child) == content(tree, run[0])
                and re.split("[0-9]+", tree.label[child]) == re.split("[0-9]+", tree.label[run[0]])
            ):
                run.append(child)
                continue
            if len(run) >= least and tree.is_block(run[0]):
                out.append(Fold(run[0], len(run), run[1] - run[0]))
            run = [] if child is None else [child]
    return sorted(out)


@settings(max_examples=300)
@given(tensors, st.integers(2, 4))
def test_the_runs_found_are_those_of_siblings_compared_as_a_whole(
    entries: list[tuple[str, str, tuple[int, ...]]], least: int
) -> None:
    tree = Tree(listing_of(entries))
    folds = Folds(tree, least=least)
    expected = slow_folds(tree, least)
    assert list(folds) == expected
    assert len(folds) == len(expected)
    for row in range(len(tree)):
        member_of = [fold for fold in expected if row in fold.rows]
        assert folds.of(row) == (member_of[0] if member_of else None)
        assert folds.around(row) == [fold for fold in reversed(expected) if fold.first <= row < fold.end]
        assert folds.inside(row) == [fold for fold in expected if tree.parent[fold.first] == row]
        whole = [fold for fold in expected if list(fold.rows) == tree.children(row)]
        assert folds.only(row) == (whole[0] if whole else None)


def shown(tree: Tree, expanded: set[int], folded: set[Fold]) -> list[int]:
    """Rows on screen by definition: all around is expanded, and no fold hides them."""
    return [
        row
        for row in range(1, len(tree))
        if set(tree.ancestors(row)) <= expanded and not any(fold.stand_in < row < fold.end for fold in folded)
    ]


@settings(max_examples=300)
@given(tensors, st.booleans(), st.data())
def test_opening_closing_folding_and_revealing_show_what_brute_force_shows(
    entries: list[tuple[str, str, tuple[int, ...]]], regular: bool, data: st.DataObject
) -> None:
    tree = Tree(listing_of(layers(4) + entries if regular else entries))
    view = TreeView(tree)
    folds = Folds(tree)
    view.take_folds(folds)
    expanded: set[int] = {0}
    folded: set[Fold] = set()
    unfolded: set[Fold] = set()
    on = True

    def opened(block: int) -> None:
        if block not in expanded:
            expanded.add(block)
            folded.update(fold for fold in folds.inside(block) if on and fold not in unfolded)

    def let_out(fold: Fold) -> None:
        folded.discard(fold)
        unfolded.add(fold)

    actions = ["toggle", "reveal", "fold again", "all", "expand all", "collapse all", "snapshot", "filter"]
    for action in data.draw(st.lists(st.sampled_from(actions), max_size=12)):
        row = data.draw(st.sampled_from(view.rows))
        standing = next((fold for fold in folded if fold.stand_in == row), None)
        if action == "toggle":
            view.toggle(row)
            if standing is not None:
                let_out(standing)
            elif row in expanded:
                expanded.discard(row)
            elif tree.is_block(row):
                opened(row)
        elif action == "reveal":
            row = data.draw(st.integers(1, len(tree) - 1))
            place = view.reveal(row)
            for above in tree.ancestors(row):
                opened(above)
            for fold in [fold for fold in folded if fold.stand_in <= row < fold.end]:
                let_out(fold)
            assert view.rows[place] == row
            assert view.stands_for(row) is None
        elif action == "fold again":
            again = view.unfolded(row)
            assert again == next((found for found in unfolded if row in found.rows), None)
            if again is not None:
                view.fold(again)
                folded.add(again)
                unfolded.discard(again)
        elif action == "all":
            on = data.draw(st.booleans())
            view.fold_everywhere(on=on)
            folded, unfolded = (set(folds) if on else set()), set()
        elif action == "expand all":
            view.expand_all()
            expanded, folded, unfolded = set(range(len(tree))), set(), set(folds)
        elif action == "collapse all":
            view.collapse_all()
            expanded, unfolded = {0}, set()
            folded |= set(folds.inside(0)) if on else set()
        elif action == "snapshot":
            before, rows = view.snapshot(), list(view.rows)
            view.reveal(data.draw(st.integers(1, len(tree) - 1)))
            view.restore(before)
            assert view.rows == rows
        else:
            before = view.snapshot()
            leaf = data.draw(st.sampled_from([at for at in range(1, len(tree)) if not tree.is_block(at)]))
            view.keep([leaf])
            assert view.rows == sorted([leaf, *(at for at in tree.ancestors(leaf) if at)])
            view.keep(None)
            view.restore(before)
        assert view.rows == shown(tree, expanded, folded)
        for at, row in enumerate(view.rows):
            assert view.place(row) == at
            here = next((fold for fold in folded if fold.stand_in == row), None)
            assert view.stands_for(row) == here
            assert view.last(row) == (tree.end[row] if here is None else here.end)
        for row in range(len(tree)):
            hiding = [fold for fold in folded if fold.stand_in <= row < fold.end]
            assert view.standing(row) == min((fold.stand_in for fold in hiding), default=row)


def test_layers_fold_up_to_one_that_differs_in_a_shape() -> None:
    tree = Tree(listing_of(layers(8, odd=3)))
    runs = [[tree.label[row] for row in fold.rows] for fold in Folds(tree)]
    assert runs == [["0", "1", "2"], ["4", "5", "6", "7"]]


def test_siblings_with_names_of_their_own_are_not_folded_whatever_they_hold() -> None:
    tree = Tree(listing_of([(f"attn.{name}_proj.weight", "float32", (2,)) for name in "qkvo"]))
    assert list(Folds(tree)) == []
    tree = Tree(listing_of([(f"net.block_{number}.weight", "float32", (2,)) for number in range(4)]))
    assert [tree.label[row] for fold in Folds(tree) for row in fold.rows] == [f"block_{n}" for n in range(4)]


def test_what_is_on_screen_stays_until_a_block_is_opened() -> None:
    tree = Tree(listing_of(layers(5)))
    view = TreeView(tree, depth=3)
    before = list(view.rows)
    view.take_folds(Folds(tree))
    assert view.rows == before
    block = tree.find("model.layers")[0]
    view.collapse(block)
    view.expand(block)
    assert [tree.name(row) for row in view.rows if tree.parent[row] == block] == [
        "model.layers.0",
        "model.layers.1",
    ]


def test_a_row_that_stands_in_sums_what_it_stands_for_and_shared_memory_once() -> None:
    entries = layers(5)
    listing = listing_of(entries)
    tree = Tree(listing)
    [fold] = Folds(tree)
    # Four layers of three tensors of two elements.
    assert Folds(tree).sums(fold) == (4 * 3 * 2, 4 * 3 * 2 * 4)
    for tensor in range(len(entries)):
        listing.begin[tensor] = listing.begin[1 + (tensor - 1) % 3]
    assert Folds(tree).sums(fold)[0] == listing.totals(range(4, 16)).unique_elements
    assert Folds(tree).sums(fold)[0] < 4 * 3 * 2
