"""Figures over blocks against brute force: all numbers of the distinct tensors below, put together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramtui.core.figure_store import FigureStore
from paramtui.core.gradients import Figures, Gradients
from paramtui.core.listing import ITEM, ROOT, Listing, Location
from paramtui.core.statistics import Statistics
from paramtui.core.tree import Tree
from paramtui.errors import ValuesError

NUMBERS = st.one_of(
    st.just(0.0), st.just(math.nan), st.just(math.inf), st.just(-math.inf), st.floats(-1e6, 1e6, width=32)
)
PLACES = st.tuples(st.sampled_from(["a", "a.x", "a.y", "b", "b.z"]), st.integers(0, 3), st.booleans())


def counted(numbers: list[float]) -> Statistics:
    values = np.array(numbers, np.float64)
    finite = values[np.isfinite(values)]
    some = bool(len(finite))
    return Statistics(
        numel=len(values),
        nan=int(np.isnan(values).sum()),
        posinf=int((values == math.inf).sum()),
        neginf=int((values == -math.inf).sum()),
        zero=int((values == 0).sum()),
        subnormal=0,
        min=float(finite.min()) if some else None,
        max=float(finite.max()) if some else None,
        mean=float(finite.mean()) if some else None,
        std=float(finite.std(ddof=1)) if len(finite) > 1 else None,
        l1=float(np.abs(finite).sum()) if some else None,
        l2=float(np.linalg.norm(finite)) if some else None,
        abs_max=float(np.abs(finite).max()) if some else None,
        quantiles=None,
        quantile_error=0.0,
        histogram=None,
    )


def listing_of(places: list[tuple[str, int, bool]], contents: list[list[float]]) -> Listing:
    """Tensors at places, each with a content's numbers, from its first one on or from its second."""
    listing = Listing("test", "torch-zip")
    listing.locations = [Location(str(at), 8 * len(numbers)) for at, numbers in enumerate(contents)]
    for place, (block, content, shifted) in enumerate(places):
        node = listing.add_node(ROOT, f"{block}.t{place}", ITEM)
        size = len(contents[content]) - shifted
        listing.add_tensor(
            node, "tensor", content, 8 * shifted, "float64", (size,), (1,), int(shifted), 8 * size, False
        )
    return listing


def close(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9 * max(1.0, abs(wanted)))


@given(
    st.lists(PLACES, min_size=1, max_size=10),
    st.lists(st.lists(NUMBERS, min_size=2, max_size=6), min_size=4, max_size=4),
    st.sets(st.integers(0, 9)),
    st.sets(st.integers(0, 9)),
)
def test_a_block_has_the_figures_of_all_distinct_known_numbers_below_it(
    places: list[tuple[str, int, bool]], contents: list[list[float]], known: set[int], forgotten: set[int]
) -> None:
    listing = listing_of(places, contents)
    tree = Tree(listing)
    store = FigureStore(tree)
    memory = [(content, shifted) for _, content, shifted in places]
    told: set[tuple[int, bool]] = set()
    for tensor in sorted(known):
        if tensor < len(places):
            content, shifted = memory[tensor]
            store.add(tensor, counted(contents[content][shifted:]))
            told.add((content, shifted))
    store.forget([tensor for tensor in forgotten if tensor < len(places)])
    told -= {memory[tensor] for tensor in forgotten if tensor < len(places)}
    for row in range(len(tree)):
        below = {memory[tensor] for tensor in tree.tensors_below(row)}
        assert store.figure(row, "size") == sum(
            8 * (len(contents[content]) - shifted) for content, shifted in below
        )
        numbers = [
            number for content, shifted in sorted(below & told) for number in contents[content][shifted:]
        ]
        names = ("std", "abs_max", "mean", "l2", "nan", "inf", "zero")
        if not numbers:
            assert [store.figure(row, name) for name in names] == [None] * 7
            continue
        wanted = counted(numbers)
        share = wanted.zero / wanted.numel
        values = (wanted.std, wanted.abs_max, wanted.mean, wanted.l2, wanted.nan, wanted.inf, share)
        for name, value in zip(names, values, strict=True):
            assert close(store.figure(row, name), value), name
    names = ("std", "abs_max", "mean", "l2", "nan", "inf", "zero")
    spans = [(first, last) for first in range(len(tree)) for last in range(first + 1, len(tree) + 1)]
    for name in (*names, "size"):
        # Many at once, and each alone: of any rows that follow each other, each memory once.
        firsts, lasts = ([span[end] for span in spans] for end in (0, 1))
        found = store.spans(firsts, lasts, name)
        largest = max((abs(value) for value in found if value is not None), default=0.0)
        assert store.largest(firsts, lasts, name) == largest
        for first, last, value in zip(firsts, lasts, found, strict=True):
            assert close(value, store.span(first, last, name)), name
            below = {memory[tensor] for tensor in tree.tensor[first:last] if tensor >= 0}
            numbers = [
                number for content, shifted in sorted(below & told) for number in contents[content][shifted:]
            ]
            wanted = counted(numbers)
            if name == "size":
                sizes = [8 * (len(contents[content]) - shifted) for content, shifted in below]
                assert value == (sum(sizes) if sizes else None)
            elif name == "zero" or not numbers:
                assert close(value, wanted.zero / wanted.numel if numbers else None)
            else:
                assert close(value, getattr(wanted, name)), name
    bad = {key for key in told if not np.isfinite(contents[key[0]][key[1] :]).all()}
    assert store.bad_rows == [
        row for row in range(len(tree)) if tree.tensor[row] >= 0 and memory[tree.tensor[row]] in bad
    ]


def test_large_numbers_do_not_spoil_the_norm_of_a_block_nor_small_ones_beside_them() -> None:
    contents = [[3e200, 0.0], [4e200, 0.0], [1e-9, 2e-9], [0.0, 0.0]]
    tree = Tree(listing_of([("a", 0, False), ("a", 1, False), ("b", 2, False)], contents))
    store = FigureStore(tree)
    for tensor in range(3):
        found = counted(contents[tensor])
        store.add(tensor, found._replace(l2=math.hypot(*contents[tensor])))
    assert store.figure(tree.find("a")[0], "l2") == pytest.approx(5e200)
    assert store.figure(tree.find("b")[0], "l2") == pytest.approx(math.sqrt(5) * 1e-9)


def test_what_is_counted_again_with_the_same_figures_changes_nothing() -> None:
    store = FigureStore(Tree(listing_of([("a", 0, False)], [[1.0, 2.0]] * 4)))
    found = counted([1.0, 2.0])
    store.add(0, found)
    before = store.revision
    store.add(0, found._replace(quantile_error=0.5))
    assert store.of(0) == found._replace(quantile_error=0.5)
    # The last digit depends on how the numbers were divided up.
    assert found.std is not None
    store.add(0, found._replace(std=math.nextafter(found.std, 1.0)))
    assert store.revision == before
    store.add(0, found._replace(zero=1))
    assert store.revision > before
    assert store.spans([0, 2], [1, 3], "zero") == [None, 0.5]


def test_figures_of_one_tensor_are_not_worked_out_again() -> None:
    """Not a digit is lost where a tensor is one of many rows, nor where its square is no number."""
    store = FigureStore(Tree(listing_of([("a", 0, False), ("a", 1, False)], [[1.0, 2.0]] * 4)))
    for tensor, std in ((0, 0.1), (1, 1e300)):
        store.add(tensor, counted([1.0, 2.0])._replace(std=std))
    assert store.spans([2, 3], [3, 4], "std") == [0.1, 1e300]


def test_what_cannot_be_read_says_why_until_it_is_forgotten() -> None:
    store = FigureStore(
        Tree(listing_of([("a", 0, False), ("b", 0, False), ("b", 1, False)], [[1.0, 2.0]] * 4))
    )
    before = store.revision
    assert store.unknown() == [0, 2]
    store.add(0, ValuesError("its bytes are missing"))
    assert store.revision > before
    assert [store.why_none(tensor) for tensor in range(3)] == ["its bytes are missing"] * 2 + [""]
    assert (store.unknown(), store.unreadable()) == ([2], 1)
    assert store.missing == 1
    store.forget([1])
    assert store.missing == 3
    assert store.why_none(0) == ""
    assert store.unknown() == [0, 2]


def test_gradients_of_a_block_are_those_of_the_latest_pass() -> None:
    tree = Tree(listing_of([("a", 0, False), ("a", 1, False)], [[1.0, 2.0]] * 4))

    def passed(*norms: float) -> Gradients:
        figures = {at: Figures(True, norm, norm, 0, 0, 0, 2, 1.0, at) for at, norm in enumerate(norms)}
        return Gradients(1, 0.0, "loss", "inputs", 0, figures)

    now = [passed(3.0, 4.0)]
    store = FigureStore(tree, lambda: now[0])
    assert store.figure(0, "gradient") == 5.0
    now[0] = passed(5.0, 12.0)
    assert store.figure(0, "gradient") == 13.0
