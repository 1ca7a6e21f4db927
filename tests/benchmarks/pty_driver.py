"""A program on a pseudo-terminal, for benchmarks: when its bytes come, and how many."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from tests.benchmarks.timing import ENVIRONMENT

PATIENCE = 60.0


class Driver:
    """Runs a command in a terminal of 120 x 40."""

    def __init__(self, *command: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {name: value for name, value in ENVIRONMENT.items() if name != "NO_COLOR"}
        environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "SSH_CONNECTION": "bench"}
        # The targets of benchmarks are nobody's recent ones, and what was found in them is found again.
        self._home = tempfile.mkdtemp(prefix="paramtui-benchmark-")
        environment |= {"XDG_STATE_HOME": self._home, "XDG_CACHE_HOME": self._home}
        self.start = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
        )
        os.close(slave)

    def read(self, patience: float) -> bytes:
        """What comes within some seconds; empty if nothing does."""
        if not select.select([self.master], [], [], max(patience, 0))[0]:
            return b""
        try:
            return os.read(self.master, 1 << 16)
        except OSError:
            return b""

    def until(self, text: bytes) -> float:
        """Seconds since the spawn when a text has come."""
        seen = b""
        deadline = time.perf_counter() + PATIENCE
        while text not in seen:
            if time.perf_counter() > deadline or (self.process.poll() is not None):
                raise SystemExit(f"waited in vain for {text!r} of {self.process.args!r}")
            seen = seen[-len(text) :] + self.read(1.0)
        return time.perf_counter() - self.start

    def drain(self, quiet: float) -> int:
        """Bytes that come until nothing has come for some seconds."""
        count = 0
        while data := self.read(quiet):
            count += len(data)
        return count

    def press(self, keys: str) -> None:
        """Sends keys."""
        os.write(self.master, keys.encode())

    def latency(self, keys: str) -> float:
        """Seconds from a key to the first byte painted."""
        start = time.perf_counter()
        self.press(keys)
        if not self.read(PATIENCE):
            raise SystemExit(f"nothing was painted after {keys!r}")
        return time.perf_counter() - start

    def latency_until(self, keys: str, text: bytes) -> float:
        """Seconds from a key to a text that only what it paints holds."""
        start = time.perf_counter()
        self.press(keys)
        seen = b""
        while text not in seen:
            data = self.read(PATIENCE)
            if not data:
                raise SystemExit(f"{text!r} was not painted after {keys!r}")
            seen = seen[-len(text) :] + data
        return time.perf_counter() - start

    def peak_mib(self) -> float:
        """Largest resident memory so far; on systems without /proc the present one."""
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
                line = next(line for line in file if line.startswith("VmHWM"))
            return int(line.split()[1]) / 1024
        except OSError:
            found = subprocess.run(
                ["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, text=True, check=True
            )
            return int(found.stdout) / 1024

    def close(self) -> None:
        """Ends the program."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        shutil.rmtree(self._home, ignore_errors=True)


def python(*words: str) -> tuple[str, ...]:
    """A command of this interpreter."""
    return (sys.executable, *words)
