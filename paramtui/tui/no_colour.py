"""The screen without colours, as NO_COLOR asks for it: what stands out by its background is reversed."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

# Differences of brightness, of 1: from here on a background is meant to be seen, and below text to be quiet.
SEEN: Final = 0.2
QUIET: Final = 0.45


class NoColour(LineFilter):
    """Leaves bold, dim, underlined and reversed text; Textual's own filter sends shades of grey."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Segments without colours."""
        return [
            Segment(text, style and plain_style(style, background), control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def plain_style(style: Style, background: Color) -> Style:
    """A style without colours.

    Args:
        style: With any.
        background: Of what lies around it.
    """
    behind = background if style.bgcolor is None else Color.from_rich_color(style.bgcolor)
    reverse = bool(style.reverse) != (abs(behind.brightness - background.brightness) >= SEEN)
    quiet = False
    if style.color is not None and not reverse:
        letters = Color.from_rich_color(style.color)
        quiet = abs(letters.brightness - behind.brightness) < QUIET
    return style.without_color + Style(reverse=reverse, dim=bool(style.dim) or quiet)
