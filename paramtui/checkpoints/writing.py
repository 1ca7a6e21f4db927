"""Writes files so that each is the whole old one or the whole new one, whatever happens.

All temporary files are complete and on the disk before the first is renamed; until then every
error, a full disk, a stop and a crash leave the old files as they are.
"""
# The system's calls stand under their own names: their order is what makes this safe.
# ruff: noqa: PTH100, PTH108, PTH116, PTH120

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.checkpoints.files import kind_of, os_error_text
from paramtui.checkpoints.temporary import (
    Identity,
    Leftover,
    Temporary,
    free_nbytes,
    identity_from,
    identity_of,
    is_full,
    leftovers,
    no_room,
    remains,
    remove_leftover,
)
from paramtui.errors import ParamtuiError, SavingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "PIECE",
    "FileJob",
    "Identity",
    "Leftover",
    "Sink",
    "Written",
    "identity_of",
    "leftovers",
    "remove_leftover",
    "write_files",
]

PIECE: Final = 1 << 18
"""Bytes that a copy reads and writes at once: few enough to stay in the processor's cache."""
_MAX_WRITE: Final = 4 << 20  # bytes between two reports of progress
# Shorter pieces are put together: an archive of many small tensors is mostly headers.
_SMALL: Final = 1 << 16
_STUCK: Final = "the system takes no more bytes"


class Sink:
    """Where the bytes of a new file go, one after the other.

    Attributes:
        nbytes: Length that the file is to have.
        appended: Bytes given so far.
    """

    def __init__(self, fd: int, nbytes: int, advance: Callable[[int], None]) -> None:
        self.nbytes = nbytes
        self.appended = 0
        self._fd = fd
        self._advance = advance
        self._pending = bytearray()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Adds bytes at the end.

        Raises:
            OSError: As the system says.
            SavingError: They are more than the file is to have.
        """
        view = memoryview(data).cast("B")
        self.appended += len(view)
        if self.appended > self.nbytes:
            raise SavingError(f"more than the {self.nbytes:,} bytes announced were to be written")
        if len(view) < _SMALL:
            self._pending += view
            if len(self._pending) >= _SMALL:
                self.flush()
            return
        self.flush()
        self._write(view)

    def patch(self, begin: int, data: bytes) -> None:
        """Overwrites bytes that were appended before, from byte `begin`."""
        if begin < 0 or begin + len(data) > self.appended:
            raise SavingError(f"bytes {begin:,} to {begin + len(data):,} were not written yet")
        self.flush()
        at = 0
        while at < len(data):
            try:
                count = os.pwrite(self._fd, data[at:], begin + at)
            except InterruptedError:
                continue
            if not count:
                raise OSError(errno.EIO, _STUCK)
            at += count

    def flush(self) -> None:
        """Hands over what was put together."""
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            self._write(memoryview(pending))

    def finish(self) -> None:
        """Hands over the rest and checks that nothing is missing."""
        self.flush()
        if self.appended != self.nbytes:
            raise SavingError(f"only {self.appended:,} of the {self.nbytes:,} bytes announced were written")

    def _write(self, view: memoryview) -> None:
        at = 0
        while at < len(view):
            try:
                count = os.write(self._fd, view[at : at + _MAX_WRITE])
            except InterruptedError:
                continue
            if not count:
                raise OSError(errno.EIO, _STUCK)
            at += count
            self._advance(count)


class FileJob(NamedTuple):
    """One file to be written.

    Attributes:
        path: Where; a link is followed if a file is replaced.
        nbytes: Its exact length.
        write: Gives all its bytes to a sink.
        replaces: The file that it takes the place of; None for a new one, which never takes any.
        mode_of: File whose mode and owner a new file gets; None for what is usual in its folder.
    """

    path: str
    nbytes: int
    write: Callable[[Sink], None]
    replaces: Identity | None = None
    mode_of: str | None = None


class Written(NamedTuple):
    """What was saved.

    Attributes:
        paths: Where the files lie, links followed, in the order of the jobs.
        identities: The files as they are now; None where the system would not say.
        durable: The disk confirmed everything; otherwise a power cut may bring back the old files.
        notes: What a person should know: why that was not confirmed, what could not be removed.
    """

    paths: list[str]
    identities: list[Identity | None]
    durable: bool
    notes: list[str]


class _Plan(NamedTuple):
    """A job, the place where its file really lies, and the file that it takes after."""

    job: FileJob
    target: str
    model: str | None
    status: os.stat_result | None


class _Meter:
    """Counts the bytes of all jobs together."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.done = 0
        self.total = total
        self._progress = progress

    def advance(self, count: int) -> None:
        self.done += count
        if self._progress is not None:
            self._progress(self.done, self.total)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turns the system's errors into those for people."""
    try:
        yield
    except OSError as error:
        raise SavingError(
            f"could not be saved: {os_error_text(error)}", where=where, hint="nothing was changed"
        ) from None


def write_files(jobs: Sequence[FileJob], progress: Callable[[int, int], None] | None = None) -> Written:
    """Writes some files, each wholly or not at all, and renames them in the order given.

    Args:
        jobs: The files; one that names others, such as an index, comes last.
        progress: Gets the bytes written and the bytes of all; what it raises stops the saving.

    Raises:
        SavingError: Nothing was saved, and the old files are as they were; or, if a file of several
            could not be renamed after others had been, its words say which are new.
    """
    plans = [_plan(job) for job in jobs]
    if len({plan.target for plan in plans}) < len(plans):
        raise SavingError("two of the files to be saved are one and the same", where=plans[0].target)
    temporaries: list[Temporary] = []
    try:
        _reserve(plans, temporaries)
        meter = _Meter(sum(job.nbytes for job in jobs), progress)
        meter.advance(0)
        for plan, temporary in zip(plans, temporaries, strict=True):
            with _explained(plan.target):
                sink = Sink(temporary.fd, plan.job.nbytes, meter.advance)
                plan.job.write(sink)
                sink.finish()
                if plan.status is not None and plan.model is not None:
                    temporary.take_mode(plan.status, plan.model)
                temporary.sync()
        for plan in plans:
            _compare(plan)
        notes = _rename(plans, temporaries)
    except BaseException as error:
        left = [temporary.path for temporary in temporaries if not temporary.discard()]
        if left and isinstance(error, ParamtuiError):
            error.hint = f"{error.hint}; {remains(left)}" if error.hint else remains(left)
        raise
    try:
        return _finished(plans, temporaries, notes)
    except BaseException:
        for temporary in temporaries:
            temporary.discard()
        raise


def _plan(job: FileJob) -> _Plan:
    """Looks at what lies where a file is to go."""
    try:
        if job.replaces is not None:
            # Strictly, for a link that cannot be read would be taken for the file and replaced.
            target = os.path.realpath(job.path, strict=True)
            status = os.stat(target)
            if not stat.S_ISREG(status.st_mode):
                raise SavingError(f"is {kind_of(status.st_mode)}, not a regular file", where=job.path)
            plan = _Plan(job, target, target, status)
            _compare(plan)
            return plan
        target = os.path.abspath(job.path)
        try:
            os.lstat(target)
        except FileNotFoundError:
            return _Plan(job, target, job.mode_of, os.stat(job.mode_of) if job.mode_of else None)
    except FileNotFoundError as error:
        raise SavingError("is not there any more", where=str(error.filename or job.path)) from None
    except OSError as error:
        raise SavingError(os_error_text(error), where=job.path) from None
    except ValueError:
        raise SavingError("is no name that a file can have", where=repr(job.path)) from None
    raise SavingError("exists already", where=job.path, hint="choose another name")


def _compare(plan: _Plan) -> None:
    """Refuses to go on if the file to be replaced is not the one that was opened."""
    if plan.job.replaces is None:
        return
    try:
        found = identity_of(plan.target)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise SavingError(os_error_text(error), where=plan.target) from None
    if found != plan.job.replaces:
        raise SavingError(
            "was removed since it was opened" if found is None else "was changed since it was opened",
            where=plan.target,
            hint="it was left as it is; save under another name, or open it again",
        )


def _reserve(plans: Sequence[_Plan], temporaries: list[Temporary]) -> None:
    """Makes the temporary files and the room for them; those made are added to `temporaries`."""
    folders = [os.path.dirname(plan.target) for plan in plans]
    disks: dict[str, int] = {}
    needed: dict[int, int] = {}
    for plan, folder in zip(plans, folders, strict=True):
        with _explained(folder):
            disks[folder] = os.stat(folder).st_dev
        needed[disks[folder]] = needed.get(disks[folder], 0) + plan.job.nbytes
    free = {disk: free_nbytes(folder) for folder, disk in disks.items()}
    for folder, disk in disks.items():
        known = free[disk]
        # Reserving would fill the disk to the brim first, under the feet of other programs. Zero is
        # also what some file systems say that do not know.
        if known and known < needed[disk]:
            raise no_room(folder, needed[disk], known)
    for plan, folder in zip(plans, folders, strict=True):
        try:
            # A file's content is nobody else's to read before it has the mode of the old one.
            temporary = Temporary(plan.target, 0o666 if plan.status is None else 0o600)
            temporaries.append(temporary)
            temporary.allocate(plan.job.nbytes)
        except OSError as error:
            if is_full(error):
                disk = disks[folder]
                raise no_room(folder, needed[disk], free[disk], error) from None
            raise SavingError(
                f"no file can be made here: {os_error_text(error)}",
                where=folder,
                hint="nothing was changed; save to another folder",
            ) from None


def _rename(plans: Sequence[_Plan], temporaries: Sequence[Temporary]) -> list[str]:
    """Puts every complete file in its place."""
    notes: list[str] = []
    for index, (plan, temporary) in enumerate(zip(plans, temporaries, strict=True)):
        try:
            if plan.job.replaces is None:
                temporary.publish(plan.target)
            else:
                temporary.replace(plan.target)
        except OSError as error:
            # Over a network, an answer can get lost after the work was done.
            if temporary.lies_at(plan.target):
                notes.append(f"{plan.target}: {os_error_text(error)}, though it is in its place")
            else:
                raise _not_renamed(plans, index, error) from None
    return notes


def _not_renamed(plans: Sequence[_Plan], index: int, error: OSError) -> SavingError:
    where = plans[index].target
    why = "a file of this name exists" if isinstance(error, FileExistsError) else os_error_text(error)
    if not index:
        return SavingError(f"could not be saved: {why}", where=where, hint="nothing was changed")
    new, old = ([plan.target for plan in part] for part in (plans[:index], plans[index:]))
    return SavingError(
        f"could not be put in its place: {why}. New are {', '.join(new)}; as before are {', '.join(old)}",
        where=where,
        hint="the files do not belong together now; save again",
    )


def _finished(plans: Sequence[_Plan], temporaries: Sequence[Temporary], notes: list[str]) -> Written:
    """Removes second names, confirms the folders, and tells what was saved."""
    durable = not notes
    for temporary in temporaries:
        if not temporary.gone:
            try:
                os.unlink(temporary.path)
            except FileNotFoundError:
                continue
            except OSError as error:
                notes.append(f"{temporary.path} could not be removed: {os_error_text(error)}")
    for folder in dict.fromkeys(os.path.dirname(plan.target) for plan in plans):
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            durable = False
            notes.append(f"saved, but {folder} did not confirm that it is durable: {os_error_text(error)}")
    identities: list[Identity | None] = []
    for temporary in temporaries:
        try:
            identities.append(identity_from(os.fstat(temporary.fd)))
        except OSError:
            identities.append(None)
        temporary.close()
    return Written([plan.target for plan in plans], identities, durable, notes)
