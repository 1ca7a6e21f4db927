"""Scans in processes: what cannot be read costs its own tensors alone, and says why."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints import picturing, scanning
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.checkpoints.scan_crew import Crew, Stop, Work
from paramtui.checkpoints.scan_messages import message_of
from paramtui.checkpoints.scan_sums import RankTables
from paramtui.core.edits import SetCells
from paramtui.editable import EditableCheckpoint
from paramtui.errors import ParamtuiError, RunStoppedError, ValuesError
from tests.statistics.against_torch import check_against_torch
from tests.statistics.test_checkpoints import exact_of, figures
from tests.support import open_descriptors, rewrite_zip

if TYPE_CHECKING:
    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.statistics import Statistics

LARGE = 100_000


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of more than 64 KiB are counted in parts."""
    monkeypatch.setattr(scanning, "BATCH", 1 << 16)
    monkeypatch.setattr(scanning, "PART", 1 << 17)


def without_header(path: Path, tensor: str) -> None:
    """Damages the local header of the record that a tensor lies in."""
    source = open_checkpoint(str(path))
    location = source.listing.location[source.listing.names.index(tensor)]
    key = source.listing.locations[location].key
    with zipfile.ZipFile(path) as archive:
        (at,) = [each.header_offset for each in archive.infolist() if each.filename.endswith(f"/data/{key}")]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"XX")


async def test_meta_tensors_are_refused_alone(tmp_path: Path) -> None:
    torch.save({"meta": torch.empty(3, device="meta"), "w": torch.ones(4)}, tmp_path / "m.pt")
    found = await figures(tmp_path / "m.pt")
    assert str(found["meta"]) == "a meta tensor: it has a shape and no values"
    assert exact_of(found["w"]).numel == 4
    source = open_checkpoint(str(tmp_path / "m.pt"))
    with pytest.raises(ValuesError, match="it has a shape and no values"):
        await source.measure(source.listing.names.index("meta"))


async def test_packed_records_are_counted_as_they_unpack(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(LARGE), "b": torch.randn(200)}
    torch.save(tensors, tmp_path / "plain.pt")
    method = zipfile.ZIP_DEFLATED
    path = rewrite_zip(tmp_path / "plain.pt", tmp_path / "m.pt", lambda _, content: content, method=method)
    for name, found in (await figures(path)).items():
        check_against_torch(exact_of(found), tensors[name])


@pytest.mark.usefixtures("in_parts")
async def test_edits_count_in_the_parts_that_they_lie_in(tmp_path: Path) -> None:
    weight = torch.randn(LARGE)
    torch.save({"weight": weight}, tmp_path / "m.pt")
    source = EditableCheckpoint(open_checkpoint(str(tmp_path / "m.pt")))
    try:
        for place, number in (("0:3", 50.0), ("60_000:90_000".replace("_", ""), -70.0), ("99999", 9.0)):
            await source.apply(SetCells("weight", place, "=", number))
        weight[:3], weight[60_000:90_000], weight[99_999] = 50.0, -70.0, 9.0
        check_against_torch((await source.measure(0, exact=True)).statistics, weight)
    finally:
        source.close()


@pytest.mark.parametrize("sizes", [(LARGE, LARGE, LARGE), (10, 20, 30)])
async def test_a_record_without_its_header_costs_its_own_tensor(
    tmp_path: Path, in_parts: None, sizes: tuple[int, int, int]
) -> None:
    torch.save({name: torch.ones(size) for name, size in zip("abc", sizes, strict=True)}, tmp_path / "m.pt")
    without_header(tmp_path / "m.pt", "b")
    found = await figures(tmp_path / "m.pt")
    assert "has no header at byte" in str(found["b"])
    for name, size in (("a", sizes[0]), ("c", sizes[2])):
        check_against_torch(exact_of(found[name]), torch.ones(size))
    source = open_checkpoint(str(tmp_path / "m.pt"))
    with pytest.raises(ValuesError, match="has no header at byte"):
        await source.measure(source.listing.names.index("b"))


class CutAfter(Crew):
    """A crew after whose first work, or during it, a file is cut."""

    def __init__(self, path: Path, *, first: bool) -> None:
        super().__init__()
        self._path = path
        self._left = 0 if first else 1

    def work(self, works: Iterable[Work], moved: Callable[[int], None], stopped: Stop) -> None:
        works = list(works)
        if not self._left:
            # Cut by what is asked for last, so that it is there when it is opened.
            opened = [(work, work.files()) for work in works]
            os.truncate(self._path, self._path.stat().st_size - 300_000)
            for work, files in opened:
                work.files = lambda files=files: files
        self._left -= 1
        super().work(works, moved, stopped)


def scanned(source: CheckpointSource, crew: Crew, *, exact: bool) -> Statistics | ValuesError:
    found: dict[int, Statistics | ValuesError] = {}
    scanner = source.scanner(crew=crew)
    scanner.scan([0], {}, found.__setitem__, exact=exact, progress=None, stop=Stop())
    source.close()
    return found[0]


def test_a_file_cut_between_two_readings_gives_no_figures(tmp_path: Path) -> None:
    save_file({"w": torch.randn(LARGE)}, tmp_path / "m.safetensors")
    source = open_checkpoint(str(tmp_path / "m.safetensors"))
    result = scanned(source, CutAfter(tmp_path / "m.safetensors", first=False), exact=True)
    assert isinstance(result, ValuesError)
    assert "was cut while it was read" in str(result)


def test_a_file_cut_under_many_parts_is_one_problem(tmp_path: Path, in_parts: None) -> None:
    save_file({"w": torch.randn(2 * LARGE)}, tmp_path / "m.safetensors")
    source = open_checkpoint(str(tmp_path / "m.safetensors"))
    result = scanned(source, CutAfter(tmp_path / "m.safetensors", first=True), exact=False)
    assert isinstance(result, ValuesError)
    assert "while it was read" in str(result)


@pytest.mark.parametrize("size", [100, LARGE])
def test_who_stops_before_it_begins_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    save_file({"w": torch.randn(size // 10, 10)}, tmp_path / "m.safetensors")
    source = open_checkpoint(str(tmp_path / "m.safetensors"))
    stop = Stop()
    stop.set()
    scanner = source.scanner()
    if size == LARGE:
        monkeypatch.setattr(picturing, "SMALL", 0)
    with pytest.raises(RunStoppedError, match="stopped"):
        scanner.measure(0, source, {}, exact=False, sample=0, progress=None, stop=stop)
    with pytest.raises(RunStoppedError, match="stopped"):
        scanner.overview(0, (3, 3), source, {}, progress=None, stop=stop)
    source.close()


def test_tables_of_parts_add_up_unless_one_of_them_failed() -> None:
    tables = RankTables()
    with pytest.raises(ValuesError, match="nothing came of it"):
        tables.whole()
    for number in (1, 2):
        tables.answered({"results": [{}]}, np.full(4, number, np.int64).tobytes())
    assert tables.whole().tolist() == [3, 3, 3, 3]
    tables.answered({"results": [{"problem": "was cut"}]}, b"")
    with pytest.raises(ValuesError, match="was cut"):
        tables.whole()


def test_files_that_cannot_all_be_opened_leave_none_open(tmp_path: Path) -> None:
    for number in (1, 2):
        save_file({f"w{number}": torch.ones(9)}, tmp_path / f"model-{number:05}-of-00002.safetensors")
    source = open_checkpoint(str(tmp_path))
    _, files = message_of(source, None, [0, 1], {}, None)
    before = open_descriptors()
    opened = files()
    assert len(opened) == 2
    for file in opened:
        os.close(file)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ParamtuiError, match="no such file"):
        files()
    assert open_descriptors() == before


def test_what_no_part_asks_for_is_not_among_the_segments(tmp_path: Path) -> None:
    torch.save({"weight": torch.arange(1000.0)}, tmp_path / "m.pt")
    source = open_checkpoint(str(tmp_path / "m.pt"))
    place = source.runs[0].place()
    assert place is not None

    class Overlay:
        def descriptor(self, file: int) -> int:
            return file

    # Rows of begin, end, file, position: before the part, from its first byte on, and behind it.
    table = np.array([[0, 40, 1, 0], [80, 90, 1, 40], [200, 300, 1, 50], [396, 500, 1, 150]], np.int64)
    message, _ = message_of(source, Overlay(), [0], {0: table}, (80, 400))  # type: ignore[arg-type]
    (_, _, segments) = message["runs"][0]
    assert [tuple(each) for each in segments] == [
        (80, 90, 1, 40),
        (90, 200, 0, place.begin + 90),
        (200, 300, 1, 50),
        (300, 396, 0, place.begin + 300),
        (396, 400, 1, 150),
    ]
    assert struct.unpack("<f", (tmp_path / "m.pt").read_bytes()[place.begin + 4 :][:4]) == (1.0,)


async def test_a_small_tensor_is_counted_here_and_a_large_one_that_was_cut_is_an_error(
    tmp_path: Path,
) -> None:
    tensors = {"a": torch.randn(300), "b": torch.randn(LARGE)}
    save_file(tensors, tmp_path / "m.safetensors")
    source = open_checkpoint(str(tmp_path / "m.safetensors"))
    check_against_torch((await source.measure(source.listing.names.index("a"))).statistics, tensors["a"])
    crew = CutAfter(tmp_path / "m.safetensors", first=True)
    source.close()
    source = open_checkpoint(str(tmp_path / "m.safetensors"))
    place = source.listing.names.index("b")
    with pytest.raises(ValuesError, match="while it was read"):
        source.scanner(crew=crew).measure(
            place, source, {}, exact=False, sample=0, progress=None, stop=Stop()
        )
    source.close()


@pytest.mark.usefixtures("in_parts")
def test_what_comes_of_other_parts_does_not_count_once_one_has_failed(tmp_path: Path) -> None:
    save_file({"w": torch.randn(LARGE)}, tmp_path / "m.safetensors")
    source = open_checkpoint(str(tmp_path / "m.safetensors"))
    found: list[object] = []
    works = list(source.scanner()._parts(0, {}, found.append, levels=False, most=1 << 16))
    assert len(works) > 2
    works[0].answered({"results": [{"problem": "there is not enough memory"}]}, b"")
    for work in works[1:]:
        assert not found
        work.answered({"results": [{"sums": [], "size": 4}]}, b"")
    (error,) = found
    assert isinstance(error, ValuesError)
    assert str(error) == "there is not enough memory"
