"""Pages of the gradient panel: the numbers of ``.grad`` or of optimizer moments, or why there are none."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.text import Text

from paramtui.core.gradients import (
    AWAY,
    BETWEEN,
    FROZEN,
    INF,
    NAN,
    NEWER,
    NOT_YET,
    TIED,
    UNREACHED,
    ZERO,
)
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui.opened import expression, gradient_facts, label
from paramtui.tui.page_making import PageMaker
from paramtui.tui.pages import Page, row_title

if TYPE_CHECKING:
    from paramtui.core.gradients import Figures
    from paramtui.core.moments import Moments
    from paramtui.core.source import Window
    from paramtui.tui.cells import CellFormat
    from paramtui.tui.opened import Opened
    from paramtui.tui.page_making import Wanted

MAX_CHILDREN = 1000
BAR = 20


class GradientPageMaker(PageMaker):
    """Makes the pages of the gradient panel."""

    async def page(self, wanted: Wanted) -> tuple[Page, CellFormat]:
        """The page of a row; what went wrong is a page too."""
        opened, row = self._opened, wanted.row
        try:
            if opened.model is None:
                return await self._moments_page(wanted)
            tensor = opened.tree.tensor[row] if row >= 0 else -1
            if tensor < 0:
                return _summary(opened, max(row, 0)), wanted.format
            return await self._gradient_page(wanted, tensor)
        except ParamtuiError as error:
            return _words(opened, row, str(error)), wanted.format
        except MemoryError:
            return _words(opened, row, "there is not enough memory to read this"), wanted.format

    async def _read(self, opened: Opened, tensor: int, picks: tuple[range, ...]) -> Window:
        if opened.model is not None:
            return await opened.model.gradient_window(tensor, picks)
        return await super()._read(opened, tensor, picks)

    async def _gradient_page(self, wanted: Wanted, tensor: int) -> tuple[Page, CellFormat]:
        opened, row, grid = self._opened, wanted.row, wanted.grid
        words = why_none(opened, tensor)
        if words:
            return _words(opened, row, words), wanted.format
        figure = opened.gradients.figures[tensor]
        head = [Text(figures_text(opened, tensor, figure))]
        way = expression(opened, row)
        way = f"{way}.grad" if way else ""
        if grid is None or grid.empty:
            return Page(row, "Gradient", head, [Text("There are no numbers.")], expression=way), wanted.format
        block = await self._block(wanted, grid, tensor)
        if block is None:
            return _words(opened, row, "these numbers make no grid"), wanted.format
        return Page(row, "Gradient", head, grid=grid, block=block, expression=way), block.format

    # Checkpoints

    async def _moments_page(self, wanted: Wanted) -> tuple[Page, CellFormat]:
        opened, row, grid = self._opened, wanted.row, wanted.grid
        reason = opened.listing.reasons.get("gradients", "this source has no gradients")
        reason = f"{reason[:1].upper()}{reason[1:]}."
        tensor = opened.tree.tensor[row] if row >= 0 else -1
        if "optimizer" not in opened.listing.kind:
            return _words(opened, row, f"{reason} Those of a live model stand here: paramtui file.py"), (
                wanted.format
            )
        if tensor < 0:
            return _words(
                opened, row, f"{reason} At a parameter its optimizer moments stand here."
            ), wanted.format
        if opened.listing.kind[tensor] == "optimizer":
            words = "This is optimizer state itself; at its parameter it stands here."
            return _words(opened, row, words), wanted.format
        if opened.moments is None:
            from paramtui.core.moments import join_moments

            opened.moments = await asyncio.to_thread(join_moments, opened.listing)
        choices = moment_choices(opened, tensor)
        if not choices:
            notes = " ".join(f"{note}." for note in opened.moments.notes)
            words = f"{reason} No optimizer state is known to belong to this. {notes}"
            return _words(opened, row, words), wanted.format
        entry, name, moment = choices[opened.moment % len(choices)]
        step = await self._step(entry)
        head = [_moment_line(choices, moment, entry, step)]
        moment_row = opened.tree.row_of(moment)
        way = expression(opened, moment_row) if moment_row is not None else ""
        if grid is None or grid.empty:
            return Page(
                row, "optimizer", head, [Text("There are no numbers.")], expression=way
            ), wanted.format
        block = await self._block(wanted, grid, moment)
        if block is None:
            return _words(opened, row, "these numbers make no grid"), wanted.format
        return Page(
            row, f"Optimizer moment {safe_text(name, 40)}", head, grid=grid, block=block, expression=way
        ), block.format

    async def _step(self, entry: Moments) -> str:
        if entry.step is not None:
            return f"{entry.step:g}"
        if entry.step_tensor is None:
            return ""
        shape = self._opened.listing.shape[entry.step_tensor]
        window = await self._window(
            self._opened, entry.step_tensor, tuple(range(min(size or 0, 1)) for size in shape)
        )
        return "" if window.values is None or not window.values.size else f"{window.values.reshape(-1)[0]:g}"


def moment_choices(opened: Opened, tensor: int) -> list[tuple[Moments, str, int]]:
    """Moments of a parameter as far as they were joined: whose, the name, the tensor; see `Opened.moment`."""
    found = opened.moments.of.get(tensor, ()) if opened.moments is not None else ()
    return [(entry, name, moment) for entry in found for name, moment in entry.moments]


def _moment_line(choices: list[tuple[Moments, str, int]], chosen: int, entry: Moments, step: str) -> Text:
    """``optimizer  [exp_avg]  exp_avg_sq  step 1000``."""
    line = Text(f"{safe_text(entry.where, 40)}  ")
    for _, name, moment in choices:
        shown = safe_text(name, 30)
        line.append(f"[{shown}] " if moment == chosen else f" {shown}  ", "bold" if moment == chosen else "")
    if step:
        line.append(f" step {step}")
    if len(choices) > 1:
        line.append("   M next")
    return line


def _words(opened: Opened, row: int, words: str) -> Page:
    title = f"Gradient  {row_title(opened, row)}" if row >= 0 else "Gradient"
    return Page(row, title, [], [Text(safe_text(words, 1000))])


def why_none(opened: Opened, tensor: int) -> str:
    """Why a tensor of a live model has no gradient; empty where it has one."""
    kind, gradients = opened.listing.kind[tensor], opened.gradients
    state = gradients.state(tensor)
    if kind == "buffer":
        return "A buffer: it is remembered, not trained, and gets no gradient."
    if state is None:
        return "A part of the parameter around it; the gradient stands there."
    if state == FROZEN:
        return "Frozen: requires_grad is False, so backward computes no gradient for it."
    if state == NOT_YET:
        reason = opened.listing.reasons.get("gradients")
        if reason:
            return f"{reason[:1].upper()}{reason[1:]}."
        return "No gradient yet: .grad is None. g runs forward and backward once."
    if state == NEWER:
        since = {AWAY: "it was untied", TIED: "it was tied"}.get(
            gradients.figures[tensor].since, "its ties changed"
        )
        return f"No gradient yet since {since}: g runs forward and backward."
    if state == UNREACHED:
        return (
            "Not reached: .grad is None after backward."
            " No output depends on this parameter; it is not trained by this loss."
        )
    return ""


STALE: Final = "from before the last change: g runs again"


def figures_text(opened: Opened, tensor: int, figure: Figures) -> str:
    """``norm 0.031  grad/weight 0.0021  largest 0.004  zeros 12 of 4,096``, and what is remarkable."""
    parts = [f"norm {figure.norm:.4g}"]
    if opened.gradients_stale:
        parts.append(STALE)
    if figure.ratio is not None:
        parts.append(f"grad/weight {figure.ratio:.3g}")
    if figure.max_abs is not None:
        parts.append(f"largest {figure.max_abs:.4g}")
    state = opened.gradients.state(tensor)
    if state == ZERO:
        parts.append("exactly zero everywhere")
    elif figure.zero:
        parts.append(f"zeros {figure.zero:,} of {figure.numel:,}")
    if state in (NAN, INF):
        parts.append(f"NaN {figure.nan:,}  Inf {figure.inf:,} of {figure.numel:,}")
    known = opened.gradients.figures
    places = _places_text(figure, sum(other.owner == figure.owner for other in known.values()))
    if places:
        parts.append(places)
    tied = opened.ties.of(tensor)
    owners = {other.owner for member in tied.members if (other := known.get(member))} if tied else ()
    if len(owners) > 1:
        # Other Parameters over the same memory: autograd knows nothing of each other's.
        parts.append("of this Parameter alone: others that share its memory have their own")
    return "  ".join(parts)


def _places_text(figure: Figures, now: int) -> str:
    """Over which places of the parameter a gradient is a sum; empty for its only one."""
    places = figure.places or now
    if figure.since == AWAY:
        return "left from an earlier pass"
    if figure.since == BETWEEN:
        return "accumulated over passes before and after its ties changed"
    if figure.since == TIED and places == 1:
        return "from before it was tied"
    if figure.since:
        of_then = f": the sum over its {places:,} places of then" if places > 1 else ""
        return f"from before its ties changed{of_then}"
    return f"the sum over its {places:,} places" if places > 1 else ""


def run_line(opened: Opened) -> str:
    """What was run last, in words; empty where nothing was."""
    gradients = opened.gradients
    if gradients.loss is None:
        return "gradients that were there already" if gradients.any else ""
    passes = f"{gradients.passes} passes accumulated, last " if gradients.passes > 1 else ""
    return (
        f"{passes}loss {gradients.loss:.6g} ({safe_text(gradients.loss_from, 100)})"
        f"  inputs {safe_text(gradients.inputs, 200)}  seed {gradients.seed}"
    )


def _summary(opened: Opened, row: int) -> Page:
    """Norms of a block's children, and what was run."""
    gradients, tree = opened.gradients, opened.tree
    title = f"Gradient  {row_title(opened, row)}" if row else "Gradient"
    if not gradients.any:
        reason = opened.listing.reasons.get("gradients")
        words = (
            f"{reason[:1].upper()}{reason[1:]}."
            if reason
            else ("No gradients yet: g runs forward and backward once and fills this.")
        )
        return Page(row, title, [], [Text(words)])
    norm, bad = opened.block_gradient(row)
    figures = [gradients.figures[tensor] for tensor in tree.tensors_below(row) if tensor in gradients.figures]
    head = [Text(f"{run_line(opened)}{f'  {STALE}' if opened.gradients_stale else ''}")]
    states = Counter(gradients.state(tensor) for tensor in tree.tensors_below(row))
    counts = {
        "with a gradient": sum(figure.norm is not None for figure in figures),
        "not reached": states[UNREACHED],
        "not run since tied or untied": states[NEWER],
        "frozen": states[FROZEN],
    }
    parts = [f"norm {norm:.4g}" if norm is not None else "no gradient here"]
    parts += [f"{count:,} {words}" for words, count in counts.items() if count]
    if bad:
        parts.append("NaN or Inf below")
    head.append(Text("  ".join(parts)))
    children = tree.children(row)[:MAX_CHILDREN]
    rows = [(label(opened, child), *gradient_facts(opened, child)) for child in children]
    width = min(max((len(name) for name, _, _ in rows), default=0), 40)
    largest = 0.0
    norms: list[float | None] = []
    for child in children:
        found = _norm_of(opened, child)
        norms.append(found)
        largest = max(largest, found or 0.0)
    body = [Text("")]
    for (name, shown, ratio), found in zip(rows, norms, strict=True):
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(name.ljust(width))
        line.append(f"  {shown:>7}  ")
        bar = round(BAR * found / largest) if found and largest and largest < float("inf") else 0
        line.append("▬" * bar + " " * (BAR - bar), "dim")
        if ratio:
            line.append(f"  grad/weight {ratio}", "dim")
        body.append(line)
    return Page(row, title, head, body)


def _norm_of(opened: Opened, row: int) -> float | None:
    """A finite norm to draw, of a block or parameter."""
    tensor = opened.tree.tensor[row]
    if tensor < 0:
        norm, _ = opened.block_gradient(row)
    else:
        figure = opened.gradients.figures.get(tensor)
        norm = figure.norm if figure is not None else None
    return norm if norm is not None and norm == norm and norm != float("inf") else None  # noqa: PLR0124
