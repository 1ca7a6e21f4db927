"""Temporary files beside a target: made, locked, given room, and found again after a crash.

A temporary file is locked (``flock``) for as long as somebody writes it, so one without a lock was
left behind by a process that ended in the middle.
"""
# The system's calls stand under their own names: their order is what makes this safe.
# ruff: noqa: PTH105, PTH108, PTH116, PTH118, PTH119

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.checkpoints.files import os_error_text
from paramtui.core.text import bytes_text
from paramtui.errors import SavingError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_NAME: Final = re.compile(r"\.(.*)\.paramtui-[0-9a-f]{16}\.tmp", re.DOTALL)
# Most file systems take names of at most 255 bytes; what is around the target's name takes 32.
_MAX_NAME: Final = 255 - 32
_ATTEMPTS: Final = 16
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
# Errors of posix_fallocate on a file system that cannot reserve room.
_NO_RESERVING: Final = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ENODEV)
_KEPT_ATTRIBUTES: Final = ("user.", "system.posix_acl_access")


class Identity(NamedTuple):
    """What tells whether a file is still the one that was looked at, unchanged."""

    device: int
    inode: int
    nbytes: int
    mtime_ns: int
    ctime_ns: int


def identity_of(path: str | int) -> Identity:
    """Identity of a file, by path (links are followed) or descriptor.

    Raises:
        OSError: It cannot be looked at.
    """
    return identity_from(os.stat(path))


def identity_from(status: os.stat_result) -> Identity:
    """Identity of a file from its status."""
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Leftover(NamedTuple):
    """A temporary file that nobody writes any more.

    Attributes:
        path: Where it lies.
        target: Name of the file that it was to become; a very long one is cut.
        nbytes: Its length.
        mtime_ns: When it was last written.
    """

    path: str
    target: str
    nbytes: int
    mtime_ns: int


def _shortened(name: str) -> str:
    """As much of a file's name as fits into a temporary one."""
    return os.fsdecode(os.fsencode(name)[:_MAX_NAME])


class Temporary:
    """A new file beside `target`, locked, to be renamed over it or removed.

    Attributes:
        path: Where it lies.
        fd: Its descriptor, open for writing.
        gone: Nothing lies at `path` any more.
    """

    def __init__(self, target: str, mode: int) -> None:
        self.gone = False
        self.fd, self.path = _created(target, mode)

    def allocate(self, nbytes: int) -> None:
        """Reserves room for the whole file, so that a full disk is known before the first byte.

        Raises:
            OSError: ``ENOSPC`` or ``EDQUOT``, or what the system says besides.
        """
        # macOS has no posix_fallocate; there the free space was compared, and writing may still fail.
        if nbytes and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self.fd, 0, nbytes)
            except OSError as error:
                if error.errno not in _NO_RESERVING:
                    raise

    def take_mode(self, status: os.stat_result, path: str) -> None:
        """Gives it mode, owner and access lists of the file at `path`, whose status is given."""
        own = os.fstat(self.fd)
        mode = stat.S_IMODE(status.st_mode)
        for uid, gid in ((status.st_uid, -1), (-1, status.st_gid)):
            if uid in (-1, own.st_uid) and gid in (-1, own.st_gid):
                continue
            try:
                os.fchown(self.fd, uid, gid)
            except OSError:
                # What a bit allows the old owner must not be allowed to another one.
                mode &= 0o777
                if uid == -1:
                    mode &= ~0o070 | (mode & 0o007) << 3
        os.fchmod(self.fd, mode)
        if hasattr(os, "listxattr"):
            try:
                for name in os.listxattr(path):
                    if name.startswith(_KEPT_ATTRIBUTES):
                        os.setxattr(self.fd, name, os.getxattr(path, name))
            except OSError:
                return

    def sync(self) -> None:
        """Waits until its bytes are on the disk."""
        if hasattr(fcntl, "F_FULLFSYNC"):
            try:
                # On macOS, fsync leaves them in the drive's own memory.
                fcntl.fcntl(self.fd, fcntl.F_FULLFSYNC)
            except OSError:
                pass
            else:
                return
        os.fsync(self.fd)

    def replace(self, target: str) -> None:
        """Takes the place of the file at `target`."""
        os.replace(self.path, target)
        self.gone = True

    def publish(self, target: str) -> None:
        """Takes a name that nothing has yet.

        Raises:
            FileExistsError: Something has it; it was left as it is.
            OSError: What the system says besides; nothing has the name, or this file.
        """
        try:
            os.link(self.path, target)
        except FileExistsError:
            raise
        except OSError:
            if self.lies_at(target):
                raise
        else:
            return
        # No hard links here: an empty file holds the name until the rename.
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if not _is_placeholder(fd, target):
                raise FileExistsError(errno.EEXIST, "another program made a file of this name")
            self.replace(target)
        except BaseException:
            if _is_placeholder(fd, target):
                os.unlink(target)
            raise
        finally:
            os.close(fd)

    def lies_at(self, path: str) -> bool:
        """Whether `path` is this very file."""
        try:
            there, own = os.lstat(path), os.fstat(self.fd)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    def discard(self) -> bool:
        """Removes and closes it; returns whether nothing is left at its place."""
        self.gone = self.gone or _removed(self.path)
        self.close()
        return self.gone

    def close(self) -> None:
        """Closes it, which lets go of the lock."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            _close(fd)


def _close(fd: int) -> None:
    """Closes a temporary file: its bytes are on the disk since `sync`, or nobody wants them."""
    with contextlib.suppress(OSError):
        os.close(fd)


def _removed(path: str) -> bool:
    """Removes a file; whether nothing is left at its place."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def remains(paths: Sequence[str]) -> str:
    """What to do about temporary files that could not be removed."""
    return f"remove what is left of the attempt: {', '.join(paths)}"


def _is_placeholder(fd: int, path: str) -> bool:
    """Whether an empty file that was made to hold a name still does, and is still empty."""
    try:
        held, there = os.fstat(fd), os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it was made a moment ago, and nothing says otherwise
    return (held.st_dev, held.st_ino, 0) == (there.st_dev, there.st_ino, there.st_size)


def _created(target: str, mode: int) -> tuple[int, str]:
    """Descriptor and path of a new, locked file beside `target`."""
    folder, name = os.path.split(target)
    name = _shortened(name)
    for _ in range(_ATTEMPTS):
        path = os.path.join(folder, f".{name}.paramtui-{os.urandom(8).hex()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, mode)
        except FileExistsError:
            continue
        try:
            held = _held(fd, path)
        except BaseException as error:
            left = not _removed(path)
            _close(fd)
            if left and isinstance(error, OSError):
                raise SavingError(
                    f"no file can be made here: {os_error_text(error)}",
                    where=folder,
                    hint=f"nothing was changed; {remains([path])}",
                ) from None
            raise
        if held:
            return fd, path
        _close(fd)
    raise FileExistsError(errno.EEXIST, "no name is free for a temporary file")


def _held(fd: int, path: str) -> bool:
    """Locks a new file; False where another process took it for a leftover before."""
    try:
        if _lock(fd) is False:
            os.unlink(path)
            return False
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _lock(fd: int) -> bool | None:
    """Locks a file: False where another process has it locked, None where files cannot be locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def free_nbytes(folder: str) -> int | None:
    """Room on the disk of a folder; None where the system does not say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    if not found.f_blocks:
        return None
    # A part is kept for the superuser.
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return blocks * found.f_frsize


def no_room(where: str, needed: int, free: int | None, error: OSError | None = None) -> SavingError:
    """The error that a file does not fit on its disk."""
    why = "the disk is full"
    if error is not None and error.errno == errno.EDQUOT:
        why = "your share of the disk is used up"
    known = f" and {bytes_text(free)} are free" if free is not None else ""
    return SavingError(
        f"{why}: {bytes_text(needed)} are needed{known}",
        where=where,
        hint="nothing was changed; make room, or save to another disk",
    )


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room."""
    return error.errno in _FULL


def leftovers(folder: str, names: Collection[str] | None = None) -> list[Leftover]:
    """Temporary files in a folder whose writers have ended.

    Args:
        folder: Where targets lie, after links are followed.
        names: Names of the targets; None for all.
    """
    wanted = None if names is None else {_shortened(name) for name in names}
    found: list[Leftover] = []
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if _NAME.fullmatch(entry.name)]
    except OSError:
        return found
    for path in sorted(paths):
        matched = _NAME.fullmatch(os.path.basename(path))
        if matched is None or (wanted is not None and matched[1] not in wanted):
            continue
        try:
            fd = _open_unlocked(path)
        except (OSError, SavingError):
            continue
        status = os.fstat(fd)
        os.close(fd)
        found.append(Leftover(path, matched[1], status.st_size, status.st_mtime_ns))
    return found


def remove_leftover(path: str) -> None:
    """Removes a file that `leftovers` found, if still nobody writes it.

    Raises:
        SavingError: It is no temporary file, somebody writes it, or the system refuses.
    """
    if not _NAME.fullmatch(os.path.basename(path)):
        raise SavingError("is no temporary file of paramtui", where=path)
    try:
        fd = _open_unlocked(path)
        try:
            os.unlink(path)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SavingError(os_error_text(error), where=path) from None


def _open_unlocked(path: str) -> int:
    """Descriptor of a file that nobody has locked; it is locked now.

    Raises:
        SavingError: It is no regular file, or is locked or replaced by another process.
    """
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        # Network file systems lock only what is open for writing.
        fd = os.open(path, os.O_RDWR | flags)
    except PermissionError:
        fd = os.open(path, os.O_RDONLY | flags)
    try:
        status, there = os.fstat(fd), os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) != (there.st_dev, there.st_ino):
            raise SavingError("is no regular file, or was replaced", where=path)
        if not _lock(fd):
            raise SavingError("is being written by another process", where=path)
    except BaseException:
        os.close(fd)
        raise
    return fd
