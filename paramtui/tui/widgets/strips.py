"""Lines of text cut to a width, whatever the width of their letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text


def fit(text: str, width: int) -> str:
    """`text` with its middle left out where it is wider than `width` cells."""
    if cell_len(text) <= width:
        return text
    if width < 2:
        return set_cell_size(text, max(width, 0))
    head = (width - 1) // 2
    tail = width - 1 - head
    # Cells are not letters: drop letters from the left until the tail fits.
    end = text[-tail:]
    while cell_len(end) > tail:
        end = end[1:]
    return set_cell_size(text, head) + "…" + end.rjust(tail)


def strip(pieces: list[tuple[str, Style]], width: int, rest: Style) -> Strip:
    """One line of styled pieces, cut or filled to `width`."""
    return Strip([Segment(text, style) for text, style in pieces]).adjust_cell_length(width, rest)


def wrapped(texts: list[Text], width: int, console: Console) -> list[Text]:
    """Texts broken at spaces to lines of at most `width` cells."""
    lines: list[Text] = []
    for text in texts:
        lines.extend(text.wrap(console, max(width, 1), tab_size=4) if text.plain else [text])
    return lines


def text_strip(text: Text, width: int, base: Style, console: Console) -> Strip:
    """A text of one line as a strip of `width` on the style of its widget."""
    if text.style and not text.spans:
        # Rich leaves the style of a whole text out where no part has one.
        base += console.get_style(text.style)
    segments = [
        Segment(segment.text, base + segment.style if segment.style else base)
        for segment in text.render(console, end="")
    ]
    return Strip(segments).adjust_cell_length(width, base)
