"""The engine seen from the screen: a process that is started, asked, listened to, interrupted and ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Final

from paramtui.engine.protocol import Channel, ChannelClosedError, Message, error_from
from paramtui.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

_START: Final = (
    "import sys; sys.path.append(sys.argv[4]); from paramtui.engine.server import main;"
    " main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
)
# Seconds between looks at whether the process lives, where the system cannot tell of its end.
POLL: Final = 0.2
# Seconds for what was printed last to arrive after the end.
LAST_WORDS: Final = 0.5
# Bytes of output taken at once, and in each `POLL` seconds: code that prints without end must not keep the
# screen's interpreter busy.
OUTPUT_PIECE: Final = 1 << 16
OUTPUT_PACE: Final = 1 << 20


class Engine:
    """A process of its own for the person's code.

    Args:
        told: Called from a thread with ``output`` and what was printed, ``stage`` and what is being done,
            ``ended`` and why, ``progress`` and two numbers: done, and in all; ``traceback`` and one.

    Attributes:
        folder: A private directory, deleted at the end.
        ended: Why it has ended; empty while it is there.
        doing: What it does, in words.
    """

    def __init__(self, told: Callable[[str, str], None]) -> None:
        self._told = told
        self.folder = tempfile.mkdtemp(prefix="paramtui-")
        self._waiting: dict[int, Future[Message]] = {}
        self._lock = threading.Lock()
        self._next = 0
        self._closed = False
        self.ended = ""
        self.doing = "starting"
        ours, theirs = socket.socketpair()
        watched, self._lifeline = os.pipe()
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
        words = [str(theirs.fileno()), str(watched), self.folder, package]
        try:
            self._process = subprocess.Popen(  # noqa: S603  this very Python
                [sys.executable, "-P", "-c", _START, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), watched),
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"the engine cannot be started: {error.strerror}") from None
        finally:
            theirs.close()
            os.close(watched)
        self._channel = Channel(ours, self.folder)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def call(self, name: str, **arguments: object) -> Future[Message]:
        """Asks for something; the future gives the result with bytes, or raises what went wrong."""
        future: Future[Message] = Future()
        with self._lock:
            self._next += 1
            number = self._next
            if self.ended:
                future.set_exception(EngineError(self.ended))
                return future
            self._waiting[number] = future
        # The listener says why when the engine is gone.
        with contextlib.suppress(ChannelClosedError):
            self._channel.send({"id": number, "call": name, "arguments": arguments})
        return future

    def close(self) -> None:
        """Ends the process and all that it has started."""
        self._closed = True
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        self._lifeline = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        with self._lock:
            # The thread that listens may come to it later.
            self.ended = self.ended or "the engine was ended"
        shutil.rmtree(self.folder, ignore_errors=True)

    # The thread that listens

    def _listen(self) -> None:
        output = self._process.stdout
        if output is None:  # pragma: no cover  it was asked for
            return
        os.set_blocking(output.fileno(), False)
        selector = selectors.DefaultSelector()
        selector.register(self._channel.connection, selectors.EVENT_READ, "message")
        selector.register(output, selectors.EVENT_READ, "output")
        end = _end_of(self._process.pid)
        if end >= 0:
            selector.register(end, selectors.EVENT_READ, "end")
        taken, since, resume = 0, time.monotonic(), 0.0
        while self._process.poll() is None:
            now = time.monotonic()
            if resume and now >= resume:
                selector.register(output, selectors.EVENT_READ, "output")
                resume = 0.0
            if now - since > POLL:
                taken, since = 0, now
            ready = {key.data for key, _ in selector.select(POLL if resume or end < 0 else None)}
            if "output" in ready:
                taken += OUTPUT_PIECE
                more = self._print(output.fileno())
                if not more or taken >= OUTPUT_PACE:
                    selector.unregister(output)
                    resume = now + POLL if more else 0.0
            if "message" in ready:
                try:
                    self._take(self._channel.receive())
                except ChannelClosedError:
                    selector.unregister(self._channel.connection)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(LAST_WORDS)
        if resume:
            selector.register(output, selectors.EVENT_READ, "output")
        self._drain(selector, output.fileno())
        if end >= 0:
            os.close(end)
        selector.close()
        output.close()
        self._finish()

    def _drain(self, selector: selectors.BaseSelector, output: int) -> None:
        """Takes what was still on its way; something that the process has started may print on and on."""
        deadline = time.monotonic() + LAST_WORDS
        for key in list(selector.get_map().values()):
            if key.data == "end":
                selector.unregister(key.fileobj)
        while time.monotonic() < deadline:
            ready = {key.data for key, _ in selector.select(0)}
            if not ready:
                return
            if "output" in ready and not self._print(output):
                selector.unregister(output)
            if "message" in ready:
                try:
                    self._take(self._channel.receive())
                except ChannelClosedError:
                    selector.unregister(self._channel.connection)

    def _print(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, OUTPUT_PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            self._told("output", data.decode("utf-8", "backslashreplace"))
        return bool(data)

    def _take(self, message: Message) -> None:
        head, data = message
        if head.get("event") == "stage":
            self.doing = str(head.get("words"))
            self._told("stage", self.doing)
            return
        if head.get("event") in ("progress", "found", "traceback"):
            self._told(str(head["event"]), str(head.get("words")))
            return
        with self._lock:
            future = self._waiting.pop(int(head.get("id", 0)), None)
        if future is None:
            return
        # Whoever waited may have gone.
        with contextlib.suppress(InvalidStateError):
            if "error" in head:
                future.set_exception(error_from(head["error"]))
            else:
                future.set_result((head, data))

    def _finish(self) -> None:
        status = self._process.wait()
        with self._lock:
            self.ended = "the engine was ended" if self._closed else _why(status, self.doing)
            waiting, self._waiting = self._waiting, {}
        if not self._closed:
            # Whatever it has started must not outlive it.
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        for future in waiting.values():
            with contextlib.suppress(InvalidStateError):
                future.set_exception(EngineError(self.ended))
        if not self._closed:
            self._told("ended", self.ended)


def _end_of(pid: int) -> int:
    """A descriptor that is readable when a process has ended; -1 where the system has none such."""
    opened = getattr(os, "pidfd_open", None)
    if opened is None:
        return -1
    try:
        return int(opened(pid))
    except OSError:
        return -1


def _why(status: int, doing: str) -> str:
    """Why a process has ended, for people."""
    during = f" while {doing}" if doing else ""
    if status >= 0:
        return f"the engine ended itself with exit status {status}{during}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    guess = {
        "SIGKILL": ": was the machine out of memory?",
        "SIGSEGV": ": a crash in compiled code",
        "SIGABRT": ": a crash in compiled code",
        "SIGBUS": ": a crash in compiled code",
    }
    return f"the engine was ended by {name}{during}{guess.get(name, '')}"
