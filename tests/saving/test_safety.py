"""Saving when calls fail, processes are killed and disks are full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.saving import faults, journals
from tests.saving.writers import JOBS, WRITERS, Maker
from tests.support import ROOT


@pytest.mark.parametrize("maker", WRITERS)
def test_whatever_call_fails_every_file_is_wholly_old_or_wholly_new(maker: Maker) -> None:
    seen = faults.run_all(maker)
    assert seen["faults"] > (500 if maker in JOBS else 70)
    assert seen["old"] > 0
    assert seen["new"] > 0
    assert seen["left and named"] > 0, "a disk that is gone keeps what lies there"


def test_whatever_call_fails_what_a_journal_said_to_be_safe_comes_back() -> None:
    seen = journals.run_all()
    assert seen["faults"] > 200
    assert seen["edits back"] > seen["faults"] // 2


def test_after_a_kill_at_any_moment_files_are_whole_and_what_is_left_can_be_removed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.saving", "kills"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=300,
    )
    seen = json.loads(done.stdout)
    assert seen["kills"] > 400
    assert seen["killed in the middle"] > 0, seen
    assert seen["whole"] >= 200
    assert seen["left and named"] > 0
    assert not {"torn", "lost", "left after removal"} & {what for what, count in seen.items() if count}


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
