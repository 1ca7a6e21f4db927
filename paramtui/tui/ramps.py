"""Colours and letters of a heatmap, for every depth of colour and for none.

A cell is two letters wide. Its sign is a letter too, so that colour never says something alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from rich.color import Color
from rich.style import Style

TRUECOLOR: Final = "truecolor"
EIGHT_BIT: Final = "256"
STANDARD: Final = "standard"
MONO: Final = "mono"
# Steps from zero to the largest, on either side.
STEPS: Final = 12
CELL_WIDTH: Final = 2

_SHADES: Final = " ░▒▓█"
_DARK_ZERO, _LIGHT_ZERO = (38, 38, 42), (236, 236, 238)
# Orange and blue are told apart with every kind of colour vision.
_DARK_ENDS: Final = {False: (255, 150, 40), True: (70, 150, 255)}
_LIGHT_ENDS: Final = {False: (200, 80, 0), True: (0, 80, 200)}


def ends(*, light: bool) -> dict[bool, tuple[int, int, int]]:
    """Red, green and blue of the largest numbers, by whether they are negative."""
    return _LIGHT_ENDS if light else _DARK_ENDS


@lru_cache(maxsize=512)
def _style(step: int, negative: bool, depth: str, light: bool) -> Style:  # noqa: FBT001  the key of a cache
    zero, end = _LIGHT_ZERO if light else _DARK_ZERO, ends(light=light)[negative]
    share = step / STEPS
    red, green, blue = (round(z + (e - z) * share) for z, e in zip(zero, end, strict=True))
    background = Color.from_rgb(red, green, blue)
    letters = Color.from_rgb(*((20, 20, 20) if (red + green + blue > 330) else (225, 225, 225)))
    if depth == EIGHT_BIT:
        from rich.color import ColorSystem

        background = background.downgrade(ColorSystem.EIGHT_BIT)
        letters = letters.downgrade(ColorSystem.EIGHT_BIT)
    return Style(color=letters, bgcolor=background)


def step_of(number: float, largest: float) -> int:
    """Which step of the ramp a finite number takes, 0 for zero and for what is small beside `largest`."""
    return min(round(abs(number) / largest * STEPS), STEPS) if largest else 0


def heat(number: float, largest: float, depth: str, base: Style, *, light: bool = False) -> tuple[str, Style]:
    """Two letters and the style of a cell.

    Args:
        number: What the cell holds.
        largest: The magnitude at the ends of the ramp.
        depth: `TRUECOLOR`, `EIGHT_BIT`, `STANDARD` or `MONO`.
        base: Style of the widget.
        light: Whether the background is light.
    """
    if math.isnan(number):
        return "NN", base + Style(reverse=True, bold=True)
    if math.isinf(number):
        return "+I" if number > 0 else "-I", base + Style(reverse=True, bold=True)
    step = step_of(number, largest)
    negative = number < 0
    sign = "-" if negative and step else " "
    if depth in (TRUECOLOR, EIGHT_BIT):
        return f"{sign} ", _style(step, negative and step > 0, depth, light)
    shade = _SHADES[math.ceil(step / STEPS * (len(_SHADES) - 1))]
    if depth == STANDARD:
        colour = "bright_blue" if negative else "bright_yellow" if not light else "red"
        return f"{sign}{shade}", base + Style(color=colour if step else None)
    return f"{sign or ' '}{shade}", base


def legend(
    largest: float,
    depth: str,
    base: Style,
    *,
    signed: bool,
    light: bool = False,
    odd: str = "NN NaN  +I -I infinite",
    least: float = 0.0,
) -> list[tuple[str, Style]]:
    """The ramp with its ends: from ``-largest`` where numbers are signed, else `least`; then odd letters."""
    count = 9
    first = -1.0 if signed else 0.0
    pieces = [(f"{-largest if signed else least:.3g} ", base)]
    for place in range(count):
        share = first + (1.0 - first) * place / (count - 1)
        pieces.append(heat(share * largest, largest, depth, base, light=light))
    pieces.append((f" {largest:.3g}  {odd}", base))
    return pieces
