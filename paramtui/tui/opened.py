"""An opened target with all that the screen draws it from."""

from __future__ import annotations

import os.path
from bisect import bisect_left
from dataclasses import dataclass, field
from math import isinf, isnan
from typing import TYPE_CHECKING, Any, cast

from paramtui.core.describe import type_and_value
from paramtui.core.dtypes import SHORT_NAMES
from paramtui.core.figure_store import FigureStore
from paramtui.core.gradients import (
    FINITE,
    FROZEN,
    INF,
    NAN,
    NEWER,
    NO_GRADIENTS,
    NOT_YET,
    UNREACHED,
    ZERO,
    Gradients,
)
from paramtui.core.text import bytes_text, count_text, safe_text, shape_text
from paramtui.core.tie_rows import TieRows
from paramtui.core.ties import Ties, wasteful
from paramtui.core.tree import Tree
from paramtui.core.tree_view import TreeView
from paramtui.core.unique_sums import saved_below
from paramtui.tui.finding import Finder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paramtui.core.journal import Head
    from paramtui.core.listing import Listing, Totals
    from paramtui.core.moments import MomentTable
    from paramtui.core.source import Differentiable, Editor, Reader
    from paramtui.core.unique_sums import Saved


@dataclass(slots=True)
class Opened:
    """A source, its tree, and what is worked out once for all rows.

    Attributes:
        source: Where the numbers come from.
        tree: All rows.
        view: The rows on screen.
        totals: Sums over the file.
        ties: Which names are one tensor.
        saved: What blocks list more than once; see `paramtui.core.unique_sums`.
        wasted: Locations of which tensors use so little that a person should know.
        problems: Whether anything is wrong with any tensor.
        columns: Widths of the columns of facts: shape, dtype, size.
        finder: Finds rows by name.
        model: The source, where it holds a live model.
        editor: The source, where its numbers can be changed.
        head: Says what changes are made to, for a journal; None where none is kept.
        ties_shown: Whether the tree tells by colours and signs what shares memory.
        marked: The row to compare others with; -1 for none.
        figures: What is known of the numbers of tensors and blocks.
        pass_state: State of the history when gradients were computed last; -1 where that is not known.
        outdated: What became of its files since it was opened; empty while they are what they were.
        looking: Whether that is being looked at now.
        figure_shown: Which figure stands in each row of the tree; empty for none.
        figure_order: Whether the tree is in the order of that figure: 1 for the largest first, -1 for the
            smallest, 0 as it is stored.
        changed_rows: Rows of the tensors that are not as they were when the target was opened, and of names
            that are declared to be one of them, ascending.
        gradients: What is known of its gradients; replaced after each pass.
        moments: Optimizer state of a checkpoint, joined by name; None until it is asked for.
        moment: Which of the moments of a parameter is looked at.
    """

    source: Reader
    tree: Tree
    view: TreeView
    totals: Totals
    ties: Ties
    saved: Saved
    wasted: frozenset[int]
    problems: bool
    columns: tuple[int, int, int]
    finder: Finder
    model: Differentiable | None = None
    gradients: Gradients = NO_GRADIENTS
    moments: MomentTable | None = None
    moment: int = 0
    editor: Editor | None = None
    head: Callable[[], Head] | None = None
    changed_rows: Sequence[int] = ()
    ties_shown: bool = False
    marked: int = -1
    pass_state: int = -1
    outdated: str = ""
    looking: bool = False
    figure_shown: str = ""
    figure_order: int = 0
    _tie_rows: TieRows | None = None
    _norms: dict[tuple[int, int], tuple[float | None, bool]] = field(default_factory=dict)
    figures: FigureStore = field(init=False)

    def __post_init__(self) -> None:
        self.figures = FigureStore(self.tree, lambda: self.gradients)

    def take_gradients(self, gradients: Gradients) -> None:
        """Shows other gradients from now on."""
        self.gradients = gradients
        self._norms = {}

    @property
    def gradients_stale(self) -> bool:
        """Whether numbers were changed since gradients were computed."""
        return self.editor is not None and self.pass_state not in (-1, self.editor.history.state)

    def block_gradient(self, row: int, last: int = 0) -> tuple[float | None, bool]:
        """Norm over the gradients below a row, or up to row `last`, and whether any is NaN or infinite."""
        last = last or self.tree.end[row]
        found = self._norms.get((row, last))
        if found is None:
            tensors = [tensor for tensor in self.tree.tensor[row:last] if tensor >= 0]
            figures = self.gradients.figures
            bad = any(figures[tensor].nan or figures[tensor].inf for tensor in tensors if tensor in figures)
            found = self._norms[row, last] = self.gradients.block_norm(tensors), bad
        return found

    def rows_of(self, tensors: Iterable[int]) -> list[int]:
        """Rows of some tensors, ascending."""
        found = (self.tree.row_of(tensor) for tensor in tensors)
        return sorted(row for row in found if row is not None)

    def rows_showing(self, tensors: Iterable[int]) -> list[int]:
        """Rows of some tensors, and of names that are declared to be one of them, ascending."""
        chosen, ghosts, values = set(tensors), self.ties.ghosts, self.tree.value
        rows = self.rows_of(chosen)
        if not ghosts:
            return rows
        also = {value for value, tied in ghosts.items() if not chosen.isdisjoint(tied.members)}
        return sorted([*rows, *(row for row, value in enumerate(values) if value in also)])

    def declared(self, row: int) -> int:
        """The tensor that a row without numbers of its own is declared to be; -1 where it is none."""
        tied = self.ties.of_ghost(self.tree.value[row]) if self.tree.tensor[row] < 0 else None
        return tied.members[0] if tied is not None else -1

    def take_changes(self) -> None:
        """Marks what has been changed until now."""
        if self.editor is not None:
            self.changed_rows = self.rows_showing(self.editor.history.changed)

    @property
    def tie_rows(self) -> TieRows:
        """Where the names of one tensor stand; found when it is first asked for."""
        if self._tie_rows is None:
            self._tie_rows = TieRows(self.tree, self.ties, apart=True)
        return self._tie_rows

    def sums(self, row: int) -> tuple[int, int]:
        """Elements and bytes below a row, shared memory once."""
        elements, nbytes = self.saved.get(row, (0, 0))
        return self.tree.elements[row] - elements, self.tree.nbytes[row] - nbytes

    @property
    def has_gradients(self) -> bool:
        """Whether there is a gradient panel with numbers in it."""
        return self.gradients.any or "optimizer" in self.listing.kind

    @property
    def listing(self) -> Listing:
        """The names and shapes."""
        return self.source.listing


def prepare(source: Reader) -> Opened:
    """Builds the tree and finds what shares memory; takes a while for 100,000 rows."""
    listing = source.listing
    tree = Tree(listing)
    wasted = frozenset(slack.location for slack in wasteful(listing))
    # Told by what a listing says, not by classes: those of other rooms are not known here.
    model = cast("Differentiable", source) if listing.live is not None else None
    editor = cast("Editor", source) if "edit" not in listing.reasons else None
    live = listing.live
    opened = Opened(
        source,
        tree,
        TreeView(tree),
        listing.totals(),
        Ties(listing),
        saved_below(tree),
        wasted,
        any(extra.problem for extra in listing.extras.values()) or bool(live and live.notes) or bool(wasted),
        _columns(listing),
        Finder(tree),
        model,
        model.gradients if model is not None else NO_GRADIENTS,
        editor=editor,
        head=ability(source, "head"),
    )
    if editor is not None and editor.history.done:
        opened.take_changes()
    return opened


def ability(source: Reader, name: str) -> Callable[..., Any] | None:
    """What only some sources can do; a source is not made to import anything for the question."""
    there = hasattr(type(source), name) or name in getattr(source, "__dict__", {})
    return getattr(source, name) if there else None


def within(rows: Sequence[int], row: int, last: int) -> bool:
    """Whether any of some ascending rows is a row or lies between it and the row `last`."""
    at = bisect_left(rows, row)
    return at < len(rows) and rows[at] < last


def _columns(listing: Listing) -> tuple[int, int, int]:
    # Elements and sizes of blocks stand in the last two columns and take seven cells at most.
    shape = max((len(shape_text(found)) for found in set(listing.shape)), default=0)
    dtypes = [SHORT_NAMES.get(found, found) for found in set(listing.dtype)]
    dtypes += [short_dtype(listing, tensor) for tensor in listing.extras]
    dtype = max(map(len, dtypes), default=0)
    return min(max(shape, 7), 20), min(max(dtype, 7), 10), 7


def base_name(target: str) -> str:
    """The last part of a target's path."""
    return safe_text(os.path.basename(os.path.normpath(target)) or target)  # noqa: PTH119  may be no path


def label(opened: Opened, row: int) -> str:
    """What a row is called; a root that is one tensor or value has no name of its own."""
    tree = opened.tree
    text = safe_text(tree.label[row])
    if row:
        return text or "(empty)"
    if tree.tensor[0] >= 0:
        return "(tensor)"
    if opened.listing.live is not None:
        return "(model)"
    return "(value)" if tree.value[0] >= 0 else "(nothing)"


def short_dtype(listing: Listing, tensor: int) -> str:
    """``bf16`` for ``bfloat16``; with a mark for a layout that is not strided."""
    dtype = listing.dtype[tensor]
    text = SHORT_NAMES.get(dtype) or safe_text(dtype, 12)
    extra = listing.extras.get(tensor)
    if extra is None or not extra.layout:
        return text
    return f"{text} {'wrap' if extra.layout == 'wrapper' else extra.layout.removeprefix('sparse_')}"


def facts(opened: Opened, row: int) -> list[str]:
    """Facts of a row from left to right: those that matter least when room is short come last."""
    tree, listing = opened.tree, opened.listing
    tensor = tree.tensor[row]
    if tensor >= 0:
        return [
            shape_text(listing.shape[tensor]),
            short_dtype(listing, tensor),
            bytes_text(listing.nbytes[tensor]),
        ]
    if tree.value[row] >= 0 and not tree.is_block(row):
        return []
    class_name = tree.class_name(row)
    found = [safe_text(class_name.rsplit(".", 1)[-1], 40)] if class_name else [""]
    if tree.tensors[row]:
        elements, nbytes = opened.sums(row)
        found += [count_text(elements), bytes_text(nbytes)]
    return found


def gradient_facts(opened: Opened, row: int, last: int = 0) -> tuple[str, str]:
    """Norm of a row's gradient, or why there is none in a word, and its ratio to the parameter's.

    A block stands for what is below it, or for the rows before `last`.
    """
    tensor = opened.tree.tensor[row]
    if tensor < 0:
        norm, _ = opened.block_gradient(row, last)
        return "" if norm is None else norm_text(norm), ""
    state = opened.gradients.state(tensor)
    words = {FROZEN: "frozen", UNREACHED: "None", ZERO: "0", NAN: "NaN", INF: "Inf", NOT_YET: "", NEWER: ""}
    word = words.get(state or "")
    figure = opened.gradients.figures.get(tensor)
    if figure is None or word is not None:
        return word or "", ""
    return norm_text(figure.norm or 0.0), norm_text(figure.ratio) if figure.ratio is not None else ""


def norm_text(norm: float) -> str:
    """``3.1e-02``: seven cells or less."""
    if isnan(norm):
        return "NaN"
    return "Inf" if isinf(norm) else f"{norm:.1e}" if norm else "0"


def gradient_mark(opened: Opened, row: int, last: int = 0) -> str:
    """One cell: ``g`` gradient, ``!`` NaN or infinite, ``0`` all zero, ``-`` not reached; or nothing."""
    tensor = opened.tree.tensor[row]
    if tensor < 0:
        norm, bad = opened.block_gradient(row, last)
        return "!" if bad else "" if norm is None else "g" if norm else "0"
    marks = {FINITE: "g", NAN: "!", INF: "!", ZERO: "0", UNREACHED: "-"}
    return marks.get(opened.gradients.state(tensor) or "", "")


def value_of(opened: Opened, row: int) -> str | None:
    """The value on a row, or None if it is none."""
    index = opened.tree.value[row]
    return None if index < 0 else type_and_value(opened.listing, index)[1]


def expression(opened: Opened, row: int) -> str:
    """How to reach a row in PyTorch, as one line of Python; empty where it cannot be reached."""
    from paramtui.core.expressions import expression as written  # not before something is shown

    return written(opened.listing, opened.tree, row)
