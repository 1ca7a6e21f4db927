from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paramtui.core.input_spec import TensorSpec, parse_inputs, spec_text
from paramtui.core.key_matching import Choice, Entry, match, propose
from paramtui.core.listing import ITEM, ROOT, Listing

NAMES = st.lists(
    st.lists(st.sampled_from(["a", "b", "module", "0", "1", "weight"]), min_size=1, max_size=4).map(".".join),
    unique=True,
    max_size=8,
)
SHAPES = st.sampled_from([(2,), (2, 3), ()])


def checkpoint(names: dict[str, tuple[int, ...]], below: list[str]) -> Listing:
    """A dict of tensors, below some keys."""
    listing = Listing("f", "torch-zip")
    node = ROOT
    for key in below:
        node = listing.add_node(node, key, ITEM)
    for name, shape in names.items():
        listing.add_tensor(
            listing.add_node(node, name, ITEM), "tensor", -1, 0, "float32", shape, None, None, 0, False
        )
    return listing


@given(
    st.dictionaries(st.sampled_from(["a.w", "a.b", "b.w", "c"]), SHAPES),
    st.dictionaries(st.sampled_from(["a.w", "a.b", "b.w", "d"]), SHAPES),
)
def test_a_match_is_that_of_the_two_dicts(
    ours: dict[str, tuple[int, ...]], theirs: dict[str, tuple[int, ...]]
) -> None:
    listing = checkpoint(theirs, [])
    found = match(listing, [Entry(name, shape, "float32") for name, shape in ours.items()], Choice(), {})
    names = listing.names
    assert {name for name, _ in found.pairs} == {n for n in ours if theirs.get(n) == ours[n]}
    assert all(names[tensor] == name for name, tensor in [*found.pairs, *found.mismatched])
    assert set(found.missing) == ours.keys() - theirs.keys()
    assert {names[tensor] for tensor in found.unexpected} == theirs.keys() - ours.keys()
    assert {name for name, _ in found.mismatched} == {
        n for n in ours.keys() & theirs.keys() if theirs[n] != ours[n]
    }


@given(
    NAMES,
    st.sampled_from(["", "module.", "_orig_mod.", "model.net."]),
    st.sampled_from([[], ["model"], ["outer", "state_dict"]]),
)
def test_what_was_put_before_or_around_names_is_found_again(
    names: list[str], prefix: str, below: list[str]
) -> None:
    ours = [Entry(name, (index, 1), "float32") for index, name in enumerate(names)]
    listing = checkpoint({prefix + name: (index, 1) for index, name in enumerate(names)}, below)
    choice = propose(listing, ours, {}) or Choice()
    assert match(listing, ours, choice, {}).complete


@given(NAMES, NAMES)
def test_a_proposal_is_strictly_better(ours: list[str], theirs: list[str]) -> None:
    entries = [Entry(name, (2,), "float32") for name in ours]
    listing = checkpoint(dict.fromkeys(theirs, (2,)), [])
    choice = propose(listing, entries, {})
    plain = match(listing, entries, Choice(), {})
    if choice is not None:
        assert match(listing, entries, choice, {}).score > plain.score
        assert choice.words


SPECS = st.builds(
    TensorSpec,
    st.none(),
    st.sampled_from([None, "float16", "bool", "complex64"]),
    st.lists(st.integers(0, 99), max_size=4).map(tuple),
    st.none(),
) | st.builds(
    TensorSpec,
    st.none(),
    st.sampled_from(["int64", "uint8"]),
    st.lists(st.integers(0, 99), max_size=4).map(tuple),
    st.integers(1, 9**9),
)


@given(st.lists(SPECS, min_size=1, max_size=4), st.integers(0, 4))
def test_a_specification_is_read_as_it_was_written(specs: list[TensorSpec], named: int) -> None:
    specs = [spec._replace(name=f"n{place}") if place >= named else spec for place, spec in enumerate(specs)]
    assert parse_inputs(spec_text(specs)) == specs


@given(st.text(alphabet="2x3;:<=int64 abf[]", max_size=20))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    from paramtui.errors import UsageError

    try:
        specs = parse_inputs(text)
    except UsageError as error:
        assert str(error)
    else:
        assert parse_inputs(spec_text(specs)) == specs
