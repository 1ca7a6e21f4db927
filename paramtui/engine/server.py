"""The process that builds a model and holds it: one thread runs the person's code, another answers.

Numbers are read by the thread that answers, so that they can be looked at while a long pass runs. While they
are being changed, perhaps only to see what a change would do, whoever wants to look at them waits. When the
screen is gone, this process ends itself and whatever it started.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.catalogue import plain_catalogue
from paramtui.core.edits import call_from, edit_from
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.core.plain import gradient_lines, listing_lines
from paramtui.core.plain_copies import plain_copies
from paramtui.core.plain_edits import plain_preview, work_from
from paramtui.engine.protocol import Channel, ChannelClosedError, plain_error
from paramtui.engine.readings import STOP, Readings, Request, picks_from
from paramtui.errors import EngineError, ParamtuiError, RunStoppedError, UserCodeError
from paramtui.models.shield import begin, stop, stoppable, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from paramtui.core.source import Outcome
    from paramtui.models.host import ModuleHost
    from paramtui.models.initializers import Available, Initializers


# What says by itself where it can be stopped: once it counts, the client must hear of it.
_WHOLE: Final = frozenset({"apply", "undo", "redo", "preview", "save"})
# Meanwhile the numbers that are there may be taken back.
_CHANGING: Final = _WHOLE - {"save"}


class Server:
    """Answers one client.

    Args:
        channel: To the client.
        folder: Private directory of the connection, which is deleted at the end.
    """

    def __init__(self, channel: Channel, folder: str) -> None:
        self._channel = channel
        self._folder = folder
        self._jobs: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._running = False
        self._host: ModuleHost | None = None
        self._found: Initializers | None = None
        self._process = os.getpid()
        self._readings = Readings(lambda: self._model, self._send)
        self._calls: dict[str, Callable[..., tuple[Any, bytes]]] = {
            "open": self._open,
            "backward": self._backward,
            "zero_gradients": self._zero_gradients,
            "set_training": self._set_training,
            "apply_proposal": self._apply_proposal,
            "apply": self._apply,
            "undo": lambda: self._result(self._model.undo()),
            "redo": lambda: self._result(self._model.redo()),
            "preview": self._preview,
            "save": self._save,
            "copies": self._copies,
            "catalogue": self._catalogue,
            "trial": self._trial,
            "compute": self._compute,
        }

    def run(self) -> None:
        """Runs jobs until the client is gone."""
        signal.signal(signal.SIGINT, self._interrupted)
        threading.Thread(target=self._answer, daemon=True).start()
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                job = self._jobs.get()
                with self._readings.put_aside() if job.call in _CHANGING else contextlib.nullcontext():
                    self._do(job)

    def _interrupted(self, _: int, frame: FrameType | None) -> None:
        if self._running:
            stop(frame)

    # The thread that runs the person's code

    def _do(self, job: Request) -> None:
        begin()
        self._running = True
        error: ParamtuiError
        try:
            run = whole if job.call in _WHOLE else stoppable
            result, data = run(lambda: self._calls[job.call](**job.arguments))
            self._running = False
        except ParamtuiError as found:
            self._running = False
            error = found
        except KeyboardInterrupt:
            self._running = False
            error = RunStoppedError("stopped")
        except MemoryError:
            self._running = False
            error = EngineError("there is not enough memory for this")
        except BaseException as found:  # noqa: BLE001  an error of this program must not end the process
            self._running = False
            from paramtui.models.user_code import described

            error = described(job.call, found)
        else:
            self._send({"id": job.id, "result": result}, data)
            return
        if isinstance(error, UserCodeError) and error.traceback:
            self._send({"event": "traceback", "words": f"{error.traceback}\n"})
        self._send({"id": job.id, "error": plain_error(error)})

    def _send(self, message: dict[str, Any], data: bytes = b"") -> None:
        if os.getpid() != self._process:
            os._exit(0)
        for stream in (sys.stdout, sys.stderr):
            # What was printed belongs before the answer.
            with contextlib.suppress(Exception):
                stream.flush()
        try:
            # Half a message would be taken for the beginning of the next.
            whole(lambda: self._channel.send(message, data))
        except ChannelClosedError:
            self._end()

    def _tell(self, event: str, words: str) -> None:
        """Tells what goes on, from code that can be stopped; a wish to stop that came meanwhile counts."""
        self._send({"event": event, "words": words})
        stoppable(lambda: None)

    def _stage(self, words: str) -> None:
        self._tell("stage", words)

    def _progress(self, done: int, total: int) -> None:
        self._stage(f"loading weights: tensor {done + 1:,} of {total:,}")

    def _open(self, target: list[str], options: list[Any]) -> tuple[Any, bytes]:
        from paramtui.models.loading import load_model

        wanted, chosen = ModelTarget(*target), ModelOptions(*options)
        loaded = load_model(wanted, chosen.device, chosen.seed, self._stage)
        from paramtui.models.host import ModuleHost
        from paramtui.models.setup_text import setup_text

        self._stage("listing the model")
        host = ModuleHost(loaded, wanted.text, chosen, setup_text(wanted, loaded, chosen))
        if chosen.weights is not None:
            self._stage("loading weights")
            host.load_weights(self._progress)
        self._host = host
        return self._result(None, everything=True)

    @property
    def _model(self) -> ModuleHost:
        if self._host is None:
            raise EngineError("the model is not built yet")
        return self._host

    def _result(self, outcome: Outcome | None, *, everything: bool = False) -> tuple[Any, bytes]:
        """Words to say; gradients, and the listing where it is wanted or new, as lines."""
        host = self._model
        gradients = host.gradients() if outcome is None else outcome.gradients
        listing = host.listing if everything else outcome.listing if outcome else None
        lines = [*gradient_lines(gradients), *(listing_lines(listing) if listing is not None else ())]
        said = [outcome.said, outcome.changed, outcome.digest] if outcome is not None else [""]
        return said, "\n".join(lines).encode()

    def _backward(self, inputs: str | None, *, accumulate: bool) -> tuple[Any, bytes]:
        return self._result(self._model.backward(inputs, accumulate=accumulate))

    def _zero_gradients(self) -> tuple[Any, bytes]:
        return self._result(self._model.zero_gradients())

    def _set_training(self, *, training: bool) -> tuple[Any, bytes]:
        return self._result(self._model.set_training(training=training))

    def _apply_proposal(self) -> tuple[Any, bytes]:
        return self._result(self._model.apply_proposal(self._progress))

    # Changing

    def _apply(self, edit: dict[str, Any], *, without_undo: bool) -> tuple[Any, bytes]:
        return self._result(self._model.apply(edit_from(edit), without_undo=without_undo))

    def _preview(self, edit: dict[str, Any], tensor: int | None, picks: list[Any]) -> tuple[Any, bytes]:
        return plain_preview(self._model.preview(edit_from(edit), tensor, picks_from(picks)))

    def _save(self, path: str, *, over: bool) -> tuple[Any, bytes]:
        told = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told > 0.1 or done == total:
                told = now
                self._send({"event": "progress", "words": f"{done} {total}"})

        return list(self._model.save(path, over=over, progress=progress)), b""

    def _copies(self, token: int) -> tuple[Any, bytes]:
        def progress(done: int, total: int) -> None:
            self._tell("progress", f"{done} {total} {token}")

        try:
            return plain_copies(self._model.copies(progress, self._readings.stop(token))), b""
        finally:
            self._readings.forget(token)

    def _initializers(self, files: list[str]) -> Available:
        """Those of a process without a model."""
        if self._found is None:
            from paramtui.models.initializers import Initializers

            self._found = Initializers(files, "cpu")
        return self._found.current()

    def _catalogue(self, files: list[str]) -> tuple[Any, bytes]:
        host = self._host
        found = self._initializers(files).catalogue if host is None else host.editor.catalogue()
        return plain_catalogue(found), b""

    def _trial(self, asked: list[Any], files: list[str]) -> tuple[Any, bytes]:
        wanted = [(call_from(call), tuple(shape), dtype) for call, shape, dtype in asked]
        if self._host is not None:
            return self._host.editor.trial(wanted), b""
        from paramtui.models.initializers import trial

        return trial(self._initializers(files), wanted, "cpu"), b""

    def _compute(self, work: dict[str, Any], files: list[str]) -> tuple[Any, bytes]:
        from paramtui.models.computing import compute

        return compute(work_from(work), self._initializers(files)), b""

    # The thread that answers

    def _answer(self) -> None:
        while True:
            try:
                message, _ = self._channel.receive()
            except ChannelClosedError:
                self._end()
            call, arguments = str(message.get("call")), message.get("arguments") or {}
            if "token" in arguments and call != STOP:
                self._readings.expect(int(arguments["token"]))
            if call in self._calls:
                self._jobs.put(Request(int(message["id"]), call, arguments))
            elif call == "interrupt":
                self._interrupt()
                self._send({"id": message["id"], "result": self._running})
            else:
                self._readings.take(Request(int(message["id"]), call, arguments))

    def _interrupt(self) -> None:
        main = threading.main_thread().ident
        if self._running and main is not None:
            signal.pthread_kill(main, signal.SIGINT)

    def _end(self) -> None:
        """Ends this process and those that the person's code has started in its group."""
        if os.getpid() == self._process:
            shutil.rmtree(self._folder, ignore_errors=True)
            if os.getpgrp() == self._process:
                with contextlib.suppress(OSError):
                    os.killpg(self._process, signal.SIGKILL)
        os._exit(0)


def _watch_over(lifeline: int, folder: str, descriptor: int) -> None:
    """Starts a small process that ends this one's group when the screen is gone, however busy this one is.

    Args:
        lifeline: Read end of a pipe whose other end only the screen has.
        folder: What to delete then.
        descriptor: What the small process must not hold open.
    """
    if os.fork():
        os.close(lifeline)
        return
    # The forked process; nothing of the engine runs in it.
    try:
        os.close(descriptor)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        while os.read(lifeline, 1):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os.killpg(os.getpgrp(), signal.SIGKILL)
    finally:
        os._exit(0)


def main(descriptor: int, lifeline: int, folder: str) -> None:
    """Serves one client; this process leads a group of its own.

    Args:
        descriptor: Of the socket to the client.
        lifeline: Read end of a pipe that ends with the client.
        folder: Private directory of the connection.
    """
    _watch_over(lifeline, folder, descriptor)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, errors="backslashreplace")
    connection = socket.socket(fileno=descriptor)
    # What the person's code starts must not hold the line.
    os.set_inheritable(descriptor, False)  # noqa: FBT003
    Server(Channel(connection, folder), folder).run()
