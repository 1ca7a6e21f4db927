"""Names found by words, globs and letters, against slow versions of the same."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.search import NameIndex, Query

NAMES = [
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.10.self_attn.q_proj.bias",
    "model.embed_tokens.weight",
    "lm_head.weight",
    "Encoder.Q_proj",
]
names = st.lists(st.text(alphabet="aAbB.01_[*", max_size=10), max_size=12)


def parsed(text: str) -> Query:
    query = Query.parse(text)
    assert query is not None
    return query


def found(text: str) -> list[str]:
    return [NAMES[place] for place in NameIndex(NAMES).search(parsed(text))]


def test_words_are_found_anywhere_and_all_of_them() -> None:
    assert found("q_proj 0.") == [NAMES[0], NAMES[2]]
    assert found("head") == ["lm_head.weight"]


def test_capitals_count_only_where_one_is_typed() -> None:
    assert found("q_proj") == [NAMES[0], NAMES[2], NAMES[5]]
    assert found("Q_proj") == [NAMES[5]]


def test_letters_in_their_order_are_enough_where_the_word_is_nowhere() -> None:
    assert found("l0qw") == [NAMES[0]]
    assert found("xyz") == []


def test_a_glob_is_matched_against_whole_names() -> None:
    assert found("*.bias") == [NAMES[2]]
    assert found("*q_proj*") == [NAMES[0], NAMES[2]]
    assert found("lm_*[ts]") == [NAMES[4]]
    assert found("weight*") == []


def test_what_was_found_is_marked() -> None:
    index = NameIndex(NAMES)
    for text, place, marked in (
        ("q_proj", 0, ["q_proj"]),
        ("weight layers", 0, ["layers", "weight"]),
        ("l0qw", 0, ["l", "0", "q", "w"]),
        ("*.layers.?.*.weight", 0, [".layers.0.", ".weight"]),
        ("lm_*[st]", 4, ["lm_", "t"]),
    ):
        query = parsed(text)
        assert place in index.search(query)
        assert [NAMES[place][first:last] for first, last in query.spans(NAMES[place])] == marked


def test_the_last_part_of_a_name_ranks_before_what_stands_earlier() -> None:
    index = NameIndex(["weight.a", "a.weight", "weight", "a.b.weight_g"])
    assert [index._names[place] for place in index.ranked(parsed("weight"), 10)] == [
        "weight",
        "a.weight",
        "a.b.weight_g",
        "weight.a",
    ]
    assert len(index.ranked(parsed("weight"), 2)) == 2


def test_only_blanks_ask_for_nothing() -> None:
    assert Query.parse("   ") is None


@settings(max_examples=300)
@given(names, st.text(alphabet="aAbB.01_*?[]!-", min_size=1, max_size=6))
def test_a_glob_finds_what_fnmatch_finds(texts: list[str], pattern: str) -> None:
    query = Query.parse(pattern)
    assert query is not None
    if query.kind != "glob":
        return
    assert NameIndex(texts).search(query) == [
        place for place, text in enumerate(texts) if fnmatchcase(text, pattern)
    ]


def in_order(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)


@settings(max_examples=300)
@given(names, st.text(alphabet="aAbB.01_ ", min_size=1, max_size=5))
def test_words_find_what_a_plain_loop_finds(texts: list[str], typed: str) -> None:
    query = Query.parse(typed)
    if query is None:
        assert not typed.strip()
        return
    small = typed.strip() == typed.strip().lower()
    folded = [text.lower() if small else text for text in texts]
    words = typed.split()
    expected = [place for place, text in enumerate(folded) if all(word in text for word in words)]
    if not expected:
        expected = [place for place, text in enumerate(folded) if in_order("".join(words), text)]
    hits = NameIndex(texts).search(query)
    assert hits == expected
    for place in hits:
        spans = query.spans(texts[place])
        assert spans == sorted(spans)
        covered = "".join(folded[place][first:last] for first, last in spans)
        assert all(word in covered or query.fuzzy for word in words)
        assert query.touches(texts[place], 0)


@pytest.mark.parametrize("pattern", ["*a" * 200, "a?" * 300, "[" * 300, "*" * 999])
def test_no_pattern_makes_the_search_explode(pattern: str) -> None:
    index = NameIndex(["a" * 4000, "ab" * 2000])
    assert isinstance(index.search(parsed(pattern)), list)
