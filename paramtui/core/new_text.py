"""Writes a text to a file that was not there."""

from __future__ import annotations

import contextlib
import os


def write_new(path: str, text: str) -> None:
    r"""Writes a file that must not be there yet; where that fails, nothing of it stays.

    Args:
        path: Where.
        text: What; it is encoded in UTF-8, and what is no text of Unicode is written as ``\\udcff``.

    Raises:
        FileExistsError: Something lies there, and was left as it is.
        OSError: What the system says besides.
    """
    left = text.encode("utf-8", "backslashreplace")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        raise
