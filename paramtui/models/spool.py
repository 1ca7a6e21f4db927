"""Bytes that are put aside: in a file without a name where they are many, in memory where they are few."""

from __future__ import annotations

import os
import tempfile
from typing import Final

# Up to here they stay in memory: each file without a name needs one of the few descriptors of a process.
SMALL: Final = 64 << 10


class Spool:
    """A place for bytes.

    Args:
        nbytes: How many there will be.

    Raises:
        OSError: No file can be made.
    """

    def __init__(self, nbytes: int) -> None:
        self._descriptor = -1
        self._memory = bytearray()
        if nbytes > SMALL:
            with tempfile.TemporaryFile(prefix="paramtui-") as file:
                self._descriptor = os.dup(file.fileno())

    def write(self, position: int, data: memoryview) -> None:
        """Puts bytes at a position.

        Raises:
            OSError: They could not all be written.
        """
        if self._descriptor < 0:
            self._memory[position : position + len(data)] = data
            return
        while data:
            written = os.pwrite(self._descriptor, data, position)
            data, position = data[written:], position + written

    def read(self, position: int, nbytes: int) -> bytearray:
        """The bytes at a position.

        Raises:
            OSError: They are not there.
        """
        if self._descriptor < 0:
            return self._memory[position : position + nbytes]
        buffer = bytearray(nbytes)
        view = memoryview(buffer)
        while view:
            part = os.pread(self._descriptor, len(view), position)
            if not part:
                raise OSError(5, "what was kept is gone")
            view[: len(part)] = part
            view, position = view[len(part) :], position + len(part)
        return buffer

    def truncate(self, nbytes: int) -> None:
        """Forgets what lies behind the first bytes."""
        if self._descriptor < 0:
            del self._memory[nbytes:]
        else:
            os.truncate(self._descriptor, nbytes)

    def close(self) -> None:
        """Lets go of all."""
        descriptor, self._descriptor = self._descriptor, -1
        self._memory = bytearray()
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        # Whoever is stopped while putting bytes aside has no chance to.
        self.close()
