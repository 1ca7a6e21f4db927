"""Kills a process that saves again and again, and looks at what it leaves.

``python -m tests.saving.killing FOLDER COUNT SEED`` prints what it saw as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from paramtui.checkpoints.writing import FileJob, Sink, identity_of, leftovers, remove_leftover, write_files

NBYTES = 400_000
LONGEST = 0.03  # seconds until a kill; one save takes about a third of it


def content(version: int) -> bytes:
    """Bytes that say which they are, and whether they are whole."""
    body = version.to_bytes(8, "little") * (NBYTES // 8)
    return hashlib.sha256(body).digest() + body


def is_whole(data: bytes) -> bool:
    """Whether these are the bytes of one version."""
    return len(data) == NBYTES + 32 and hashlib.sha256(data[32:]).digest() == data[:32]


def _write(version: int) -> FileJob:
    data = content(version)

    def write(sink: Sink) -> None:
        for at in range(0, len(data), 50_000):
            sink.append(data[at : at + 50_000])

    return FileJob("", len(data), write)


def save_for_ever(folder: Path, version: int, ready: int) -> None:
    """Replaces one file and makes another, in turn, until killed."""
    os.write(ready, b".")
    while True:
        version += 1
        over, fresh = str(folder / "over"), folder / "fresh"
        write_files([_write(version)._replace(path=over, replaces=identity_of(over))])
        fresh.unlink(missing_ok=True)
        write_files([_write(version)._replace(path=str(fresh))])


def main(folder: Path, count: int, seed: int) -> None:
    """Kills `count` times and counts what is found."""
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    (folder / "over").write_bytes(content(0))
    for number in range(count):
        ready, reached = os.pipe()
        child = os.fork()
        if not child:
            save_for_ever(folder, number * 1000, reached)
        os.read(ready, 1)
        time.sleep(chance.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(reached)
        for path in (folder / "over", folder / "fresh"):
            if path.exists():
                seen["whole" if is_whole(path.read_bytes()) else "broken"] += 1
        found = leftovers(str(folder), ["over", "fresh"])
        seen["killed in the middle"] += bool(found)
        for leftover in found:
            remove_leftover(leftover.path)
        seen["left after removal"] += len({path.name for path in folder.iterdir()} - {"over", "fresh"})
        seen["lost"] += not (folder / "over").exists()
        seen["kills"] += 1
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
