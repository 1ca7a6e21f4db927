"""Searches a checkpoint for equal tensors; its files stay open meanwhile."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from paramtui.core import copies
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event
    from types import TracebackType
    from typing import Self

    from paramtui.checkpoints.files import RandomFile
    from paramtui.checkpoints.source import CheckpointSource, Place
    from paramtui.core.copies import CopySearch
    from paramtui.core.runs import ByteRuns

# Files that are open at once, of a checkpoint in thousands.
MAX_OPEN: Final = 64
# Bytes of inflated records that are kept.
MAX_KEPT: Final = 64 << 20


def find_copies(
    source: CheckpointSource,
    progress: Callable[[int, int], None] | None = None,
    stop: Event | None = None,
    over: Callable[[ByteRuns], ByteRuns] | None = None,
) -> CopySearch:
    """Finds equal tensors of a checkpoint; see `paramtui.core.copies.find_copies`.

    Args:
        source: The checkpoint.
        progress: As there.
        stop: As there.
        over: Lays changed bytes over those of the files.

    Raises:
        RunStoppedError: It was stopped.
    """
    with HeldRuns(source) as runs:
        return copies.find_copies(source.listing, over(runs) if over is not None else runs, progress, stop)


class HeldRuns:
    """The runs of a checkpoint, read by one thread through descriptors of its own.

    Args:
        source: The checkpoint.
    """

    def __init__(self, source: CheckpointSource) -> None:
        self._source = source
        self._places: dict[int, Place | None] = {}
        self._open: OrderedDict[RandomFile, int] = OrderedDict()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._inflated: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        """Bytes of a run, checked against its length."""
        place = self._place(location, begin, nbytes)
        if place is None:
            return self._content(location)[begin : begin + nbytes]
        return place.file.read(place.begin + begin, nbytes, self._descriptor(place.file))

    def read_into(self, location: int, begin: int, buffer: bytearray | memoryview) -> None:
        """As `read`, as many bytes as the buffer has, into it."""
        place = self._place(location, begin, len(buffer))
        if place is None:
            buffer[:] = self._content(location)[begin : begin + len(buffer)]
        else:
            place.file.read_into(place.begin + begin, buffer, self._descriptor(place.file))

    def _place(self, location: int, begin: int, nbytes: int) -> Place | None:
        run = self._source.runs[location]
        if begin < 0 or begin + nbytes > run.nbytes:
            raise ValuesError(
                f"bytes {begin:,} to {begin + nbytes:,} lie outside the {run.nbytes:,} bytes stored"
            )
        if location not in self._places:
            self._places[location] = run.place()
        return self._places[location]

    def _content(self, location: int) -> bytes:
        """All of a run that lies nowhere as it is: to inflate it for each piece would take too long.

        Raises:
            ValuesError: It was let go of for others: the same few records would be inflated again and again.
        """
        content = self._kept.pop(location, None)
        if content is None:
            if location in self._inflated:
                raise ValuesError(
                    "lies compressed: with the others like it it takes too much memory to compare"
                )
            self._inflated.add(location)
            run = self._source.runs[location]
            content = run.read(0, run.nbytes)
            while self._kept and sum(map(len, self._kept.values())) + len(content) > MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept[location] = content
        return content

    def _descriptor(self, file: RandomFile) -> int:
        found = self._open.get(file)
        if found is None:
            if len(self._open) >= MAX_OPEN:
                os.close(self._open.popitem(last=False)[1])
            found = self._open[file] = file.descriptor()
        else:
            self._open.move_to_end(file)
        return found

    def big_endian(self, location: int) -> bool:
        """Whether the numbers of a run are big-endian."""
        return self._source.big_endian(location)

    def nbytes(self, location: int) -> int:
        """Length of a run."""
        return self._source.nbytes(location)
