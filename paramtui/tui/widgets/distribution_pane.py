"""What the numbers under the cursor are like: a histogram and figures, from a sample first, then from all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual import work
from textual.actions import SkipAction
from textual.strip import Strip
from textual.widget import Widget

from paramtui.errors import ParamtuiError, ValuesError
from paramtui.tui.actions import bindings
from paramtui.tui.widgets.page_view import PATIENCE, REST
from paramtui.tui.widgets.said import Said
from paramtui.tui.widgets.strips import text_strip, wrapped
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.binding import BindingType

    from paramtui.core.statistics import Measured
    from paramtui.tui.distribution_lines import Looks
    from paramtui.tui.distribution_making import Asked, DistributionMaker, Pass, Subject
    from paramtui.tui.opened import Opened
    from paramtui.tui.value_axis import ValueAxis

# Seconds between looks at how far counting is.
TICK: Final = 0.5
ZOOM: Final = 2.0
# Share of what is seen that a step to the side moves.
STEP: Final = 0.25


class DistributionPane(Widget, can_focus=True):
    """Measures what the cursor rests on, and draws what was found."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("distribution")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "distribution--weight",
        "distribution--gradient",
        "distribution--moment",
        "distribution--label",
        "distribution--name",
        "distribution--special",
    }

    def __init__(self) -> None:
        super().__init__(id="distribution")
        self.border_title = "Distribution"
        self._opened: Opened | None = None
        self._maker: DistributionMaker | None = None
        # What is asked for, which runs ahead of what is shown.
        self._row = -2
        self._revision = 0
        self._settled = -1
        self._hidden = False
        self._waiting = False
        self._refine = False
        self._subject: Subject | None = None
        self._found: list[tuple[Asked, Measured]] = []
        self._doing = ""
        self._failed = ""
        self._lines: list[Text] | None = None
        # How it is drawn.
        self._log = False
        self._signed_log = False
        self._seen = (0.0, 1.0)

    # What is shown

    @property
    def settled(self) -> bool:
        """Whether all that was asked for last is there."""
        return self._settled == self._revision

    @property
    def found(self) -> list[tuple[Asked, Measured]]:
        """What is drawn."""
        return self._found

    def open(self, opened: Opened) -> None:
        """Takes its numbers from a target."""
        self._opened = opened
        self._maker = None
        self._row = -2

    def show_row(self, row: int) -> None:
        """Shows a row of the tree once the cursor has rested there; -1 for the file as a whole."""
        if self._opened is not None and row != self._row:
            self._row = row
            self._refine = False
            self._ask(REST)

    def forget(self, tensors: Iterable[int]) -> None:
        """Measures some tensors anew from now on: they have changed."""
        if self._maker is not None:
            self._maker.forget(tensors)

    def again(self) -> None:
        """Shows the same row anew: numbers, gradients or known figures are not what they were."""
        self.forget(())
        if self._row > -2:
            self._ask(0)

    def figures_changed(self) -> None:
        """Shows figures over a block anew: more is known of what lies below."""
        subject = self._subject
        if subject is not None and not subject.asked and max(self._row, 0) == subject.row:
            self._ask(0)

    def on_hide(self) -> None:
        """What is not seen is not measured."""
        self._hidden = True
        self._revision += 1
        self.workers.cancel_group(self, "distribution")

    def on_resize(self) -> None:
        """Draws what there is room for now."""
        self._hidden = False
        self._lines = None
        if self._row > -2:
            # Not at once: the rest of the screen is painted first.
            self._ask(REST)

    def notify_style_update(self) -> None:
        """Draws with the colours of now."""
        super().notify_style_update()
        self._lines = None

    def _ask(self, rest: float) -> None:
        self._revision += 1
        if self._opened is not None and not self._hidden and self.size.width and self.size.height:
            self._load(self._opened, self._revision, self._row, rest)

    # Measuring

    @work(exclusive=True, group="distribution")
    async def _load(self, opened: Opened, revision: int, row: int, rest: float) -> None:
        if rest:
            await asyncio.sleep(rest)
        from paramtui.tui.distribution_lines import most_parts
        from paramtui.tui.distribution_making import DistributionMaker

        if self._maker is None:
            self._maker = DistributionMaker(opened)
        maker = self._maker
        subject = await maker.subject(row)
        asked = subject.asked[: most_parts(self.size.width, self.size.height)]
        found: dict[Asked, Measured] = {}
        for each in asked:
            known = maker.known(each)
            if known is not None:
                found[each] = known
        failed = ""
        if found or not asked:
            self._take(subject, found, failed)
        try:
            for each in asked:
                for how in maker.passes(each, refine=self._refine):
                    if each in found and not (found[each].statistics.sampled or how.exact):
                        break  # what was to be a sample turned out to be all
                    try:
                        found[each] = await self._measure(maker, each, how, several=len(asked) > 1)
                    except (ParamtuiError, MemoryError) as error:
                        failed = self._without(maker, each, error)
                    self._take(subject, found, failed)
                    if failed:
                        break
                if failed:
                    break
        finally:
            self._doing = ""
        if revision == self._revision:
            self._settled = revision
            self._label()

    def _without(self, maker: DistributionMaker, asked: Asked, error: ParamtuiError | MemoryError) -> str:
        if isinstance(error, ValuesError):
            maker.without(asked, error)
        return str(error) if isinstance(error, ParamtuiError) else "there is not enough memory to count this"

    async def _measure(self, maker: DistributionMaker, asked: Asked, how: Pass, *, several: bool) -> Measured:
        """Measures while it says how far that is; what is cancelled ends in the source too."""
        done = [0, 0]

        def progress(count: int, total: int) -> None:
            done[:] = count, total

        what = f"{asked.name} " if several else ""
        words = "exact quantiles" if how.exact else "exact"
        making = asyncio.ensure_future(maker.measure(asked, how, progress))
        try:
            wait = PATIENCE
            while True:
                if not how.sample:
                    share = f" {100 * done[0] // done[1]} %" if done[1] else " follows"
                    self._doing = f"{what}{words}{share}"
                    self._label()
                if (await asyncio.wait({making}, timeout=wait))[0]:
                    break
                wait = TICK
                if not self._waiting and (self._subject is None or self._subject.row != max(self._row, 0)):
                    self._waiting = True
                    self._label()
                    self.refresh()
            return await making
        finally:
            making.cancel()
            self._doing = ""

    def _take(self, subject: Subject, found: dict[Asked, Measured], failed: str) -> None:
        """Replaces what is shown; nothing is painted where that is the same."""
        if self._subject is None or self._subject.row != subject.row:
            self._seen = (0.0, 1.0)
        was_waiting, self._waiting = self._waiting, False
        self._subject, self._found, self._failed = subject, list(found.items()), failed
        self._label()
        self._draw(at_once=was_waiting)

    # Drawing

    def _label(self) -> None:
        """Writes into the frame what is shown, from how much of it, and how."""
        subject = self._subject
        title = f"Distribution  {subject.title}" if subject is not None else "Distribution"
        if subject is not None and title != str(self.border_title):
            self.border_title = Text(title)
        parts = []
        if self._waiting:
            parts.append("reading…")
        elif self._found:
            sampled = any(measured.statistics.sampled for _, measured in self._found)
            parts.append("sampled" if sampled else "" if self._doing else "exact")
            parts.append(self._doing)
        said = ", ".join(part for part in parts if part)
        modes = [said, "log counts" if self._log else "", "signed log" if self._signed_log else ""]
        first, last = self._seen
        if last - first < 1:
            modes.append(f"{1 / (last - first):,.3g}x")
        words = "  ".join(mode for mode in modes if mode) if self._found or self._waiting else ""
        if words != str(self.border_subtitle or ""):
            self.border_subtitle = Text(words)

    def _draw(self, *, at_once: bool = False) -> None:
        before, self._lines = self._lines, None
        if at_once or self._made_lines() != before:
            self.refresh()

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"distribution--{name}", partial=True)

    def _looks(self) -> Looks:
        from paramtui.tui.distribution_lines import Looks
        from paramtui.tui.terminal import ascii_only

        return Looks(self._style("label"), self._style("name"), self._style("special"), ascii_only(self.app))

    def _axis(self) -> ValueAxis | None:
        """The axis over all that is drawn; None where there are no finite numbers."""
        from paramtui.tui.value_axis import axis_over, threshold_of

        figures = [measured.statistics for _, measured in self._found]
        ends = [(each.min, each.max) for each in figures if each.min is not None and each.max is not None]
        threshold = threshold_of([each.levels for _, each in self._found]) if self._signed_log else 0.0
        axis = axis_over(ends, threshold)
        return replace(axis, first=self._seen[0], last=self._seen[1]) if axis is not None else None

    def _made_lines(self) -> list[Text]:
        if self._lines is None:
            self._lines = self._picture() if self._subject is not None else []
        return self._lines

    def _picture(self) -> list[Text]:
        from paramtui.tui.distribution_lines import Part, distribution_lines, flowed, number_text

        width, height, console = self.size.width, self.size.height, self.app.console
        looks, subject = self._looks(), self._subject
        if self._found:
            parts = [Part(asked.name, measured, self._style(asked.kind)) for asked, measured in self._found]
            note = wrapped([Text(self._failed)], width, console)[:1] if self._failed else []
            lines = distribution_lines(
                parts, self._axis(), width, max(height - len(note), 1), looks, log=self._log
            )
            return [*lines, *note]
        if subject is None:
            return []
        figures = [
            Text(f"{word} {number:,.0f}", looks.special)
            if wrong
            else Text.assemble((f"{word} ", looks.label), _block_number(word, number, number_text(number)))
            for word, number, wrong in subject.figures
        ]
        words = self._failed or subject.words
        return [*flowed(figures, width, max(height - 1, 1)), *wrapped([Text(words)], width, console)]

    def render_line(self, y: int) -> Strip:
        """One line of bars, figures or words."""
        lines, width, base = self._made_lines(), self.size.width, self.rich_style
        if y >= len(lines):
            return Strip.blank(width, base)
        line = text_strip(lines[y], width, base, self.app.console)
        return line.apply_style(Style(dim=True)) if self._waiting else line

    # Keys

    def action_log_counts(self) -> None:
        """Heights of bars by logarithms of counts, or by counts."""
        self._log = not self._log
        self._redraw()

    def action_log_values(self) -> None:
        """Values on an axis that is logarithmic on both sides of zero, or on a linear one."""
        self._signed_log = not self._signed_log
        self._seen = (0.0, 1.0)
        self._redraw()

    def action_zoom(self, way: int) -> None:
        """Looks closer, or from further away."""
        axis = self._axis()
        if axis is not None:
            self._look_at(axis.zoomed(ZOOM**way))

    def action_pan(self, way: int) -> None:
        """Moves what is seen to the side."""
        axis = self._axis()
        if axis is not None:
            self._look_at(axis.moved(STEP * way))

    def action_whole(self) -> None:
        """Shows all from the least number to the largest."""
        self._seen = (0.0, 1.0)
        self._redraw()

    def action_refine(self) -> None:
        """Counts again so that quantiles are exact, where they are not."""
        if self._subject is None or not self._subject.asked:
            return
        figures = [measured.statistics for _, measured in self._found]
        if figures and not any(each.sampled or each.quantile_error for each in figures):
            self.post_message(Said("quantiles are exact already"))
            return
        self._refine = True
        self._ask(0)

    def action_back(self) -> None:
        """Goes back to the tree; what runs is stopped first."""
        if getattr(self.screen, "busy", "") or getattr(self.screen, "scanning", False):
            raise SkipAction
        self.post_message(ValuesPane.Left())

    def _look_at(self, axis: ValueAxis) -> None:
        self._seen = axis.first, axis.last
        self._redraw()

    def _redraw(self) -> None:
        self._label()
        self._draw()


def _block_number(word: str, number: float, written: str) -> str:
    """Counts whole, the share of zeros in per cent, and other figures as they are written."""
    if word in ("NaN", "Inf"):
        return f"{number:,.0f}"
    return f"{100 * number:.3g} %" if word == "zero" else written
