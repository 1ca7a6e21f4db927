"""Saving when calls fail, processes are killed and disks are full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.saving import faults
from tests.support import ROOT


@pytest.mark.parametrize("scenario", faults.SCENARIOS)
def test_whatever_call_fails_every_file_is_wholly_old_or_wholly_new(scenario: faults.Scenario) -> None:
    counts = faults.run_all(scenario)
    assert set(counts) >= {"open", "write", "pwrite", "pread", "fsync", "fchmod", "fstat", "stat", "flock"}
    assert sum(counts.values()) > 400, counts


def test_after_a_kill_at_any_moment_the_file_is_whole_and_what_is_left_can_be_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.saving.killing", str(tmp_path), "200", "7"]
    seen = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120).stdout)
    assert seen["kills"] == 200
    assert not seen.get("broken"), seen
    assert not seen["lost"], seen
    assert not seen["left after removal"], seen
    assert seen["killed in the middle"] > 0, seen
    assert seen["whole"] >= 200


def test_a_full_disk_is_known_before_the_first_byte_and_leaves_the_old_file(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    inside = [unshare or "unshare", "-m"] if os.geteuid() == 0 else [unshare or "unshare", "-Urm"]
    if unshare is None or subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted neither by the superuser nor in a user namespace here")
    done = subprocess.run(
        [*inside, sys.executable, "-m", "tests.saving.full_disk", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "held\n", done.stderr
