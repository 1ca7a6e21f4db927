"""Finding copies in a file of equal pairs, against reading it.

``python -m tests.benchmarks.copies [BYTES]`` runs it alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from paramtui.checkpoints.registry import open_checkpoint

ROUNDS = 5
NBYTES = 2 << 30
PAIRS = 32
LIMIT = 2.0
PIECE = 1 << 20


def equal_pairs(directory: Path, nbytes: int) -> Path:
    """A ``.safetensors`` file in which every tensor has one equal copy, the two far from each other."""
    path = directory / "pairs.safetensors"
    size = nbytes // (2 * PAIRS) // 4096 * 4096
    header = {
        f"{half}.layer{number}": {
            "dtype": "BF16",
            "shape": [size // 4096, 2048],
            "data_offsets": [place * size, (place + 1) * size],
        }
        for place, (half, number) in enumerate((half, number) for half in "ab" for number in range(PAIRS))
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        seeds = [os.urandom(1 << 20) for _ in range(PAIRS)]
        for seed in seeds + seeds:
            whole = (seed * (size // len(seed) + 1))[:size]
            file.write(whole)
    return path


def read(path: Path) -> float:
    """Seconds to read a file from begin to end in pieces."""
    descriptor = os.open(path, os.O_RDONLY)
    begun = time.perf_counter()
    at = 0
    while piece := os.pread(descriptor, PIECE, at):
        at += len(piece)
    seconds = time.perf_counter() - begun
    os.close(descriptor)
    return seconds


def search(path: Path) -> float:
    """Seconds to find the copies in an opened file."""
    source = open_checkpoint(str(path))
    begun = time.perf_counter()
    found = source.find_copies()
    seconds = time.perf_counter() - begun
    if len(found.groups) != PAIRS:
        raise SystemExit(f"{len(found.groups)} groups were found, not {PAIRS}")
    return seconds


def main(directory: Path, nbytes: int = NBYTES) -> None:
    """Prints one line."""
    path = equal_pairs(directory, nbytes)
    ours: list[float] = []
    peers: list[float] = []
    for attempt in range(ROUNDS + 1):
        pair = search(path), read(path)
        if attempt:  # the first round fills caches
            ours.append(pair[0])
            peers.append(pair[1])
    path.unlink()
    ratio = median(ours) / median(peers)
    kept = "kept" if ratio <= LIMIT else "BROKEN"
    print(
        f"finding copies in {nbytes / 1e9:.1f} GB of equal pairs, against reading it in pieces of 1 MiB:"
        f" ratio {ratio:.2f} (promised: at most {LIMIT:.2f}: {kept});"
        f" {median(ours):.3f} s to {median(peers):.3f} s",
        flush=True,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else NBYTES)
