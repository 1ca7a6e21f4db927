"""What a comparison says, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from paramtui.core.block_comparing import NOT_COMPARED
from paramtui.core.comparing import DIFFERENT, EQUAL_BITS, SAME_MEMORY
from paramtui.core.text import safe_text, shape_text
from paramtui.core.ties import APART, OVERLAP
from paramtui.tui.pages import counted
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.block_comparing import Pair, PairOutcome
    from paramtui.core.comparing import Comparison, Difference
    from paramtui.core.encoding import Number
    from paramtui.tui.comparing_sides import Side
    from paramtui.tui.opened import Opened

# Most lines that `facts` gives.
MAX_FACTS = 7
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


def _fact(what: str, words: str) -> Text:
    line = Text(f"{what}  ", "dim")
    line.append(words, "not dim")
    return line


def _pair(found: Difference) -> str:
    index = f" at [{', '.join(map(str, found.index))}]" if found.index else ""
    one, other = number_texts(found.one, found.other)
    return f"{number_text(found.amount)}{index}: a {one}, b {other}"


def number_text(number: Number, digits: int = 6) -> str:
    """A number with so many digits that count; whole ones exactly."""
    if isinstance(number, bool):
        return str(number)
    return f"{number:,}" if isinstance(number, int) else f"{number:.{digits}g}"


def number_texts(one: Number, other: Number) -> tuple[str, str]:
    """Two numbers with as few digits as tell them apart."""
    short = number_text(one), number_text(other)
    if one == other or short[0] != short[1]:
        return short
    texts = number_text(one, 9), number_text(other, 9)
    return texts if texts[0] != texts[1] else (number_text(one, 17), number_text(other, 17))


# Pairs


def pair_line(
    pair: Pair, outcome: PairOutcome | None, width: int, *, here: bool, cells: Sequence[int]
) -> list[tuple[str, str]]:
    """One line of a list of pairs, as texts and names of styles.

    Args:
        pair: Which.
        outcome: What came of it; None while that is not known.
        width: Cells of the line.
        here: Whether the cursor stands on it.
        cells: Widths of verdict, count and amount; as many as there is room for.
    """
    name_width = max(width - 1 - sum(cells) - len(cells), 1)
    name = fit(safe_text(pair.name, 1000) or "(itself)", name_width)
    out = [(">" if here else " ", ""), (name.ljust(name_width), "")]
    if outcome is None:
        return [*out, (" …", "dim")]
    found = outcome.comparison
    if found is None:
        words = outcome.verdict
        if words == NOT_COMPARED:
            words = safe_text(outcome.reason, 300)
        return [*out, (f" {words}", "dim")]
    different = found.verdict == DIFFERENT
    texts = [found.verdict, "", ""]
    if different:
        texts[1] = f"{found.different:,} of {found.elements:,}"
        if found.largest is not None:
            texts[2] = number_text(found.largest.amount, 4)
        elif any(found.nan_only):
            texts[2] = "NaN"
    for text, cell in zip(texts, cells, strict=False):
        out.append((f" {fit(text, cell):<{cell}}", "bold" if different else "dim"))
    return out


def pair_cells(width: int) -> list[int]:
    """Widths of verdict, count and amount in lines of a width; what matters least goes first."""
    cells = [VERDICT_WIDTH, COUNT_WIDTH, AMOUNT_WIDTH]
    while len(cells) > 1 and width - sum(cells) - len(cells) < MIN_NAME:
        cells.pop()
    return cells
