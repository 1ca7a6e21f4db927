"""How the browser carries out what takes a while: says so, can be stopped, and shows what came of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from textual import work

from paramtui.errors import ParamtuiError
from paramtui.tui.widgets.distribution_pane import DistributionPane
from paramtui.tui.widgets.lines import TitleLine
from paramtui.tui.widgets.page_view import PageView
from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from textual.screen import Screen

    from paramtui.core.source import Differentiable, Editor, Outcome
    from paramtui.tui.opened import Opened

    _Base = Screen[None]
else:
    _Base = object

# Work that takes longer is announced; a stop that takes longer is not heard.
PATIENCE: Final = 0.3
DEAF: Final = 2.0


class WorkMixin(_Base):
    """Needs `opened`, `say` and `replace_listing` of the screen that it is mixed into."""

    _doing: str = ""
    _since: float = 0.0
    _stopping: bool = False

    if TYPE_CHECKING:

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

        say: Callable[[str], None]
        replace_listing: Callable[[Collection[int]], Awaitable[None]]
        forget_figures: Callable[[Collection[int]], None]

    @property
    def busy(self) -> str:
        """What is being done, in a word; empty for nothing."""
        return self._doing

    @property
    def stopping(self) -> bool:
        """Whether what is being done was asked to stop."""
        return self._stopping

    def ready(self) -> bool:
        """Whether something else can be begun now; says why not otherwise."""
        opened = self.opened
        if opened is None:
            return False
        if self._doing:
            self.say(f"{self._doing} is still running: esc stops it")
            return False
        if opened.model is not None and opened.model.ended:
            self.say(f"{opened.model.ended}: ctrl+r starts it again")
            return False
        return True

    # Stopping

    def stop_running(self) -> bool:
        """Asks what runs to stop; asked again, a model's engine is ended. False if nothing runs."""
        opened = self.opened
        source = opened and (opened.model or opened.editor)
        if not self._doing or opened is None or source is None:
            return False
        if self._stopping and opened.model is not None:
            self.build_anew(opened.model)
        else:
            self._stopping = True
            self._interrupt(source)
        return True

    def build_anew(self, model: Differentiable) -> None:
        """Ends the engine and builds the model anew, whatever runs."""
        self.carry_out("building the model anew", self.built_anew(model))

    async def built_anew(self, model: Differentiable) -> Outcome:
        """What came of building the model anew."""
        return await model.restart(replay=True)

    @work(group="interrupt", exclusive=True)
    async def _interrupt(self, source: Differentiable | Editor) -> None:
        self._title_state()
        await source.interrupt()
        doing = self._doing
        self.set_timer(DEAF, lambda: self._deaf(doing))

    def _deaf(self, doing: str) -> None:
        opened = self.opened
        if self._doing == doing and self._stopping and opened is not None:
            model = opened.model is not None
            advice = "esc again ends the engine and builds the model anew" if model else "esc asks again"
            self.say(f"{doing} does not stop: {advice}")

    # Work

    @work(group="run", exclusive=True)
    async def carry_out(self, words: str, work_to_do: Awaitable[Outcome | None]) -> None:
        """Does something and shows what came of it; what runs already is given up.

        Args:
            words: What is done, for the title.
            work_to_do: Gives what to show; None for nothing.
        """
        self._doing, self._since, self._stopping = words, time.monotonic(), False
        ticker = self.set_interval(PATIENCE, self._title_state)
        try:
            outcome = await work_to_do
        except ParamtuiError as error:
            self._finished()
            self.went_wrong(error)
        else:
            if outcome is not None:
                await self.took(outcome)
            self._finished()
        finally:
            ticker.stop()

    def drop_work(self) -> None:
        """Shows nothing any more of what runs: its target is gone."""
        if self._doing:
            self.workers.cancel_group(self, "run")
            self._finished()

    def went_wrong(self, error: ParamtuiError) -> None:
        """Says why something could not be done."""
        self.say(str(error))

    def progress_of(self, words: str) -> None:
        """Says how far that which runs has come."""
        self._doing = words
        self._title_state()

    def _finished(self) -> None:
        self._doing, self._stopping = "", False
        self._title_state()

    def _title_state(self) -> None:
        title = self.query_one(TitleLine)
        waited = time.monotonic() - self._since
        if not self._doing or waited < PATIENCE:
            title.running("")
        elif self._stopping:
            title.running(f"stopping {self._doing}…")
        else:
            title.running(f"{self._doing}… {waited:.0f} s  esc stops")

    async def took(self, outcome: Outcome) -> None:
        """Shows what came of something."""
        opened = self.opened
        if opened is None:
            return
        if outcome.listing is not None:
            await self.replace_listing(outcome.changed)
        elif opened.model is not None:
            opened.take_gradients(outcome.gradients)
            if not outcome.digest and opened.editor is not None:
                # What is no edit was a pass.
                opened.pass_state = opened.editor.history.state
        self.query_one(DistributionPane).forget(outcome.changed)
        self.forget_figures(outcome.changed)
        if outcome.changed and self.opened is not None:
            await asyncio.to_thread(self.opened.take_changes)
            rows = await asyncio.to_thread(self.opened.rows_showing, outcome.changed)
            self.query_one(TreePane).flash(rows)
        self.show_gradients()
        if outcome.said:
            self.say(outcome.said)

    def show_gradients(self) -> None:
        """Draws what depends on gradients and on numbers."""
        opened = self.opened
        if opened is not None:
            self.set_class(opened.has_gradients, "-gradients")
            self.query_one(TreePane).marks_changed()
            self.query_one(TitleLine).refresh()
            for pane in self.query(PageView):
                pane.again()
            self.query_one(DistributionPane).again()
