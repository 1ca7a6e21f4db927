"""Letters and colours of a picture of differences: tenths of the largest as digits, shades for what is less.

An entry is two letters wide, and its letters tell what its colour does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.style import Style

from paramtui.tui.ramps import EIGHT_BIT, TRUECOLOR, heat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.comparing import Picture

EQUAL: Final = "··"
NAN: Final = "NN"
INFINITE: Final = "II"
# Each ten times as much as the one before; above them come the digits.
_SHADES: Final = "░▒▓"
STEPS: Final = len(_SHADES)
# Of the colours the stronger steps alone are told from the background.
_LEAST: Final = 0.3


class Ramp:
    """The letters of one picture.

    Args:
        picture: Of which the entries are drawn.

    Attributes:
        top: The largest finite amount in it; 0 where there is none.
        letters: All letters that occur in it but `EQUAL`.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        amounts = [amount for row in picture.largest for amount in row if math.isfinite(amount)]
        self.top = max(amounts, default=0.0)
        entries = [(row, column) for row in range(picture.rows) for column in range(picture.columns)]
        self.letters = {self.letters_of(*entry) for entry in entries} - {EQUAL}

    def letters_of(self, row: int, column: int) -> str:
        """Two letters for an entry."""
        if not self._picture.counts[row][column]:
            return EQUAL
        amount = self._picture.largest[row][column]
        if math.isnan(amount):
            return NAN
        if math.isinf(amount):
            return INFINITE
        if not amount:
            # Smaller than any float.
            return 2 * _SHADES[0]
        tenths = int(10 * (amount / self.top))
        if tenths:
            return f" {min(tenths, 9)}"
        below = math.floor(math.log10(self.top) - math.log10(amount))
        return 2 * _SHADES[STEPS - min(max(below, 1), STEPS)]

    def legend(self) -> list[tuple[str, str]]:
        """Letters that occur, and what they stand for."""
        out = [(EQUAL, "equal" if self.letters else "equal (NaN to NaN too)")]
        if any(letters[1].isdecimal() for letters in self.letters):
            out.append(("1-9", f"tenths of {self.top:.3g}"))
        for step in range(STEPS, 0, -1):
            letters = 2 * _SHADES[step - 1]
            bound = self.top / 10 ** (STEPS + 2 - step)
            words = f"> {bound:.2g}" if step > 1 else "less"
            if letters in self.letters:
                out.append((letters, words))
        if NAN in self.letters:
            out.append((NAN, "NaN in one"))
        if INFINITE in self.letters:
            out.append((INFINITE, "infinite"))
        return out


def entry_style(letters: str, depth: str, base: Style, *, light: bool) -> Style:
    """The style of an entry's letters.

    Args:
        letters: As `Ramp` gives them.
        depth: Colours that the terminal has, see `paramtui.tui.ramps`.
        base: Style of the widget.
        light: Whether the background is light.
    """
    if letters == EQUAL:
        return base + Style(dim=True)
    if letters[1].isdecimal():
        share = _LEAST + (1 - _LEAST) * int(letters[1]) / 9
        return heat(share, 1.0, depth, base, light=light)[1]
    if letters[0] not in _SHADES:
        # Not in reverse, which is how the cursor looks.
        return base + Style(bold=True, underline=True)
    ink = heat(0.5 + 0.25 * _SHADES.index(letters[0]), 1.0, depth, base, light=light)[1]
    return base + Style(color=ink.bgcolor if depth in (TRUECOLOR, EIGHT_BIT) else ink.color)


def pieces(
    entries: Iterable[tuple[str, bool]], depth: str, base: Style, cursor: Style, *, light: bool
) -> list[tuple[str, Style]]:
    """Entries of one line with their styles, equal neighbours as one: fewer bytes on the line.

    Args:
        entries: Letters, and whether a cursor stands on them.
        depth: Colours that the terminal has.
        base: Style of the widget.
        cursor: Style under the cursor.
        light: Whether the background is light.
    """
    out: list[tuple[str, Style]] = []
    for letters, here in entries:
        style = cursor if here else entry_style(letters, depth, base, light=light)
        if out and out[-1][1] == style:
            out[-1] = (out[-1][0] + letters, style)
        else:
            out.append((letters, style))
    return out
