"""Index expressions mean what they mean to torch."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.indexing import apply_index, parse_index
from paramtui.errors import IndexSyntaxError

bound = st.none() | st.integers(-7, 7)
entries = (
    st.integers(-6, 6).map(str)
    | st.tuples(bound, bound).map(lambda pair: ":".join("" if at is None else str(at) for at in pair))
    | st.tuples(bound, bound, st.none() | st.integers(1, 4)).map(
        lambda three: ":".join("" if at is None else str(at) for at in three)
    )
    | st.just("...")
)
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


class Subscript:
    """Gives back what stands between its brackets."""

    def __getitem__(self, index: object) -> object:
        return index


def by_torch(text: str, shape: tuple[int, ...]) -> torch.Tensor:
    count = int(torch.tensor(shape).prod()) if shape else 1
    tensor = torch.arange(count).reshape(shape)
    return tensor[eval(f"subscript[{text},]", {"subscript": Subscript()})] if text.strip() else tensor


@settings(max_examples=500)
@given(st.lists(entries, max_size=5), shapes, st.sampled_from([", ", ",", " , "]), st.booleans())
def test_an_index_selects_what_torch_selects_or_both_refuse(
    parts: list[str], shape: tuple[int, ...], comma: str, bracketed: bool
) -> None:
    text = comma.join(parts)
    if parts.count("...") > 1:
        with pytest.raises(IndexSyntaxError):
            parse_index(text)
        return
    try:
        expected = by_torch(text, shape)
    except IndexError:
        with pytest.raises(IndexSyntaxError):
            apply_index(parse_index(text), shape)
        return
    selection = apply_index(parse_index(f"[{text}]" if bracketed else text), shape)
    assert selection.shape == tuple(expected.shape)
    picked = torch.arange(int(torch.tensor(shape).prod()) if shape else 1).reshape(shape)
    for dim, pick in enumerate(selection.picks):
        picked = picked.index_select(dim, torch.tensor(list(pick), dtype=torch.long))
    assert picked.reshape(selection.shape).equal(expected)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "1.5",
        "1:2:3:4",
        "::-1",
        "::0",
        ", ,",
        "1,,2",
        "[1",
        "1]",
        "None",
        "True",
        "0x1",
        "1_0",
        "--1",
        "(1,)",
        "9" * 40,
        "¹",
        "٣",
        "...,...",
        "1;2",
        "slice(1)",
        "+-1",
    ],
)
def test_what_is_no_index_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(IndexSyntaxError) as caught:
        parse_index(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=20))
def test_any_text_is_an_index_or_refused(text: str) -> None:
    with contextlib.suppress(IndexSyntaxError):
        apply_index(parse_index(text), (3, 4, 5))


def test_an_index_outside_names_dimension_and_size() -> None:
    with pytest.raises(IndexSyntaxError, match="dimension 1, which has size 4"):
        apply_index(parse_index("0, 4"), (3, 4))
    with pytest.raises(IndexSyntaxError, match="3 indices for a tensor of 2 dimensions"):
        apply_index(parse_index("0, 0, 0"), (3, 4))
