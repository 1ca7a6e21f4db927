"""Any file of 1 MB is decided within 5 s of a processor's time and 256 MB of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.hostile.measuring import Run
from tests.support import ROOT

# Each bomb by one of the commands, in turn; `python -m tests.hostile` tries all commands on all.
SHARES = [
    *(("pickles", f"{part}/4", 25) for part in range(4)),
    *(("tensors", f"{part}/2", 30) for part in range(2)),
    ("parts", "0/1", 16),
    ("archives", "0/1", 45),
    ("older", "0/1", 15),
    ("headers", "0/1", 40),
    ("folders", "0/1", 20),
    ("bytes", "0/1", 257),
]


def tried(group: str, share: str) -> dict[str, Run]:
    words = ("--only", group, "--share", share, "--json", "--in-turn")
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile", *words],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=False,
    )
    assert done.stderr == b""
    found: dict[str, Run] = {}
    for line in done.stdout.splitlines():
        _, bomb, command, *run = json.loads(line)
        found[f"{command} of {bomb}"] = Run(*run)
    return found


@pytest.mark.parametrize(("group", "share", "least"), SHARES)
def test_every_hostile_file_is_decided_within_bounds(group: str, share: str, least: int) -> None:
    found = tried(group, share)
    assert len(found) >= least
    broken = {name: words for name, run in found.items() if (words := run.broken())}
    assert broken == {}
    # Whatever is refused is refused in one line that says why; `stats` says it in the rows, too.
    for name, run in found.items():
        if run.status == 2 and not (name.startswith("stats ") and run.written):
            assert run.said.startswith("paramtui: "), name
            assert run.said.count("\n") == 1, name
            assert run.written == 0, name
