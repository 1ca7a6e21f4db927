"""Figures of checkpoints kept on disk between sessions.

A file holds one checkpoint's, compressed: a line that says what it is about, then lines of JSON with figures
of many tensors each. Histograms are left out. What is old, damaged or about something else is not there.
"""
# The system's calls stand under their own names, as those of neighbours do.
# ruff: noqa: PTH105, PTH108, PTH116, PTH118

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import stat
import tempfile
import zlib
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.statistics import QUANTILES, Statistics, plain_statistics, statistics_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paramtui.core.listing import Listing

FORMAT: Final = 1
# Bytes of all files together; of one file once it is read.
MOST: Final = 200 << 20
MAX_READ: Final = 512 << 20
# Tensors in a line.
PIECE: Final = 500
_SUFFIX: Final = ".json.gz"
_COUNTS: Final = ("numel", "nan", "posinf", "neginf", "zero", "subnormal")
_NUMBERS: Final = ("min", "max", "mean", "std", "l1", "l2", "abs_max")
_HISTOGRAM: Final = Statistics._fields.index("histogram")


def folder() -> str:
    """Directory of the files: below ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return os.path.join(cache, "paramtui", "statistics")


def identity_of(listing: Listing) -> str:
    """Text that is the same while the files of a checkpoint are; empty where there is none to be sure of.

    It says paths, devices, inodes, sizes in bytes, times in ns, and how many tensors are listed.
    """
    if listing.live is not None:
        return ""
    paths = dict.fromkeys([listing.target, *(shard.path for shard in listing.shards if shard.path)])
    files: list[tuple[str, int, int, int, int]] = []
    try:
        for path in paths:
            found = os.stat(path)
            if stat.S_ISREG(found.st_mode):
                real = os.path.realpath(path)
                files.append((real, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
    except (OSError, ValueError):
        return ""
    return json.dumps([listing.format, len(listing), sorted(files)]) if files else ""


def _path(identity: str) -> str:
    name = hashlib.sha256(f"{FORMAT} {identity}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return os.path.join(folder(), name + _SUFFIX)


def load(identity: str, tensors: int) -> dict[int, Statistics]:
    """Figures by tensor id, without histograms; nothing where there are none that can be believed.

    Args:
        identity: See `identity_of`.
        tensors: How many the checkpoint lists.
    """
    if not identity:
        return {}
    path, out = _path(identity), {}
    try:
        with gzip.open(path, "rb") as file:
            if json.loads(file.readline(1 << 20)) != [FORMAT, identity]:
                return {}
            left = MAX_READ
            while line := file.readline(left):
                left -= len(line)
                for tensor, plain in json.loads(line):
                    found = statistics_from(plain)
                    if type(tensor) is not int or not 0 <= tensor < tensors or not _believable(found):
                        return {}
                    out[tensor] = found
                if left <= 0:
                    return {}
    except (OSError, EOFError, ValueError, TypeError, RecursionError, MemoryError, OverflowError, zlib.error):
        return {}
    # What is used stays longest.
    with contextlib.suppress(OSError):
        os.utime(path)
    return out


def _believable(found: Statistics) -> bool:
    """Whether figures have the types and the order of size that those of all elements have."""
    counts = [getattr(found, name) for name in _COUNTS]
    numbers = [number for name in _NUMBERS if (number := getattr(found, name)) is not None]
    numbers.append(found.quantile_error)
    if found.quantiles is not None:
        if len(found.quantiles) != len(QUANTILES):
            return False
        numbers += found.quantiles
    return (
        all(type(count) is int and 0 <= count <= found.numel for count in counts)
        and all(type(number) in (int, float) for number in numbers)
        and found.nan + found.inf + found.zero <= found.numel
        and found.histogram is None
        and type(found.sampled) is int
        and not found.sampled
    )


def store(identity: str, figures: Mapping[int, Statistics], listing: Listing | None = None) -> bool:
    """Keeps figures in place of those kept before; says whether they were.

    Failing to is no reason not to go on.

    Args:
        identity: See `identity_of`; as it was when the numbers had not been read yet.
        figures: By tensor id. Sampled ones are left out.
        listing: Of the checkpoint: nothing is kept where its files have changed meanwhile.
    """
    exact = {tensor: found for tensor, found in figures.items() if not found.sampled}
    if not identity or not exact or (listing is not None and identity_of(listing) != identity):
        return False
    temporary = ""
    try:
        os.makedirs(folder(), mode=0o700, exist_ok=True)  # noqa: PTH103
        handle, temporary = tempfile.mkstemp(dir=folder(), prefix=".figures-")
        with os.fdopen(handle, "wb") as raw, gzip.GzipFile("", "wb", 1, raw, 0) as file:
            for line in _lines(identity, exact):
                file.write(line)
        os.replace(temporary, _path(identity))
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return False
    _trim()
    return True


def _lines(identity: str, figures: Mapping[int, Statistics]) -> Iterable[bytes]:
    yield _line([FORMAT, identity])
    piece: list[Any] = []
    for tensor, found in figures.items():
        plain = plain_statistics(found)
        plain[_HISTOGRAM] = None
        piece.append([tensor, plain])
        if len(piece) == PIECE:
            yield _line(piece)
            piece = []
    if piece:
        yield _line(piece)


def _line(content: list[Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _trim() -> None:
    """Deletes the files that were not used for longest while all together are too much."""
    files: list[tuple[int, int, str]] = []
    with contextlib.suppress(OSError), os.scandir(folder()) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                files.append((found.st_mtime_ns, found.st_size, entry.path))
    files.sort(reverse=True)
    total = 0
    for _, nbytes, path in files:
        total += nbytes
        if total > MOST:
            with contextlib.suppress(OSError):
                os.unlink(path)
