"""Opening files without trusting them: regular files only, reads by offset, changes noticed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from paramtui.errors import TargetError, ValuesError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from paramtui.checkpoints.temporary import Identity

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
        self._identity: tuple[int, int, int, int] | None = None
        self._pinned = False
        self.saved_as: Identity | None = None
        self._fd = self._open()
        self.status = os.fstat(self._fd)
        self.nbytes = self.status.st_size

    def _open(self) -> int:
        try:
            # A FIFO or device must not block the open.
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise TargetError(os_error_text(error), where=self.path) from None
        try:
            status = os.fstat(fd)
        except OSError as error:
            os.close(fd)
            raise TargetError(os_error_text(error), where=self.path) from None
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise TargetError(f"is {kind_of(status.st_mode)}, not a regular file", where=self.path)
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._identity not in (None, identity):
            os.close(fd)
            raise ValuesError("changed since it was opened", where=self.path, hint="open it again")
        self._identity = identity
        return fd

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
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, begin: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from byte `begin`.

        Raises:
            ValuesError: The file ends before, changed, or cannot be read.
        """
        fd = self._fd if self._fd >= 0 else self._open()
        try:
            return self._read(fd, begin, nbytes)
        except OSError as error:
            raise ValuesError(os_error_text(error), where=f"{self.path}, byte {begin:,}") from None
        finally:
            if fd != self._fd:
                os.close(fd)

    def _read(self, fd: int, begin: int, nbytes: int) -> bytes:
        if begin + nbytes > self.nbytes:
            raise ValuesError(
                f"ends at byte {self.nbytes:,}; {nbytes:,} bytes from byte {begin:,} are not there",
                where=self.path,
            )
        parts: list[bytes] = []
        left = nbytes
        while left:
            part = os.pread(fd, min(left, _MAX_READ), begin + nbytes - left)
            if not part:
                raise ValuesError(
                    f"was cut while it was read: byte {begin + nbytes - left:,} is gone",
                    where=self.path,
                    hint="open it again",
                )
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


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
