"""Figures kept on disk: what was kept comes back, and nothing else does."""

from __future__ import annotations

import gzip
import json
import math
import os
from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core import figure_cache
from paramtui.core.statistics import Histogram, Statistics

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

FOUND = Statistics(
    6, 1, 1, 0, 2, 0, -1.5, 2**70, 0.1, 0.30000000000000004, 3.0, math.inf, 1.5,
    (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1e300), 0.0, Histogram((0.0, 1.0), (4,)),
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "paramtui" / "statistics"


@pytest.fixture
def identity(save: Save) -> str:
    return figure_cache.identity_of(
        open_checkpoint(str(save({"a": torch.zeros(3), "b": torch.ones(2)}))).listing
    )


def write(cache: Path, identity: str, *lines: object) -> None:
    """Puts lines in place of what is kept."""
    assert figure_cache.store(identity, {0: FOUND})
    (path,) = cache.glob("*.json.gz")
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))


def test_what_is_kept_comes_back_to_the_last_bit_without_its_histogram(identity: str, cache: Path) -> None:
    assert figure_cache.store(identity, {1: FOUND, 0: FOUND._replace(sampled=3)})
    assert figure_cache.load(identity, 2) == {1: FOUND._replace(histogram=None)}
    assert [path.suffix for path in cache.iterdir()] == [".gz"]


def test_a_file_that_was_written_again_has_no_figures(save: Save, identity: str) -> None:
    path = save({"a": torch.zeros(3)})
    listing = open_checkpoint(str(path)).listing
    before = figure_cache.identity_of(listing)
    os.utime(path, ns=(1, 1))
    assert figure_cache.identity_of(listing) not in ("", before, identity)
    assert not figure_cache.store(before, {0: FOUND}, listing)
    assert figure_cache.load(before, 1) == {}


def test_what_is_damaged_or_hostile_is_not_there(identity: str, cache: Path) -> None:
    head, good = [figure_cache.FORMAT, identity], [*FOUND[:15], None, 0]
    write(cache, identity, head, [[0, good]])
    assert list(figure_cache.load(identity, 1)) == [0]
    for lines in (
        [[figure_cache.FORMAT + 1, identity], [[0, good]]],
        [[figure_cache.FORMAT, "another"], [[0, good]]],
        [head, [[1, good]]],
        [head, [[True, good]]],
        [head, [[0, [*good[:-1], 5]]]],
        [head, [[0, ["6", *good[1:]]]]],
        [head, [[0, [-6, *good[1:]]]]],
        [head, [[0, good[:3]]]],
        [head, [[0, None]]],
        [head, 5],
        [head, [[0, [*good[:13], ["x"] * 7, *good[14:]]]]],
    ):
        write(cache, identity, *lines)
        assert figure_cache.load(identity, 1) == {}, lines
    (path,) = cache.glob("*.json.gz")
    for data in (b"", b"\x1f\x8b", gzip.compress(b"[" * 100_000), path.read_bytes()[:-9], b"no gzip"):
        path.write_bytes(data)
        assert figure_cache.load(identity, 1) == {}


def test_the_files_that_were_not_used_for_longest_go_first(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "middle"):
        assert figure_cache.store(name, {0: FOUND})
    sizes = [path.stat().st_size for path in cache.iterdir()]
    for at, name in enumerate(("old", "middle"), 1):
        os.utime(figure_cache._path(name), ns=(at, at))
    monkeypatch.setattr(figure_cache, "MOST", 2 * max(sizes) + 5)
    # Reading it makes it the one that was used last.
    assert figure_cache.load("old", 1)
    assert figure_cache.store("new", {0: FOUND})
    assert [bool(figure_cache.load(name, 1)) for name in ("old", "middle", "new")] == [True, False, True]


def test_a_folder_that_cannot_be_written_is_no_failure(cache: Path, identity: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    assert not figure_cache.store(identity, {0: FOUND})
    assert figure_cache.load(identity, 1) == {}
