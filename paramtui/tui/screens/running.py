"""What the browser does with a live model: backward passes, modes, weights, and an engine that ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from textual import work

from paramtui.errors import EngineError, InputsError, ParamtuiError, RunStoppedError
from paramtui.tui.widgets.gradient_pane import GradientPane
from paramtui.tui.widgets.lines import TitleLine
from paramtui.tui.widgets.page_view import PageView
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.screen import Screen

    from paramtui.core.source import Differentiable, Outcome
    from paramtui.tui.opened import Opened

    _Base = Screen[None]
else:
    _Base = object

# Work that takes longer is announced; a stop that takes longer is not heard.
PATIENCE: Final = 0.3
DEAF: Final = 2.0
NO_MODEL: Final = "a checkpoint has no model to run: paramtui file.py, or paramtui file.py --weights CKPT"


class RunningMixin(_Base):
    """Needs `opened`, `say` and `replace` of the screen that it is mixed into."""

    _doing: str = ""
    _since: float = 0.0
    _stopping: bool = False

    if TYPE_CHECKING:

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

        say: Callable[[str], None]
        replace_listing: Callable[[], Awaitable[None]]

    @property
    def busy(self) -> str:
        """What is being done with the model, in a word; empty for nothing."""
        return self._doing

    def _model(self) -> Differentiable | None:
        """The model, where it can be asked for something now; says why not otherwise."""
        opened = self.opened
        if opened is None:
            return None
        if opened.model is None:
            self.say(NO_MODEL)
            return None
        if self._doing:
            self.say(f"{self._doing} is still running: esc stops it")
            return None
        if opened.model.ended:
            self.say(f"{opened.model.ended}: ctrl+r starts it again")
            return None
        return opened.model

    # Actions

    def action_backward(self) -> None:
        """Runs forward and backward; gradients are those of this pass alone."""
        model = self._model()
        if model is not None:
            self._carry_out("backward", model.backward(None, accumulate=False))

    def action_accumulate(self) -> None:
        """Adds the gradients of another pass."""
        model = self._model()
        if model is not None:
            self._carry_out("backward", model.backward(None, accumulate=True))

    def action_zero_gradients(self) -> None:
        """Sets all gradients to None."""
        model = self._model()
        if model is not None:
            self._carry_out("setting gradients to None", model.zero_gradients())

    def action_toggle_training(self) -> None:
        """Between train() and eval()."""
        model, opened = self._model(), self.opened
        if model is not None and opened is not None and opened.listing.live is not None:
            training = opened.listing.live.mode() != "train"
            words = "train()" if training else "eval()"
            self._carry_out(words, model.set_training(training=training))

    def action_apply_proposal(self) -> None:
        """Loads the weights in the way that fits better."""
        model, opened = self._model(), self.opened
        if model is None or opened is None or opened.listing.live is None:
            return
        report = opened.listing.live.weights
        if report is None or not report.proposal:
            self.say("nothing is proposed: --weights CKPT loads a checkpoint into a model")
        else:
            self._carry_out("loading weights", model.apply_proposal())

    def action_backward_with(self) -> None:
        """Asks for inputs, then runs forward and backward."""
        if self._model() is not None:
            self._ask_inputs(None)

    def action_next_moment(self) -> None:
        """Shows the next of the optimizer's moments."""
        opened = self.opened
        if opened is not None:
            opened.moment += 1
            self.query_one(GradientPane).again()

    def action_restart(self) -> None:
        """Builds the model anew, and does again what was done to it."""
        opened = self.opened
        if opened is None or opened.model is None:
            self.app.retry()  # type: ignore[attr-defined]
        elif self._doing and not self._stopping:
            self.say(f"{self._doing} is still running: esc stops it")
        else:
            self._carry_out("building the model anew", opened.model.restart(replay=True))

    def stop_running(self) -> bool:
        """Asks what runs to stop; asked again, ends the engine. False if nothing runs."""
        opened = self.opened
        if not self._doing or opened is None or opened.model is None:
            return False
        if self._stopping:
            self._carry_out("building the model anew", opened.model.restart(replay=True))
        else:
            self._stopping = True
            self._interrupt(opened.model)
        return True

    @work(group="interrupt", exclusive=True)
    async def _interrupt(self, model: Differentiable) -> None:
        self._title_state()
        await model.interrupt()
        doing = self._doing
        self.set_timer(DEAF, lambda: self._deaf(doing))

    def _deaf(self, doing: str) -> None:
        if self._doing == doing and self._stopping:
            self.say(f"{doing} does not stop: esc again ends the engine and builds the model anew")

    # Work

    @work(group="run", exclusive=True)
    async def _carry_out(self, words: str, work_to_do: Awaitable[Outcome]) -> None:
        self._doing, self._since, self._stopping = words, time.monotonic(), False
        ticker = self.set_interval(PATIENCE, self._title_state)
        try:
            outcome = await work_to_do
        except InputsError as error:
            self._finished()
            self._ask_inputs(error)
        except RunStoppedError as error:
            self._finished()
            self.say(str(error))
        except EngineError as error:
            self._finished()
            self.say(f"{error}: ctrl+r starts it again")
        except ParamtuiError as error:
            self._finished()
            self.say(str(error))
        else:
            self._finished()
            await self._took(outcome)
        finally:
            ticker.stop()

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

    async def _took(self, outcome: Outcome) -> None:
        opened = self.opened
        if opened is None:
            return
        if outcome.listing is not None:
            await self.replace_listing()
        else:
            opened.take_gradients(outcome.gradients)
        self.show_gradients()
        if outcome.said:
            self.say(outcome.said)

    def show_gradients(self) -> None:
        """Draws what depends on gradients."""
        opened = self.opened
        if opened is not None:
            self.set_class(opened.has_gradients, "-gradients")
            self.query_one(TreePane).gradients_changed()
            self.query_one(TitleLine).refresh()
            for pane in self.query(PageView):
                pane.again()

    @work(group="inputs", exclusive=True)
    async def _ask_inputs(self, error: InputsError | None) -> None:
        from paramtui.tui.screens.inputs import InputsScreen

        spec = await self.app.push_screen_wait(InputsScreen(error))
        model = self._model() if spec else None
        if model is not None and spec:
            self._carry_out("backward", model.backward(spec, accumulate=False))

    def engine_ended(self, words: str) -> None:
        """Says that the process which holds the model is gone; what is known of it stays."""
        if self.opened is not None and not self._doing:
            self.query_one(TitleLine).refresh()
            self.say(f"{words}: ctrl+r starts it again")

    def on_page_view_aimed(self, event: PageView.Aimed) -> None:
        """Values and gradient show the same window."""
        for pane in (self.query_one("#values", ValuesPane), self.query_one(GradientPane)):
            if pane is not event.view:
                pane.follow(event.aim)
