"""Text of files made safe for a terminal, and sizes in words."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.text import bytes_text, count_text, safe_text


def test_every_character_comes_out_printable_or_escaped() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        shown = safe_text(char)
        if char.isprintable() and not unicodedata.combining(char):
            assert shown == char
        else:
            assert shown.isprintable()
            assert shown == char or shown.isascii()


@settings(max_examples=200)
@given(st.text(max_size=400), st.integers(5, 300))
def test_any_text_comes_out_printable_and_not_much_longer_than_the_limit(text: str, limit: int) -> None:
    shown = safe_text(text, limit)
    assert shown.isprintable()
    assert len(shown) <= 10 * limit


def test_long_text_is_cut_in_the_middle_and_short_text_is_kept() -> None:
    assert safe_text("a" * 200) == "a" * 200
    shown = safe_text("a" * 500 + "b" * 500)
    assert len(shown) == 200
    assert re.fullmatch("a+\u2026b+", shown)


def test_towers_of_combining_marks_are_cut() -> None:
    assert safe_text("e" + "\u0301" * 100) == "e" + "\u0301" * 4


@pytest.mark.parametrize("function", [bytes_text, count_text])
def test_sizes_have_three_digits_and_are_right_to_half_of_the_last(function: object) -> None:
    units = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15, "EB": 10**18}
    if function is count_text:
        units = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "Q": 10**15}
    for exponent in range(15):
        for lead in (1, 9.4, 9.5, 9.94, 9.96, 99.4, 99.94, 99.96, 994, 999.4, 999.5, 999.9):
            count = int(lead * 10**exponent)
            text = (bytes_text if function is bytes_text else count_text)(count)
            number, _, unit = text.replace(",", "").partition(" ")
            assert len(number.replace(".", "")) <= (4 if function is count_text and count < 10_000 else 3)
            digits = len(number.partition(".")[2])
            assert abs(float(number) * units[unit] - count) <= 0.5001 * units[unit] / 10**digits
