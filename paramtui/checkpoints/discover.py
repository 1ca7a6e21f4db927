"""Finds checkpoints that a person may want to open: near by, and in the Hugging Face cache."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES: Final = 5000
MAX_SECONDS: Final = 0.5
MAX_DEPTH: Final = 2
# The index of 91,000 tensors takes 9 MB and a tenth of a second.
MAX_INDEX: Final = 16 << 20
_SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".ckpt", ".pt2", ".torch", ".bin")
_BIN_FORMATS: Final = ("torch_zip", "torch_legacy")
_SKIPPED: Final = frozenset({"node_modules", "__pycache__", "site-packages", "venv"})


class Found(NamedTuple):
    """A checkpoint.

    Attributes:
        path: What opens it.
        label: What to call it.
        nbytes: Bytes of its files.
    """

    path: str
    label: str
    nbytes: int


class _Limit:
    """Ends a search that takes too long."""

    def __init__(self) -> None:
        self._left = MAX_ENTRIES
        self._end = time.monotonic() + MAX_SECONDS

    def reached(self) -> bool:
        """Whether the search ends; for each entry that is looked at."""
        self._left -= 1
        return self._left < 0 or self.late()

    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._end


def checkpoints_here(directory: str, limit: int = 200) -> list[Found]:
    """Checkpoints in a directory and at most `MAX_DEPTH` below it, by name."""
    out: list[Found] = []
    bound = _Limit()
    folders = [(directory, 0)]
    while folders and not bound.reached():
        folder, depth = folders.pop(0)
        files, below = _listed(folder, bound)
        if depth and any(os.path.basename(path) == "pyvenv.cfg" for path, _ in files):  # noqa: PTH119
            continue
        start = len(os.path.join(directory, ""))  # noqa: PTH118
        out += [found._replace(label=found.path[start:]) for found in _checkpoints(files, bound)]
        if depth < MAX_DEPTH:
            folders += [(path, depth + 1) for path in below]
    return sorted(out, key=lambda found: found.label)[:limit]


def hub_checkpoints(limit: int = 200) -> list[Found]:
    """Checkpoints in the Hugging Face cache, by name: of each model the snapshot in use."""
    out: list[Found] = []
    bound = _Limit()
    hub = _hub()
    try:
        names = sorted(os.listdir(hub))  # noqa: PTH208
    except OSError:
        return []
    for name in names:
        if not name.startswith("models--") or bound.reached():
            continue
        model = name.removeprefix("models--").replace("--", "/")
        for snapshot in _snapshots(os.path.join(hub, name)):  # noqa: PTH118
            files, _ = _listed(snapshot, bound)
            found = _checkpoints(files, bound)
            if found:
                several = len(found) > 1
                out += [
                    one._replace(label=f"{model} {os.path.basename(one.path)}" if several else model)  # noqa: PTH119
                    for one in found
                ]
                break
    return sorted(out, key=lambda found: found.label)[:limit]


def _hub() -> str:
    """The cache's place, as ``huggingface_hub.constants`` finds it."""
    found = os.environ.get("HF_HUB_CACHE")
    if found:
        return os.path.expandvars(os.path.expanduser(found))  # noqa: PTH111
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")  # noqa: PTH118
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")  # noqa: PTH118
    return os.path.join(os.path.expandvars(os.path.expanduser(home)), "hub")  # noqa: PTH111, PTH118


def _snapshots(model: str) -> Iterator[str]:
    """Directories of a model's snapshots: the one of its main branch, then the others from the newest."""
    folder = os.path.join(model, "snapshots")  # noqa: PTH118
    try:
        found = [entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        found.sort(key=os.path.getmtime, reverse=True)
    except OSError:
        return
    try:
        with open(os.path.join(model, "refs", "main"), encoding="ascii") as file:  # noqa: PTH118, PTH123
            main = os.path.join(folder, file.read(100).strip())  # noqa: PTH118
    except (OSError, ValueError):
        main = ""
    if main in found:
        yield main
    yield from (path for path in found if path != main)


def _listed(folder: str, bound: _Limit) -> tuple[list[tuple[str, int]], list[str]]:
    """Files with their sizes, and directories worth a look, of one directory."""
    files: list[tuple[str, int]] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if bound.reached():
                    break
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                            folders.append(entry.path)
                    elif entry.is_file():
                        files.append((entry.path, entry.stat().st_size))
                except OSError:
                    continue
    except (OSError, ValueError):
        pass
    return sorted(files), sorted(folders)


def _checkpoints(files: list[tuple[str, int]], bound: _Limit) -> list[Found]:
    """The checkpoints among the files of one directory, without labels: an index stands for its shards."""
    out: list[Found] = []
    sizes = dict(files)
    taken: set[str] = set()
    for path in sizes:
        if path.endswith(".index.json") and not bound.late():
            shards = _shards(path) & sizes.keys()
            if shards:
                taken |= shards
                out.append(Found(path, "", sum(sizes[shard] for shard in shards)))
    for path, nbytes in files:
        if path not in taken and path.endswith(_SUFFIXES) and nbytes and _opens(path):
            out.append(Found(path, "", nbytes))
    return out


def _shards(index: str) -> set[str]:
    """Paths of the shards that an index names; none where it is no index."""
    import json

    folder = os.path.dirname(index)  # noqa: PTH120
    try:
        if os.path.getsize(index) > MAX_INDEX:  # noqa: PTH202
            return set()
        with open(index, "rb") as file:  # noqa: PTH123
            names = json.load(file)["weight_map"].values()
        return {os.path.join(folder, name) for name in names if isinstance(name, str)}  # noqa: PTH118
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return set()


def _opens(path: str) -> bool:
    """Whether a file of a name that many programs use begins like a checkpoint."""
    if not path.endswith(".bin"):
        return True
    from paramtui.checkpoints.registry import FORMATS, HEAD_BYTES

    try:
        # The file may have become a pipe, which must not be waited for.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        head = os.read(handle, HEAD_BYTES)
    except OSError:
        return False
    finally:
        os.close(handle)
    return any(row.matches(head, len(head)) for row in FORMATS if row.module in _BIN_FORMATS)
