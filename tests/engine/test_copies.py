"""Searches for equal tensors in the process that holds a model: progress, stopping, other work meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paramtui.core.copies import Copies
from paramtui.core.edits import SetCells
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.engine.client import EngineSource
from paramtui.errors import RunStoppedError

NET = """
import time, torch
from torch import nn
from paramtui.core import copies, partition

copies.PAUSE = 0
whole = partition.Partition.equal
def endless(self, *arguments):
    while endless.on:
        whole(self, *arguments)
        print("searching", flush=True)
    return whole(self, *arguments)
partition.Partition.equal = endless

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.arange(9.0))
        self.other = nn.Parameter(torch.arange(9.0))
        self.last = nn.Parameter(torch.ones(9))
    def forward(self, x):
        endless.on = bool(x.numel() == 2)
        if x.numel() == 3:
            print("passing", flush=True)
            time.sleep(1)
        return x.sum() + self.one.sum()
endless.on = False

"""


class Searching:
    """An engine whose searches can be made endless, and what it prints."""

    def __init__(self, folder: Path) -> None:
        code = folder / "searched_net.py"
        code.write_text(NET)
        self.searching, self.passing = threading.Event(), threading.Event()
        self.source = EngineSource(
            ModelTarget(str(code), str(code), "", ""), ModelOptions(), self._told
        ).wait_open()

    def _told(self, kind: str, words: str) -> None:
        if "searching" in words:
            self.searching.set()
        if "passing" in words:
            self.passing.set()

    async def run(self, count: int) -> None:
        """A pass with so many numbers: 2 makes searches endless, any other makes them end."""
        await self.source.backward(f"{count}", accumulate=False)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Searching]:
    found = Searching(tmp_path)
    yield found
    found.source.close()


async def test_copies_are_found_with_progress_and_after_changes(held: Searching) -> None:
    told: list[tuple[int, int]] = []
    found = await held.source.copies(lambda done, total: told.append((done, total)))
    assert found.groups == (Copies((0, 1), 36, ""),)
    assert (found.compared, found.skipped, found.nbytes_read) == (3, (), 108)
    assert told == [(0, 108), (108, 108), (108, 108)]
    await held.source.apply(SetCells("other", "", "=", 1.0))
    assert (await held.source.copies(None)).groups == (Copies((1, 2), 36, "1"),)


async def test_a_cancelled_search_ends_in_the_engine_and_one_can_look_meanwhile(held: Searching) -> None:
    await held.run(2)
    search = asyncio.create_task(held.source.copies(None))
    assert await asyncio.to_thread(held.searching.wait, 60)
    assert (await held.source.window(0, [range(9)])).values is not None
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    # The engine does one thing after the other: this comes after the search.
    await held.run(1)
    assert len((await held.source.copies(None)).groups) == 1


async def test_an_interrupted_search_says_that_it_was_stopped(held: Searching) -> None:
    await held.run(2)
    search = asyncio.create_task(held.source.copies(None))
    assert await asyncio.to_thread(held.searching.wait, 60)
    assert await held.source.interrupt()
    with pytest.raises(RunStoppedError):
        await search


async def test_cancelling_a_search_that_waits_stops_nothing_else(held: Searching) -> None:
    running = asyncio.create_task(held.run(3))
    assert await asyncio.to_thread(held.passing.wait, 60)
    search = asyncio.create_task(held.source.copies(None))
    await asyncio.sleep(0)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    await running
    assert held.source.gradients.passes == 1
