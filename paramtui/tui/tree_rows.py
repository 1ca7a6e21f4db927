"""How a row of the tree is written: marks, name, and as many facts as there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from paramtui.tui.fold_rows import fold_facts, fold_label, fold_words, repeat_words
from paramtui.tui.opened import facts, gradient_facts, gradient_mark, label, value_of, within
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.style import Style

    from paramtui.core.search import Query
    from paramtui.core.ties import Tied
    from paramtui.tui.opened import Opened

# Deeper rows are not indented further; a name has at least this many cells before facts are shown.
MAX_INDENT = 12
MIN_NAME = 14
MIN_FLAT_NAME = 34
MAX_LETTERS = 3
FACTS = ("shape", "dtype", "size")
GRADIENT_FACTS = ("norm", "ratio")
GRADIENT_WIDTH = 7
# Beside a figure and what a flat list is sorted by a whole name may be shorter.
MIN_SORTED_NAME = 24
BARS = (8, 4)
# Facts that a figure says as well.
SAME = {"size": "size", "gradient": "norm"}


class FigureLook(NamedTuple):
    """A figure at the end of a row.

    Attributes:
        name: Which figure.
        text: What it says.
        width: Cells of its column.
        style: Of the text.
        bar: A bar of so many cells, and its style.
    """

    name: str
    text: str
    width: int
    style: Style
    bar: Callable[[int], tuple[str, Style]]


class RowLook(NamedTuple):
    """What a row is drawn with.

    Attributes:
        width: Cells of the line.
        here: Whether the cursor stands on it.
        order: What the flat list that it is in is sorted by: its whole name is shown, without indent and
            arrow. None in a tree.
        expanded: Whether what lies below is shown.
        query: What is looked for, to be marked in the name.
        base: Style of the line.
        style: Gives the style of a part by its name.
        group: Gives the colour of the group that shares memory with a row; None for none.
        figure: The figure that stands on it; None while none is shown.
    """

    width: int
    here: bool
    order: str | None
    expanded: bool
    query: Query | None
    base: Style
    style: Callable[[str], Style]
    group: Callable[[int], Style | None]
    figure: FigureLook | None = None

    @property
    def flat(self) -> bool:
        """Whether the row is one of a flat list."""
        return self.order is not None


def gutter(opened: Opened) -> int:
    """Cells of the marks that stand before every row: cursor, group, change, gradient, problem."""
    return 1 + _letters(opened) + bool(opened.changed_rows) + opened.gradients.any + _odd(opened)


def _letters(opened: Opened) -> int:
    """Cells of the letters of groups, and of the signs that tell their kinds."""
    letters = opened.ties.letters(apart=opened.ties_shown)
    return min(letters, MAX_LETTERS) + (opened.ties_shown and letters > 0)


def group_of(opened: Opened, row: int, *, expanded: bool) -> Tied | None:
    """The group whose letter stands before a row; of a closed block one that has names in it."""
    if not opened.ties_shown:
        tensor, value = opened.tree.tensor[row], opened.tree.value[row]
        return opened.ties.of(tensor) if tensor >= 0 else opened.ties.of_ghost(value)
    tied = opened.tie_rows.of(row)
    if tied is None and not expanded and opened.tree.is_block(row):
        tied, _ = opened.tie_rows.below(row, opened.view.last(row))
    return tied


def group_mark(opened: Opened, row: int, *, expanded: bool = True) -> str:
    """Letter of the group of a row, and the sign that tells its kind; ``A+`` where a block holds more."""
    tied = group_of(opened, row, expanded=expanded)
    if tied is None:
        return "".ljust(_letters(opened))
    sign = tied.sign if opened.ties_shown else ""
    if opened.ties_shown and opened.tie_rows.of(row) is None:
        only = opened.tie_rows.below(row, opened.view.last(row))[1]
        sign = sign if only else "+"
    return f"{tied.letter[:MAX_LETTERS]}{sign}".ljust(_letters(opened))


def marks_of(opened: Opened, row: int) -> str:
    """Marks of a row besides that of its group, each in a cell of its own: change, gradient, problem."""
    marks = ""
    if opened.changed_rows:
        marks += "*" if within(opened.changed_rows, row, opened.view.last(row)) else " "
    if opened.gradients.any:
        marks += gradient_mark(opened, row, opened.view.last(row)) or " "
    if _odd(opened):
        bad = within(opened.figures.bad_rows, row, opened.view.last(row))
        marks += "?" if _is_problem(opened, row) else "!" if bad else " "
    return marks


def _odd(opened: Opened) -> bool:
    """Whether there is a column of problems, and of numbers that are NaN or infinite."""
    return opened.problems or bool(opened.figures.bad_rows)


def indent(opened: Opened, row: int) -> int:
    """Cells that a row of the tree is moved to the right."""
    return 2 * min(max(opened.tree.depth[row] - 1, 0), MAX_INDENT)


def pieces(opened: Opened, row: int, look: RowLook) -> list[tuple[str, Style]]:
    """One row as styled pieces of text."""
    tree, base = opened.tree, look.base
    tensor = tree.tensor[row]
    block = tree.is_block(row) and not look.flat
    marks_width = gutter(opened)
    # A letter of the marks must not be read as the first one of a whole name.
    lead = " " * (marks_width > 1) if look.flat else " " * indent(opened, row)
    if not look.flat:
        lead += ("▾ " if look.expanded else "▸ ") if block else "  "
    cursor = ">" if look.here else "m" if row == opened.marked else " "
    tied_style = look.group(row) or look.style("mark")
    out = [
        (cursor, base),
        (group_mark(opened, row, expanded=look.expanded or look.flat), tied_style),
        (marks_of(opened, row), look.style("mark")),
    ]
    room = max(look.width - marks_width - len(lead) - 1, 1)
    fold = opened.view.stands_for(row) if block else None
    name = full_label(opened, row) if look.flat else label(opened, row)
    repeated = repeat_words(opened, row) if block else ""
    if fold is not None:
        name, repeated = fold_label(opened, fold), fold_words(opened, fold)
    name_style = look.style("block") if block else base
    if opened.ties_shown and not block:
        name_style = look.group(row) or name_style
    value = None if block else value_of(opened, row)
    out.append((lead, base))
    if value is not None and tensor < 0:
        shown = fit(name, room)
        out += _marked(opened, row, shown, name, look, name_style)
        rest = room - cell_len(shown) - 2
        if rest > 3:
            out.append(("  " + fit(value, rest), look.style("value")))
        return out
    figure = _figure(opened, look, room)
    room -= sum(cell_len(text) for text, _ in figure)
    tail = _facts(opened, row, look, room, cell_len(name + repeated))
    shown = fit(name, room - cell_len(tail) - bool(tail))
    out += _marked(opened, row, shown, name, look, name_style)
    repeated = fit(repeated, room - cell_len(tail) - bool(tail) - cell_len(shown))
    out.append((repeated, look.style("facts")))
    out.append((" " * (room - cell_len(tail) - cell_len(shown + repeated)), name_style))
    out.append((tail, look.style("facts")))
    return out + figure


def _figure(opened: Opened, look: RowLook, room: int) -> list[tuple[str, Style]]:
    """The figure at the end of a row of `room` cells, after a bar where a name keeps its cells beside it."""
    figure, base = look.figure, look.base
    if figure is None:
        return []
    room -= figure.width + 1
    length = bar_length(opened, look)
    out: list[tuple[str, Style]] = []
    if length and room - length - 1 >= MIN_NAME:
        out = [(" ", base), figure.bar(length)]
    pad = " " * (1 + figure.width - cell_len(figure.text))
    return [*out, (pad, base), (figure.text, figure.style)]


def bar_length(opened: Opened, look: RowLook) -> int:
    """Cells of all bars: long ones beside all facts, short ones beside what stays longest, or 0."""
    columns = _all_columns(opened, look)
    stays = [look.order] if look.order in columns else [] if look.flat else list(columns)[:1]
    rest = _beside_names(opened, look)
    for length, beside in zip(BARS, (list(columns), stays), strict=True):
        if sum(columns[name] + 1 for name in beside) + length + 1 <= rest:
            return length
    return 0


def _beside_names(opened: Opened, look: RowLook) -> int:
    """What a pane has room for on every row beside names and figures: bars and facts."""
    figure = look.figure
    if not look.flat:
        rest = look.width - gutter(opened) - 1 - MIN_NAME
    else:
        rest = look.width - (MIN_SORTED_NAME if figure is not None and look.order in FACTS else MIN_FLAT_NAME)
    return rest - (figure.width + 1 if figure is not None else 0)


def _room_for_facts(opened: Opened, look: RowLook) -> int:
    """What is left of that beside bars, so that columns stay in place."""
    rest = _beside_names(opened, look)
    length = bar_length(opened, look) if look.figure is not None else 0
    return rest - (length + 1 if length else 0)


def _is_problem(opened: Opened, row: int) -> bool:
    """Whether something is wrong: unreadable, not as the checkpoint has it, a view that keeps much alive."""
    tensor, live = opened.tree.tensor[row], opened.listing.live
    if tensor >= 0 and opened.listing.location[tensor] in opened.wasted:
        return True
    if tensor < 0:
        return live is not None and value_of(opened, row) is not None
    return opened.listing.problem(tensor) is not None or bool(live and tensor in live.notes)


def full_label(opened: Opened, row: int) -> str:
    """The dotted name of a row, safe for a terminal."""
    from paramtui.core.text import safe_text

    return safe_text(opened.tree.name(row)) if row else label(opened, row)


def _marked(
    opened: Opened, row: int, shown: str, name: str, look: RowLook, style: Style
) -> list[tuple[str, Style]]:
    """The name with what was looked for marked in it, where it is shown as it is."""
    whole = opened.tree.name(row) if look.query is not None else ""
    if look.query is None or not whole.endswith(name):
        return [(shown, style)]
    # Where each letter that is shown stands in the name; of a name that is cut its middle is missing.
    head = shown.index("…") if shown != name else len(name)
    missing = len(name) - len(shown) + 1
    shift = len(whole) - len(name)
    found: set[int] = set()
    for first, last in look.query.spans(whole):
        found.update(range(first - shift, last - shift))
    out: list[tuple[str, Style]] = []
    for place, letter in enumerate(shown):
        at = place if place < head else place + missing - (shown != name)
        marked = at in found and (place != head or shown == name)
        ink = style + look.style("match") if marked else style
        if out and out[-1][1] == ink:
            out[-1] = (out[-1][0] + letter, ink)
        else:
            out.append((letter, ink))
    return out


def _facts(opened: Opened, row: int, look: RowLook, room: int, name: int) -> str:
    """As many facts of a row as there is room for, in columns."""
    found = facts(opened, row)
    if look.flat:
        return _flat_facts(opened, row, found, look)
    fold = opened.view.stands_for(row)
    if fold is not None:
        found = fold_facts(opened, fold, found)
    columns = _all_columns(opened, look)
    if "size" not in columns:
        del found[2:]
    most = _room_for_facts(opened, look)
    # What matters most stays longest.
    kept = list(columns)
    while kept and sum(columns[column] + 1 for column in kept) > most:
        kept.pop()
    gradient = gradient_facts(opened, row, opened.view.last(row)) if opened.gradients.any else ("", "")
    while kept:
        own = [column for column in FACTS if column in kept]
        if opened.tree.tensor[row] < 0 and len(found) > len(own):
            # Of a block the sums are what matters: they stand in the last columns.
            shown = dict(zip(own, found[len(found) - len(own) :], strict=True))
        else:
            by_name = dict(zip(FACTS, found, strict=False))
            shown = {column: by_name.get(column, "") for column in own}
        shown |= dict(zip(GRADIENT_FACTS, gradient, strict=True))
        order = [column for column in (*FACTS, *GRADIENT_FACTS) if column in kept]
        tail = _columns([shown[column] for column in order], [columns[column] for column in order]).lstrip()
        if name + cell_len(tail) + 2 <= room:
            return tail
        kept.pop()
    return ""


def _all_columns(opened: Opened, look: RowLook) -> dict[str, int]:
    """Widths of the columns, from what matters most."""
    shape, dtype, size = opened.columns
    columns = {"shape": shape, "dtype": dtype, "size": size}
    if opened.gradients.any:
        columns = {"shape": shape, "norm": GRADIENT_WIDTH, "size": size, "dtype": dtype}
        columns["ratio"] = GRADIENT_WIDTH
    if look.figure is not None:
        columns.pop(SAME.get(look.figure.name, ""), None)
    return columns


def _flat_facts(opened: Opened, row: int, found: list[str], look: RowLook) -> str:
    """The facts that leave whole names most of the room; what the list is sorted by stays longest."""
    texts, widths = dict(zip(FACTS, found, strict=False)), dict(zip(FACTS, opened.columns, strict=True))
    if opened.gradients.any:
        texts |= dict(zip(GRADIENT_FACTS, gradient_facts(opened, row), strict=True))
        widths |= dict.fromkeys(GRADIENT_FACTS, GRADIENT_WIDTH)
    # The norm of the gradient comes after the shape, its ratio last.
    rank = ["shape", "norm", "dtype", "size", "ratio"]
    there = [name for name in texts if look.figure is None or name != SAME.get(look.figure.name)]
    kept = sorted(there, key=lambda name: (name != look.order, rank.index(name)))
    most = _room_for_facts(opened, look)
    while kept and sum(widths[name] + 1 for name in kept) > most:
        kept.pop()
    order = [name for name in (*FACTS, *GRADIENT_FACTS) if name in kept]
    return _columns([texts[name] for name in order], [widths[name] for name in order])


def _columns(texts: Sequence[str], columns: Sequence[int]) -> str:
    parts = [fit(text, column).rjust(column) for text, column in zip(texts, columns, strict=True)]
    return " ".join(parts)
