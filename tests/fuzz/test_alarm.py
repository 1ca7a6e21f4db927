"""The alarm hears whatever is more than reading, and a worker notices whatever goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz.deeds import ALLOWED, FORBIDDEN
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process that does everything forbidden says of it."""
    folder: Path = tmp_path_factory.mktemp("deeds")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.deeds", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", list(FORBIDDEN))
def test_what_no_reader_may_do_is_heard(told: dict[str, Any], name: str) -> None:
    assert told["heard"][name] == FORBIDDEN[name][0]


@pytest.mark.parametrize("name", list(ALLOWED))
def test_what_readers_do_is_not_heard(told: dict[str, Any], name: str) -> None:
    assert told["silent"][name] == ""


def test_what_is_heard_does_not_happen(told: dict[str, Any]) -> None:
    assert told["left"] == ["file"]


def test_a_reader_that_fails_hangs_or_hides_what_it_did_is_a_failure_and_its_file_is_made_small(
    told: dict[str, Any],
) -> None:
    assert told["failures"] == [
        "0 RecursionError 0",
        "1 SlowError 101",
        "2 AssertionError 0",
        "3 ForbiddenError 0",
        "4 ValueError 0",
    ]
