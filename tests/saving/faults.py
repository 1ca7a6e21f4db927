"""Makes one call of the operating system fail during a save, each in turn.

``python -m tests.saving.faults`` runs every case and prints how many there were.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.splicing import Patch, spliced
from paramtui.checkpoints.writing import FileJob, identity_of, write_files
from paramtui.errors import ParamtuiError

CALLS = (
    *("open", "close", "stat", "lstat", "fstat", "statvfs", "posix_fallocate", "pread", "write", "pwrite"),
    *("fchown", "fchmod", "listxattr", "getxattr", "setxattr", "fsync", "link", "replace", "unlink"),
    *("scandir", "flock"),
)
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EINTR, errno.EPERM)
# Calls whose work may be done although they report an error, as over a network.
DONE_AND_FAILED = ("link", "replace", "fsync", "unlink")
KEPT = b"same" * 50_000


def _archive(changed: bytes) -> bytes:
    """An archive of one record, so that its checksum has to be patched, too."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x"), changed * 50_000 + KEPT)
    return out.getvalue()


OLD, NEW = _archive(b"old"), _archive(b"new")


class Fault(NamedTuple):
    """What goes wrong.

    Attributes:
        call: Name of the function; empty for nothing.
        number: Which of its calls fails, from 1 on.
        error: What it raises: an errno, or None for a press of Ctrl+C.
        done: Its work is done all the same.
        onwards: All later ones fail, too.
        short: No error, but writes take only a part of their bytes.
        no_links: The file system has no hard links.
    """

    call: str = ""
    number: int = 0
    error: int | None = None
    done: bool = False
    onwards: bool = False
    short: bool = False
    no_links: bool = False


@contextmanager
def injected(fault: Fault) -> Iterator[Counter[str]]:
    """Replaces the functions of the modules `os` and `fcntl`; counts the calls of each."""
    counts: Counter[str] = Counter()
    real: dict[str, Callable[..., Any]] = {}

    def faulty(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            hit = name == fault.call and (
                counts[name] == fault.number or (fault.onwards and counts[name] > fault.number)
            )
            if fault.short and name in ("write", "pwrite"):
                args = (args[0], bytes(args[1])[: max(1, len(args[1]) // 3)], *args[2:])
            if fault.no_links and name == "link":
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            # A descriptor is gone even where close() reports an error.
            if not hit or fault.done or name == "close":
                result = None if name == "fsync" else real[name](*args, **options)
                if not hit:
                    return result
            if fault.error is None:
                raise KeyboardInterrupt
            raise OSError(fault.error, os.strerror(fault.error))

        return call

    modules = {name: fcntl if name == "flock" else os for name in CALLS}
    for name, module in modules.items():
        real[name] = getattr(module, name)
        setattr(module, name, faulty(name))
    try:
        yield counts
    finally:
        for name, module in modules.items():
            setattr(module, name, real[name])


def _patched(path: Path, source: Path) -> FileJob:
    """A job that makes NEW of a file that holds OLD, by reading it and changing most of it."""
    with RandomFile(str(source)) as file:
        first = NEW.index(b"new")
        second = first + 75_000
        patches = [
            Patch(first, 75_000, lambda begin, nbytes: NEW[first + begin : first + begin + nbytes]),
            Patch(second, 75_000, lambda begin, nbytes: NEW[second + begin : second + begin + nbytes]),
        ]
        write = spliced(file, patches)
    return FileJob(
        str(path), len(NEW), write, identity_of(str(path)) if path == source else None, str(source)
    )


def _old(path: Path) -> Path:
    path.write_bytes(OLD)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 4321, 4322)
    with suppress(AttributeError, OSError):
        os.setxattr(path, "user.kept", b"1")
    return path


def over_one(folder: Path) -> tuple[list[Path], list[FileJob]]:
    """One old file is replaced."""
    path = _old(folder / "a")
    return [path], [_patched(path, path)]


def to_a_new_name(folder: Path) -> tuple[list[Path], list[FileJob]]:
    """One file is made that was not there."""
    source = folder / "source" / "a"
    source.parent.mkdir()
    return [folder / "a"], [_patched(folder / "a", _old(source))]


def over_three(folder: Path) -> tuple[list[Path], list[FileJob]]:
    """A set: two old files are replaced and one is new."""
    paths = [_old(folder / "a"), _old(folder / "b"), folder / "c"]
    jobs = [_patched(path, path) for path in paths[:2]]
    return paths, [*jobs, _patched(paths[2], paths[0])]


SCENARIOS = (over_one, to_a_new_name, over_three)
Scenario = Callable[[Path], tuple[list[Path], list[FileJob]]]


def _state(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def attempt(scenario: Scenario, fault: Fault, folder: Path) -> Counter[str]:
    """Saves with one fault and asserts that what is there afterwards is right."""
    paths, jobs = scenario(folder)
    before = [_state(path) for path in paths]
    descriptors = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    error: BaseException | None = None
    written = None
    with injected(fault) as counts:
        try:
            written = write_files(jobs)
        except (ParamtuiError, KeyboardInterrupt) as caught:
            error = caught
    after = [_state(path) for path in paths]
    new = [state == NEW for state in after]
    for is_new, was, now in zip(new, before, after, strict=True):
        assert is_new or now == was, f"{fault}: a file is neither old nor new"
    if written is not None:
        assert all(new), f"{fault}: reported as saved"
        if fault.error is not None and fault.call == "fsync":
            assert not written.durable
            assert written.notes
    elif isinstance(error, ParamtuiError):
        if any(new):
            assert len(paths) > 1 and not all(new), f"{fault}: saved, and reported as failed"
            words = str(error)
            said = words[words.index("New are") :].split("; as before are ")
            for path, is_new in zip(paths, new, strict=True):
                assert (str(path) in said[0]) is is_new, f"{fault}: {words}"
                assert (str(path) in said[1]) is not is_new, f"{fault}: {words}"
    else:
        assert fault.error is None
    left = sorted(path.name for path in folder.iterdir() if path.name.endswith(".tmp"))
    if fault.call != "unlink" or fault.done:
        assert not left, f"{fault}: {left}"
        # The reader of the old file closes nothing if fstat() fails right after its open().
        if descriptors and fault.error is not None and fault.call != "fstat":
            assert len(os.listdir("/proc/self/fd")) == len(descriptors), f"{fault}: a descriptor is left open"
    elif isinstance(error, ParamtuiError):
        assert all(name in str(error) for name in left)
    if any(new[: len(before)]) and before[0] is not None and new[0]:
        # What the old group could do is not given to another one.
        allowed = {0o640, 0o600} if fault.call == "fchown" else {0o640}
        assert paths[0].stat().st_mode & 0o777 in allowed
    return counts


def faults(scenario: Scenario) -> Iterator[Fault]:
    """Every call of a save, with every error."""
    for no_links in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            counts = attempt(scenario, Fault(no_links=no_links), Path(folder))
        if no_links and not counts["link"]:
            return
        yield Fault(short=True, no_links=no_links)
        for call, number in counts.items():
            for count in range(1, number + 1):
                for error in (*(ERRORS[:1] if no_links else ERRORS), None):
                    # Retried for ever, as the system's own library does it.
                    forever = error == errno.EINTR and call in ("write", "pwrite")
                    for onwards in (False, True) if error is not None and not forever else (False,):
                        yield Fault(call, count, error, onwards=onwards, no_links=no_links)
                    if call in DONE_AND_FAILED:
                        yield Fault(call, count, error, done=True, no_links=no_links)


def run_all(scenario: Scenario) -> Counter[str]:
    """Runs every fault; returns how many there were by call."""
    injected_faults: Counter[str] = Counter()
    for fault in faults(scenario):
        with tempfile.TemporaryDirectory() as folder:
            attempt(scenario, fault, Path(folder).resolve())
        injected_faults[fault.call or "short writes"] += 1
    return injected_faults


if __name__ == "__main__":
    total = sum((run_all(scenario) for scenario in SCENARIOS), Counter())
    print(f"{sum(total.values()):,} faults: " + ", ".join(f"{call} {n}" for call, n in total.most_common()))
