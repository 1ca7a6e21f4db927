"""Kills processes that save: at every call of the operating system, and at moments left to chance."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from paramtui.checkpoints.writing import FileJob, Sink, identity_of, leftovers, remove_leftover, write_files
from tests.saving.faults import Fault, expected, injected, remove_left, state_of, whole_files

if TYPE_CHECKING:
    from tests.saving.writers import Maker

NBYTES = 400_000
LONGEST = 0.03  # seconds until a kill; one save takes about a third of it


def kill_at_every_call(maker: Maker) -> Counter[str]:
    """Kills a process before each call during a save that changes something, and in the middle of writes.

    Every file is then the whole old or the whole new one. Of a set those that come first are new, so that an
    index is never newer than what it names. What is left can be removed.

    Returns:
        What was seen; under ``kills`` how many there were.
    """
    wanted = expected(maker)
    seen: Counter[str] = Counter()
    while True:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            writer = maker(folder)
            before = [state_of(path) for path in writer.paths]
            fault = Fault(killed=seen["kills"] + 1)
            child = os.fork()
            if not child:
                try:
                    with injected(fault):
                        writer.save()
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            writer.close()
            new = whole_files(writer, before, wanted, seen, fault)
            assert new == sorted(new, reverse=True)
            seen["left and named"] += len(list(folder.rglob("*.tmp")))
            remove_left(folder)
            if not os.WIFSIGNALED(status):
                assert all(new)
                return seen
        seen["kills"] += 1


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


def kill_by_chance(folder: Path, count: int, seed: int) -> Counter[str]:
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
                seen["whole" if is_whole(path.read_bytes()) else "torn"] += 1
        found = leftovers(str(folder), ["over", "fresh"])
        seen["killed in the middle"] += bool(found)
        for leftover in found:
            remove_leftover(leftover.path)
        seen["left after removal"] += len({path.name for path in folder.iterdir()} - {"over", "fresh"})
        seen["lost"] += not (folder / "over").exists()
        seen["kills"] += 1
    return seen
