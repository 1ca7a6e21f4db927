"""Saves to a disk that is truly full: ``python -m tests.saving.full_disk FOLDER``.

Mounts a disk of 2 MB on FOLDER, so it is run in a mount namespace of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from paramtui.checkpoints import writing
from paramtui.checkpoints.writing import FileJob, Sink, identity_of, write_files
from paramtui.errors import SavingError

OLD = b"old" * 100_000
NEEDED = 4_000_000


def main(folder: Path) -> None:
    """Asserts what happens when the new file does not fit."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], check=True)
    path = folder / "a.pt"
    path.write_bytes(OLD)
    appended = 0

    def write(sink: Sink) -> None:
        nonlocal appended
        for _ in range(NEEDED // 1000):
            sink.append(b"x" * 1000)
            appended += 1000

    def refused(job: FileJob) -> str:
        nonlocal appended
        appended = 0
        try:
            write_files([job])
        except SavingError as error:
            assert path.read_bytes() == OLD
            assert [found.name for found in folder.iterdir()] == ["a.pt"]
            return str(error)
        raise AssertionError("saved where there is no room")

    for job in (
        FileJob(str(path), NEEDED, write, identity_of(str(path))),
        FileJob(str(folder / "new.pt"), NEEDED, write),
    ):
        # Known from the system's count of what is free.
        words = refused(job)
        assert "4.0 MB are needed and 1.8 MB are free" in words, words
        assert not appended
        # Not counted: known when room is reserved.
        with mock.patch.object(writing, "free_nbytes", lambda folder: None):
            words = refused(job)
            assert "the disk is full: 4.0 MB are needed" in words, words
            assert not appended
            # Not reserved either, as on macOS: known when it happens.
            reserve = os.posix_fallocate
            del os.posix_fallocate
            words = refused(job)
            os.posix_fallocate = reserve
            assert "no space left on device" in words, words
            assert appended
    write_files([FileJob(str(path), 1000, lambda sink: sink.append(b"y" * 1000), identity_of(str(path)))])
    assert path.read_bytes() == b"y" * 1000
    print("held")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
