"""A fuzz run: makes the seeds, starts the processes, and adds up what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import paramtui

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(paramtui.__file__)))


class Result:
    """What a run came to.

    Attributes:
        cases, listings, closely: Cases; those that became listings; those of which everything was printed.
        outcomes: Number of cases by what they became: ``listing``, ``journal``, or the name of an error.
        failures: What no file may cause, one entry a kind.
        crashes: What processes that ended in the middle left behind.
        failed: Number of cases that did it.
        forbidden: Events that the alarm heard.
        slowest: Seconds of processor time of the slowest case, and which it was.
        peak_nbytes: Memory that the largest process took.
        seconds: Time that went by.
    """

    def __init__(self) -> None:
        self.cases = self.closely = self.failed = self.forbidden = self.peak_nbytes = 0
        self.outcomes: dict[str, int] = {}
        self.failures: list[dict[str, str]] = []
        self.crashes: list[str] = []
        self.slowest: tuple[float, str] = (0.0, "")
        self.seconds = 0.0

    @property
    def listings(self) -> int:
        """Cases that became listings."""
        return self.outcomes.get("listing", 0)

    def add(self, found: dict[str, Any]) -> None:
        """Adds what one process found."""
        self.cases += found["cases"]
        self.closely += found["closely"]
        self.failed += found["failed"]
        self.forbidden += found["forbidden"]
        for outcome, count in found["outcomes"].items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        known = {failure["signature"] for failure in self.failures}
        self.failures += [failure for failure in found["failures"] if failure["signature"] not in known]
        self.slowest = max(self.slowest, tuple(found["slowest"]))
        self.peak_nbytes = max(self.peak_nbytes, found["peak_nbytes"])

    def summary(self) -> str:
        """One line for people."""
        errors = ", ".join(
            f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()) if outcome != "listing"
        )
        return (
            f"fuzzing: {self.cases:,} cases in {self.seconds:.0f} s: {self.listings:,} listings, {errors};"
            f" {self.closely:,} looked at closely; {self.forbidden} forbidden events; {self.failed} failures;"
            f" slowest {self.slowest[0] * 1000:.0f} ms ({self.slowest[1]});"
            f" peak memory {self.peak_nbytes / 1e6:.0f} MB"
        )


def run(pickles: int, files: int, seed: int, jobs: int, *, corpus: str, keep: str) -> Result:
    """Reads broken files in processes of their own.

    Args:
        pickles: Cases in memory.
        files: Whole files and folders.
        seed: Other cases with each.
        jobs: Processes.
        corpus: Folder of cases that are read first.
        keep: Folder for the cases that fail.
    """
    began = time.monotonic()
    result = Result()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as scratch:
        seeds = os.path.join(scratch, "seeds")
        # By a process of its own: what a process has taken of memory counts for those that it starts.
        subprocess.run([sys.executable, "-m", "tests.fuzz.seeds", seeds], cwd=ROOT, check=True)
        processes = []
        for job in range(jobs):
            own = os.path.join(scratch, str(job))
            os.mkdir(own)
            words = ["--scratch", own, "--seeds", seeds, "--corpus", corpus, "--found", keep]
            numbers = {"pickles": pickles, "files": files, "seed": seed, "job": job, "jobs": jobs}
            words += [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.fuzz.worker", *words],
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                    text=True,
                )
            )
        for job, process in enumerate(processes):
            printed, _ = process.communicate()
            if process.returncode:
                with open(os.path.join(scratch, str(job), "progress"), "rb") as file:
                    where = file.read().decode().strip()
                result.failed += 1
                result.crashes.append(
                    f"process {job} ended with status {process.returncode} at: {where or 'its start'}"
                )
            else:
                result.add(json.loads(printed))
    result.seconds = time.monotonic() - began
    return result
