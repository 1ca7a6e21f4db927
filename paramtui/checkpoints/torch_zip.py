"""Reads what ``torch.save`` writes since PyTorch 1.6: a zip archive with ``data.pkl``.

The layout is that of ``torch/serialization.py`` (`_save`, `_load`): one directory with
``data.pkl``, ``byteorder``, ``data/<key>`` for each storage, and ``version``. TorchScript archives
and exported programs are such archives too, with more inside.
"""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING

from paramtui.checkpoints import torch_export
from paramtui.checkpoints.objects import ObjectWalker
from paramtui.checkpoints.source import CheckpointSource, MemoryRun, Run, StoredPickle
from paramtui.checkpoints.tensor_spec import MalformedError, StorageRef
from paramtui.checkpoints.zip_directory import DEFLATED, STORED, RecordRun, ZipDirectory
from paramtui.checkpoints.zip_pickles import names_of, pickles_beside, read_record
from paramtui.core.gc_pause import paused_gc
from paramtui.core.listing import Listing, Location
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned
from paramtui.errors import FormatError, ParamtuiError

if TYPE_CHECKING:
    from paramtui.checkpoints.files import RandomFile
    from paramtui.core.geometry import Geometry


class PickledStorages:
    """Runs of bytes that a pickle's tensors lie in: those outside it, and those inside."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.runs: list[Run] = []

    def add(self, key: str | None, run: Run) -> int:
        """Numbers a run of bytes and returns its location."""
        self.listing.locations.append(Location(key, run.nbytes))
        self.runs.append(run)
        return len(self.runs) - 1

    def add_memory(self, data: bytes, *, big_endian: bool) -> int:
        """Keeps bytes that lay inside the pickle."""
        return self.add(None, MemoryRun(data, big_endian=big_endian))

    def small_integers(self, geometry: Geometry, limit: int) -> list[int]:
        """The elements of a contiguous int64 tensor of at most `limit` elements."""
        count = prod(geometry.shape)
        if count > limit or geometry.location < 0:
            raise MalformedError(f"its table of {count:,} sizes is too large")
        run = self.runs[geometry.location]
        order = ">" if run.big_endian else "<"
        return list(struct.unpack(f"{order}{count}q", run.read(geometry.begin, count * 8)))


class ZipStorages(PickledStorages):
    """Storages of a zip archive: the records below ``data/``."""

    def __init__(self, listing: Listing, directory: ZipDirectory, folder: str, *, big_endian: bool) -> None:
        super().__init__(listing)
        self.directory = directory
        self.folder = folder
        self.big_endian = big_endian
        self._known: dict[str, StorageRef] = {}

    def resolve(self, pid: tuple[object, ...], key: str, dtype: str | None) -> StorageRef:  # noqa: ARG002
        """The record that ("storage", class, key, device, numel) names."""
        known = self._known.get(key)
        if known is not None:
            return known
        index = self.directory.index.get(self.folder + key)
        if index is None:
            words = f"its storage '{safe_text(key)}' is not in the file"
            known = StorageRef(-1, 0, 0, Warned(words, "missing-storage"))
        else:
            problem = None
            if self.directory.method[index] not in (STORED, DEFLATED):
                problem = f"its storage '{safe_text(key)}' is packed by an unknown method"
            run = RecordRun(self.directory, index, self.big_endian)
            known = StorageRef(self.add(key, run), 0, run.nbytes, problem)
        self._known[key] = known
        return known


def open_file(file: RandomFile, target: str) -> CheckpointSource:
    """Opens an archive that ``torch.save``, ``torch.jit.save`` or ``torch.export.save`` wrote.

    Raises:
        FormatError: It is no zip archive, a damaged one, or one without a readable pickle.
    """
    directory = ZipDirectory(file)
    listing = Listing(target, "torch-zip")
    pickles = [name for name in directory.names if name == "data.pkl" or name.endswith("/data.pkl")]
    top = [name for name in pickles if name.count("/") <= 1]
    if len(top) > 1:
        raise FormatError(
            f"has {len(top)} records data.pkl ({', '.join(safe_text(name, 40) for name in top[:3])});"
            " which one counts cannot be told",
            where=file.path,
        )
    if not top:
        if torch_export.config_names(directory):
            try:
                return torch_export.open_archive(directory, file, target)
            except FormatError as error:
                # What is refused here may be read by torch.export.
                error.named = sorted(names_of(pickles_beside(directory, directory.names)))
                raise
        raise _without_pickle(directory)
    main = top[0]
    folder = main.removesuffix("data.pkl")
    _note_kind(listing, directory, folder)
    if directory.prefix:
        words = f"{directory.prefix:,} bytes stand before the archive; torch.load refuses that"
        listing.warnings.append(Warned(words, "leading-bytes"))
    storages = ZipStorages(
        listing, directory, f"{folder}data/", big_endian=_big_endian(listing, directory, folder)
    )
    if directory.trailing:
        words = f"{directory.trailing:,} bytes behind the archive belong to nothing"
        listing.warnings.append(Warned(words, "trailing-bytes"))
    with paused_gc():
        pickle = read_record(directory, main, listing)
        listing.globals, listing.protocol = pickle.globals, pickle.protocol
        ObjectWalker(listing, storages, pickle.end).walk(pickle.root)
    source = CheckpointSource(listing, storages.runs)
    # Storages are taken as they are; all else may be pickles for other programs.
    stored = (storages.folder, f"{folder}constants/")
    beside = [name for name in directory.names if name != main and not name.startswith(stored)]
    source.pickles = [
        StoredPickle((), lambda: read_record(directory, main)),
        *pickles_beside(directory, beside),
    ]
    return source


def _note_kind(listing: Listing, directory: ZipDirectory, folder: str) -> None:
    """Says which kind of archive it is when it holds more than tensors."""
    has = directory.index
    if f"{folder}constants.pkl" in has or any(name.startswith(f"{folder}code/") for name in has):
        listing.format = "torchscript"
        words = "a TorchScript archive: its code is neither shown nor run"
        listing.warnings.append(Warned(words, "not-shown"))


def _without_pickle(directory: ZipDirectory) -> FormatError:
    named = names_of(pickles_beside(directory, directory.names))
    weights = [name for name in directory.names if name.endswith("serialized_state_dict.pt")]
    if weights:
        return FormatError(
            f"is an exported program of PyTorch before 2.8; its tensors are in its record"
            f" {safe_text(weights[0])}, a torch.save file of its own",
            where=directory.file.path,
            hint="unzip that record and open it",
            named=named,
        )
    names = ", ".join(safe_text(name, 40) for name in directory.names[:3])
    more = ", …" if len(directory.names) > 3 else ""
    return FormatError(
        "is a zip archive without data.pkl, so torch.save did not write it;"
        f" it holds {len(directory.names):,} records ({names}{more})",
        where=directory.file.path,
        named=named,
    )


def _big_endian(listing: Listing, directory: ZipDirectory, folder: str) -> bool:
    name = f"{folder}byteorder"
    if name not in directory.index:
        return False
    try:
        order = directory.content(name, 100)
    except ParamtuiError as error:
        listing.warnings.append(Warned(f"byteorder: {error}; little-endian is assumed", "byte-order"))
        return False
    if order not in (b"little", b"big"):
        words = "the byteorder record says neither little nor big; little is assumed"
        listing.warnings.append(Warned(words, "byte-order"))
    return order == b"big"
