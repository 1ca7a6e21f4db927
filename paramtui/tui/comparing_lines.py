"""What a comparison says, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from paramtui.core.block_comparing import NOT_COMPARED
from paramtui.core.comparing import DIFFERENT, EQUAL_BITS, SAME_MEMORY, number_text, number_texts
from paramtui.core.dtypes import SHORT_NAMES
from paramtui.core.picture_folding import layout_words
from paramtui.core.text import safe_text, shape_text
from paramtui.core.ties import APART, OVERLAP
from paramtui.tui.pages import counted
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.block_comparing import Pair, PairOutcome
    from paramtui.core.comparing import Comparison, Difference
    from paramtui.core.listing import Listing
    from paramtui.tui.comparing_sides import Side
    from paramtui.tui.opened import Opened

# Most lines that `facts` gives.
MAX_FACTS = 7
# Lines of a PyTorch expression at most.
MAX_WAY = 3
VERDICT_WIDTH = 18
COUNT_WIDTH = 23
AMOUNT_WIDTH = 12
MIN_NAME = 18


def side_line(opened: Opened, letter: str, side: Side) -> Text:
    """``a  net.2.weight  float32 [8, 8]``."""
    listing = opened.listing
    line = Text(f"{letter}  ", "bold")
    line.append(f"{side.name}  ", "not bold")
    dtype, shape = safe_text(listing.dtype[side.tensor], 30), shape_text(listing.shape[side.tensor])
    line.append(f"{dtype} {shape}", "not bold dim")
    return line


def way_lines(text: str, width: int) -> list[Text]:
    """A line of PyTorch, broken where the width ends so that it can be read and copied whole."""
    lines = [Text(text[at : at + width], "bold") for at in range(0, len(text), width)]
    if len(lines) > MAX_WAY:
        lines = [*lines[: MAX_WAY - 1], Text("y copies the line of PyTorch", "dim")]
    return lines


def verdict(found: Comparison, declared: str = "") -> str:
    """What two tensors are to each other, in one sentence.

    Args:
        found: What they have in common.
        declared: What declares that they are one, where memory does not show it.
    """
    if found.verdict == SAME_MEMORY:
        return (
            f"one tensor: declared by {safe_text(declared, 80)}, stored once"
            if declared
            else "same memory: one tensor under two names"
        )
    if found.verdict == DIFFERENT:
        share = 100 * found.different / found.elements
        percent = "under 0.01" if share < 0.01 else f"{share:.3g}"
        return f"different: {found.different:,} of {counted(found.elements, 'element')} ({percent} %)"
    if not found.elements:
        return "without elements: nothing differs"
    copies = {
        OVERLAP: "; in memory they overlap, and are not the same elements",
        APART: ", but two copies in one storage",
    }.get(found.relation, ", but two copies in memory")
    if found.verdict == EQUAL_BITS:
        return f"equal bits{copies}"
    return f"equal values{copies}"


def facts(found: Comparison, declared: str = "") -> list[Text]:
    """The verdict, then how much differs and where."""
    out = [Text(verdict(found, declared), "bold")]
    largest, relative = found.largest, found.relative
    if largest is not None:
        out.append(_fact("largest |a-b|", _pair(largest)))
    if relative is not None:
        there_too = largest is not None and relative.index == largest.index
        words = f"{number_text(relative.amount)} at the same place" if there_too else _pair(relative)
        out.append(_fact("relative |a-b| / max(|a|, |b|)", words))
    if found.first is not None:
        line = _fact("first", f"[{', '.join(map(str, found.first))}]")
        here, there = found.nan_only
        if here or there:
            line.append(f"   NaN in a alone: {here:,}, in b alone: {there:,}")
        out.append(line)
    if found.other_bits:
        numbers = counted(found.other_bits, "equal number")
        out.append(Text(f"{numbers} with other bits: zeros of two signs, or NaN of two patterns"))
    if found.untold:
        out.append(Text(f"bits were not compared: {safe_text(found.untold, 300)}"))
    if found.verdict == DIFFERENT and found.relation in (OVERLAP, APART):
        overlap = found.relation == OVERLAP
        out.append(Text("they overlap in memory" if overlap else "they lie apart in one storage"))
    return out[:MAX_FACTS]


def stopped_words(done: int, total: int, different: int) -> str:
    """What is known of a comparison that was stopped.

    Args:
        done: Elements that were compared.
        total: Of each tensor.
        different: How many of `done` differ.
    """
    share = 100 * done // max(total, 1)
    if not done:
        return f"stopped after {share} %: nothing was compared yet"
    verb = "differs" if different == 1 else "differ"
    found = f"{counted(different, 'element')} {verb} so far" if different else "equal so far"
    return f"stopped after {share} %: {found}, nothing is known of the rest"


def legend(found: Comparison, shape: Sequence[int], letters: Sequence[tuple[str, str]]) -> Text:
    """What rows, columns, cells and letters of a picture are, a line each.

    Args:
        found: Has the picture.
        shape: Of the numbers.
        letters: Letters of the picture, and what they stand for.
    """
    if found.picture is None:
        return Text()
    lines = []
    words = layout_words(shape, found.picture.width)
    if words:
        lines.append(words)
    rows, columns = found.picture.cell
    if rows * columns > 1:
        size = f"{rows:,} x {columns:,}" if rows > 1 or len(shape) > 1 else f"{columns:,}"
        lines.append(f"each cell is {size} elements: its largest difference counts")
    lines.append("  ".join(f"{drawn} {meaning}" for drawn, meaning in letters))
    return Text("\n".join(lines))


def swapped(found: Comparison) -> Comparison:
    """The comparison of the second tensor with the first."""

    def turned(difference: Difference | None) -> Difference | None:
        if difference is None:
            return None
        return difference._replace(one=difference.other, other=difference.one)

    return found._replace(
        one=found.other,
        other=found.one,
        nan_only=found.nan_only[::-1],
        largest=turned(found.largest),
        relative=turned(found.relative),
    )


def _fact(what: str, words: str) -> Text:
    line = Text(f"{what}  ", "dim")
    line.append(words, "not dim")
    return line


def _pair(found: Difference) -> str:
    index = f" at [{', '.join(map(str, found.index))}]" if found.index else ""
    one, other = number_texts(found.one, found.other)
    return f"{number_text(found.amount)}{index}: a {one}, b {other}"


# Pairs


def types_text(listing: Listing, pair: Pair) -> str:
    """``f32, f64`` for a pair whose tensors are of two types; else empty."""
    if not pair.whole:
        return ""
    one, other = (listing.dtype[tensor] for tensor in (pair.one, pair.other))
    if one == other:
        return ""
    return ", ".join(SHORT_NAMES.get(dtype) or safe_text(dtype, 12) for dtype in (one, other))


def pair_line(
    pair: Pair, outcome: PairOutcome | None, width: int, *, here: bool, cells: Sequence[int], types: str = ""
) -> list[tuple[str, str]]:
    """One line of a list of pairs, as texts and names of styles.

    Args:
        pair: Which.
        outcome: What came of it; None while that is not known.
        width: Cells of the line.
        here: Whether the cursor stands on it.
        cells: As `pair_cells` gives them.
        types: The element types of the pair, where they are two.
    """
    name_width = max(width - 1 - _taken(cells), 1)
    name = safe_text(pair.name, 1000) or "(itself)"
    found = outcome.comparison if outcome is not None else None
    words = ""
    if outcome is not None and found is None:
        words = outcome.verdict
        if words == NOT_COMPARED:
            words = safe_text(outcome.reason, 300)
        # A reason may take the room that the name leaves.
        least = min(name_width, cell_len(name), MIN_NAME)
        name_width = min(max(width - 2 - cell_len(words), least), name_width)
        words = fit(words, max(width - 2 - name_width, 1))
    cut = set_cell_size(fit(name, name_width), name_width)
    out = [(">" if here else " ", ""), (cut, "")]
    if outcome is None or found is None:
        return [*out, (f" {words or '…'}", "dim")]
    different = found.verdict == DIFFERENT
    texts = [found.verdict, types, "", ""]
    if different:
        texts[2] = f"{found.different:,} of {found.elements:,}"
        if found.largest is not None:
            texts[3] = number_text(found.largest.amount, 4)
        elif any(found.nan_only):
            texts[3] = "NaN"
    for text, cell in zip(texts, cells, strict=False):
        if cell:
            out.append((f" {fit(text, cell):<{cell}}", "bold" if different else "dim"))
    return out


def pair_heading(width: int, cells: Sequence[int]) -> str:
    """What the columns of `pair_line` are."""
    words = ("", "types", "differ", "by at most")
    shown = "".join(f" {fit(text, cell):<{cell}}" for text, cell in zip(words, cells, strict=False) if cell)
    return f" {'name':<{max(width - 1 - len(shown), 1)}}{shown}"


def _taken(cells: Sequence[int]) -> int:
    """Cells of a line that its columns take, each with a space before it."""
    return sum(cell + 1 for cell in cells if cell)


def pair_cells(width: int, types: int = 0) -> list[int]:
    """Widths of verdict, types, count and amount in lines of a width; what matters least goes first.

    Args:
        width: Of the lines.
        types: Of the longest text about two types; 0 where all pairs are of one.
    """
    cells = [VERDICT_WIDTH, types, COUNT_WIDTH, AMOUNT_WIDTH]
    while len(cells) > 1 and width - _taken(cells) < MIN_NAME:
        cells.pop()
    return cells
