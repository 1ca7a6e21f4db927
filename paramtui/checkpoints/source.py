"""An opened checkpoint: its listing, and windows of its tensors read by offset."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from paramtui.checkpoints.measuring import Measuring, MeasuringMixin
from paramtui.core.text import safe_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from paramtui.checkpoints.files import RandomFile
    from paramtui.checkpoints.inert_pickle import Pickle
    from paramtui.checkpoints.scan_crew import Crew
    from paramtui.checkpoints.scanning import Scanner
    from paramtui.core.copies import CopySearch
    from paramtui.core.damage import Damage
    from paramtui.core.listing import Listing
    from paramtui.core.overlay import Overlay
    from paramtui.core.source import Window
    from paramtui.core.trust import Uses

NO_GRADIENTS = "a checkpoint stores no gradients"


class Place(NamedTuple):
    """Where in a file a run of bytes begins."""

    file: RandomFile
    begin: int


class Run(Protocol):
    """One run of bytes that tensors lie in."""

    nbytes: int
    big_endian: bool

    @property
    def file(self) -> RandomFile | None:
        """Where the bytes come from; None where nothing is read any more."""

    def read(self, begin: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from byte `begin` of the run."""

    def place(self) -> Place | None:
        """Where the bytes lie as they are; None where no range of a file is them."""


class FileRun:
    """A range of a file."""

    __slots__ = ("_begin", "big_endian", "file", "nbytes")

    def __init__(self, file: RandomFile, begin: int, nbytes: int, *, big_endian: bool = False) -> None:
        self.file = file
        self._begin = begin
        self.nbytes = nbytes
        self.big_endian = big_endian

    def read(self, begin: int, nbytes: int) -> bytes:
        """Bytes of the range, read from the file."""
        return self.file.read(self._begin + begin, nbytes)

    def place(self) -> Place | None:
        """Where it begins."""
        return Place(self.file, self._begin)


class MemoryRun:
    """Bytes that lay inside a pickle."""

    __slots__ = ("_data", "big_endian", "nbytes")
    file = None

    def __init__(self, data: bytes, *, big_endian: bool) -> None:
        self._data = data
        self.nbytes = len(data)
        self.big_endian = big_endian

    def read(self, begin: int, nbytes: int) -> bytes:
        """A copy of some of the bytes."""
        return self._data[begin : begin + nbytes]

    def place(self) -> Place | None:
        """None: a pickle holds the bytes in a form of its own."""
        return None


class StoredPickle(NamedTuple):
    """A pickle of a checkpoint, to be read once more.

    Attributes:
        below: Keys of the block that lists what it holds; in parentheses where it is not listed.
        read: Reads it as data.
    """

    below: tuple[object, ...]
    read: Callable[[], Pickle]


class CheckpointSource(MeasuringMixin):
    """The `Reader` of a checkpoint file or directory.

    Attributes:
        listing: What the checkpoint holds.
        runs: Its runs of bytes, by location.
        complete: No file that belongs to it is known to be missing or unreadable.
        pickles: Its pickles.
    """

    def __init__(self, listing: Listing, runs: list[Run]) -> None:
        self.listing = listing
        self.runs = runs
        self.complete = True
        self.pickles: list[StoredPickle] = []
        listing.reasons.setdefault("gradients", NO_GRADIENTS)
        listing.reasons.setdefault("edit", "opened for reading only")
        self._scanner: Scanner | None = None
        self._files: dict[str, RandomFile] | None = None

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        """Bytes of a run, checked against its length."""
        run = self.runs[location]
        if begin < 0 or begin + nbytes > run.nbytes:
            raise ValuesError(
                f"bytes {begin:,} to {begin + nbytes:,} lie outside the {run.nbytes:,} bytes stored"
            )
        return run.read(begin, nbytes)

    def scanner(self, overlay: Overlay | None = None, crew: Crew | None = None) -> Scanner:
        """What measures its tensors; made at the first call, whose processes count."""
        if self._scanner is None:
            from paramtui.checkpoints.scan_crew import POLITE, Crew
            from paramtui.checkpoints.scanning import Scanner

            self._scanner = Scanner(self, overlay, crew or Crew(POLITE))
        self._scanner.overlay = overlay or self._scanner.overlay
        return self._scanner

    def measuring(self) -> Measuring:
        """See `MeasuringMixin`."""
        return Measuring(self.scanner(), self, {})

    def close(self) -> None:
        """Ends the processes that measure, and closes files that were saved over."""
        if self._scanner is not None:
            self._scanner.close()
        for file in self.files().values():
            file.release()

    def outdated(self) -> str:
        """Which of its files is not what was opened any more, and what became of it; empty for none.

        Only their status is looked at, which on a disk far away may take long.
        """
        for file in self.files().values():
            words = file.outdated()
            if words:
                return f"{safe_text(os.path.basename(file.path))} {words}"  # noqa: PTH119
        return ""

    def files(self) -> dict[str, RandomFile]:
        """Files that tensors lie in, by real path."""
        if self._files is None:
            files = dict.fromkeys(run.file for run in self.runs if run.file is not None)
            self._files = {}
            for file in files:
                self._files.setdefault(os.path.realpath(file.path), file)
        return self._files

    def paths(self) -> list[str]:
        """The files that it consists of, besides an index."""
        shards = [shard.path for shard in self.listing.shards if shard.path]
        return shards or [self.listing.target]

    def big_endian(self, location: int) -> bool:
        """Whether the numbers of a run are big-endian."""
        return self.runs[location].big_endian

    def nbytes(self, location: int) -> int:
        """Length of a run."""
        return self.runs[location].nbytes

    def read_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """The cells at the crossings of `picks`, one sequence of indices per dimension.

        Raises:
            ValuesError: The values cannot be read; the message says why.
        """
        from paramtui.core.windows import read_window

        return read_window(self.listing, self, tensor, picks)

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """`read_window`, off the event loop's thread."""
        import asyncio  # costs 20 ms that listing need not pay

        return await asyncio.to_thread(self.read_window, tensor, picks)

    def find_copies(
        self, progress: Callable[[int, int], None] | None = None, stop: Event | None = None
    ) -> CopySearch:
        """See `paramtui.core.copies.find_copies`."""
        from paramtui.checkpoints.copies import find_copies

        return find_copies(self, progress, stop)

    def find_damage(
        self, progress: Callable[[int, int], None] | None = None, stop: Event | None = None
    ) -> list[Damage]:
        """See `paramtui.checkpoints.zip_damage.find_damage`; other formats have no checksums."""
        from paramtui.checkpoints.zip_damage import find_damage

        return find_damage(self.runs, progress, stop)

    async def damage(self, progress: Callable[[int, int], None] | None) -> list[Damage]:
        """`find_damage`, off the event loop's thread."""
        from threading import Event

        from paramtui.core.background import in_thread

        return await in_thread(lambda stop: self.find_damage(progress, stop), Event())

    def find_uses(self) -> Uses:
        """Every global of its pickles, and where in the tree it is used; they are read once more, as data.

        Raises:
            ValuesError, TargetError, FormatError: A file has changed, or cannot be read any more.
        """
        from paramtui.checkpoints.uses import find_uses

        return find_uses(self.pickles)

    async def uses(self) -> Uses:
        """`find_uses`, off the event loop's thread."""
        import asyncio

        return await asyncio.to_thread(self.find_uses)

    async def copies(self, progress: Callable[[int, int], None] | None) -> CopySearch:
        """See `Searchable.copies`."""
        from threading import Event

        from paramtui.core.background import in_thread

        return await in_thread(lambda stop: self.find_copies(progress, stop), Event())
