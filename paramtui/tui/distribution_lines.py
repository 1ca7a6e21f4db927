"""Draws distributions as lines of text: bars over one axis, and figures beside or below them."""

from __future__ import annotations

from math import log1p
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from paramtui.core.bars import BLOCKS, LETTERS
from paramtui.core.statistics import QUANTILES, digits_apart
from paramtui.tui.initialise_lines import figure
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

    from paramtui.core.statistics import Measured, Statistics
    from paramtui.tui.value_axis import ValueAxis

STEPS: Final = 8
# From so many lines on, figures stand below the bars; with fewer, beside them where these columns are there.
TALL: Final = 12
WIDE: Final = 56
FIGURES: Final = 44
MOST_BARS, LEAST_BARS = 64, 20
GAP: Final = 2
# Lines of bars of one of several distributions, at least.
LEAST_ROWS: Final = 2
MORE: Final = " …"
# Integers up to so many digits are written whole.
WHOLE_DIGITS: Final = 12


class Part(NamedTuple):
    """One distribution.

    Attributes:
        name: What it is of, safe to show.
        measured: Its figures and levels.
        style: Of its bars.
    """

    name: str
    measured: Measured
    style: Style


class Looks(NamedTuple):
    """How the rest is drawn.

    Attributes:
        label: Style of the axis and of the names of figures.
        name: Style of the names of distributions.
        special: Style of counts of NaN and infinities.
        plain: Whether there is only ASCII.
    """

    label: Style
    name: Style
    special: Style
    plain: bool = False


def most_parts(width: int, height: int) -> int:
    """How many distributions there is room for, each with `LEAST_ROWS` lines of bars; one in any case."""
    if _beside(width, height):
        return max((height - 1) // LEAST_ROWS, 1)
    # A line with the name, and two of figures.
    return max((height - 1) // (LEAST_ROWS + 3), 1)


def _beside(width: int, height: int) -> bool:
    return height < TALL and width >= WIDE


def bar_columns(width: int, height: int) -> int:
    """How many bars stand side by side."""
    return min(max(width - FIGURES - GAP, LEAST_BARS), MOST_BARS) if _beside(width, height) else max(width, 1)


def bar_rows(counts: Sequence[float], rows: int, *, log: bool, plain: bool) -> list[str]:
    """A histogram, from its top line down: the highest bar is full, and what is not zero is seen.

    Args:
        counts: By bar.
        rows: Lines.
        log: Whether heights go by the logarithm of one more than the count.
        plain: Whether there is only ASCII.
    """
    letters = LETTERS if plain else BLOCKS
    sizes = [log1p(count) if log else count for count in counts]
    most = max(sizes, default=0.0)
    steps = [max(1, round(size / most * rows * STEPS)) if size > 0 else 0 for size in sizes]
    return [
        "".join(letters[min(max(step - row * STEPS, 0), STEPS)] for step in steps)
        for row in reversed(range(rows))
    ]


def axis_line(axis: ValueAxis, width: int) -> str:
    """The numbers at both ends, and zero where it is in sight."""
    first, last = axis.edges(1)
    digits = digits_apart(first, last, 3)
    left, right = figure(float(first), digits), figure(float(last), digits)
    line = f"{left}{right:>{max(width - len(left), len(right) + 1)}}"
    if first < 0 < last:
        at = min(int(axis.place(0.0) * width), width - 1)
        if len(left) < at < width - len(right) - 1:
            line = f"{line[:at]}0{line[at + 1 :]}"
    return line[:width]


# Figures


def number_text(number: float | None, digits: int = 3) -> str:
    """A figure; whole numbers with all their digits where these are not many."""
    if isinstance(number, int) and len(str(abs(number))) <= WHOLE_DIGITS:
        return f"{number:,}"
    return figure(number, digits)


def figure_texts(found: Statistics, looks: Looks) -> list[Text]:
    """Every figure as a word and a number, what matters most first."""
    nan, inf = _special("NaN", found.nan, "", looks), _special("Inf", found.inf, _signs(found), looks)
    out = [text for text, count in ((nan, found.nan), (inf, found.inf)) if count]
    digits = 3
    if found.min is not None and found.max is not None:
        digits = digits_apart(found.min, found.max, digits)
        if found.min == found.max and found.finite > 1:
            every = "all" if not (found.nan or found.inf or found.sampled) else "all of"
            out.append(_pair(f"{every} {found.finite:,} are", number_text(found.min), looks))
        else:
            out += [
                _pair("min", number_text(found.min, digits), looks),
                _pair("max", number_text(found.max, digits), looks),
            ]
        out += [
            _pair("mean", figure(found.mean, digits), looks),
            _pair("std", figure(found.std), looks),
            _pair("max |x|", number_text(found.abs_max, digits), looks),
            _pair("L1", figure(found.l1), looks),
            _pair("L2", figure(found.l2), looks),
        ]
    elif found.numel:
        out.append(Text("no finite numbers", looks.label))
    looked = found.sampled or found.numel
    share = f" ({100 * found.zero / looked:.3g} %)" if found.zero else ""
    out += [_pair("zero", f"{found.zero:,}{share}", looks)]
    out += [text for text, count in ((nan, found.nan), (inf, found.inf)) if not count]
    out.append(_pair("subnormal", f"{found.subnormal:,}", looks))
    if found.quantiles is not None:
        out += [
            _pair(f"{round(100 * share)}%", figure(number, digits), looks)
            for share, number in zip(QUANTILES, found.quantiles, strict=True)
        ]
        if found.quantile_error:
            sign = "+/-" if looks.plain else "±"
            out.append(Text(f"quantiles {sign}{100 * found.quantile_error:.2g} %", looks.label))
    return out


def _signs(found: Statistics) -> str:
    return f" (+{found.posinf:,} -{found.neginf:,})" if found.inf else ""


def _special(word: str, count: int, more: str, looks: Looks) -> Text:
    if not count:
        return _pair(word, "0", looks)
    return Text(f"{word} {count:,}{more}", looks.special)


def _pair(word: str, number: str, looks: Looks) -> Text:
    return Text.assemble((f"{word} ", looks.label), number)


def flowed(texts: Sequence[Text], width: int, lines: int) -> list[Text]:
    """Texts side by side in at most so many lines, not broken; from the first that does not fit on, none."""
    out: list[Text] = []
    for text in texts:
        if out and out[-1].cell_len + GAP + text.cell_len <= width:
            out[-1].append(" " * GAP).append_text(text)
        elif len(out) < lines:
            line = Text(no_wrap=True, overflow="crop", end="")
            out.append(line.append_text(text))
            if text.cell_len > width:
                line.truncate(width)
        else:
            _cut(out, width)
            break
    return out


def _cut(lines: list[Text], width: int) -> None:
    """Says that there is more than what stands there."""
    if lines and width > len(MORE):
        lines[-1].truncate(width - len(MORE))
        lines[-1].append(MORE)


# The whole picture


def distribution_lines(
    parts: Sequence[Part],
    axis: ValueAxis | None,
    width: int,
    height: int,
    looks: Looks,
    *,
    log: bool = False,
) -> list[Text]:
    """Some distributions over one axis.

    Args:
        parts: No more than `most_parts`.
        axis: Of all of them; None where there are no finite numbers.
        width: Cells of a line.
        height: Lines.
        looks: How they are drawn.
        log: Whether the heights of bars go by logarithms of counts.

    Returns:
        At most `height` lines.
    """
    if axis is None or height < LEAST_ROWS + 1:
        each = max(height // max(len(parts), 1), 1)
        return [line for part in parts for line in _figures(part, parts, width, each, looks)][:height]
    if _beside(width, height):
        return _side_by_side(parts, axis, width, height, looks, log=log)
    return _below(parts, axis, width, height, looks, log=log)


def _bars(part: Part, axis: ValueAxis, width: int, rows: int, looks: Looks, *, log: bool) -> list[str]:
    from paramtui.core.levels import spread

    counts = spread(part.measured.levels, axis.edges(width)).tolist()
    return bar_rows(counts, rows, log=log, plain=looks.plain)


def _figures(part: Part, parts: Sequence[Part], width: int, lines: int, looks: Looks) -> list[Text]:
    texts = figure_texts(part.measured.statistics, looks)
    if len(parts) > 1:
        texts.insert(0, Text(fit(part.name, max(width // 2, 1)), looks.name))
    return flowed(texts, width, lines)


def _side_by_side(
    parts: Sequence[Part], axis: ValueAxis, width: int, height: int, looks: Looks, *, log: bool
) -> list[Text]:
    columns = bar_columns(width, height)
    room = width - columns - GAP
    rows = (height - 1) // len(parts)
    drawn: list[tuple[str, Style]] = []
    figures: list[Text] = []
    for place, part in enumerate(parts):
        # The first takes what is left over, the last has the line of the axis for its figures too.
        own = rows + (height - 1 - rows * len(parts) if place == 0 else 0)
        drawn += [(line, part.style) for line in _bars(part, axis, columns, own, looks, log=log)]
        beside = _figures(part, parts, room, own + (place == len(parts) - 1), looks)
        figures += [*beside, *[Text("")] * (len(drawn) - len(figures) - len(beside))]
    drawn.append((f"{axis_line(axis, columns):<{columns}}", looks.label))
    figures += [Text("")] * (len(drawn) - len(figures))
    return [
        Text(no_wrap=True, overflow="crop", end="").append(line, style).append(" " * GAP).append_text(beside)
        for (line, style), beside in zip(drawn, figures, strict=True)
    ]


def _below(
    parts: Sequence[Part], axis: ValueAxis, width: int, height: int, looks: Looks, *, log: bool
) -> list[Text]:
    several = len(parts) > 1
    # Bars keep half of the room, and names of several their lines.
    room = height - 1 - len(parts) * (several + 1)
    each = max(min(room // len(parts), height // 2 // len(parts)), 0)
    figures = [_figures(part, parts, width, each, looks) for part in parts]
    rows = (height - 1 - sum(map(len, figures)) - several * len(parts)) // len(parts)
    lines: list[Text] = []
    for part in parts:
        if several:
            lines.append(Text(fit(part.name, width), looks.name, no_wrap=True, end=""))
        lines += [
            Text(line, part.style, no_wrap=True, end="")
            for line in _bars(part, axis, width, rows, looks, log=log)
        ]
    lines.append(Text(axis_line(axis, width), looks.label, no_wrap=True, end=""))
    return [*lines, *(line for found in figures for line in found)]
