"""Prints the ratios that the project promises: ``python -m tests.benchmarks [DIRECTORY] [--only PART]``.

Each case runs our command and its peer in turn, several times, and compares medians: the machine may
be slow or busy, the ratio stays. The files are made once in DIRECTORY (default: a temporary one).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import copies, files, live, saving, screen, sharing, statistics
from tests.benchmarks.timing import Case, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUNDS = 5
PYTHON = sys.executable
LS = (PYTHON, "-m", "paramtui", "ls")

SAFE_OPEN = """
import json, sys
from pathlib import Path
from safetensors import safe_open
folder = Path(sys.argv[1])
index = json.loads((folder / "model.safetensors.index.json").read_text())
found = []
for shard in sorted(set(index["weight_map"].values())):
    with safe_open(folder / shard, framework=sys.argv[2]) as file:
        for name in file.keys():
            part = file.get_slice(name)
            found.append((name, part.get_shape(), part.get_dtype()))
assert len(found) == 92110, len(found)
"""
# Prints its own time: the import of torch is not counted.
TORCH_LOAD = """
import sys, time, torch
start = time.perf_counter()
torch.load(sys.argv[1], mmap=True, weights_only=True)
print(time.perf_counter() - start)
"""


def listing(directory: Path) -> None:
    """Opening checkpoints and listing what is in them."""
    large = files.large_checkpoint(directory)
    shards = files.many_shards(directory)
    many = files.many_tensors(directory)
    cases = [
        Case(
            "ls of a 141 GB .pt, 723 tensors, against python -c pass",
            (*LS, str(large)),
            (PYTHON, "-c", "pass"),
            limit=8.0,
            limit_mib=60.0,
        ),
        Case(
            "ls of 92,110 tensors in 164 shards, against safe_open for PyTorch",
            (*LS, str(shards)),
            (PYTHON, "-c", SAFE_OPEN, str(shards), "pt"),
            limit=0.5,
        ),
        Case(
            "the same, against safe_open for NumPy (no torch imported)",
            (*LS, str(shards)),
            (PYTHON, "-c", SAFE_OPEN, str(shards), "numpy"),
        ),
        Case(
            "ls of a 30,000-tensor .pt, against torch.load(mmap, weights_only) after its import",
            (*LS, str(many)),
            (PYTHON, "-c", TORCH_LOAD, str(many)),
            limit=1 / 3,
            peer_prints_seconds=True,
        ),
    ]
    for case in cases:
        print(compare(case, ROUNDS), flush=True)


PARTS: dict[str, Callable[[Path], object]] = {
    "listing": listing,
    "screen": screen.main,
    "live": live.main,
    "saving": saving.main,
    "sharing": lambda _: sharing.main(),
    "copies": copies.main,
    "statistics": statistics.main,
}


def main(words: Sequence[str]) -> None:
    """Makes the files, runs every part that is asked for, prints a line for each case."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, help="where the files are kept (a temporary one)")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part, or several")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        directory = options.directory or Path(folder)
        directory.mkdir(parents=True, exist_ok=True)
        for name in options.only or PARTS:
            PARTS[name](directory)


if __name__ == "__main__":
    main(sys.argv[1:])
