"""Answers what is asked of a model's numbers beside the thread that runs the person's code.

Windows are read by the thread that takes requests; what looks at whole tensors has threads of its own, which
give way to others.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.plain import plain_window
from paramtui.engine.protocol import plain_error
from paramtui.errors import EngineError, ParamtuiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paramtui.core.statistics import Statistics
    from paramtui.errors import ValuesError
    from paramtui.models.host import ModuleHost

# Ends a search, or what looks at whole tensors, by the number that the client has given it.
STOP: Final = "stop_search"
# Seconds between two lots of what was found.
PAUSE: Final = 0.05
NICENESS: Final = 19


class Request(NamedTuple):
    """Something that the client asks for."""

    id: int
    call: str
    arguments: dict[str, Any]


class Readings:
    """Reads numbers, and looks at whole tensors.

    Args:
        host: Gives the model.
        send: Sends a message with bytes to the client, from any thread.
    """

    def __init__(self, host: Callable[[], ModuleHost], send: Callable[[dict[str, Any], bytes], None]) -> None:
        self._host = host
        self._send = send
        # Held while numbers are read; requests that came while they were being changed are put aside.
        self._looking = threading.Lock()
        self._changing = False
        self._aside: list[Request] = []
        self._stops: dict[int, threading.Event] = {}
        self._long: dict[str, Callable[..., tuple[Any, bytes]]] = {
            "measure": self._measure,
            "overview": self._overview,
            "scan": self._scan,
        }

    # What can be stopped, by the numbers that the client has given

    def expect(self, token: int) -> None:
        """Something was asked for that can be stopped, perhaps before it begins."""
        self._stops[token] = threading.Event()

    def stop(self, token: int) -> threading.Event:
        """Is set when the client does not wait for it any longer."""
        return self._stops[token]

    def forget(self, token: int) -> None:
        """It has ended."""
        self._stops.pop(token, None)

    # Requests

    @contextlib.contextmanager
    def put_aside(self) -> Iterator[None]:
        """Answers no request for cells until the end: they are being changed, perhaps to be put back."""
        with self._looking:
            self._changing = True
        try:
            yield
        finally:
            with self._looking:
                self._changing = False
                waiting, self._aside = self._aside, []
            for request in waiting:
                self._answer(request, self._window)

    def take(self, request: Request) -> None:
        """Answers a request, or lets a thread do so."""
        if request.call == STOP:
            found = self._stops.get(int(request.arguments["token"]))
            if found is not None:
                found.set()
            self._send({"id": request.id, "result": None}, b"")
        elif request.call in self._long:
            threading.Thread(target=self._look, args=(request,), daemon=True).start()
        elif request.call in ("window", "gradient_window"):
            with self._looking:
                if self._changing:
                    self._aside.append(request)
                else:
                    self._answer(request, self._window)

    def _look(self, request: Request) -> None:
        with contextlib.suppress(OSError, AttributeError):
            # The thread alone, and those that torch starts for it; a sample is waited for.
            if not request.arguments.get("sample"):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        self._answer(request, lambda request: self._long[request.call](**request.arguments))
        self.forget(int(request.arguments["token"]))

    def _answer(self, request: Request, answer: Callable[[Request], tuple[Any, bytes]]) -> None:
        try:
            plain, data = answer(request)
        except ParamtuiError as error:
            self._send({"id": request.id, "error": plain_error(error)}, b"")
        except Exception as error:  # noqa: BLE001  the thread must live on
            failed = EngineError(f"the numbers cannot be read: {type(error).__name__}: {str(error)[:200]}")
            self._send({"id": request.id, "error": plain_error(failed)}, b"")
        else:
            self._send({"id": request.id, "result": plain}, data)

    def _window(self, request: Request) -> tuple[Any, bytes]:
        picks = picks_from(request.arguments["picks"])
        return plain_window(getattr(self._host(), request.call)(int(request.arguments["tensor"]), picks))

    # Whole tensors

    def _progress(self, token: int) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            self._send({"event": "progress", "words": f"{done} {total} {token}"}, b"")

        return progress

    def _measure(
        self, token: int, tensor: int, *, gradient: bool, exact: bool, sample: int
    ) -> tuple[Any, bytes]:
        from paramtui.core.levels import levels_bytes
        from paramtui.core.statistics import plain_statistics

        found = self._host().measure(
            tensor,
            gradient=gradient,
            exact=exact,
            sample=sample,
            progress=self._progress(token),
            stop=self.stop(token),
        )
        return plain_statistics(found.statistics), levels_bytes(found.levels)

    def _overview(
        self, token: int, tensor: int, rows: int, columns: int, *, gradient: bool
    ) -> tuple[Any, bytes]:
        found = self._host().overview(
            tensor,
            rows,
            columns,
            gradient=gradient,
            progress=self._progress(token),
            stop=self.stop(token),
        )
        return None, found.plain()

    def _scan(self, token: int, tensors: list[int], *, exact: bool) -> tuple[Any, bytes]:
        from paramtui.core.statistics import Statistics, plain_statistics

        lot: list[Any] = []
        sent = time.monotonic()

        def send() -> None:
            nonlocal sent
            if lot:
                self._send({"event": "found", "words": json.dumps([token, lot])}, b"")
            lot.clear()
            sent = time.monotonic()

        def found(tensor: int, result: Statistics | ValuesError) -> None:
            lot.append([tensor, plain_statistics(result) if isinstance(result, Statistics) else str(result)])
            if time.monotonic() - sent > PAUSE:
                send()

        self._host().scan(tensors, found, exact=exact, progress=self._progress(token), stop=self.stop(token))
        send()
        return None, b""


def picks_from(plain: list[Any]) -> list[Any]:
    """Indices by dimension, as the client wrote them."""
    return [range(*pick["range"]) if isinstance(pick, dict) else pick for pick in plain]
