"""Journals that are written while calls fail, or until the process is killed."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from paramtui.core.edits import SetCells
from paramtui.core.journal import Head, Journal, recoverable
from tests.saving.faults import ERRORS, Fault, injected

HEAD = Head("/models/x.pt", ("--seed", "1"), "x.pt 100 5")
NEEDED = ("open", "write", "fsync", "flock")
EDITS = [SetCells(f"layers.{number}.weight", "0, 1:3", "=", number) for number in range(3)]


@contextmanager
def state_folder() -> Iterator[Path]:
    """A state directory of its own."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, XDG_STATE_HOME=folder):
        yield Path(folder)


def note_all(noted: Callable[[], None]) -> str:
    """Notes every edit; `noted` is called for each that is safe. Returns what is wrong with the journal."""
    journal = Journal(HEAD)
    for edit in EDITS:
        journal.intent(edit)
        journal.done("digest")
        if not journal.problem:
            noted()
    journal.close(keep=True)
    return journal.problem


def check(safe: int) -> int:
    """Asserts that the first edits come back, at least those that were said to be safe; how many do."""
    found = recoverable(HEAD)
    assert len(found) <= 1
    edits = [change.edit for change in found[0].changes] if found else []
    assert edits == EDITS[: len(edits)]
    assert len(edits) >= safe
    return len(edits)


def attempt(fault: Fault, seen: Counter[str]) -> Counter[str]:
    """Notes edits with one fault: nothing is raised, and what was safe comes back."""
    safe = 0

    def noted() -> None:
        nonlocal safe
        safe += 1

    with state_folder():
        with injected(fault) as counts:
            problem = note_all(noted)
        assert problem or fault.call not in NEEDED, f"{fault}: {problem}"
        assert not problem or os.strerror(fault.error or 0) in problem
        seen["edits back"] += check(safe)
    return counts


def run_all() -> Counter[str]:
    """Every call with every error; returns what was seen, and under ``faults`` how many there were."""
    seen: Counter[str] = Counter()
    counts = attempt(Fault(), seen)
    attempt(Fault(short=True), seen)
    seen["faults"] += 1
    for call, number in counts.items():
        for count in range(1, number + 1):
            for error in ERRORS:
                for onwards in (False, True):
                    attempt(Fault(call, count, error, onwards=onwards), seen)
                    seen["faults"] += 1
    return seen


def _count(safe: mmap.mmap) -> None:
    safe[0] += 1


def kill_at_every_call() -> Counter[str]:
    """Kills a process that notes edits, before each of its calls and in the middle of each write."""
    seen: Counter[str] = Counter()
    while True:
        safe = mmap.mmap(-1, 1)
        with state_folder():
            child = os.fork()
            if not child:
                try:
                    with injected(Fault(killed=seen["kills"] + 1)):
                        note_all(partial(_count, safe))
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            seen["edits back"] += check(safe[0])
            if not os.WIFSIGNALED(status):
                assert safe[0] == len(EDITS)
                return seen
        seen["kills"] += 1
