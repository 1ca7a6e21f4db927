"""Searches for equal tensors in shards, packed and changed files; what is stopped ends its thread."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints import copies as checkpoint_copies
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core import partition
from paramtui.core.edits import SetCells
from paramtui.core.source import Searchable
from paramtui.editable import EditableCheckpoint
from paramtui.errors import RunStoppedError
from paramtui.models.module_source import ModuleSource
from tests.unit.copying import groups_of, large, live, saved


def test_shards_are_searched_together_with_few_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_copies, "MAX_OPEN", 2)
    one = large(1, 200_000)
    for number in range(1, 6):
        held = {f"w{number}": one.clone(), f"x{number}": large(number, 200_000)}
        save_file(held, tmp_path / f"model-{number:05}-of-00005.safetensors")
    source = open_checkpoint(str(tmp_path))
    before = os.listdir("/dev/fd")
    found = source.find_copies()
    assert len(os.listdir("/dev/fd")) == len(before)
    expected = {frozenset({"w1", "w2", "w3", "w4", "w5", "x1"})}
    assert groups_of(source, found) == expected


def test_a_shard_that_has_changed_is_skipped_with_the_reason(tmp_path: Path) -> None:
    for number in range(1, 4):
        save_file({f"w{number}": torch.arange(9.0)}, tmp_path / f"model-{number:05}-of-00003.safetensors")
    source = open_checkpoint(str(tmp_path))
    (tmp_path / "model-00002-of-00003.safetensors").write_bytes(b"")
    found = source.find_copies()
    assert groups_of(source, found) == {frozenset({"w1", "w3"})}
    ((tensor, reason),) = found.skipped
    assert source.listing.names[tensor] == "w2"
    assert "changed since it was opened" in reason
    assert found.compared == 2


def test_packed_records_are_found_too(tmp_path: Path) -> None:
    from zipfile import ZIP_DEFLATED

    from tests.support import rewrite_zip

    torch.save({"a": large(1), "b": large(1), "c": large(2)}, tmp_path / "held.pt")
    packed = rewrite_zip(
        tmp_path / "held.pt", tmp_path / "packed.pt", lambda _, data: data, method=ZIP_DEFLATED
    )
    source = open_checkpoint(str(packed))
    assert groups_of(source, source.find_copies()) == {frozenset({"a", "b"})}


async def test_changed_bytes_count(tmp_path: Path) -> None:
    one = torch.arange(3000.0)
    save_file({"a": one, "b": one.clone(), "c": one + 1}, tmp_path / "held.safetensors")
    source = EditableCheckpoint(open_checkpoint(str(tmp_path / "held.safetensors")))
    assert isinstance(source, Searchable)
    try:
        assert groups_of(source, await source.copies(None)) == {frozenset({"a", "b"})}
        await source.apply(SetCells("b", "2999", "=", 7.0))
        assert groups_of(source, await source.copies(None)) == set()
        await source.apply(SetCells("c", "", "-=", 1.0))
        assert groups_of(source, await source.copies(None)) == {frozenset({"a", "c"})}
        await source.undo()
        await source.undo()
        assert groups_of(source, source.find_copies()) == {frozenset({"a", "b"})}
    finally:
        source.close()


def endless(monkeypatch: pytest.MonkeyPatch, begun: threading.Event, ended: threading.Event) -> None:
    """Makes searches go round and round; they say when they begin and end."""
    whole = partition.Partition.equal

    def equal(self: Any, *arguments: Any) -> Any:
        try:
            while True:
                whole(self, *arguments)
                begun.set()
        finally:
            ended.set()

    monkeypatch.setattr(partition.Partition, "equal", equal)


@pytest.mark.parametrize("kind", ["file", "model"])
async def test_a_cancelled_search_ends_its_thread(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()
    endless(monkeypatch, begun, ended)
    tensors = {"a": torch.arange(9.0), "b": torch.arange(9.0)}
    source: Any = saved(tmp_path, tensors) if kind == "file" else ModuleSource(live(tensors))
    before = len(os.listdir("/dev/fd"))
    search = asyncio.create_task(source.copies(None))
    assert await asyncio.to_thread(begun.wait, 60)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    assert await asyncio.to_thread(ended.wait, 10)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert len(os.listdir("/dev/fd")) <= before


async def test_an_interrupted_search_of_a_model_says_that_it_was_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, ended = threading.Event(), threading.Event()
    endless(monkeypatch, begun, ended)
    source = ModuleSource(live({"a": torch.arange(9.0), "b": torch.arange(9.0)}))
    search = asyncio.create_task(source.copies(None))
    assert await asyncio.to_thread(begun.wait, 60)
    assert await source.interrupt()
    with pytest.raises(RunStoppedError):
        await search
    assert ended.is_set()


def test_a_search_that_is_stopped_says_so(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    source = saved(tmp_path, {"a": torch.zeros(3), "b": torch.zeros(3)})
    with pytest.raises(RunStoppedError):
        source.find_copies(None, stop)


def test_systems_that_cannot_read_into_a_buffer_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(tmp_path, {"a": large(1), "b": large(1), "c": large(2)})
    expected = source.find_copies()
    monkeypatch.delattr(os, "preadv")
    assert source.find_copies() == expected
    assert len(expected.groups) == 1
