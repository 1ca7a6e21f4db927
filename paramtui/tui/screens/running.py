"""What the browser does with a live model: backward passes, modes, weights, and an engine that ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual import work

from paramtui.errors import EngineError, InputsError
from paramtui.tui.screens.working import WorkMixin
from paramtui.tui.widgets.gradient_pane import GradientPane
from paramtui.tui.widgets.lines import TitleLine
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paramtui.core.source import Differentiable
    from paramtui.errors import ParamtuiError
    from paramtui.tui.widgets.page_view import PageView

NO_MODEL: Final = "a checkpoint has no model to run: paramtui file.py, or paramtui file.py --weights CKPT"


class RunningMixin(WorkMixin):
    """Needs what `WorkMixin` needs, and `open_again`."""

    if TYPE_CHECKING:
        open_again: Callable[[], Awaitable[None]]

    def _model(self) -> Differentiable | None:
        """The model, where it can be asked for something now; says why not otherwise."""
        opened = self.opened
        if opened is None:
            return None
        if opened.model is None:
            self.say(NO_MODEL)
            return None
        return opened.model if self.ready() else None

    # Actions

    def action_backward(self) -> None:
        """Runs forward and backward; gradients are those of this pass alone."""
        model = self._model()
        if model is not None:
            self.carry_out("backward", model.backward(None, accumulate=False))

    def action_accumulate(self) -> None:
        """Adds the gradients of another pass."""
        model = self._model()
        if model is not None:
            self.carry_out("backward", model.backward(None, accumulate=True))

    def action_zero_gradients(self) -> None:
        """Sets all gradients to None."""
        model = self._model()
        if model is not None:
            self.carry_out("setting gradients to None", model.zero_gradients())

    def action_toggle_training(self) -> None:
        """Between train() and eval()."""
        model, opened = self._model(), self.opened
        if model is not None and opened is not None and opened.listing.live is not None:
            training = opened.listing.live.mode() != "train"
            words = "train()" if training else "eval()"
            self.carry_out(words, model.set_training(training=training))

    def action_apply_proposal(self) -> None:
        """Loads the weights in the way that fits better."""
        model, opened = self._model(), self.opened
        if model is None or opened is None or opened.listing.live is None:
            return
        report = opened.listing.live.weights
        if report is None or not report.proposal:
            self.say("nothing is proposed: --weights CKPT loads a checkpoint into a model")
        else:
            self.carry_out("loading weights", model.apply_proposal())

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

    async def action_restart(self) -> None:
        """Builds the model anew, and does again what was done to it; opens a checkpoint again."""
        opened = self.opened
        if opened is None:
            self.app.retry()  # type: ignore[attr-defined]
        elif opened.model is None:
            await self.open_again()
        elif self._doing and not self._stopping:
            self.say(f"{self._doing} is still running: esc stops it")
        else:
            self.build_anew(opened.model)

    def went_wrong(self, error: ParamtuiError) -> None:
        """Says why something could not be done, and what can be done about it."""
        opened = self.opened
        if isinstance(error, InputsError):
            self._ask_inputs(error)
        elif isinstance(error, EngineError) and opened is not None and opened.model is not None:
            self.query_one(TitleLine).refresh()
            self.say(f"{error}: ctrl+r starts it again")
        else:
            super().went_wrong(error)

    @work(group="inputs", exclusive=True)
    async def _ask_inputs(self, error: InputsError | None) -> None:
        from paramtui.tui.screens.inputs import InputsScreen

        spec = await self.app.push_screen_wait(InputsScreen(error))
        model = self._model() if spec else None
        if model is not None and spec:
            self.carry_out("backward", model.backward(spec, accumulate=False))

    def engine_ended(self, words: str) -> None:
        """Says that the process which holds the model is gone; what is known of it stays."""
        if self.opened is not None and not self._doing:
            self.query_one(TitleLine).refresh()
            self.say(f"{words}: ctrl+r starts it again" if self.opened.model is not None else words)

    def on_page_view_aimed(self, event: PageView.Aimed) -> None:
        """Values and gradient show the same window."""
        for pane in (self.query_one("#values", ValuesPane), self.query_one(GradientPane)):
            if pane is not event.view:
                pane.follow(event.aim)
