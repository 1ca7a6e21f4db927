"""The readers, each with what it takes; a unit lists one case, or raises an error meant for people."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints import registry, safetensors, torch_legacy, torch_zip
from paramtui.checkpoints.discover import checkpoints_here
from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.inert_pickle import read_pickle
from paramtui.checkpoints.objects import ObjectWalker
from paramtui.checkpoints.source import CheckpointSource, MemoryRun, StoredPickle
from paramtui.checkpoints.tensor_spec import StorageRef
from paramtui.checkpoints.torch_zip import PickledStorages
from paramtui.core.journal import read_journal
from paramtui.core.listing import Listing
from tests.fuzz.invariants import check_listing, check_text_is_safe, look

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.cases import Case

# Small numbers, so that tables of sizes inside tensors make sense now and then.
_STORAGE: Final = bytes([2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0] * 16)


class MemoryFile(RandomFile):
    """Bytes that are read as a file is."""

    def __init__(self, path: str, data: bytes) -> None:
        # Nothing is opened.
        self.path = path
        self._data = data
        self.nbytes = len(data)

    def read(self, begin: int, nbytes: int, descriptor: int = -1) -> bytes:
        """See `RandomFile.read`."""
        assert descriptor == -1
        assert begin >= 0
        assert nbytes >= 0
        self._check_end(begin, nbytes)
        return self._data[begin : begin + nbytes]

    def close(self) -> None:
        """Nothing is open."""


class _Storages(PickledStorages):
    """Storages of any name, each of 256 bytes."""

    def __init__(self, listing: Listing) -> None:
        super().__init__(listing)
        self._known: dict[str, int] = {}

    def resolve(self, pid: tuple[object, ...], key: str, dtype: str | None) -> StorageRef:
        """See `Storages.resolve`."""
        if key not in self._known:
            self._known[key] = self.add(key, MemoryRun(_STORAGE, big_endian=False))
        return StorageRef(self._known[key], 0, len(_STORAGE), None)


def _pickle(case: Case, folder: str) -> CheckpointSource:
    data = case.main
    pickle = read_pickle(data)
    assert 0 < pickle.end <= len(data)
    listing = Listing(folder, "torch-zip")
    listing.globals, listing.protocol = pickle.globals, pickle.protocol
    storages = _Storages(listing)
    ObjectWalker(listing, storages, pickle.end).walk(pickle.root)
    source = CheckpointSource(listing, storages.runs)
    source.pickles = [StoredPickle((), lambda: read_pickle(data))]
    return source


def _header(case: Case, folder: str) -> CheckpointSource:
    path = os.path.join(folder, "model.safetensors")
    return safetensors.open_file(MemoryFile(path, case.main), path)


def _legacy(case: Case, folder: str) -> CheckpointSource:
    path = os.path.join(folder, "model.pt")
    return torch_legacy.open_file(MemoryFile(path, case.main), path)


def _archive(case: Case, folder: str) -> CheckpointSource:
    path = os.path.join(folder, "model.pt")
    return torch_zip.open_file(MemoryFile(path, case.main), path)


def _file(case: Case, folder: str) -> CheckpointSource:
    return registry.open_checkpoint(os.path.join(folder, next(iter(case.files))))


def _folder(case: Case, folder: str) -> CheckpointSource:
    # The start screen looks at all that lies there.
    for found in checkpoints_here(folder):
        assert found.path.startswith(folder)
    return registry.open_checkpoint(folder)


def _journal(case: Case, folder: str) -> None:
    recovery = read_journal(os.path.join(folder, next(iter(case.files))))
    for recorded in recovery.changes:
        check_text_is_safe(_edit_text(recorded))


def _edit_text(recorded: object) -> str:
    from paramtui.core.edits import edit_text
    from paramtui.core.journal_records import Recorded
    from paramtui.core.text import safe_text

    assert isinstance(recorded, Recorded)
    return safe_text(edit_text(recorded.edit))


UNITS: Final[dict[str, Callable[[Case, str], CheckpointSource | None]]] = {
    "pickle": _pickle,
    "header": _header,
    "legacy": _legacy,
    "archive": _archive,
    "index": _file,
    "config": _file,
    "journal": _journal,
    "file": _file,
    "folder": _folder,
}
"""Names of the units, and what opens a case of each whose files lie in a folder."""

ON_DISK: Final = frozenset({"index", "config", "journal", "file", "folder"})
"""Units that read files; the others read memory."""


ALLOWED: Final = {"journal": frozenset({"compile"})}
"""Events besides reading, by unit: arguments in journals are literals, of which ``ast.parse`` makes syntax
trees. Nothing is executed, which would be an event of its own."""


def lay_out(case: Case, folder: str, before: Case | None) -> None:
    """Writes the files of a case, and removes those of the one before."""
    if before is None or before.files.keys() != case.files.keys():
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    for name, content in case.files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


def read(case: Case, folder: str, *, closely: bool) -> str:
    """Opens a case and asserts what must hold of it; returns what it became.

    Args:
        case: Its files lie in `folder` if it is `ON_DISK`.
        folder: Where; need not exist for others.
        closely: Whether everything is printed that can be.
    """
    source = UNITS[case.unit](case, folder)
    if source is None:
        return "journal"
    check_listing(source.listing, source.runs)
    if closely:
        look(source)
    return "listing"
