"""A tree in the order of a figure, against brute force."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.flat_view import FIGURE, FlatView
from paramtui.core.folding import Folds
from paramtui.core.ordering import by_figure
from paramtui.core.sorted_view import SortedView
from paramtui.core.tree import Tree
from paramtui.core.tree_view import TreeView
from tests.property.test_folding import listing_of, tensors

VALUES = st.one_of(st.none(), st.just(math.nan), st.just(math.inf), st.integers(-2, 2).map(float))


def rank(value: float | None, reverse: bool) -> tuple[bool, float, float]:
    """What comes first is least: NaN and large numbers, or turned round, and what is unknown last."""
    if value is None:
        return True, 0.0, 0.0
    sign = 1.0 if reverse else -1.0
    return False, sign * math.isnan(value), 0.0 if math.isnan(value) else sign * value


@given(st.lists(VALUES, max_size=12), st.booleans())
def test_the_largest_come_first_nan_before_them_and_unknown_ones_last(
    values: list[float | None], reverse: bool
) -> None:
    rows = list(range(10, 10 + len(values)))
    found = by_figure(rows, values, reverse=reverse)
    assert sorted(found) == rows
    ranks = [rank(values[row - 10], reverse) for row in found]
    assert ranks == sorted(ranks)
    for row, after, same in zip(found, found[1:], zip(ranks, ranks[1:], strict=False), strict=False):
        # Equal ones stay as they were, or are turned round with the others.
        if same[0] == same[1]:
            assert (row < after) != (reverse and not same[0][0])


def check(view: TreeView, ordered: SortedView, value: dict[tuple[int, int], float | None]) -> None:
    """The same rows, each after the block around it with nothing else between, and in order beside others."""
    tree = view.tree
    assert sorted(ordered.rows) == view.rows
    assert [ordered.place(row) for row in ordered.rows] == list(range(len(ordered)))
    for place, row in enumerate(ordered.rows):
        below = [other for other in view.rows if row < other < tree.end[row]]
        assert sorted(ordered.rows[place + 1 : place + 1 + len(below)]) == below
    for above in range(-1, len(tree)):
        beside = [row for row in ordered.rows if tree.parent[row] == above]
        ranks = [rank(value[row, view.last(row)], ordered.reverse) for row in beside]
        assert ranks == sorted(ranks)


@settings(max_examples=150)
@given(tensors, st.booleans(), st.data())
def test_opening_closing_folding_and_filtering_show_the_same_rows_in_the_order_of_the_figure(
    entries: list[tuple[str, str, tuple[int, ...]]], reverse: bool, data: st.DataObject
) -> None:
    tree = Tree(listing_of(entries))
    view = TreeView(tree)
    view.take_folds(Folds(tree))
    value: dict[tuple[int, int], float | None] = {}
    asked: list[tuple[int, int]] = []

    def values(rows: list[int]) -> list[float | None]:
        for row in rows:
            key = row, view.last(row)
            asked.append(key)
            value[key] = data.draw(VALUES)
        return [value[row, view.last(row)] for row in rows]

    ordered = SortedView(view, values, reverse=reverse)
    check(view, ordered, value)
    actions = ["toggle", "filter", "unfilter", "reveal", "expand all", "collapse all", "fold", "unfold"]
    for action in data.draw(st.lists(st.sampled_from(actions), max_size=8)):
        row = data.draw(st.integers(1, len(tree) - 1))
        if action == "toggle":
            view.toggle(row)
        elif action == "filter":
            leaves = [leaf for leaf in range(1, len(tree)) if tree.tensor[leaf] >= 0]
            view.keep(data.draw(st.sets(st.sampled_from(leaves))))
        elif action == "unfilter":
            view.keep(None)
        elif action == "reveal":
            try:
                place = ordered.reveal(row)
                assert ordered.rows[place] == row
            except KeyError:
                assert view.filtered
        elif action == "expand all":
            view.expand_all()
        elif action == "collapse all":
            view.collapse_all()
        else:
            view.fold_everywhere(on=action == "fold")
        ordered.renew()
        check(view, ordered, value)
    # What comes to be known later moves nothing: each is asked for once.
    assert len(asked) == len(set(asked))


@given(tensors, st.booleans(), st.data())
def test_a_flat_list_takes_the_order_of_the_figure_and_keeps_it_while_it_is_filtered(
    entries: list[tuple[str, str, tuple[int, ...]]], reverse: bool, data: st.DataObject
) -> None:
    tree = Tree(listing_of(entries))
    flat = FlatView(tree)
    rows = list(flat.rows)
    value = {row: data.draw(VALUES) for row in rows}
    flat.sort(FIGURE, reverse=reverse, values=lambda rows: [value[row] for row in rows])
    assert sorted(flat.rows) == rows
    ranks = [rank(value[row], reverse) for row in flat.rows]
    assert ranks == sorted(ranks)
    whole = list(flat.rows)
    kept = data.draw(st.sets(st.sampled_from(rows)))
    flat.keep(kept)
    assert flat.rows == [row for row in whole if row in kept]
