"""The table of formats: what a file begins with, and the module that reads it.

A new format is one module and one row here. Modules are imported when matched.
"""

from __future__ import annotations

import os
import stat
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.checkpoints.files import RandomFile, os_error_text
from paramtui.core.text import safe_text
from paramtui.errors import FormatError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.source import Watch

# The header of a tar archive.
HEAD_BYTES: Final = 512


def _is_safetensors(head: bytes, nbytes: int) -> bool:
    # Eight bytes of length, then the header's opening brace. A length that begins like JSON has zeros.
    return len(head) > 8 and head[8:9] == b"{" and (head[:1] != b"{" or b"\0" in head[:8]) and nbytes > 8


def _is_zip(head: bytes, nbytes: int) -> bool:
    return head.startswith(b"PK\x03\x04") and nbytes > 0


def _is_legacy(head: bytes, nbytes: int) -> bool:
    # The pickled magic number 0x1950a86a20f9469cfc6c, as LONG1 or as decimal text.
    long1 = b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
    if not (long1 in head[:24] or head.startswith(b"L119547037146038801333356L\n.")):
        return False
    # torch.load looks for a tar archive before, which can stand in what a pickle quotes.
    return nbytes > 0 and not _is_tar(head)


def _is_tar(head: bytes) -> bool:
    """Whether the checksum of a tar header is right; of the oldest archives nothing else tells."""
    field = head[148:156]
    if len(head) < HEAD_BYTES:
        return False
    if field[0] in (0x80, 0xFF):
        said = int.from_bytes(field[1:], "big")
    else:
        digits = field.split(b"\0", 1)[0].strip()
        if not digits or digits.strip(b"01234567"):
            return False
        said = int(digits, 8)
    rest = head[:148] + b" " * 8 + head[156:]
    signed = sum(rest) - 256 * sum(byte > 127 for byte in rest)
    return said in (sum(rest), signed)


def _is_index(head: bytes, nbytes: int) -> bool:
    return head.lstrip().startswith(b"{") and nbytes > 0


class Format(NamedTuple):
    """One row: how a format is recognised and who reads it.

    Attributes:
        matches: Takes the first bytes and the length of a file.
        module: Its `open_file` takes the file and its name; and the watch, where the format has `parts`.
        expected: What such a file is and begins with, in words.
        parts: It leads to other files, which are read one after the other.
    """

    matches: Callable[[bytes, int], bool]
    module: str
    expected: str
    parts: bool = False


FORMATS: Final = (
    Format(_is_zip, "torch_zip", "a zip archive of torch.save (50 4b 03 04)"),
    Format(_is_legacy, "torch_legacy", "a torch.save file from before 1.6 (80 02 8a 0a 6c fc)"),
    Format(_is_safetensors, "safetensors", "a .safetensors file (8 bytes of length, then 7b)"),
    Format(_is_index, "sharded", "an index of shards (7b)", parts=True),
)

_PICKLES: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# Bytes of what is no checkpoint that are looked at for what it would run.
MAX_LOOK: Final = 64 << 20
# Files that people mistake for checkpoints, told by their first bytes.
_OTHERS: Final = (
    (b"version https://git-lfs", "a Git LFS pointer; the checkpoint itself was not downloaded"),
    (b"GGUF", "a GGUF file, which is not supported yet"),
    (b"\x93NUMPY", "a NumPy array file, which is not supported yet"),
    (b"\x89HDF", "an HDF5 file (Keras?), which is not a PyTorch checkpoint"),
    (b"\x1f\x8b", "gzip-compressed data; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data; decompress it first"),
    (b"<!DOCTYPE", "an HTML page; the download gave an error page instead of the checkpoint"),
    (b"<html", "an HTML page; the download gave an error page instead of the checkpoint"),
    *((magic, "a plain pickle that torch.save did not write") for magic in _PICKLES),
)


def open_checkpoint(target: str, watch: Watch | None = None) -> CheckpointSource:
    """Opens a checkpoint file, an index of shards, or a directory that holds a checkpoint.

    Args:
        target: Its path.
        watch: Is told how far it is.

    Raises:
        TargetError: It is missing, not readable, or neither a file nor a directory.
        FormatError: Its contents are of no known format, or damaged.
    """
    source = open_part(target, watch)
    listing = source.listing
    folder = os.path.dirname(target) if not os.path.isdir(target) else target  # noqa: PTH112, PTH120
    config = os.path.join(folder, "config.json")  # noqa: PTH118
    texts = listing.values if listing.format.startswith("safetensors") else ()
    # Most files have neither, and most headers hold one text, which names the framework.
    beside = os.path.exists(config)  # noqa: PTH110
    if beside or any(listing.node_key[text.node] != "format" for text in texts[:2]):
        from paramtui.checkpoints.declared import declare

        declare(source, config if beside else None)
    return source


def open_part(target: str, watch: Watch | None = None, *, alone: bool = False) -> CheckpointSource:
    """Opens what may be a part of a checkpoint: as `open_checkpoint`, without what is said beside it.

    Args:
        target: Its path.
        watch: Is told how far it is.
        alone: It must hold the tensors itself: an index that names itself would be opened without end.
    """
    try:
        mode = os.stat(target).st_mode  # noqa: PTH116  pathlib costs milliseconds at start
    except OSError as error:
        words = os_error_text(error)
        if os.path.islink(target):  # noqa: PTH114
            words = f"is a link to {safe_text(os.readlink(target))}, which leads nowhere ({words})"  # noqa: PTH115
            raise TargetError(words, where=target) from None
        raise TargetError(words, where=target, hint=_nearby(target)) from None
    except ValueError:
        raise TargetError("is no file name", where=repr(target)) from None
    if stat.S_ISDIR(mode) and not alone:
        sharded = import_module("paramtui.checkpoints.sharded")
        return sharded.open_directory(target, watch)  # type: ignore[no-any-return]
    with RandomFile(target) as file:
        try:
            return _open(file, target, watch, alone=alone)
        except FormatError as error:
            if error.named is None:
                # Another program may take it for a pickle.
                error.named = globals_of(file)
            raise


def _open(file: RandomFile, target: str, watch: Watch | None, *, alone: bool) -> CheckpointSource:
    head = file.read(0, min(HEAD_BYTES, file.nbytes))
    for row in FORMATS:
        if row.matches(head, file.nbytes):
            if row.parts and alone:
                raise FormatError("is an index of other files and holds no tensors", where=target)
            module = import_module(f"paramtui.checkpoints.{row.module}")
            options = {"watch": watch} if row.parts else {}
            return module.open_file(file, target, **options)  # type: ignore[no-any-return]
    raise unknown(file, head)


def unknown(file: RandomFile, head: bytes) -> FormatError:
    """What a file is that begins with some bytes, and is no checkpoint."""
    if not head:
        return FormatError("is empty", where=file.path)
    start = " ".join(f"{byte:02x}" for byte in head[:8])
    expected = "; ".join(row.expected for row in FORMATS)
    if head[257:262] == b"ustar" or _is_tar(head):
        words = "a tar archive; PyTorch before 0.1.10 saved such, which are not supported"
        return FormatError(f"is {words} (begins with {start})", where=file.path)
    for magic, words in _OTHERS:
        if head.startswith(magic):
            from paramtui.core.trust import runners

            named = globals_of(file) if magic in _PICKLES else None
            running = runners(named or ())
            hint = f"loading it would run {safe_text(running[0])}" if running else None
            return FormatError(f"is {words} (begins with {start})", where=file.path, hint=hint, named=named)
    return FormatError(
        f"is no checkpoint of a known format: begins with {start}",
        where=file.path,
        hint=f"expected {expected}",
    )


def globals_of(file: RandomFile) -> list[str]:
    """What the pickles at the beginning of a file name, whatever it is; the file is read as data."""
    from paramtui.checkpoints.inert_pickle import named_globals

    return named_globals(file.read(0, min(file.nbytes, MAX_LOOK)))


def _nearby(target: str) -> str | None:
    """The entry of the same directory that is most like a missing name."""
    folder, name = os.path.split(target)
    try:
        entries = os.listdir(folder or ".")[:2000]  # noqa: PTH208
    except OSError:
        return None
    from difflib import get_close_matches

    found = get_close_matches(name, entries, 1)
    return f"did you mean {os.path.join(folder, found[0])}?" if found else None  # noqa: PTH118
