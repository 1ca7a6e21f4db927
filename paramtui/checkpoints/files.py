"""Opening files without trusting them: regular files only, reads by offset, changes noticed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from paramtui.errors import TargetError, ValuesError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from paramtui.checkpoints.temporary import Identity

CHANGED: Final = "changed since it was opened"
# One pread moves at most 2 GiB on Linux.
_MAX_READ = 1 << 30


class RandomFile:
    """A regular file, read by offset.

    The descriptor is closed after listing and reopened to read values, so that a thousand shards
    need no thousand descriptors; a file that was replaced or changed meanwhile is refused.

    Attributes:
        path: As it was named.
        nbytes: Its length.
        status: What the system said of it when it was opened first.
        saved_as: What took its place when it was saved over; None while it is what lies at its path.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._pinned = False
        self.saved_as: Identity | None = None
        self._fd, self.status = self._opened()
        self.nbytes = self.status.st_size

    def _opened(self) -> tuple[int, os.stat_result]:
        try:
            # A FIFO or device must not block the open.
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise TargetError(os_error_text(error), where=self.path) from None
        except ValueError:
            # A NUL or half a character, which an index of shards can name.
            raise TargetError("is no file name", where=repr(self.path)) from None
        try:
            status = os.fstat(fd)
        except OSError as error:
            _let_go(fd)
            raise TargetError(os_error_text(error), where=self.path) from None
        if not stat.S_ISREG(status.st_mode):
            _let_go(fd)
            raise TargetError(f"is {kind_of(status.st_mode)}, not a regular file", where=self.path)
        return fd, status

    def _open(self) -> int:
        """Opens it once more."""
        fd, status = self._opened()
        if _known(status) != _known(self.status):
            _let_go(fd)
            raise ValuesError(CHANGED, where=self.path, hint="open it again")
        return fd

    @property
    def stamp(self) -> tuple[int, int]:
        """Its length in bytes, and when it was written last, in ns; see `stamp_of`."""
        return self.status.st_size, self.status.st_mtime_ns

    def _check_stamp(self, descriptor: int) -> None:
        """Refuses what was read while something wrote: it may be partly old and partly new."""
        if stamp_of(descriptor) != self.stamp:
            raise ValuesError("changed while it was read", where=self.path, hint="open it again")

    def outdated(self) -> str:
        """What has become of it since it was opened: ``is gone``, ``was replaced``, or ``has changed``.

        Empty while it lies there as it was, or as it was saved from here. No more than its status is read.
        """
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError as error:
            return "is gone" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "cannot be reached"
        was = self.saved_as
        known = _known(self.status) if was is None else (was.device, was.inode, was.nbytes, was.mtime_ns)
        if _known(found)[:2] != known[:2]:
            return "was replaced"
        return "has changed" if _known(found) != known else ""

    def pin(self) -> None:
        """Keeps the file open from now on, to go on reading it when another takes its place.

        Raises:
            TargetError, ValuesError: It cannot be opened any more, or has changed.
        """
        if self._fd < 0:
            self._fd = self._open()
        self._pinned = True

    def close(self) -> None:
        """Closes the descriptor, unless it is pinned; later reads open the file for themselves."""
        if self._fd >= 0 and not self._pinned:
            fd, self._fd = self._fd, -1
            _let_go(fd)

    def release(self) -> None:
        """Closes it even if it is pinned."""
        self._pinned = False
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def descriptor(self) -> int:
        """A descriptor of the caller's own, who closes it: other threads' reads leave it open.

        Raises:
            TargetError, ValuesError: It cannot be opened any more, or has changed.
        """
        return os.dup(self._fd) if self._pinned else self._open()

    def read(self, begin: int, nbytes: int, descriptor: int = -1) -> bytes:
        """Exactly `nbytes` bytes from byte `begin`.

        Args:
            begin: First byte.
            nbytes: How many.
            descriptor: What `descriptor` gave, to read through; -1 for none.

        Raises:
            ValuesError: The file ends before, changed, or cannot be read.
        """
        if descriptor < 0:
            descriptor = self._fd
        fd = descriptor if descriptor >= 0 else self._open()
        try:
            return self._read(fd, begin, nbytes)
        except OSError as error:
            raise ValuesError(os_error_text(error), where=f"{self.path}, byte {begin:,}") from None
        finally:
            if fd != descriptor:
                _let_go(fd)

    def read_into(self, begin: int, buffer: bytearray | memoryview, descriptor: int) -> None:
        """As `read`, as many bytes as the buffer has, into it.

        Args:
            begin: First byte.
            buffer: Where to.
            descriptor: What `descriptor` gave.

        Raises:
            ValuesError: As `read`.
        """
        nbytes = len(buffer)
        self._check_end(begin, nbytes)
        view = memoryview(buffer)
        at = 0
        try:
            while at < nbytes:
                count = fill(descriptor, view[at : at + _MAX_READ], begin + at)
                if not count:
                    raise self._cut(begin + at)
                at += count
            self._check_stamp(descriptor)
        except OSError as error:
            raise ValuesError(os_error_text(error), where=f"{self.path}, byte {begin:,}") from None

    def _check_end(self, begin: int, nbytes: int) -> None:
        if begin + nbytes > self.nbytes:
            raise ValuesError(
                f"ends at byte {self.nbytes:,}; {nbytes:,} bytes from byte {begin:,} are not there",
                where=self.path,
            )

    def _cut(self, begin: int) -> ValuesError:
        return ValuesError(
            f"was cut while it was read: byte {begin:,} is gone", where=self.path, hint="open it again"
        )

    def _read(self, fd: int, begin: int, nbytes: int) -> bytes:
        self._check_end(begin, nbytes)
        parts: list[bytes] = []
        left = nbytes
        while left:
            part = os.pread(fd, min(left, _MAX_READ), begin + nbytes - left)
            if not part:
                raise self._cut(begin + nbytes - left)
            parts.append(part)
            left -= len(part)
        self._check_stamp(fd)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _known(status: os.stat_result) -> tuple[int, int, int, int]:
    """What tells whether a file is still the one that was opened."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _let_go(fd: int) -> None:
    """Closes what was only read: what the system says of that changes nothing."""
    with contextlib.suppress(OSError):
        os.close(fd)


def fill(descriptor: int, view: memoryview, begin: int) -> int:
    """Reads into a buffer as far as the system goes at once; gives how many bytes it was."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], begin)
    # Not every macOS has it.
    part = os.pread(descriptor, len(view), begin)
    view[: len(part)] = part
    return len(part)


def stamp_of(descriptor: int) -> tuple[int, int]:
    """Length in bytes of an open file, and when it was written last, in ns."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def os_error_text(error: OSError) -> str:
    """The system's message, in lower case, as it stands after a file name."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def kind_of(mode: int) -> str:
    """What a file mode says the thing is, with its article."""
    for test, words in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    ):
        if test(mode):
            return words
    return "something else"
