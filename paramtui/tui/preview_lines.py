"""What a preview says: figures, bars and numbers as they are, and as they would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from paramtui.core.bars import bars
from paramtui.core.text import safe_text
from paramtui.tui.cells import CellFormat, write_cells
from paramtui.tui.grid import Grid
from paramtui.tui.initialise_lines import figure, short_names
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.source import Preview, Window
    from paramtui.core.summary import Summary
    from paramtui.tui.opened import Opened

MAX_SHOWN = 50
GRID_ROWS = 5
NUMBER = 10
LABEL = 7
MOST_BARS, LEAST_BARS = 32, 8
# Columns of a grid are read for the narrowest number, and those that do not fit are not shown.
_NARROWEST = 7


def first_picks(opened: Opened, tensor: int, width: int) -> tuple[range, ...]:
    """The first rows and columns of a tensor that two grids side by side have room for."""
    shape = tuple(size or 0 for size in opened.listing.shape[tensor])
    return Grid.of(tensor, shape).picks(GRID_ROWS, max((width - 3) // 2 // _NARROWEST, 1))


def preview_lines(opened: Opened, row: int, preview: Preview, width: int, *, plain: bool) -> list[Text]:
    """All that a preview says; the tensor whose numbers are shown comes first.

    Args:
        opened: The target.
        row: Where the change is to be made.
        preview: What came of it.
        width: Cells of a line.
        plain: Whether there is only ASCII.
    """
    if not preview.summaries:
        return [Text("nothing would change")]
    shown = preview.after.tensor if preview.after is not None else -1
    tensors = sorted(preview.summaries, key=lambda tensor: (tensor != shown, tensor))
    count = max(min(width - LABEL - 2 - 4 * NUMBER, MOST_BARS), LEAST_BARS)
    head = Text(" " * (LABEL + 2 + count), style="dim", no_wrap=True)
    head.append("".join(f"{word:>{NUMBER}}" for word in ("mean", "std", "min", "max")))
    lines = [head]
    for tensor in tensors[:MAX_SHOWN]:
        (name,) = short_names(opened, row, [tensor])
        lines.append(Text(fit(name, width), style="bold", no_wrap=True))
        counts = preview.histograms.get(tensor, ((), ()))
        for word, found, bins in zip(("now", "then"), preview.summaries[tensor], counts, strict=True):
            drawn = bars(bins, count, plain=plain)
            lines.append(_figures(f"  {word:<{LABEL - 2}}{drawn:<{count}}  ", found))
        if tensor == shown and preview.before is not None and preview.after is not None:
            lines += _grids(opened, preview.before, preview.after, width)
    if len(tensors) > MAX_SHOWN:
        lines.append(Text(f"and {len(tensors) - MAX_SHOWN:,} more"))
    return lines


def _figures(start: str, found: Summary) -> Text:
    line = Text(start, no_wrap=True, overflow="ellipsis")
    line.append("".join(f"{figure(n):>{NUMBER}}" for n in (found.mean, found.std, found.min, found.max)))
    for word, count in (("NaN", found.nan), ("Inf", found.inf)):
        if count:
            line.append(f"  {word} {count:,}", style="reverse")
    return line


def _grids(opened: Opened, before: Window, after: Window, width: int) -> list[Text]:
    """Numbers now at the left, then at the right."""
    tensor = after.tensor
    room = (width - 3) // 2
    left, right = (_written(opened, tensor, window, room) for window in (before, after))
    if not left or not right:
        return []
    wide = max(map(len, left))
    title = Text(f"  {'now':<{wide}}   then", style="dim", no_wrap=True)
    title.append(f"   {safe_text(_cells_text(after))}")
    lines = [title]
    for first, second in zip(left, right, strict=False):
        lines.append(Text(f"  {first:<{wide}}   {second}", no_wrap=True, overflow="ellipsis"))
    return lines


def _cells_text(window: Window) -> str:
    """Which cells are shown, as an index."""
    return f"[{', '.join(_pick_text(pick) for pick in window.picks)}]" if window.picks else ""


def _pick_text(pick: Sequence[int]) -> str:
    return f"{pick[0]}:{pick[-1] + 1}" if len(pick) > 1 else str(pick[0]) if pick else ":"


def _written(opened: Opened, tensor: int, window: Window, width: int) -> list[str]:
    """The rows of a window as text, without the columns that do not fit."""
    if window.values is None or not window.values.size:
        return []
    sizes = [len(pick) for pick in window.picks]
    # As `Grid.of` lays them out: a tensor of one dimension runs down.
    rows = sizes[max(len(sizes) - 2, 0)] if sizes else 1
    columns = sizes[-1] if len(sizes) > 1 else 1
    pairs = opened.listing.dtype[tensor] == "float4_e2m1fn_x2"
    block = write_cells(window.values, rows, columns, CellFormat(), pairs=pairs)
    cell = block.format.width
    fits = max(width // (cell + 2), 1)
    return ["  ".join(f"{each.text:>{cell}}" for each in line[:fits]) for line in block.rows]
