"""A person's own keys: which are taken, and why others are not."""

from __future__ import annotations

from typing import ClassVar

import pytest
from textual.app import App
from textual.binding import Binding, BindingType

from paramtui.tui.actions import ACTIONS, known_keys
from paramtui.tui.keymap import validate_keymap

KNOWN = known_keys()


def test_new_keys_are_taken_by_name_or_by_letter() -> None:
    keys = {"screen.find": "f4", "tree.flat": "z,Z", "screen.go-to": ";", "values.first": "ctrl+home"}
    accepted, problems = validate_keymap(keys, KNOWN)
    assert problems == []
    assert accepted == {**keys, "screen.go-to": "semicolon"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"screen.fnd": "f4"}, "did you mean screen.find?"),
        ({"screen.find": ""}, "names no key"),
        ({"screen.find": "f4,,f5"}, "names no key"),
        ({"screen.find": "florble"}, "no key florble"),
        ({"screen.find": "alt+x"}, "cannot be used"),
        ({"screen.find": "ctrl+b"}, "cannot be used"),
        ({"screen.find": "j"}, "j is the key of tree.down"),
        ({"tree.flat": "q"}, "q is the key of app.leave"),
        ({"tree.flat": "F"}, "F is the key of tree.flat-block"),
    ],
)
def test_what_cannot_be_taken_is_told(keys: dict[str, str], words: str) -> None:
    accepted, (problem,) = validate_keymap(keys, KNOWN)
    assert accepted == {}
    assert words in problem


def test_two_actions_may_change_their_keys() -> None:
    keys = {"tree.flat": "F", "tree.flat-block": "f"}
    assert validate_keymap(keys, KNOWN) == (keys, [])


def test_of_two_entries_with_one_key_the_later_is_refused() -> None:
    accepted, problems = validate_keymap({"tree.flat": "z", "tree.sort": "z"}, KNOWN)
    assert accepted == {"tree.flat": "z"}
    assert len(problems) == 1


def test_keys_of_the_tree_and_of_the_values_may_be_the_same() -> None:
    assert validate_keymap({"tree.flat": "d"}, KNOWN) == ({"tree.flat": "d"}, [])


def test_the_default_keys_themselves_are_valid() -> None:
    keys = {action: text for action, (_, text) in KNOWN.items() if action != "app.quit"}
    assert validate_keymap(keys, KNOWN) == (keys, [])


def test_every_action_has_a_name_of_its_own() -> None:
    assert len(KNOWN) == len(ACTIONS)


class TwoKeys(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "first", "first", id="tree.first"),
        Binding("b", "second", "second", id="tree.second"),
    ]
    done: ClassVar[list[str]] = []

    def action_first(self) -> None:
        self.done.append("first")

    def action_second(self) -> None:
        self.done.append("second")


async def test_what_is_refused_is_what_textual_would_lose() -> None:
    keys = {"tree.first": "b"}
    assert validate_keymap(keys, {"tree.first": ("tree", "a"), "tree.second": ("tree", "b")})[0] == {}
    app = TwoKeys()
    async with app.run_test() as pilot:
        app.set_keymap(keys)
        await pilot.press("b", "a")
        assert "second" not in app.done
