"""Times two commands in turn and compares their medians."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Case:
    """Our command and its peer.

    Attributes:
        name: What is compared.
        ours: Our command.
        peer: The command that it is compared with.
        limit: Largest ratio of our median time to the peer's that is promised, if any.
        limit_mib: Largest resident memory of our command that is promised, if any.
        peer_prints_seconds: The peer prints the time that counts.
    """

    name: str
    ours: tuple[str, ...]
    peer: tuple[str, ...]
    limit: float | None = None
    limit_mib: float | None = None
    peer_prints_seconds: bool = False


# PYTHONDONTWRITEBYTECODE would make every run compile the program anew, which no installed one does.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
# A child starts with its parent's peak memory on its account, so the parent must be small.
LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def run(command: tuple[str, ...]) -> tuple[float, str]:
    """Wall seconds from spawn to end, and what a command printed."""
    start = time.perf_counter()
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)[:200]} failed with {process.returncode}")
    return seconds, process.stdout


def peak_memory(command: tuple[str, ...]) -> float:
    """Largest resident memory of a command in MiB."""
    _, text = run((sys.executable, "-c", LAUNCHER, *command))
    # Linux counts kibibytes, macOS bytes.
    return int(text) / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def compare(case: Case, rounds: int) -> str:
    """One line: the ratio of medians over `rounds` alternating runs, and the times behind it."""
    ours: list[float] = []
    peers: list[float] = []
    for attempt in range(rounds + 1):
        seconds, _ = run(case.ours)
        peer_seconds, text = run(case.peer)
        if case.peer_prints_seconds:
            peer_seconds = float(text)
        if attempt:  # the first round fills caches
            ours.append(seconds)
            peers.append(peer_seconds)
    ratio = median(ours) / median(peers)
    verdict = ""
    if case.limit is not None:
        verdict = f" (promised: at most {case.limit:.2f}: {'kept' if ratio <= case.limit else 'BROKEN'})"
    line = f"{case.name}: ratio {ratio:.2f}{verdict}; {median(ours):.3f} s to {median(peers):.3f} s"
    if case.limit_mib is not None:
        memory = peak_memory(case.ours)
        kept = "kept" if memory <= case.limit_mib else "BROKEN"
        line += f"; {memory:.0f} MiB (promised: at most {case.limit_mib:.0f}: {kept})"
    return line
