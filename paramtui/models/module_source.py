"""A source over a model in this very process, for `paramtui.browse`."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from typing import TYPE_CHECKING

from paramtui.errors import RunStoppedError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.core.gradients import Gradients
    from paramtui.core.listing import Listing
    from paramtui.core.source import Outcome, Window
    from paramtui.models.host import ModuleHost

NOT_RESTARTED = "the model lives in your own process, which cannot be started again from here"


class ModuleSource:
    """The source of a model that the caller holds.

    Args:
        host: Holds the model.

    Attributes:
        listing, gradients: As they were after what was done last.
        ended: Always empty: this process is there.
    """

    ended = ""

    def __init__(self, host: ModuleHost) -> None:
        self._host = host
        self._worker: int | None = None
        self._lock = threading.Lock()
        self.listing: Listing = host.listing
        self.gradients: Gradients = host.gradients()

    def read_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        return self._host.window(tensor, picks)

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Reader.window`."""
        return await asyncio.to_thread(self._host.window, tensor, picks)

    async def gradient_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """See `Differentiable.gradient_window`."""
        return await asyncio.to_thread(self._host.gradient_window, tensor, picks)

    async def _do(self, work: Callable[[], Outcome]) -> Outcome:
        outcome = await asyncio.to_thread(self._run, work)
        self.gradients = outcome.gradients
        if outcome.listing is not None:
            self.listing = outcome.listing
        return outcome

    def _run(self, work: Callable[[], Outcome]) -> Outcome:
        try:
            with self._lock:
                self._worker = threading.get_ident()
            try:
                return work()
            finally:
                with self._lock:
                    self._worker = None
        except KeyboardInterrupt:
            # Also one that came when the work was just done.
            raise RunStoppedError("stopped") from None

    async def backward(self, inputs: str | None, *, accumulate: bool) -> Outcome:
        """See `Differentiable.backward`."""
        return await self._do(lambda: self._host.backward(inputs, accumulate=accumulate))

    async def zero_gradients(self) -> Outcome:
        """See `Differentiable.zero_gradients`."""
        return await self._do(self._host.zero_gradients)

    async def set_training(self, *, training: bool) -> Outcome:
        """See `Differentiable.set_training`."""
        return await self._do(lambda: self._host.set_training(training=training))

    async def apply_proposal(self) -> Outcome:
        """See `Differentiable.apply_proposal`."""
        return await self._do(self._host.apply_proposal)

    async def interrupt(self) -> bool:
        """See `Differentiable.interrupt`; counts at the next step of Python code."""
        with self._lock:
            if self._worker is None:
                return False
            asked = ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._worker), ctypes.py_object(KeyboardInterrupt)
            )
        return bool(asked)

    async def restart(self, *, replay: bool) -> Outcome:  # noqa: ARG002  as the protocol has it
        """Cannot be done.

        Raises:
            ValuesError: Always.
        """
        raise ValuesError(NOT_RESTARTED)

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Nothing is told: what the model prints is caught where it is drawn."""

    def close(self) -> None:
        """Nothing to let go of: the model is the caller's."""
