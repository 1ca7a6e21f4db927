"""Keys are the same however a line cuts or gathers what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.events import Key, Paste

from paramtui.tui.key_parser import KeyParser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.message import Message

# What is typed, and the key that it is. An escape before "[" or "O" is where a sequence may begin.
TYPED = {
    "\x1b": "escape",
    "j": "j",
    "q": "q",
    "f": "f",
    "1": "1",
    "=": "equals_sign",
    "\t": "tab",
    "\r": "enter",
    "\x7f": "backspace",
    "é": "é",
    "\x1b[A": "up",
    "\x1bOB": "down",
    "\x1b[6~": "pagedown",
    "\x1b[1;5C": "ctrl+right",
    "\x1bOP": "f1",
    "\x1b[27u": "escape",
}


def named(messages: Iterable[Message]) -> list[str]:
    found = []
    for message in messages:
        if isinstance(message, Key):
            found.append(message.key)
        elif isinstance(message, Paste):
            found.append(f"paste {message.text}")
        else:
            found.append(type(message).__name__)
    return found


def keys(*reads: str, typing: bool = False, pause: bool = True) -> list[str]:
    """Keys of what comes in some reads, without a pause between them and, if asked, with one at the end."""
    parser = KeyParser(lambda: typing)
    found = [key for data in reads for key in named(parser.feed(data))]
    if pause:
        parser._timeout_time = parser._timeout_time and 0.0
        found += named(parser.tick())
    return found


@given(st.lists(st.sampled_from(list(TYPED))), st.data())
def test_any_cut_gives_the_keys_that_were_typed(typed: list[str], data: st.DataObject) -> None:
    text = "".join(typed)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))) if len(text) > 1 else ())
    reads = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert keys(*filter(None, reads)) == [TYPED[each] for each in typed]


def test_letters_after_an_escape_are_not_held_back_until_typing_pauses() -> None:
    assert keys("\x1b", "j", "j", pause=False) == ["escape", "j", "j"]
    assert keys("\x1bjjjj", pause=False) == ["escape", "j", "j", "j", "j"]
    # An escape alone is one only after a while.
    assert keys("j\x1b", pause=False) == ["j"]
    assert keys("\x1b\x1b\x1b", pause=False) == ["escape", "escape"]


@pytest.mark.parametrize("letter", "[O")
def test_what_may_begin_a_sequence_is_a_key_after_a_while(letter: str) -> None:
    name = {"[": "left_square_bracket", "O": "O"}[letter]
    assert keys(f"\x1b{letter}") == ["escape", name]
    assert keys("\x1b", letter) == ["escape", name]


def test_in_a_line_of_text_alt_and_a_letter_that_come_together_move_by_words() -> None:
    assert keys("\x1bb", typing=True) == ["ctrl+left"]
    assert keys("\x1b\x7f", typing=True) == ["ctrl+w"]
    assert keys("\x1b", "b", typing=True) == ["escape", "b"]
    assert keys("\x1bq", typing=True) == ["escape", "q"]
    assert keys("\x1bb", typing=False) == ["escape", "b"]


@given(st.text(st.characters(exclude_characters="\0\x1b"), max_size=40), st.integers(0, 60))
def test_a_paste_is_one_however_it_is_cut(text: str, cut: int) -> None:
    whole = f"\x1b[200~{text}\x1b[201~"
    found = keys(*filter(None, (whole[:cut], whole[cut:])), "j")
    assert found == [f"paste {text}", "j"]


def test_an_escape_inside_a_paste_is_no_key() -> None:
    assert "escape" not in keys("\x1b[200~a\x1bqb\x1b[201~")


def test_the_mouse_and_the_answers_of_a_terminal_are_what_they_are() -> None:
    assert keys("\x1b[<0;3;4M\x1b[I\x1b[5;7R\x1b") == ["MouseDown", "AppFocus", "CursorPosition", "escape"]


def test_the_end_gives_what_was_left() -> None:
    parser = KeyParser(lambda: False)
    assert named(parser.feed("j\x1b")) == ["j"]
    assert named(parser.feed("")) == ["escape"]
