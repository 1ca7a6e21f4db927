"""Saving: time and memory of a small edit of a large checkpoint, against a plain copy of the file."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.benchmarks.timing import Case, compare

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 2
LIMIT_MIB = 150.0
# Changes 4 kB in the middle of the first storage, and writes a new file.
OURS = """
import os, sys
from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.splicing import Patch, spliced
from paramtui.checkpoints.writing import FileJob, write_files
from paramtui.checkpoints.zip_directory import ZipDirectory
source, target = sys.argv[1:]
if os.path.exists(target):
    os.unlink(target)
with RandomFile(source) as file:
    directory = ZipDirectory(file)
    begin = directory.begin(directory.index["four/data/0"]) + (1 << 30)
    patch = Patch(begin, 4096, lambda at, nbytes: b"x" * nbytes)
    assert write_files([FileJob(target, file.nbytes, spliced(file, [patch]))]).durable
"""
# Holes are written out, as ours are, and both wait for the disk.
COPY = 'rm -f "$1" && cp --sparse=never "$0" "$1" && sync "$1"'
_FOUR = """
import sys, torch
path, hole = sys.argv[1:]
sizes = (2 << 30, 1 << 30, 1 << 30)
state = {f"part{index}": torch.from_file(hole, shared=False, size=size, dtype=torch.uint8)
         for index, size in enumerate(sizes)}
with torch.serialization.skip_data():
    torch.save(state, path)
"""


def four_gigabytes(directory: Path) -> Path:
    """A ``.pt`` of three storages and 4.3 GB: sparse, so that it takes little disk."""
    path = directory / "four.pt"
    if not path.exists():
        hole = directory / "hole"
        with hole.open("wb") as file:
            file.truncate(2 << 30)
        subprocess.run([sys.executable, "-c", _FOUR, str(path), str(hole)], check=True)
        hole.unlink()
    return path


def main(directory: Path) -> None:
    """Prints one line."""
    source = four_gigabytes(directory)
    target = directory / "edited.pt"
    case = Case(
        "saving a 4.3 GB .pt with 4 kB changed, against cp and sync of the file",
        (sys.executable, "-c", OURS, str(source), str(target)),
        ("bash", "-c", COPY, str(source), str(target)),
        limit_mib=LIMIT_MIB,
    )
    print(compare(case, ROUNDS), flush=True)
    target.unlink()
