"""Runs commands in processes of their own and measures each: time, memory, output.

The measured processes are forked from one that has imported what the commands need and nothing else, so
that a run costs no start of an interpreter. What it holds is counted in their memory.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import NoReturn

# A run that reaches one of these has failed; they keep it from taking the machine along.
STOP_SECONDS = 30
STOP_BYTES = 1 << 30

# What any file of 1 MB may cost at most.
MAX_SECONDS = 5.0
MAX_MIB = 256.0
# On stderr, where something other than the file is at fault.
FAULTS = ("Traceback", "an error of its own", "not enough memory")


class Run(NamedTuple):
    """What became of a command.

    Attributes:
        status: Exit status; the negative number of a signal that ended it.
        seconds, busy: Time that passed, and time of a processor.
        mib: Largest resident memory, in MiB.
        written: Bytes on stdout.
        said: What stands on stderr, at most 20,000 bytes.
    """

    status: int
    seconds: float
    busy: float
    mib: float
    written: int
    said: str

    def broken(self) -> str:
        """Which bound it broke, in a few words; empty for none."""
        if self.status not in (0, 1, 2):
            return f"status {self.status}"
        if any(words in self.said for words in FAULTS):
            return "a fault of the program"
        if self.busy > MAX_SECONDS:
            return f"{self.busy:.1f} s"
        return f"{self.mib:.0f} MiB" if self.mib > MAX_MIB else ""


class Measurer:
    """Starts the forking process at once, while this one is small.

    Args:
        folder: Where output is put for a moment.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        read, self._ask = os.pipe()
        self._told, write = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            # Reports of errors of the program itself go there too.
            os.environ["XDG_STATE_HOME"] = str(folder)
            os.close(self._ask)
            os.close(self._told)
            _serve(read, write)
        os.close(read)
        os.close(write)
        self._answers = os.fdopen(self._told, "rb")

    def run(self, words: Sequence[str]) -> Run:
        """Runs ``paramtui`` with some arguments."""
        out, err = self._folder / "out", self._folder / "err"
        os.write(self._ask, json.dumps([list(words), str(out), str(err)]).encode() + b"\n")
        answer = self._answers.readline()
        assert answer, "the forking process has ended"
        written = out.stat().st_size
        with err.open("rb") as file:
            said = file.read(20_000).decode("utf-8", "replace")
        status, seconds, busy, mib = json.loads(answer)
        return Run(status, seconds, busy, mib, written, said)

    def close(self) -> None:
        """Ends the forking process."""
        os.close(self._ask)
        self._answers.close()
        os.waitpid(self._pid, 0)


def _serve(read: int, write: int) -> NoReturn:
    status = 1
    try:
        _import_all()
        with os.fdopen(read, "rb") as asked:
            for line in asked:
                answer = _measured(*json.loads(line))
                os.write(write, json.dumps(answer).encode() + b"\n")
        status = 0
    finally:
        os._exit(status)


def _import_all() -> None:
    import struct  # noqa: F401
    from importlib import import_module

    for name in (
        "arguments", "checking", "checkpoints.declared", "checkpoints.hf_config", "checkpoints.merging",
        "checkpoints.registry", "checkpoints.safetensors", "checkpoints.sharded", "checkpoints.source",
        "checkpoints.torch_legacy", "checkpoints.torch_zip", "checkpoints.uses", "cli", "commands.check",
        "commands.ls", "commands.show", "core.families", "core.health", "core.model_target", "core.sharing",
        "core.ties", "core.trust",
    ):  # fmt: skip
        import_module(f"paramtui.{name}")


def _measured(words: list[str], out: str, err: str) -> tuple[int, float, float, float]:
    begin = time.perf_counter()
    pid = os.fork()
    if not pid:
        _run(words, out, err)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - begin
    # Linux counts in KiB, macOS in bytes.
    mib = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, mib


def _run(words: list[str], out: str, err: str) -> NoReturn:
    status = 99
    try:
        signal.alarm(STOP_SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (STOP_BYTES, STOP_BYTES))
        for path, descriptor in ((out, 1), (err, 2)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, descriptor)
            os.close(file)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from paramtui.cli import main

        status = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
