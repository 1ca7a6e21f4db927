"""The processes that count, seen from the program: started for work, stopped, let go of when idle."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from paramtui.checkpoints.scan_wire import WireEndedError, receive, send
from paramtui.errors import EngineError, ParamtuiError, RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_START: Final = (
    "import sys; sys.path.append(sys.argv[3]); from paramtui.checkpoints.scan_worker import main;"
    " main(int(sys.argv[1]), int(sys.argv[2]))"
)
# Each takes some 35 MiB.
MOST: Final = 16
# Seconds after which a process without work is let go of.
IDLE: Final = 10.0
# Seconds that a process has to stop what it does, before it is ended.
STUBBORN: Final = 2.0
# How much they give way to a screen beside them, which wants to be drawn.
POLITE: Final = 19

Answer = tuple[dict[str, Any], bytes]


def cores() -> int:
    """How many processes count at once."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(min(count, MOST), 1)


class Stop:
    """A wish to stop, which reaches the processes that work at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._heard: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        """Whether it was wished."""
        return self._set

    def set(self) -> None:
        """Wishes it."""
        with self._lock:
            self._set = True
            heard, self._heard = self._heard, []
        for each in heard:
            each()

    def hear(self, heard: Callable[[], None]) -> None:
        """Calls `heard` once when it is wished, perhaps now."""
        with self._lock:
            if not self._set:
                self._heard.append(heard)
                return
        heard()

    def deafen(self, heard: Callable[[], None]) -> None:
        """Calls it no more."""
        with self._lock:
            if heard in self._heard:
                self._heard.remove(heard)


class Work:
    """Something for a process to do.

    Args:
        message: As `scan_worker` takes it.
        files: Opens the files that go with it; the descriptors are closed once they are sent.
        answered: Called in a thread with what came of it.
    """

    def __init__(
        self,
        message: dict[str, Any],
        files: Callable[[], list[int]],
        answered: Callable[[dict[str, Any], bytes], None],
    ) -> None:
        self.message = message
        self.files = files
        self.answered = answered


def _problem(tensor: int, error: ParamtuiError) -> dict[str, Any]:
    return {"id": tensor, "problem": str(error), "nbytes": 0}


class _Process:
    """One of them."""

    def __init__(self, niceness: int) -> None:
        ours, theirs = socket.socketpair()
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
        # One thread each: the cores are shared out already.
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        try:
            self._process = subprocess.Popen(  # noqa: S603  this very Python
                [sys.executable, "-P", "-c", _START, str(theirs.fileno()), str(niceness), package],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # No session of its own: where time is shared out by sessions, niceness counts within.
                pass_fds=(theirs.fileno(),),
                env=environment,
            )
        except OSError as error:
            ours.close()
            raise EngineError(f"a process that counts cannot be started: {error.strerror}") from None
        finally:
            theirs.close()
        self._connection = ours
        self._lock = threading.Lock()
        self._patience = threading.Timer(0, self._process.kill)
        self._works = False

    def do(self, work: Work, moved: Callable[[int], None], stopped: Stop) -> Answer | None:
        """What came of a work; None if it was stopped.

        Raises:
            EngineError: The process has ended.
        """
        try:
            files = work.files()
        except ParamtuiError as error:
            # Files that are gone or changed are the tensors' trouble, not the process's.
            return {"results": [_problem(plain["id"], error) for plain in work.message["tensors"]]}, b""
        done = 0
        try:
            with self._lock:
                self._works = True
                send(self._connection, work.message, files=files)
        except WireEndedError:
            raise self._ended() from None
        finally:
            for file in files:
                os.close(file)
        stopped.hear(self.stop)
        try:
            while True:
                message, data, _ = receive(self._connection)
                if "done" in message:
                    moved(message["done"] - done)
                    done = message["done"]
                if "stopped" in message:
                    return None
                if "results" in message:
                    return message, data
        except WireEndedError:
            ended = self._ended()
            if stopped.is_set():
                return None
            raise ended from None
        finally:
            stopped.deafen(self.stop)
            with self._lock:
                self._works = False
                self._patience.cancel()

    def _ended(self) -> EngineError:
        """What is known of why it is gone."""
        status: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(1)
        if status is None or status >= 0:
            return EngineError("a process that counts has ended", hint="count again")
        name = signal.Signals(-status).name
        memory = "was the machine out of memory? " if name == "SIGKILL" else ""
        return EngineError(f"a process that counts has ended by {name}", hint=f"{memory}count again")

    @property
    def alive(self) -> bool:
        """Whether it is there."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Asks it to stop what it does; ends it where it goes on, in the middle of a long step."""
        with self._lock, contextlib.suppress(WireEndedError):
            # A wish that comes late is for nothing that is done now.
            if self._works:
                self._patience = threading.Timer(STUBBORN, self._process.kill)
                self._patience.daemon = True
                self._patience.start()
                send(self._connection, {"stop": True})

    def close(self) -> None:
        """Ends it."""
        self._connection.close()
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)


class Crew:
    """As many processes as there are cores, kept for a while after they have worked.

    Args:
        niceness: How much they give way to other programs.
    """

    def __init__(self, niceness: int = 0) -> None:
        self._niceness = niceness
        self._idle: list[_Process] = []
        self._busy = 0
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def start(self) -> None:
        """Starts them ahead of the work: each takes a fifth of a second."""
        with self._lock:
            self._idle += [_Process(self._niceness) for _ in range(cores() - len(self._idle))]

    def _enter(self, *, first: bool) -> bool:
        """Whether one more may work; where all cores do, only the first one for some works."""
        with self._lock:
            if self._busy >= cores() and not first:
                return False
            self._busy += 1
            return True

    def _take(self) -> _Process:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            while self._idle:
                process = self._idle.pop()
                if process.alive:
                    return process
                # Short of memory, the system ends those first that wait.
                process.close()
        return _Process(self._niceness)

    def _leave(self, process: _Process | None, *, broken: bool) -> None:
        with self._lock:
            self._busy -= 1
            if process is None:
                return
            if broken or self._closed or len(self._idle) >= cores():
                process.close()
                return
            self._idle.append(process)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(IDLE, self._let_go)
            self._timer.daemon = True
            self._timer.start()

    def _let_go(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()

    def close(self) -> None:
        """Ends those that are idle now, and the others once they are."""
        self._closed = True
        self._let_go()

    def work(self, works: Iterable[Work], moved: Callable[[int], None], stopped: Stop) -> None:
        """Does works, several at once; ends soon after `stopped` is set.

        Args:
            works: What to do, in order; asked for as processes become free.
            moved: Told bytes that were dealt with, from threads.
            stopped: Ends the work when it is set.

        Raises:
            RunStoppedError: It was stopped.
            EngineError: A process has ended.
        """
        source = iter(works)
        pulling = threading.Lock()
        failed: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        ended = threading.Event()

        def next_work() -> Work | None:
            with pulling:
                return None if stopped.is_set() or ended.is_set() else next(source, None)

        def serve(place: int) -> None:
            process: _Process | None = None
            broken = False
            if not self._enter(first=place == 0):
                return
            try:
                while (work := next_work()) is not None:
                    process = process or self._take()
                    answer = process.do(work, moved, stopped)
                    # A wish to stop what the process did before can come late: that work is done again.
                    while answer is None and not stopped.is_set():
                        answer = process.do(work, moved, stopped)
                    if answer is None:
                        break
                    work.answered(*answer)
            except BaseException as error:  # noqa: BLE001  raised again where it is waited for
                broken = True
                failed.put(error)
                ended.set()
            finally:
                self._leave(process, broken=broken)

        threads = [threading.Thread(target=serve, args=(place,), daemon=True) for place in range(cores())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not failed.empty():
            raise failed.get()
        if stopped.is_set():
            raise RunStoppedError("stopped")


def pieces(total: int, size: int) -> Iterator[tuple[int, int]]:
    """``(0, size), (size, 2 * size), ...`` up to a total."""
    for at in range(0, total, size):
        yield at, min(at + size, total)
