"""The process that reads broken files under the alarm; it prints what it found as JSON.

Nothing is imported here that readers do not need: PyTorch has made the seeds in another process, and what
this one takes of memory is what reading takes.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import importlib
import json
import mmap
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
import warnings
from random import Random
from typing import TYPE_CHECKING, Any, Final

import paramtui.checkpoints
import paramtui.commands
import paramtui.core
import paramtui.errors
from paramtui.errors import EditError, FormatError, ParamtuiError, TargetError, ValuesError
from tests.fuzz.cases import Case, read_cases, write_case
from tests.fuzz.hook import Alarm, ForbiddenError
from tests.fuzz.invariants import check_error
from tests.fuzz.mutators import mutated
from tests.fuzz.units import ALLOWED, ON_DISK, lay_out, read

if TYPE_CHECKING:
    from types import FrameType

SECONDS: Final = 5
"""Processor time within which any of the small files here has to be decided."""
NBYTES: Final = 256 << 20
"""Memory that the process may come to take, interpreter and seeds included."""

CLOSELY: Final = {"memory": 51, "files": 7}
"""One case in so many is printed in every form, and windows of its numbers are read; odd, so that two
processes share them."""
_LISTED_ERRORS: Final = (FormatError, TargetError, ValuesError, EditError)
_STREAMS: Final = {
    "memory": {"pickle": 66, "header": 14, "legacy": 7, "archive": 7, "journal": 3, "config": 2, "index": 1},
    "files": {"file": 70, "folder": 18, "index": 6, "config": 6},
}
_MINIMISING: Final = 400
# What the standard library and this suite import at the first use of something else.
_LATER: Final = (
    "difflib", "zlib", "unicodedata", "linecache", "encodings.raw_unicode_escape", "encodings.unicode_escape",
    "encodings.utf_16", "encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_32",
    "encodings.utf_32_be", "encodings.utf_32_le",
    "encodings.utf_8_sig",
)  # fmt: skip


class SlowError(BaseException):
    """A case took longer than any may."""


def _expired(number: int, frame: FrameType | None) -> None:
    raise SlowError(f"not decided within {SECONDS} s")


class Worker:
    """Reads cases and counts what they become.

    Attributes:
        found: What is told at the end.
    """

    def __init__(self, scratch: str, corpus: str) -> None:
        self._folder = os.path.join(scratch, "case")
        os.makedirs(self._folder, exist_ok=True)
        self._corpus = corpus
        self._alarm = Alarm(self._folder)
        self._laid: Case | None = None
        self._signatures: set[str] = set()
        self._peak = 0
        self.found: dict[str, Any] = {
            "cases": 0, "outcomes": {}, "closely": 0, "failures": [], "failed": 0, "forbidden": 0,
            "slowest": [0.0, ""],
        }  # fmt: skip
        signal.signal(signal.SIGPROF, _expired)

    def lay_out(self, case: Case) -> None:
        """Writes a case's files, for units that read files."""
        if case.unit in ON_DISK:
            lay_out(case, self._folder, self._laid)
            self._laid = case

    def attempt(self, case: Case, *, closely: bool) -> str:
        """What a case becomes, under the alarm.

        Raises:
            BaseException: Whatever no file may cause.
        """
        self.lay_out(case)
        alarm = self._alarm
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        alarm.allowed = ALLOWED.get(case.unit, frozenset())
        alarm.armed = True
        try:
            return read(case, self._folder, closely=closely)
        except ParamtuiError as error:
            if not isinstance(error, _LISTED_ERRORS):
                raise
            check_error(error)
            return type(error).__name__
        except ForbiddenError:
            alarm.heard.pop()
            raise
        finally:
            alarm.armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            if alarm.heard:
                # The reader went on as if nothing had been.
                raise ForbiddenError(alarm.heard.pop())

    def run(self, case: Case, origin: str, *, closely: bool) -> None:
        """Reads a case and notes what it became."""
        found = self.found
        began = time.process_time()
        try:
            outcome = self.attempt(case, closely=closely)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome = "failure"
            found["forbidden"] += isinstance(error, ForbiddenError)
            self._fail(case, origin, error, closely=closely)
        took = time.process_time() - began
        peak = peak_nbytes()
        if peak > self._peak:
            if self._peak and peak > NBYTES >= self._peak:
                self._fail(case, origin, MemoryError(f"{peak:,} bytes"), closely=closely)
            self._peak = peak
        if took > found["slowest"][0]:
            found["slowest"] = [took, f"{origin} ({case.unit}, {case.name})"]
        found["cases"] += 1
        found["closely"] += closely
        found["outcomes"][outcome] = found["outcomes"].get(outcome, 0) + 1

    def _fail(self, case: Case, origin: str, error: BaseException, *, closely: bool) -> None:
        self.found["failed"] += 1
        signature = signature_of(case, error)
        if signature in self._signatures:
            return
        self._signatures.add(signature)
        words = "".join(traceback.format_exception(error, limit=-8))
        if not isinstance(error, SlowError | MemoryError):
            case = self._minimised(case, signature, closely=closely)
        path = write_case(self._corpus, case._replace(name=case.digest))
        self.found["failures"].append(
            {"signature": signature, "origin": origin, "words": words, "path": path}
        )

    def _minimised(self, case: Case, signature: str, *, closely: bool) -> Case:
        """The same failure of a smaller file, as far as a few hundred attempts lead."""
        tries = 0
        size = len(case.main) // 2
        while size and tries < _MINIMISING:
            at = 0
            while at < len(case.main) and tries < _MINIMISING:
                content = case.main
                smaller = case.with_main(content[:at] + content[at + size :])
                tries += 1
                try:
                    self.attempt(smaller, closely=closely)
                except BaseException as error:
                    if signature_of(smaller, error) == signature:
                        case = smaller
                        continue
                at += size
            size //= 2
        return case


def signature_of(case: Case, error: BaseException) -> str:
    """Tells failures apart: what was raised, and by which line."""
    frames = traceback.extract_tb(error.__traceback__)
    package = os.path.dirname(paramtui.errors.__file__)
    inside = [frame for frame in frames if frame.filename.startswith(package)] or list(frames)
    last = (list(frames) if isinstance(error, AssertionError) else inside)[-1:]
    place = f"{os.path.basename(last[0].filename)}:{last[0].lineno}" if last else "the end"
    event = f" ({str(error).partition(' ')[0]})" if isinstance(error, ForbiddenError) else ""
    return f"{type(error).__name__}{event} at {place} of {case.unit}"


def peak_nbytes() -> int:
    """Most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def import_all() -> None:
    """Imports what readers import when they first need it, so that the alarm hears no import of theirs."""
    for package in (paramtui.checkpoints, paramtui.core, paramtui.commands):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    for name in _LATER:
        importlib.import_module(name)


def fuzz(worker: Worker, seeds: list[Case], options: argparse.Namespace, progress: mmap.mmap) -> None:
    """All cases of this process: every `jobs`-th."""
    by_unit: dict[str, list[Case]] = {}
    for case in seeds:
        by_unit.setdefault(case.unit, []).append(case)
    rng = Random()
    for stream, (name, weights) in enumerate(_STREAMS.items()):
        units = [unit for unit, weight in weights.items() for _ in range(weight)]
        for number in range(
            options.job, options.pickles if name == "memory" else options.files, options.jobs
        ):
            # The same whatever the number of processes.
            rng.seed((options.seed << 40) + (stream << 36) + number)
            case = mutated(rng, by_unit[rng.choice(units)])
            origin = f"{name} case {number:,} of seed {options.seed}"
            progress[:] = origin.encode().ljust(len(progress))
            worker.run(case, origin, closely=number % CLOSELY[name] == 0)


def main() -> None:
    """Runs what the command line says and prints one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--found", required=True)
    for name in ("pickles", "files", "seed", "job"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    faulthandler.enable()
    import_all()
    # What NumPy warns of would be printed over the screen; what Python shows nobody is nothing.
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", DeprecationWarning)
    with contextlib.suppress(ValueError, OSError):
        # A bomb gets a MemoryError, and the machine goes on.
        resource.setrlimit(resource.RLIMIT_DATA, (4 * NBYTES, resource.RLIM_INFINITY))
    with open(os.path.join(options.scratch, "progress"), "w+b") as file:
        file.write(b" " * 80)
        file.flush()
        progress = mmap.mmap(file.fileno(), 80)
    worker = Worker(options.scratch, options.found)
    seeds = read_cases(options.seeds)
    for case in seeds:
        # What is imported at the first use: of NumPy, of codecs.
        worker.lay_out(case)
        with contextlib.suppress(ParamtuiError):
            read(case, os.path.join(options.scratch, "case"), closely=True)
    gc.collect()
    gc.freeze()
    began = time.process_time()
    if options.job == 0:
        for case in read_cases(options.corpus):
            worker.run(case, f"corpus {case.unit}-{case.name}", closely=True)
    fuzz(worker, seeds, options, progress)
    assert "torch" not in sys.modules
    peak = peak_nbytes()
    print(json.dumps({**worker.found, "peak_nbytes": peak, "seconds": time.process_time() - began}))


if __name__ == "__main__":
    main()
