"""Pickles in the records of an archive: that of the object, and those that lie beside it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.inert_pickle import Pickle, named_globals, read_pickle
from paramtui.checkpoints.source import StoredPickle
from paramtui.checkpoints.zip_damage import disagreement
from paramtui.checkpoints.zip_directory import SMALL_TEXT, STORED, RecordRun, ZipDirectory
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned
from paramtui.errors import FormatError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.listing import Listing

MAX_PICKLE: Final = 1 << 30
_ZIP: Final = b"PK\x03\x04"
# What pickles of protocol 2 and later begin with, and what records are named that torch.load reads.
_BEGINS: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", _ZIP)
_ENDS: Final = (".pkl", ".pt", ".pth", ".pickle")
# Packed bytes that give the first four of a record: codes take some hundred before them.
_PACKED_HEAD: Final = 1024


class RecordFile(RandomFile):
    """The content of a record, read as a file of its own."""

    def __init__(self, directory: ZipDirectory, name: str) -> None:
        # Nothing is opened: the archive is.
        self.path = f"{directory.file.path}, {safe_text(name)}"
        index = directory.index[name]
        self.nbytes = directory.nbytes[index]
        self._place = RecordRun(directory, index, big_endian=False).place()
        self._content = b"" if self._place else directory.text(name, MAX_PICKLE)

    def read(self, begin: int, nbytes: int, descriptor: int = -1) -> bytes:  # noqa: ARG002
        """See `RandomFile.read`."""
        self._check_end(begin, nbytes)
        if self._place:
            return self._place.file.read(self._place.begin + begin, nbytes)
        return self._content[begin : begin + nbytes]


def read_record(directory: ZipDirectory, name: str, listing: Listing | None = None) -> Pickle:
    """Reads the pickle that a record is; the listing is warned of a wrong checksum.

    Raises:
        FormatError: It cannot be read, or is damaged.
    """
    try:
        content = directory.text(name, MAX_PICKLE)
    except ValuesError as error:
        raise FormatError(error.what, where=directory.file.path) from None
    written = directory.checksum[directory.index[name]]
    if listing is not None and written and zlib.crc32(content) != written:
        words = f"the record {safe_text(name)} is damaged: {disagreement(zlib.crc32(content), written)}"
        listing.warnings.append(Warned(words, "damaged-data"))
    try:
        return read_pickle(content)
    except FormatError as error:
        where = f"{directory.file.path}, {safe_text(name)}"
        raise FormatError(error.what, where=where, named=error.named) from None


def pickles_beside(
    directory: ZipDirectory, names: Iterable[str], sure: Iterable[str] = ()
) -> list[StoredPickle]:
    """Those of some records that are pickles, or files of torch.save themselves.

    Args:
        directory: The archive.
        names: The records to look at: what they are called and begin with tells.
        sure: Records that are taken for pickles whatever they are called and begin with.
    """
    room = max(SMALL_TEXT, directory.file.nbytes)
    sure = frozenset(sure)

    def stored(name: str) -> StoredPickle:
        nonlocal room
        if directory.is_deflated(name):
            room -= directory.nbytes[directory.index[name]]
        read = _too_much if room < 0 else lambda: _read_beside(directory, name)
        return StoredPickle((f"({name})",), read)

    return [
        stored(name)
        for name in names
        if name in sure or name.endswith(_ENDS) or _head(directory, name).startswith(_BEGINS)
    ]


def names_of(pickles: Iterable[StoredPickle]) -> set[str]:
    """All that some pickles name, as far as they can be read."""
    found: set[str] = set()
    for stored in pickles:
        try:
            found.update(stored.read().globals)
        except FormatError as error:
            found.update(error.named or ())
    return found


def _too_much() -> Pickle:
    raise FormatError("its deflated pickles are longer than the file could hold, so not all were looked at")


def _head(directory: ZipDirectory, name: str) -> bytes:
    """The first four bytes of a record; those of a pickle where they cannot be read, so that this is said."""
    index = directory.index[name]
    packed = directory.packed_nbytes[index]
    try:
        raw = directory.file.read(directory.begin(index), min(packed, _PACKED_HEAD))
        return raw if directory.method[index] == STORED else zlib.decompressobj(-15).decompress(raw, 4)
    except (ValuesError, zlib.error):
        return _ZIP


def _read_beside(directory: ZipDirectory, name: str) -> Pickle:
    """A record that is a pickle, or an archive with one inside; deeper ones are not looked for.

    Raises:
        FormatError: It is neither, or damaged.
    """
    try:
        file = RecordFile(directory, name)
        if file.read(0, min(4, file.nbytes)) == _ZIP:
            inner = ZipDirectory(file)
            held = [each for each in inner.names if each == "data.pkl" or each.endswith("/data.pkl")]
            if len(held) == 1:
                return read_record(inner, held[0])
            words = f"is an archive of {len(held)} records data.pkl, which is not looked into"
            raise FormatError(words, where=file.path)
        content = directory.text(name, MAX_PICKLE)
    except ValuesError as error:
        raise FormatError(error.what, where=f"{directory.file.path}, {safe_text(name)}") from None
    try:
        pickle = read_pickle(content)
    except FormatError as error:
        raise FormatError(error.what, where=file.path, named=error.named) from None
    if pickle.end < len(content):
        # As files of the format before PyTorch 1.6 have.
        words = f"more follows its first pickle, which ends at byte {pickle.end:,}"
        raise FormatError(words, where=file.path, named=named_globals(content))
    return pickle
