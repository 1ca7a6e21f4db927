"""A source over a model in an engine: asks it, and does again what was done when it is built anew."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.history import History
from paramtui.core.plain import answer_from, window_from
from paramtui.core.source import Outcome, Window
from paramtui.engine.editing import EditingMixin, plain_picks
from paramtui.engine.process import Engine
from paramtui.engine.searching import SearchingMixin
from paramtui.errors import ParamtuiError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from paramtui.core.gradients import Gradients
    from paramtui.core.listing import Listing
    from paramtui.core.model_target import ModelOptions, ModelTarget
    from paramtui.engine.protocol import Message

# What a call does, where its name does not say it.
_DOING: Final = {"apply": "changing numbers", "undo": "undoing", "redo": "doing it again"}


class EngineSource(EditingMixin, SearchingMixin):
    """The source of a model that another process holds.

    Args:
        target: What builds the model.
        options: What else was asked for.
        told: Called from a thread with ``output``, ``stage`` or ``ended``, and words.

    Attributes:
        listing, gradients: As the engine said last; there after `opened`.
    """

    listing: Listing
    gradients: Gradients

    def __init__(self, target: ModelTarget, options: ModelOptions, told: Callable[[str, str], None]) -> None:
        self._target = target
        self._options = options
        self._listeners = [told]
        self._journal: list[tuple[str, dict[str, object]]] = []
        self.history = History()
        self.environment: dict[str, str] = {}
        self._told = {}
        self._finds = {}
        self._engine, self._opening = self._begin()

    def _begin(self) -> tuple[Engine, Future[Message]]:
        engine = Engine(lambda kind, words: self._tell(engine, kind, words))
        return engine, engine.call("open", target=list(self._target), options=list(self._options))

    def _tell(self, engine: Engine, kind: str, words: str) -> None:
        # Of an engine that was given up, nobody wants to hear.
        if engine is getattr(self, "_engine", engine):
            own = {"progress": self._progressed, "found": self._found}.get(kind)
            if own is not None:
                own(words)
                return
            for told in self._listeners:
                told(kind, words)

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Calls `told` from now on instead of whom it told before."""
        self._listeners = [told]

    # Opening

    def wait_open(self) -> EngineSource:
        """Waits until the model is built; what goes wrong is raised, and the engine ended.

        Raises:
            TargetError, UsageError, UserCodeError, EngineError: See `paramtui.models.loading.load_model`.
        """
        try:
            self._take(self._opening.result())
        except BaseException:
            self.close()
            raise
        return self

    async def opened(self) -> EngineSource:
        """As `wait_open`, off the event loop's thread; cancelling it ends the engine."""
        try:
            message = await asyncio.wrap_future(self._opening)
            await asyncio.to_thread(self._take, message)
        except BaseException:
            self.close()
            raise
        return self

    def _take(self, message: Message) -> Outcome:
        """Notes what the engine says of gradients and listing."""
        head, data = message
        self.gradients, listing = answer_from(data.split(b"\n"))
        if listing is not None:
            self.listing = listing
        said, changed, digest = (*head["result"], (), "")[:3]
        return Outcome(self.gradients, listing, said, tuple(changed), digest)

    # Reading

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        return self._window(tensor, picks, await asyncio.wrap_future(self._ask("window", tensor, picks)))

    def read_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """As `window`, where nothing else is to be done meanwhile."""
        return self._window(tensor, picks, self._ask("window", tensor, picks).result())

    async def gradient_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Differentiable.gradient_window`."""
        message = await asyncio.wrap_future(self._ask("gradient_window", tensor, picks))
        return self._window(tensor, picks, message)

    def _ask(self, call: str, tensor: int, picks: Sequence[Sequence[int]]) -> Future[Message]:
        problem = self.listing.problem(tensor)
        if problem:
            raise ValuesError(problem)
        return self._engine.call(call, tensor=tensor, picks=plain_picks(picks))

    def _ask_engine(self, name: str, **arguments: Any) -> Future[Message]:  # noqa: ANN401  whatever the call takes
        return self._engine.call(name, **arguments)

    @staticmethod
    def _window(tensor: int, picks: Sequence[Sequence[int]], message: Message) -> Window:
        head, data = message
        return window_from(tensor, tuple(picks), head["result"], data)

    # Doing

    def do(self, name: str, **arguments: Any) -> Outcome:  # noqa: ANN401  whatever the call takes
        """Does something with the model and waits for it; see the async methods."""
        return self._done(name, arguments, self._engine.call(name, **arguments).result())

    async def _do(self, name: str, **arguments: Any) -> Outcome:  # noqa: ANN401
        self._engine.doing = _DOING.get(name, name.replace("_", " "))
        asked = self._engine.call(name, **arguments)

        async def done() -> Outcome:
            return await asyncio.to_thread(self._done, name, arguments, await asyncio.wrap_future(asked))

        # The engine does it, and it must be noted, also where nobody waits for it any more.
        return await asyncio.shield(asyncio.ensure_future(done()))

    def _done(self, name: str, arguments: dict[str, object], message: Message) -> Outcome:
        outcome = self._take(message)
        if name == "zero_gradients" or (name == "backward" and not arguments.get("accumulate")):
            # What was done to gradients before is undone by it.
            self._journal = [done for done in self._journal if done[0] not in ("zero_gradients", "backward")]
        if name == "set_training":
            self._journal = [done for done in self._journal if done[0] != name or self._passes_since(done)]
        self._journal.append((name, arguments))
        self._note_change(name, arguments, outcome)
        return outcome

    def _passes_since(self, done: tuple[str, dict[str, object]]) -> bool:
        """Whether a pass that was run in a mode depends on that entry of the journal."""
        at = self._journal.index(done)
        return any(name == "backward" for name, _ in self._journal[at + 1 :])

    async def backward(self, inputs: str | None, *, accumulate: bool) -> Outcome:
        """See `Differentiable.backward`."""
        return await self._do("backward", inputs=inputs, accumulate=accumulate)

    async def zero_gradients(self) -> Outcome:
        """See `Differentiable.zero_gradients`."""
        return await self._do("zero_gradients")

    async def set_training(self, *, training: bool) -> Outcome:
        """See `Differentiable.set_training`."""
        return await self._do("set_training", training=training)

    async def apply_proposal(self) -> Outcome:
        """See `Differentiable.apply_proposal`."""
        return await self._do("apply_proposal")

    async def interrupt(self) -> bool:
        """See `Differentiable.interrupt`."""
        try:
            head, _ = await asyncio.wait_for(asyncio.wrap_future(self._engine.call("interrupt")), 2)
        except (TimeoutError, ParamtuiError):
            # Compiled code keeps the interpreter to itself.
            return False
        return bool(head["result"])

    @property
    def ended(self) -> str:
        """See `Differentiable.ended`."""
        return self._engine.ended

    @property
    def pid(self) -> int:
        """Of the engine."""
        return self._engine.pid

    async def restart(self, *, replay: bool) -> Outcome:
        """See `Differentiable.restart`."""
        self._engine.close()
        self._engine, self._opening = self._begin()
        try:
            message = await asyncio.wrap_future(self._opening)
            await asyncio.to_thread(self._take, message)
        except BaseException:
            # What was done is kept for another try.
            self._engine.close()
            raise
        journal, self._journal = self._journal, []
        digests = [change.digest for change in self.history.done]
        self.history.clear()
        count, failed = 0, ""
        try:
            for name, arguments in journal if replay else []:
                await self._do(name, **arguments)
                count += 1
        except ParamtuiError as error:
            failed = f", but {name.replace('_', ' ')} failed: {error}"
        again = f"; {count} thing{'s' if count > 1 else ''} done again" if count else ""
        if again and not failed and [change.digest for change in self.history.done] != digests:
            # The code of the model or of an initialiser is another now.
            again += ", which gave other numbers than before"
        every = tuple(range(len(self.listing)))
        return Outcome(self.gradients, self.listing, f"the model was built anew{again}{failed}", every)

    def close(self) -> None:
        """See `Differentiable.close`."""
        with contextlib.suppress(OSError):
            self._engine.close()
