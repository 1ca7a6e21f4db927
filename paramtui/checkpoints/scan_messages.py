"""Tells a process that counts where the bytes of tensors lie: in open files, with what was changed."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any

from paramtui.core.scan_work import Segment, places_of, plain_tensor, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.checkpoints.files import RandomFile
    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.overlay import Overlay, State


def message_of(
    source: CheckpointSource,
    overlay: Overlay | None,
    tensors: Sequence[int],
    state: State,
    part: tuple[int, int] | None,
) -> tuple[dict[str, Any], Callable[[], list[int]]]:
    """Tensors and their runs as plain data, and what opens the files."""
    files = _Files()
    runs: dict[int, tuple[int, bool, list[Segment]]] = {}
    spans: dict[int, list[tuple[int, int]]] = {}
    for tensor in tensors:
        for place in places_of(source.listing, tensor):
            low, high = reach(place) if part is None else (place.begin + part[0], place.begin + part[1])
            spans.setdefault(place.location, []).append((low, high))
    for location, found in spans.items():
        run = source.runs[location]
        low, high = min(low for low, _ in found), min(max(high for _, high in found), run.nbytes)
        segments = _segments(source, overlay, location, low, high, state, files)
        runs[location] = run.nbytes, run.big_endian, segments
    message = {
        "tensors": [plain_tensor(source.listing, tensor) for tensor in tensors],
        "runs": runs,
        "part": part,
        "stamps": files.stamps,
    }
    return message, files.opened


def _segments(
    source: CheckpointSource,
    overlay: Overlay | None,
    location: int,
    low: int,
    high: int,
    state: State,
    files: _Files,
) -> list[Segment]:
    run = source.runs[location]
    place = run.place()
    if place is None:
        base, position = files.content(partial(run.read, low), max(high - low, 0))
        shift = position - low
    else:
        base = files.file(place.file)
        shift = place.begin
    table = state.get(location)
    out: list[Segment] = []
    at = low
    for begin, end, file, position in table.tolist() if table is not None else ():
        if end <= low or begin >= high:
            continue
        first, last = max(begin, low), min(end, high)
        if first > at:
            out.append(Segment(at, first, base, at + shift))
        assert overlay is not None  # noqa: S101  states come from it
        number = files.overlay(overlay, file)
        out.append(Segment(first, last, number, position + first - begin))
        at = last
    if at < high:
        out.append(Segment(at, high, base, at + shift))
    return out


class _Files:
    """Files that go with a work, opened when it is sent."""

    def __init__(self) -> None:
        self._openers: list[Callable[[], int]] = []
        self._known: dict[object, int] = {}
        self._contents: list[Callable[[], bytes]] = []
        self._nbytes = 0
        # What `files.stamp_of` must say of each still once it was read; None for what is our own.
        self.stamps: list[tuple[int, int] | None] = []

    def _add(self, key: object, opener: Callable[[], int], stamp: tuple[int, int] | None = None) -> int:
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = len(self._openers)
            self._openers.append(opener)
            self.stamps.append(stamp)
        return number

    def file(self, file: RandomFile) -> int:
        return self._add(file, file.descriptor, file.stamp)

    def overlay(self, overlay: Overlay, file: int) -> int:
        return self._add(file, lambda: os.dup(overlay.descriptor(file)))

    def content(self, read: Callable[[int], bytes], nbytes: int) -> tuple[int, int]:
        """Where bytes that lie in no file as they are go: one without a name for all of them."""
        position, self._nbytes = self._nbytes, self._nbytes + nbytes
        self._contents.append(partial(read, nbytes))
        return self._add(None, self._laid), position

    def _laid(self) -> int:
        with tempfile.TemporaryFile(prefix="paramtui-") as file:
            for read in self._contents:
                file.write(read())
            file.flush()
            return os.dup(file.fileno())

    def opened(self) -> list[int]:
        """Descriptors, which the caller closes."""
        out: list[int] = []
        try:
            out.extend(opener() for opener in self._openers)
        except BaseException:
            for descriptor in out:
                os.close(descriptor)
            raise
        return out
