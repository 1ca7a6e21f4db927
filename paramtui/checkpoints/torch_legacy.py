"""Reads what ``torch.save`` wrote before PyTorch 1.6: pickles in a row, then the storages.

The layout is that of ``torch/serialization.py`` (`_legacy_save`, `_legacy_load`): a magic number, a
protocol version, facts about the machine, the object, the keys of the storages, and for each key
eight bytes of length (in elements) and the elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.inert_objects import GlobalRef, Pairs
from paramtui.checkpoints.inert_pickle import Pickle, TruncatedPickleError, read_pickle
from paramtui.checkpoints.objects import ObjectWalker
from paramtui.checkpoints.source import CheckpointSource, FileRun, StoredPickle
from paramtui.checkpoints.tensor_spec import STORAGE_CLASSES, StorageRef
from paramtui.checkpoints.torch_zip import PickledStorages
from paramtui.checkpoints.zip_pickles import MAX_PICKLE
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.gc_pause import paused_gc
from paramtui.core.geometry import MAX_SIZE
from paramtui.core.listing import Listing
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned
from paramtui.errors import FormatError

if TYPE_CHECKING:
    from paramtui.checkpoints.files import RandomFile

PROTOCOL: Final = 1001
# Which of the pickles is the object, from 0.
OBJECT: Final = 3
_FIRST_READ: Final = 1 << 20


class _PickleRow:
    """Pickles one after the other, of lengths that only reading them tells.

    Args:
        file: What holds them.
        begin: Byte of the first one.

    Attributes:
        pos: Byte after the last one read.
        begins: Where those begin, the last one even if it is damaged.
        globals: What they name.
    """

    def __init__(self, file: RandomFile, begin: int = 0) -> None:
        self.file = file
        self.pos = begin
        self.begins: list[int] = []
        self.globals: set[str] = set()
        self._begin = begin
        self._buffer = file.read(begin, min(_FIRST_READ, file.nbytes - begin))

    def next(self) -> Pickle:
        """Reads the next one.

        Raises:
            FormatError: It is damaged or cut. What it names is among `globals` all the same.
        """
        self.begins.append(self.pos)
        while True:
            try:
                pickle = read_pickle(self._buffer, self.pos - self._begin)
            except TruncatedPickleError as error:
                self._grow(error)
                continue
            except FormatError as error:
                where = f"{self.file.path}, pickle at byte {self.pos:,}"
                raise FormatError(error.what, where=where, named=self._named(error)) from None
            self.pos = self._begin + pickle.end
            self.globals.update(pickle.globals)
            return pickle

    def _named(self, error: FormatError) -> set[str]:
        """What was named up to a damage."""
        self.globals.update(error.named or ())
        return self.globals

    def _grow(self, error: FormatError) -> None:
        """Reads four times as much; what was parsed twice adds up to a third at most."""
        have = len(self._buffer) - (self.pos - self._begin)
        wanted = min(max(4 * have, _FIRST_READ), self.file.nbytes - self.pos)
        if wanted <= have:
            raise FormatError(
                f"is cut: the pickle at byte {self.pos:,} does not end before the file does"
                f" (byte {self.file.nbytes:,})",
                where=self.file.path,
                named=self._named(error),
            )
        if wanted > MAX_PICKLE:
            words = f"its pickle at byte {self.pos:,} is too large"
            raise FormatError(words, where=self.file.path, named=self._named(error))
        self._begin = self.pos
        self._buffer = self.file.read(self.pos, wanted)


class LegacyStorages(PickledStorages):
    """Storages that follow the pickles, in the order of the list of keys.

    Where a storage starts follows from the lengths of those before it, and a length is in
    elements: the types come from the object's references, which is why those are read first.
    """

    def __init__(
        self, listing: Listing, file: RandomFile, begin: int, keys: list[str], *, big_endian: bool
    ) -> None:
        super().__init__(listing)
        self.file = file
        self.big_endian = big_endian
        self.itemsizes: dict[str, int] = {}
        self._begin = begin
        self._keys = keys
        self._places: dict[str, tuple[int, int, str | None]] | None = None
        self._locations: dict[str, int] = {}

    def _find(self) -> dict[str, tuple[int, int, str | None]]:
        """Byte, length and problem of each storage, by key."""
        places: dict[str, tuple[int, int, str | None]] = {}
        pos = self._begin
        lost: str | None = None
        for key in self._keys:
            shown = safe_text(key)
            itemsize = self.itemsizes.get(key)
            if lost is None and itemsize is None:
                words = f"the type of storage {shown} is unknown, so nothing after it can be found"
                lost = Warned(words, "malformed-tensor")
            if lost is None and pos + 8 > self.file.nbytes:
                words = f"the file is cut before storage {shown} (byte {self.file.nbytes:,})"
                lost = Warned(words, "truncated-data")
            if lost is not None or itemsize is None:
                places[key] = (0, 0, lost)
                continue
            numel = int.from_bytes(self.file.read(pos, 8), "little", signed=True)
            pos += 8
            nbytes = numel * itemsize
            if numel < 0 or pos + nbytes > self.file.nbytes:
                lost = Warned(
                    f"storage {shown} claims {numel:,} elements at byte {pos:,} of {self.file.nbytes:,}"
                    " (is the file cut?)",
                    "truncated-data",
                )
                places[key] = (pos, max(0, self.file.nbytes - pos), lost)
                continue
            places[key] = (pos, nbytes, None)
            pos += nbytes
        if lost is None and pos < self.file.nbytes:
            words = f"{self.file.nbytes - pos:,} bytes follow the last storage"
            self.listing.warnings.append(Warned(words, "trailing-bytes"))
        return places

    def resolve(self, pid: tuple[object, ...], key: str, dtype: str | None) -> StorageRef:
        """The storage that ("storage", class, key, device, numel, view) names."""
        if self._places is None:
            self._places = self._find()
        place = self._places.get(key)
        if place is None:
            words = f"its storage {safe_text(key)} is not in the file"
            return StorageRef(-1, 0, 0, Warned(words, "missing-storage"))
        begin, nbytes, problem = place
        location = self._locations.get(key)
        if location is None:
            run = FileRun(self.file, begin, nbytes, big_endian=self.big_endian)
            location = self._locations[key] = self.add(key, run)
        view = pid[5] if len(pid) > 5 else None
        if view is None:
            return StorageRef(location, 0, nbytes, problem)
        itemsize = ITEMSIZE[dtype] if dtype else 1
        if (
            type(view) is not tuple
            or len(view) != 3
            or not all(type(n) is int and 0 <= n <= MAX_SIZE for n in view[1:])
        ):
            words = "its view of a storage is not an offset and a length"
            return StorageRef(location, 0, 0, Warned(words, "malformed-tensor"))
        start, length = view[1] * itemsize, view[2] * itemsize
        if start + length > nbytes:
            words = f"it is a view that reaches past storage {safe_text(key)}"
            problem = problem or Warned(words, "out-of-bounds")
        return StorageRef(location, start, length, problem)


def open_file(file: RandomFile, target: str) -> CheckpointSource:
    """Opens a file of the format before PyTorch 1.6.

    Raises:
        FormatError: A pickle is damaged or cut.
    """
    listing = Listing(target, "torch-legacy")
    row = _PickleRow(file)
    with paused_gc():
        row.next()
        version = row.next().root
        if version != PROTOCOL:
            listing.warnings.append(Warned(f"its protocol version is not {PROTOCOL}", "odd-header"))
        machine = row.next().root
        little = machine.get("little_endian") if type(machine) is Pairs else True
        pickle = row.next()
        nbytes = row.pos - row.begins[OBJECT]
        keys = _storage_keys(row, listing)
        # torch.load reads all of them with pickle, not the object alone.
        listing.globals = sorted(row.globals)
        listing.protocol = pickle.protocol
        storages = LegacyStorages(listing, file, row.pos, keys, big_endian=little is False)
        storages.itemsizes = _itemsizes(pickle.storage_ids)
        ObjectWalker(listing, storages, nbytes).walk(pickle.root)
    source = CheckpointSource(listing, storages.runs)
    source.pickles = [_stored(file, begin, place) for place, begin in enumerate(row.begins)]
    # The object first, as it is what is listed.
    source.pickles.insert(0, source.pickles.pop(OBJECT))
    return source


def _stored(file: RandomFile, begin: int, place: int) -> StoredPickle:
    below = () if place == OBJECT else (f"(pickle {place + 1} of the file)",)
    return StoredPickle(below, lambda: _PickleRow(file, begin).next())


def _storage_keys(row: _PickleRow, listing: Listing) -> list[str]:
    """The names of the storages in their order."""
    try:
        keys = row.next().root
    except FormatError as error:
        words = f"the list of storages is missing, so no values can be read: {error}"
        listing.warnings.append(Warned(words, "truncated-data"))
        return []
    if type(keys) is not list:
        words = "the list of storages is none, so no values can be read"
        listing.warnings.append(Warned(words, "odd-header"))
        return []
    names: list[str] = []
    for key in keys:
        if type(key) is not str and (type(key) is not int or not 0 <= key <= MAX_SIZE):
            place = len(names) + 1
            words = f"entry {place:,} of the list of storages is no key, so none after it can be found"
            listing.warnings.append(Warned(words, "odd-header"))
            break
        names.append(str(key))
    return names


def _itemsizes(pids: list[object]) -> dict[str, int]:
    """Bytes of an element of each storage, by key, from all references in the object."""
    out: dict[str, int] = {}
    for pid in pids:
        if type(pid) is tuple and len(pid) > 4 and pid[0] in ("storage", b"storage"):
            kind, key = pid[1], pid[2]
            if (
                type(kind) is GlobalRef
                and kind.name in STORAGE_CLASSES
                and (type(key) is str or (type(key) is int and -1 <= key <= MAX_SIZE))
            ):
                dtype = STORAGE_CLASSES[kind.name]
                out.setdefault(str(key), ITEMSIZE[dtype] if dtype else 1)
    return out
