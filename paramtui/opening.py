"""Opens targets beside the screen; the first one gets a head start, so that the first paint can show it.

A checkpoint is read in a thread of this process, a model is built by an engine.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.model_target import ModelOptions, ModelTarget
    from paramtui.core.source import Reader, Watch
    from paramtui.editable import EditableCheckpoint
    from paramtui.engine.client import EngineSource

# Seconds that the screen waits for a target before it paints that it is waiting. Both share one
# interpreter lock: painting an empty screen meanwhile would only make both late.
HEAD_START = 0.08


class TargetOpener:
    """An `Opener` of checkpoints and models.

    Args:
        first: What to begin with at once, a checkpoint in a thread of its own; None for nothing.
        options: What was asked for besides the first target, where that is a model.
    """

    def __init__(self, first: str | None = None, options: ModelOptions | None = None) -> None:
        self._options = options
        self._first = first
        self._early: _Early | None = None
        self._early_model: tuple[EngineSource, _LateWatch] | None = None
        if first is None:
            return
        model = _model_target(first)
        if model is not None:
            watch = _LateWatch()
            self._early_model = self._begin(model, watch.told), watch
        else:
            self._early = _Early(first)
            self._early.done.wait(HEAD_START)

    def _begin(self, model: ModelTarget, told: Callable[[str, str], None]) -> EngineSource:
        from paramtui.core.model_target import ModelOptions
        from paramtui.engine.client import EngineSource

        options = self._options or ModelOptions()
        if model.text != self._first:
            # Inputs and weights were meant for the first target.
            options = ModelOptions(options.device, options.seed, init_files=options.init_files)
        return EngineSource(model, options, told)

    async def __call__(self, target: str, watch: Watch) -> Reader:
        """The opened target, as far as it has come already.

        Raises:
            TargetError: It is missing, not readable, or neither a file nor a directory; or defines no model.
            FormatError: It is of no known format, or damaged.
            UserCodeError: The code of a model failed.
            EngineError: The process that builds a model has ended.
            OpeningStoppedError: The watch stopped it.
        """
        import asyncio

        early, self._early = self._early, None
        early_model, self._early_model = self._early_model, None
        model = _model_target(target)
        if model is not None:
            if early_model is None or target != self._first:
                source = self._begin(model, watch.told)
            else:
                source, late = early_model
                late.follow(watch)
            return await source.opened()
        if early is None or early.target != target:
            return self._editable(await asyncio.to_thread(_open, target, watch))
        early.watch.follow(watch)
        if not early.done.is_set():
            await asyncio.to_thread(early.done.wait)
        return self._editable(early.result())

    def _editable(self, source: CheckpointSource) -> EditableCheckpoint:
        from paramtui.editable import EditableCheckpoint

        return EditableCheckpoint(source, self._options.init_files if self._options is not None else ())


def _model_target(target: str) -> ModelTarget | None:
    if ":" not in target and not target.endswith(".py"):
        return None  # as most are: nothing needs to be imported for them
    from paramtui.core.model_target import model_target

    return model_target(target)


class _Early:
    """A target that is being opened."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.watch = _LateWatch()
        self.done = threading.Event()
        self._source: CheckpointSource | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._source = _open(self.target, self.watch)
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            self._error = error
        self.done.set()

    def result(self) -> CheckpointSource:
        """The opened target, or what went wrong."""
        if self._source is None:
            raise self._error or RuntimeError("the target is still being opened")
        return self._source


class _LateWatch:
    """Keeps what it is told until there is somebody to tell."""

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._names: Iterable[str] | None = None
        self._kept: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def follow(self, watch: Watch) -> None:
        """Tells `watch` from now on, from the thread that opens."""
        with self._lock:
            self._watch = watch
            for kind, words in self._kept:
                watch.told(kind, words)
            self._kept.clear()

    def told(self, kind: str, words: str) -> None:
        """Keeps or passes on what a model says."""
        with self._lock:
            if self._watch is None:
                self._kept.append((kind, words))
            else:
                self._watch.told(kind, words)

    def outline(self, names: Iterable[str]) -> None:
        """Keeps the names."""
        self._names = names

    def progress(self, done: int, total: int, noun: str) -> None:
        """Passes on the names, once, and how far it is."""
        if self._watch is not None:
            names, self._names = self._names, None
            if names is not None:
                self._watch.outline(names)
            self._watch.progress(done, total, noun)


def _open(target: str, watch: Watch) -> CheckpointSource:
    from paramtui.checkpoints.registry import open_checkpoint

    return open_checkpoint(target, watch)
