"""Small files, each made to cost a reader much: at most 1 MB, whatever it describes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from tests.hostile.archive_bombs import ARCHIVES, DEFLATED_ARCHIVES, OLDER
from tests.hostile.header_bombs import FOLDERS, HEADERS, INDEX
from tests.hostile.opcodes import LIMIT, PROTO, archive
from tests.hostile.part_bombs import PARTS
from tests.hostile.pickle_bombs import PICKLES
from tests.hostile.tensor_bombs import TENSORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class Bomb(NamedTuple):
    """A hostile file, or a folder of them.

    Attributes:
        name: What it is.
        files: Contents by file name; together at most `LIMIT` bytes.
        target: The file to open; empty for the folder.
    """

    name: str
    files: Mapping[str, bytes]
    target: str

    def lay(self, folder: Path) -> Path:
        """Writes it below a folder and returns what to open."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        if "FIFO" in self.name:
            os.mkfifo(folder / "fifo")
        return folder / self.target if self.target else folder


GROUPS = ("pickles", "tensors", "parts", "archives", "older", "headers", "folders", "bytes")


def bombs(group: str) -> Iterator[Bomb]:
    """The bombs of one of `GROUPS`, made one after the other."""
    made: dict[str, Callable[[], Iterator[Bomb]]] = {
        "pickles": lambda: _files(PICKLES, "a.pt", lambda data: archive(PROTO + data)),
        "tensors": lambda: _files(TENSORS, "a.pt", lambda data: archive(PROTO + data)),
        "parts": lambda: _files(PARTS, "a.pt"),
        "archives": lambda: _files({**ARCHIVES, **DEFLATED_ARCHIVES}, "a.pt"),
        "older": lambda: _files(OLDER, "a.pt"),
        "headers": lambda: _files(HEADERS, "a.safetensors"),
        "folders": _folders,
        "bytes": _bytes,
    }
    for bomb in made[group]():
        size = sum(map(len, bomb.files.values()))
        assert size <= LIMIT, f"{bomb.name}: {size:,} bytes"
        yield bomb


def _files(
    made: Mapping[str, Callable[[], bytes]], path: str, around: Callable[[bytes], bytes] = bytes
) -> Iterator[Bomb]:
    for name, make in made.items():
        yield Bomb(name, {path: around(make())}, path)


def _folders() -> Iterator[Bomb]:
    for name, make in FOLDERS.items():
        files = make()
        yield Bomb(name, files, INDEX if INDEX in files else "")


def _bytes() -> Iterator[Bomb]:
    yield Bomb("nothing", {"a.pt": b""}, "a.pt")
    for byte in range(256):
        yield Bomb(f"one byte 0x{byte:02x}, repeated", {"a.pt": bytes([byte]) * LIMIT}, "a.pt")
