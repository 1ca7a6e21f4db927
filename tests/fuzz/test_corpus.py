"""Every file that ever broke a reader, and some thousand new ones, are read under the alarm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

from tests.fuzz.cases import CORPUS, Case, read_cases, write_case
from tests.fuzz.handmade import PICKLES as HANDMADE
from tests.fuzz.handmade import deflated, exported, journals
from tests.fuzz.mutators import mutated
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# CI reads a million more after the tests.
PICKLES = int(os.environ.get("PARAMTUI_FUZZ_PICKLES", "20000"))
FILES = int(os.environ.get("PARAMTUI_FUZZ_FILES", "1000"))


def fuzz(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_no_broken_file_does_more_than_end_in_a_listing_or_an_error(tmp_path: Path) -> None:
    done = fuzz("--pickles", str(PICKLES), "--files", str(FILES), "--jobs", "1", "--keep", str(tmp_path))
    assert done.stderr == ""
    assert done.returncode == 0, done.stdout
    cases = PICKLES + FILES + len(read_cases(CORPUS))
    assert done.stdout.startswith(f"fuzzing: {cases:,} cases in ")
    assert "; 0 forbidden events; 0 failures; " in done.stdout
    listings, peak = re.search(r" s: ([0-9,]+) listings, .* peak memory (\d+) MB$", done.stdout).groups()  # type: ignore[union-attr]
    assert int(listings.replace(",", "")) > cases / 4
    assert int(peak) < 256


def test_equal_numbers_give_equal_cases_in_whatever_order() -> None:
    seeds = [
        *journals(),
        *(Case("pickle", name, {"data.pkl": data}) for name, data in HANDMADE.items()),
        Case("file", "exported", {"model.pt": exported()}),
        Case("archive", "deflated", {"model.pt": deflated()}),
    ]

    def digests(numbers: Iterable[int]) -> dict[int, str]:
        return {number: mutated(Random(number), seeds).digest for number in numbers}

    found = digests(range(2000))
    assert digests(reversed(range(2000))) == found
    assert len(set(found.values())) > 1900


def test_a_case_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    files = {f"{place}.bin": bytes([place]) for place in (11, 2, 5)}
    case = Case("folder", "x", files)
    write_case(str(tmp_path), case)
    (found,) = read_cases(str(tmp_path))
    assert found == case
    assert list(found.files) == list(files)
