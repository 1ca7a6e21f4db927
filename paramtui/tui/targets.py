"""How the application opens targets, tells how far it is, and lets go of models."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import TYPE_CHECKING, Final

from textual import work

from paramtui.errors import (
    CandidatesError,
    OpeningStoppedError,
    ParamtuiError,
    RunStoppedError,
    UserCodeError,
)
from paramtui.tui.leaving import LeavingMixin
from paramtui.tui.opened import ability, prepare
from paramtui.tui.watching import OpeningWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.core.output_log import OutputLog
    from paramtui.core.source import Opener, Reader
    from paramtui.tui.home import Home

# Nodes of a listing whose tree is built without leaving the screen's thread.
SMALL: Final = 6000
# Seconds that keys wait for a target; most take less, and esc must stop the others.
SOON: Final = 0.5
# Seconds between two words about how long a model has been built.
TICK: Final = 0.5


class TargetsMixin(LeavingMixin):
    """Needs the browser and the settings of the app that it is mixed into."""

    _watch: OpeningWatch | None = None
    _failed: bool = False
    _began_opening: float = 0.0
    _target: str = ""
    _stage: str = ""

    if TYPE_CHECKING:
        output: OutputLog
        _opener: Opener
        _home: Home

    def _settle(self) -> None:
        """Collects garbage from now on, but does not look at the rows of a large target again and again."""
        if not self._guest:
            gc.enable()
            gc.freeze()

    # Opening

    @property
    def soon_open(self) -> bool:
        """Whether a target is being opened since just now: what is pressed can wait for it."""
        return self._watch is not None and time.monotonic() - self._began_opening < SOON

    async def open_target(self, target: str, at: str | None = None) -> None:
        """Opens a target; what is on screen stays until it is there, and is asked about if unsaved.

        Args:
            target: Which; the one on screen is opened again.
            at: Name of the row to begin on.
        """
        words = "opens it again" if target == self._target else "opens the other"
        await self.leave_then(words, lambda: self._begin_opening(target, at))

    def _begin_opening(self, target: str, at: str | None = None) -> None:
        if self._watch is not None:
            self._watch.stop()
        if not self._guest:
            gc.unfreeze()
        self.browser.wait_for(target)
        self._open(target, at)

    @work(exclusive=True, group="open")
    async def _open(self, target: str, at: str | None = None, index: str | None = None) -> None:
        loop, browser = asyncio.get_running_loop(), self.browser

        def post(function: Callable[..., object], *arguments: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended
                loop.call_soon_threadsafe(told, function, *arguments)

        def told(function: Callable[..., object], *arguments: object) -> None:
            if not watch.stopped:
                function(*arguments)

        self._target = target
        self.output.clear()
        began = self._began_opening = time.monotonic()

        def waited() -> None:
            if self._watch is watch and self._stage:
                browser.progress(f"{self._stage}… {time.monotonic() - began:.0f} s  esc stops")

        def listen(kind: str, words: str) -> None:
            # Called by a thread that listens to an engine.
            if kind in ("output", "traceback"):
                self.output.write(words)
            post(self._told, kind, words)

        watch = self._watch = OpeningWatch(post, browser.outline, browser.progress, listen)
        self._stage = ""
        ticker = self.set_interval(TICK, waited)
        source: Reader | None = None
        try:
            source = await self._opener(target, watch)
            # A small tree is made within a frame, and then the first paint shows it.
            small = len(source.listing.node_parent) <= SMALL
            opened = prepare(source) if small else await asyncio.to_thread(prepare, source)
            await browser.mounted.wait()
        except (OpeningStoppedError, RunStoppedError):
            return
        except CandidatesError as error:
            await self._choose(error)
        except ParamtuiError as error:
            await self._fail(str(error), tried_code=isinstance(error, UserCodeError))
        except MemoryError:
            await self._fail("there is not enough memory to open this")
        else:
            self._failed = False
            # How long it has been built is no longer told, even while the rest here takes its time.
            self._stage = ""
            ticker.stop()
            await self.let_go()
            self.hold(opened)
            # An editor of a checkpoint has an engine too, for initialisers.
            tells = ability(source, "listen")
            if tells is not None:
                tells(listen)
            browser.open(opened, at, index)
            # Noting what was opened imports and writes: not before the first rows are painted.
            painted = asyncio.Event()
            self.call_after_refresh(painted.set)
            await painted.wait()
            await asyncio.to_thread(self._home.opened, target)
            browser.look_for_remains()
        finally:
            ticker.stop()
            if self._watch is watch:
                self._watch = None
            self.call_after_refresh(self._settle)

    async def _fail(self, message: str, *, tried_code: bool = False) -> None:
        await self.browser.mounted.wait()
        self._failed = self.browser.opened is None
        self.changes_stay()
        advice = "ctrl+r tries again, " if tried_code or self._stage else ""
        if not self.output.empty:
            advice += "p shows what its code printed, "
        self.browser.fail(message, advice)

    async def _choose(self, error: CandidatesError) -> None:
        from paramtui.tui.screens.candidates import CandidatesScreen

        await self._fail(str(error))
        await self.push_screen(CandidatesScreen(self._target, error.candidates), self._chosen_candidate)

    def _chosen_candidate(self, target: str | None) -> None:
        if target is not None:
            self._begin_opening(target)

    def retry(self) -> None:
        """Opens the target anew that could not be opened."""
        if self.browser.opened is None and self._target and self._watch is None:
            self._begin_opening(self._target)

    # A live model

    def _told(self, kind: str, words: str) -> None:
        """What an engine says, in the screen's thread."""
        if kind == "stage":
            self._stage = words
            if self._watch is not None:
                self.browser.progress(f"{words}…  esc stops")
        elif kind == "ended" and self._watch is None:
            self.browser.engine_ended(words)
