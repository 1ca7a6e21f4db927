"""Letters for terminals that show ASCII only: each stands where the one it replaces stood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.filter import LineFilter

if TYPE_CHECKING:
    from textual.color import Color

_ALIKE: Final = str.maketrans(
    {
        **dict.fromkeys("─━▔▁▄▀═", "-"),
        **dict.fromkeys("│┃▏▕▌▐║", "|"),
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
        "▸": "+",
        "▾": "-",
        "…": "~",
        "·": "-",
        "░": ".",
        "▒": ":",
        "▓": "+",
        "█": "#",
        "↑": "^",
        "↓": "v",
        "←": "<",
        "→": ">",
    }
)


def plain(text: str) -> str:
    """`text` in ASCII, of the same width on screen."""
    if text.isascii():
        return text
    text = text.translate(_ALIKE)
    return (
        text if text.isascii() else "".join(char if char < "\x7f" else "?" * cell_len(char) for char in text)
    )


class PlainLetters(LineFilter):
    """Rewrites lines after they are drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same segments in ASCII."""
        return [Segment(plain(text), style, control) for text, style, control in segments]
