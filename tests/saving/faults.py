"""Makes one call of the operating system fail during a save, each in turn, and looks at what is left."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from paramtui.checkpoints.files import os_error_text
from paramtui.checkpoints.temporary import leftovers, remove_leftover
from paramtui.errors import ParamtuiError
from tests.saving.writers import JOBS, MODELS, Maker, Writer

CALLS = (
    *("open", "close", "stat", "lstat", "fstat", "statvfs", "posix_fallocate", "pread", "write", "pwrite"),
    *("fchown", "fchmod", "listxattr", "getxattr", "setxattr", "fsync", "link", "replace", "unlink"),
    *("scandir", "flock", "mkdir", "rmdir", "readlink", "truncate"),
)
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EINTR, errno.EPERM)
# They change nothing on the disk: to be killed before one is to be killed before the next that does.
READING = (
    *("close", "stat", "lstat", "fstat", "statvfs", "pread", "listxattr", "getxattr", "scandir", "readlink"),
)
# Calls whose work may be done although they report an error, as over a network.
DONE_AND_FAILED = ("link", "replace", "fsync", "unlink")
# A name is only removed where nothing else can be done: what cannot be removed is named.
REMOVING = ("unlink", "rmdir")
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your share of the disk is used up"}


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
        gone: From the call of this number among all calls on, every one fails: the disk is gone.
        killed: Before this one among all calls that change something, or in the middle of it, the process is.
    """

    call: str = ""
    number: int = 0
    error: int | None = None
    done: bool = False
    onwards: bool = False
    short: bool = False
    no_links: bool = False
    gone: int = 0
    killed: int = 0


@contextmanager
def injected(fault: Fault) -> Iterator[Counter[str]]:
    """Replaces the functions of the modules `os` and `fcntl`; counts the calls of each."""
    counts: Counter[str] = Counter()
    changed: list[str] = []
    real: dict[str, Callable[..., Any]] = {}

    def faulty(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            hit = name == fault.call and (
                counts[name] == fault.number or (fault.onwards and counts[name] > fault.number)
            )
            hit = hit or bool(fault.gone and counts.total() >= fault.gone)
            changes = name not in READING and (name != "open" or bool(args[1] & os.O_CREAT))
            changed.extend([name] * changes)
            dying = changes and len(changed) == fault.killed
            if (fault.short or dying) and name in ("write", "pwrite"):
                args = (args[0], bytes(args[1])[: max(1, len(args[1]) // 3)], *args[2:])
                if dying:
                    real[name](*args, **options)
            if dying:
                os.kill(os.getpid(), signal.SIGKILL)
            if fault.no_links and name == "link":
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            # A descriptor is gone even where close() reports an error.
            if not hit or fault.done or name == "close":
                # What is confirmed by the disk is not what these look at, and it takes long.
                result = None if name == "fsync" else real[name](*args, **options)
                if not hit:
                    return result
            if fault.error is None:
                raise KeyboardInterrupt
            raise OSError(fault.error, os.strerror(fault.error))

        return call

    modules = {name: fcntl if name == "flock" else os for name in CALLS}
    present = {name: module for name, module in modules.items() if hasattr(module, name)}
    for name, module in present.items():
        real[name] = getattr(module, name)
        setattr(module, name, faulty(name))
    try:
        yield counts
    finally:
        for name, module in present.items():
            setattr(module, name, real[name])


def state_of(path: Path) -> bytes | None:
    """What lies at a path; None for nothing."""
    return path.read_bytes() if path.exists() else None


def expected(maker: Maker) -> list[bytes]:
    """The files of a writer as they are saved where nothing goes wrong."""
    with tempfile.TemporaryDirectory() as folder:
        writer = maker(Path(folder).resolve())
        writer.save()
        assert writer.right()
        writer.close()
        return [path.read_bytes() for path in writer.paths]


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def attempt(
    maker: Maker, wanted: list[bytes], fault: Fault, folder: Path, seen: Counter[str]
) -> Counter[str]:
    """Saves with one fault and asserts that what is there afterwards is right.

    Args:
        maker: What is saved.
        wanted: As `expected` gives it.
        fault: What goes wrong.
        folder: An empty directory.
        seen: Gets what was found, added up.

    Returns:
        How often each call was made.
    """
    descriptors = _descriptors()
    writer = maker(folder)
    before = [state_of(path) for path in writer.paths]
    mode = writer.paths[0].stat().st_mode if before[0] is not None else None
    error: BaseException | None = None
    saved = None
    with injected(fault) as counts:
        try:
            saved = writer.save()
        except (ParamtuiError, KeyboardInterrupt) as caught:
            error = caught
    new = whole_files(writer, before, wanted, seen, fault)
    if saved is not None:
        assert all(new), f"{fault}: reported as saved"
        if fault.error is not None and fault.call == "fsync":
            assert not saved.durable
            assert "durable" in saved.notes or "though it is in its place" in saved.notes
    elif isinstance(error, ParamtuiError):
        _check_words(writer, fault, error, new)
    else:
        assert fault.error is None
    if new[0] and mode is not None:
        # What the old group could do is not given to another one.
        found = writer.paths[0].stat().st_mode
        assert found == mode or (fault.call == "fchown" and found & 0o777 == mode & 0o700)
    writer.close()
    _check_left(folder, fault, error, seen)
    # Ctrl+C can come between an open() and whoever would close what it gave.
    if not isinstance(error, KeyboardInterrupt):
        assert _descriptors() <= descriptors, f"{fault}: a descriptor is left open"
    return counts


def whole_files(
    writer: Writer, before: list[bytes | None], wanted: list[bytes], seen: Counter[str], fault: Fault
) -> list[bool]:
    """Asserts that each file is the whole old or the whole new one; which of them are new."""
    after = [state_of(path) for path in writer.paths]
    new = [state == data for state, data in zip(after, wanted, strict=True)]
    for is_new, was, now in zip(new, before, after, strict=True):
        assert is_new or now == was, f"{fault}: a file is neither old nor new"
    seen["new"] += sum(new)
    seen["old"] += len(new) - sum(new)
    return new


def _check_words(writer: Writer, fault: Fault, error: ParamtuiError, new: list[bool]) -> None:
    """An error says what happened, and which files are new where some are."""
    words = str(error)
    assert "\n" not in words
    if fault.error is not None:
        said = os_error_text(OSError(fault.error, os.strerror(fault.error)))
        assert said in words or _FULL.get(fault.error, said) in words, f"{fault}: {words}"
    if any(new):
        assert len(new) > 1 and not all(new), f"{fault}: saved, and reported as failed"
        parts = words[words.index("New are") :].split("; as before are ")
        for path, is_new in zip(writer.paths, new, strict=True):
            assert (str(path) in parts[0]) is is_new, f"{fault}: {words}"
            assert (str(path) in parts[1]) is not is_new, f"{fault}: {words}"


def _check_left(folder: Path, fault: Fault, error: BaseException | None, seen: Counter[str]) -> None:
    """Nothing is left, or it is named and can be removed later."""
    left = sorted(folder.rglob("*.tmp"))
    if left:
        assert fault.gone or (fault.call in REMOVING and not fault.done), f"{fault}: {left}"
        if isinstance(error, ParamtuiError):
            assert all(str(path) in str(error) for path in left), f"{fault}: {error}"
    seen["left and named"] += len(left)
    remove_left(folder)


def remove_left(folder: Path) -> None:
    """Removes temporary files as the program offers it; asserts that all are found."""
    for path in sorted(folder.rglob("*.tmp")):
        assert str(path) in [each.path for each in leftovers(str(path.parent))]
        remove_leftover(str(path))
    assert not list(folder.rglob("*.tmp"))


def faults(maker: Maker, counts: Counter[str], *, no_links: bool) -> Iterator[Fault]:
    """Every call of a save with every error; for what shares its way of writing, with some of them.

    Args:
        maker: What is saved.
        counts: How often each call is made where nothing goes wrong.
        no_links: The file system has no hard links.
    """
    thorough = maker in JOBS[:2] and not no_links
    errors: tuple[int | None, ...] = (*ERRORS, None) if thorough else (*ERRORS[:2], ERRORS[3], None)
    if maker in MODELS:
        # Where Ctrl+C can reach the saving of a live model is looked at elsewhere.
        errors = errors[:-1]
    yield Fault(short=True, no_links=no_links)
    if not no_links:
        for every in range(1, counts.total() + 1):
            yield Fault(error=errno.EIO, gone=every)
    for call, number in counts.items():
        reading = call in (*READING, "open") and not thorough
        for count in range(1, number + 1):
            for error in errors[:1] if reading else errors:
                # Retried for ever, as the system's own library does it.
                forever = error == errno.EINTR and call in ("write", "pwrite")
                once = not thorough or error is None or forever
                for onwards in (False,) if once else (False, True):
                    yield Fault(call, count, error, onwards=onwards, no_links=no_links)
                if call in DONE_AND_FAILED:
                    yield Fault(call, count, error, done=True, no_links=no_links)


def run_all(maker: Maker) -> Counter[str]:
    """Runs every fault; returns what was seen, and under ``faults`` how many there were."""
    wanted = expected(maker)
    seen: Counter[str] = Counter()

    def one(fault: Fault) -> Counter[str]:
        with tempfile.TemporaryDirectory() as folder:
            return attempt(maker, wanted, fault, Path(folder).resolve(), seen)

    for no_links in (False, True):
        counts = one(Fault(no_links=no_links))
        if no_links and not counts["link"]:
            break
        for fault in faults(maker, counts, no_links=no_links):
            one(fault)
            seen["faults"] += 1
    return seen
