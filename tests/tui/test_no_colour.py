"""Without colours nothing is sent that is one, and what stood out by its background is reversed."""

from __future__ import annotations

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from paramtui.tui.no_colour import NoColour, plain_style

DARK, LIGHT = Color.parse("#121212"), Color.parse("#e0e0e0")


@pytest.mark.parametrize("around", [DARK, LIGHT], ids=["dark", "light"])
def test_a_background_that_is_seen_is_reversed_and_quiet_text_is_dim(around: Color) -> None:
    letters = "#e0e0e0" if around is DARK else "#101010"
    quiet = "#606060" if around is DARK else "#a0a0a0"
    lit = Style(color="#ffffff", bgcolor="#0178d4", bold=True)
    assert plain_style(lit, around) == Style(bold=True, reverse=True, dim=False)
    assert plain_style(Style(color=letters, bgcolor=around.hex6), around) == Style(reverse=False, dim=False)
    assert plain_style(Style(color=quiet, bgcolor=around.hex6), around) == Style(reverse=False, dim=True)
    # What is reversed on purpose stays so.
    assert plain_style(Style(color=letters, reverse=True), around) == Style(reverse=True, dim=False)


def test_no_colour_is_left_and_the_text_stays() -> None:
    segments = [Segment("a", Style(color="red", bgcolor="blue", underline=True)), Segment("b"), Segment("")]
    found = NoColour().apply(segments, DARK)
    assert [segment.text for segment in found] == ["a", "b", ""]
    assert all(each.style is None or not (each.style.color or each.style.bgcolor) for each in found)
    assert found[0].style is not None
    assert found[0].style.underline
