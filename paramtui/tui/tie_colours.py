"""A colour for each group that shares memory; its letter says the same without it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.color import Color, ColorSystem
from rich.style import Style

from paramtui.tui.ramps import EIGHT_BIT, MONO, STANDARD

# Hues that are told apart beside each other, on dark and on light ground; groups take them in turn.
_DARK: Final = (
    (86, 180, 233),
    (230, 159, 0),
    (120, 200, 120),
    (204, 121, 167),
    (240, 228, 66),
    (190, 150, 255),
    (255, 140, 105),
    (90, 210, 200),
)
_LIGHT: Final = (
    (0, 95, 160),
    (165, 85, 0),
    (0, 115, 50),
    (160, 45, 110),
    (110, 95, 0),
    (100, 60, 190),
    (180, 50, 20),
    (0, 105, 105),
)
_NAMED: Final = ("cyan", "yellow", "green", "magenta", "blue", "red")


@lru_cache(maxsize=256)
def group_style(place: int, depth: str, light: bool) -> Style:  # noqa: FBT001  the key of a cache
    """How a group is written.

    Args:
        place: Of the group among all.
        depth: ``truecolor``, ``256``, ``standard`` or ``mono``, as `paramtui.tui.ramps` names them.
        light: Whether the ground is light.
    """
    if depth == MONO:
        return Style(bold=True)
    if depth == STANDARD:
        return Style(color=_NAMED[place % len(_NAMED)], bold=True)
    hues = _LIGHT if light else _DARK
    colour = Color.from_rgb(*hues[place % len(hues)])
    if depth == EIGHT_BIT:
        colour = colour.downgrade(ColorSystem.EIGHT_BIT)
    return Style(color=colour, bold=True)
