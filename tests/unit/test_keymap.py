"""A person's keys: what is accepted works in Textual, and takes no other action's key away."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App
from textual.binding import Binding, BindingsMap, BindingType

from paramtui.tui.actions import ACTIONS, bindings, known_keys
from paramtui.tui.keymap import validate_keymap

# Two actions of a place, one of another, and two that are seen everywhere.
KNOWN = {
    "tree.up": ("tree", "up,k"),
    "tree.down": ("tree", "down,j"),
    "tree.clear": ("tree", "escape"),
    "values.up": ("values", "up,k"),
    "values.back": ("values", "escape,backspace"),
    "screen.find": ("screen", "slash"),
    "screen.stop": ("screen", "escape"),
    "app.help": ("app", "question_mark"),
}


def refused(keys: dict[str, str]) -> str:
    """The sentence about a map of which nothing is accepted."""
    accepted, problems = validate_keymap(keys, KNOWN)
    assert accepted == {}
    (problem,) = problems
    return problem


def test_no_keys_are_no_problem() -> None:
    assert validate_keymap({}, KNOWN) == ({}, [])


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("x", "x"),
        ("X", "X"),
        ("7", "7"),
        ("f4", "f4"),
        ("F4", "f4"),
        ("ctrl+x", "ctrl+x"),
        ("Ctrl+X", "ctrl+x"),
        ("shift+f1", "shift+f1"),
        ("shift+x", "X"),
        ("ctrl+shift+left", "ctrl+shift+left"),
        ("shift+ctrl+left", "ctrl+shift+left"),
        ("home", "home"),
        ("semicolon", "semicolon"),
        (";", "semicolon"),
        ("!", "exclamation_mark"),
        ("-", "minus"),
        ("+", "plus"),
        (",", "comma"),
        ("ö", "ö"),
        (" f4 , x ", "f4,x"),
        ("x,x", "x"),
        ("down,n", "down,n"),
    ],
)
def test_keys_are_taken_by_the_names_that_textual_reports(written: str, name: str) -> None:
    assert validate_keymap({"tree.down": written}, KNOWN) == ({"tree.down": name}, [])


@pytest.mark.parametrize("character", [chr(code) for code in range(33, 127)])
async def test_a_character_answers_to_its_own_key(character: str) -> None:
    accepted, problems = validate_keymap({"tree.only": character}, {"tree.only": ("tree", "f24")})
    assert problems == []
    pressed: list[str] = []

    class Listener(App[None]):
        BINDINGS: ClassVar[list[BindingType]] = [Binding("f24", "note", "", id="tree.only")]

        def action_note(self) -> None:
            pressed.append(character)

    app = Listener()
    async with app.run_test() as pilot:
        app.set_keymap(accepted)
        await pilot.press(character)
    assert pressed == [character]


@pytest.mark.parametrize("written", ["", " ", "x,", ",x", "x,,y"])
def test_a_missing_key_is_refused(written: str) -> None:
    assert refused({"tree.down": written}) == "keys.tree.down: names no key"


@pytest.mark.parametrize(
    "written", ["nokey", "f99", "hyper+x", "ctrl+", "ctrl", "<any>", "\x1b", "x y", "x+y"]
)
def test_a_key_without_a_name_is_refused(written: str) -> None:
    problem = refused({"tree.down": written})
    assert problem.startswith("keys.tree.down: there is no key ")
    assert problem.isprintable()


@pytest.mark.parametrize("written", ["ctrl+b", "Ctrl+B", "alt+x", "ALT+left", "x,alt+f1", "ctrl+alt+x"])
def test_keys_that_terminals_keep_are_refused(written: str) -> None:
    assert "does not reach the program everywhere" in refused({"tree.down": written})


def test_an_unknown_action_is_refused_with_one_like_it() -> None:
    assert refused({"tree.dwon": "x"}) == "keys: there is no action tree.dwon; did you mean tree.down?"
    assert refused({"\x1b[31m": "x"}) == "keys: there is no action \\x1b[31m"


def test_one_wrong_entry_leaves_the_others() -> None:
    accepted, problems = validate_keymap({"tree.up": "f4", "tree.down": "nokey", "screen.find": "f5"}, KNOWN)
    assert accepted == {"tree.up": "f4", "screen.find": "f5"}
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("action", "key", "other"),
    [
        ("tree.up", "j", "tree.down"),
        ("tree.up", "x,down", "tree.down"),
        ("tree.up", "/", "screen.find"),
        ("tree.up", "?", "app.help"),
        ("app.help", "k", "tree.up"),
        ("screen.find", "backspace", "values.back"),
        ("screen.find", "?", "app.help"),
        ("tree.up", "escape", "tree.clear"),
    ],
)
def test_the_key_of_another_action_is_refused_with_both_named(action: str, key: str, other: str) -> None:
    problem = refused({action: key})
    assert problem.startswith(f"keys.{action}: ")
    assert other in problem


def test_panes_beside_each_other_may_share_a_key() -> None:
    keys = {"tree.clear": "backspace", "values.up": "j"}
    assert validate_keymap(keys, KNOWN) == (keys, [])


def test_keys_that_actions_share_by_default_are_meant() -> None:
    keys = {"tree.clear": "escape,x", "screen.stop": "escape,y"}
    assert validate_keymap(keys, KNOWN) == (keys, [])


def test_two_actions_may_exchange_their_keys() -> None:
    keys = {"tree.up": "j", "tree.down": "k"}
    assert validate_keymap(keys, KNOWN) == (keys, [])


def test_a_key_that_its_action_gave_up_is_free() -> None:
    keys = {"tree.up": "j", "tree.down": "f4"}
    assert validate_keymap(keys, KNOWN) == (keys, [])


def test_of_two_entries_with_one_key_the_first_stays() -> None:
    accepted, problems = validate_keymap({"tree.up": "f4", "tree.down": "f4"}, KNOWN)
    assert accepted == {"tree.up": "f4"}
    (problem,) = problems
    assert "tree.down" in problem
    assert "tree.up" in problem


def test_a_refused_entry_takes_its_default_keys_back() -> None:
    # tree.down keeps j, since its own entry is wrong; so tree.up cannot have it.
    accepted, problems = validate_keymap({"tree.up": "j", "tree.down": "alt+x"}, KNOWN)
    assert accepted == {}
    assert [problem.split(":")[0] for problem in problems] == ["keys.tree.down", "keys.tree.up"]


def test_defaults_may_be_written_as_characters() -> None:
    known = {"tree.up": ("tree", "k"), "screen.find": ("screen", " / , f3")}
    accepted, problems = validate_keymap({"tree.up": "slash"}, known)
    assert accepted == {}
    assert "screen.find" in problems[0]


class Two(App[None]):
    """Two actions of one place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "note('first')", "", id="app.first"),
        Binding("b", "note('second')", "", id="app.second"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def action_note(self, word: str) -> None:
        self.noted.append(word)


TWO = {"app.first": ("app", "a"), "app.second": ("app", "b")}


async def noted(keymap: dict[str, str], *keys: str) -> list[str]:
    """What two actions do after a keymap was set."""
    app = Two()
    async with app.run_test() as pilot:
        app.set_keymap(keymap)
        await pilot.press(*keys)
    return app.noted


async def test_what_textual_would_delete_is_refused() -> None:
    taken = {"app.first": "b"}
    # Textual lets the second action lose its only key without a word.
    assert await noted(taken, "a", "b") == ["first"]
    accepted, problems = validate_keymap(taken, TWO)
    assert await noted(accepted, "a", "b") == ["first", "second"]
    (problem,) = problems
    assert "app.first" in problem
    assert "app.second" in problem


@pytest.mark.parametrize(
    ("keys", "pressed"),
    [
        ({"app.first": "b", "app.second": "a"}, ["b", "a"]),
        ({"app.first": "b", "app.second": "/"}, ["b", "slash"]),
        ({"app.first": "?"}, ["question_mark", "b"]),
        ({"app.second": "ctrl+x"}, ["a", "ctrl+x"]),
    ],
)
async def test_what_is_accepted_works_in_textual(keys: dict[str, str], pressed: list[str]) -> None:
    accepted, problems = validate_keymap(keys, TWO)
    assert problems == []
    assert await noted(accepted, *pressed) == ["first", "second"]


def answering(place: str, keymap: dict[str, str]) -> dict[str, list[str]]:
    """Actions by key in a place, as Textual has them after a keymap."""
    found = BindingsMap(bindings(place))
    found.apply_keymap(keymap)
    return {
        key: sorted({binding.id or "" for binding in some}) for key, some in found.key_to_bindings.items()
    }


PLACES = sorted({action.place for action in ACTIONS})
SOME_KEYS = st.sampled_from(["f4", "f5", "x", "ctrl+x", *{key for a in ACTIONS for key in a.keys.split(",")}])


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(sorted(known_keys())),
        st.lists(SOME_KEYS, min_size=1, max_size=3).map(",".join),
        max_size=6,
    )
)
def test_every_action_of_the_screen_keeps_its_keys(keys: dict[str, str]) -> None:
    known = known_keys()
    accepted, problems = validate_keymap(keys, known)
    assert len(accepted) + len(problems) == len(keys)
    wanted = {action: accepted.get(action, defaults).split(",") for action, (_, defaults) in known.items()}
    shown = {place: answering(place, accepted) for place in PLACES}
    for action, own in wanted.items():
        place = known[action][0]
        assert sorted(key for key, ids in shown[place].items() if action in ids) == sorted(own)
    # Nothing answers twice that did not by default.
    for everywhere in ("tree", "values"):
        places = (everywhere, "screen", "app")
        answers = Counter(
            (key, action) for place in places for key, ids in shown[place].items() for action in ids
        )
        assert set(answers.values()) == {1}
        by_key: dict[str, set[str]] = {}
        for key, action in answers:
            by_key.setdefault(key, set()).add(action)
        for key, several in by_key.items():
            others = [action for action in several if key not in known[action][1].split(",")]
            assert len(several) == 1 or not others


def test_the_default_keys_themselves_are_valid() -> None:
    # ctrl+c and ctrl+q among them.
    keys = {action: text for action, (_, text) in known_keys().items()}
    assert validate_keymap(keys, known_keys()) == (keys, [])


def test_every_action_has_a_name_of_its_own() -> None:
    assert len(known_keys()) == len(ACTIONS)


def test_new_keys_of_the_screen_are_taken_by_name_or_by_letter() -> None:
    keys = {"screen.find": "f4", "tree.flat": "w,Q", "screen.go-to": ";", "values.first": "ctrl+home"}
    assert validate_keymap(keys, known_keys()) == ({**keys, "screen.go-to": "semicolon"}, [])


def test_no_place_of_the_screen_has_a_key_twice() -> None:
    # Textual deletes both bindings of such a key when one of them is changed.
    counts = Counter((action.place, key) for action in ACTIONS for key in action.keys.split(","))
    assert [key for key, count in counts.items() if count > 1] == []
