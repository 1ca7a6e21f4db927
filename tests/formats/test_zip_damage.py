"""Archives whose bytes are not those that were written: found by checksum, told by tensor."""

from __future__ import annotations

import asyncio
import threading
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.checkpoints import zip_damage
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.health import check
from paramtui.core.trust import Uses
from tests.support import rewrite_zip, run_paramtui

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


@pytest.fixture
def weights(save: Save) -> Path:
    shared = torch.arange(3000.0)
    return save({"first": torch.ones(7), "one": shared, "other": shared[10:], "third": shared[5:9]})


def flip(path: Path, record: str, at: int) -> tuple[int, int]:
    """Turns a bit of a record; gives its old and new checksum, as `zipfile` and `zlib` see them."""
    with zipfile.ZipFile(path) as archive:
        info = next(found for found in archive.infolist() if found.filename.endswith(record))
        content = bytearray(archive.read(info))
        with archive.open(info) as file:
            file.read(1)
        begin = path.read_bytes().index(bytes(content), info.header_offset)
    content[at] ^= 16
    with path.open("r+b") as file:
        file.seek(begin + at)
        file.write(content[at : at + 1])
    return info.CRC, zlib.crc32(content)


def damage(path: Path, **options: Any) -> list[tuple[int, str]]:
    source = open_checkpoint(str(path))
    try:
        found = source.find_damage(**options)
        assert {each.path for each in found} <= set(source.paths())
        return [(each.location, each.words) for each in found]
    finally:
        source.close()


def test_a_bit_in_a_storage_is_told_by_the_tensors_that_lie_in_it(weights: Path) -> None:
    assert damage(weights) == []
    written, found = flip(weights, "/data/1", 11_000)
    words = f"its bytes have the CRC-32 {found:08x}, and {written:08x} was written"
    source = open_checkpoint(str(weights))
    findings = check(source.listing, Uses(), {}, source.find_damage())
    (finding,) = [each for each in findings if each.rule == "damaged-data"]
    assert asyncio.run(source.damage(None)) == source.find_damage()
    source.close()
    assert (finding.where, finding.severity, finding.tensor) == ("one", "error", 1)
    assert words in finding.message and finding.message.endswith("2 more tensors lie in it")


def test_a_bit_in_another_record_is_told_by_the_record(weights: Path) -> None:
    flip(weights, "/version", 0)
    ((location, words),) = damage(weights)
    assert location == -1
    assert "record saved1/version is damaged" in words


def test_the_command_reads_checksums_when_it_reads_values(weights: Path) -> None:
    flip(weights, "/data/0", 4)
    assert b"damaged-data" not in run_paramtui("check", str(weights)).stdout
    done = run_paramtui("check", "--values", str(weights))
    assert done.returncode == 1
    assert b"error    damaged-data" in done.stdout


def test_a_checksum_that_was_not_computed_says_nothing(save: Save) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = save({"w": torch.arange(100.0)})
    finally:
        torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[-1].CRC == 0
    assert damage(path) == []


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_deflated_records_are_inflated_and_compared(save: Save, tmp_path: Path, size: int) -> None:
    path = save({"w": torch.arange(size)})
    packed = rewrite_zip(path, tmp_path / "packed.pt", lambda _, data: data, method=zipfile.ZIP_DEFLATED)
    assert damage(packed) == []
    with zipfile.ZipFile(packed) as archive:
        info = next(found for found in archive.infolist() if found.filename.endswith("/data/0"))
    raw = bytearray(packed.read_bytes())
    begin = info.header_offset + 30 + len(info.filename)
    raw[begin + info.compress_size // 2] ^= 4
    packed.write_bytes(raw)
    ((location, words),) = damage(packed)
    assert location == 0
    assert "CRC-32" in words or "cannot be inflated" in words
    # A block of a kind that there is not.
    raw[begin] |= 6
    packed.write_bytes(raw)
    ((location, words),) = damage(packed)
    assert location == 0 and "cannot be inflated (Error -3" in words


def test_a_method_that_is_not_known_is_not_judged(save: Save, tmp_path: Path) -> None:
    path = save({"w": torch.arange(1000.0)})
    packed = rewrite_zip(path, tmp_path / "packed.pt", lambda _, data: data, method=zipfile.ZIP_STORED)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w") as new:
        for info in old.infolist():
            method = zipfile.ZIP_BZIP2 if info.filename.endswith("/data/0") else zipfile.ZIP_STORED
            new.writestr(zipfile.ZipInfo(info.filename), old.read(info), compress_type=method)
    assert damage(packed) == []


def test_progress_counts_every_byte_and_it_can_be_stopped(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_damage, "PIECE", 100)
    flip(weights, "/data/1", 0)
    said: list[tuple[int, int]] = []
    assert len(damage(weights, progress=lambda done, total: said.append((done, total)))) == 1
    with zipfile.ZipFile(weights) as archive:
        total = sum(info.compress_size for info in archive.infolist())
    assert said[-1] == (total, total)
    assert len(said) >= 120 and said == sorted(said)
    stop = threading.Event()
    at: list[int] = []

    def progress(done: int, _: int) -> None:
        at.append(done)
        stop.set()

    assert damage(weights, progress=progress, stop=stop) == []
    assert len(at) == 1


def test_other_formats_have_no_checksums(save: Save) -> None:
    assert damage(save({"w": torch.ones(3)}, _use_new_zipfile_serialization=False)) == []


def test_a_bit_in_the_object_s_own_pickle_is_seen_when_it_is_opened(save: Save) -> None:
    path = save({"some_name": torch.arange(3.0), "n": 7})
    source = open_checkpoint(str(path))
    assert source.listing.warnings == []
    source.close()
    with zipfile.ZipFile(path) as archive:
        at = archive.read("saved1/data.pkl").index(b"some_name") + 3
    written, found = flip(path, "/data.pkl", at)
    (words,) = open_checkpoint(str(path)).listing.warnings
    assert f"saved1/data.pkl is damaged: its bytes have the CRC-32 {found:08x}, and {written:08x}" in words
    done = run_paramtui("check", str(path))
    assert done.returncode == 1 and b"error    damaged-data" in done.stdout


def test_bytes_behind_an_archive_are_said(save: Save) -> None:
    path = save({"w": torch.ones(2)})
    path.write_bytes(path.read_bytes() + b"left over")
    assert torch.load(path)["w"].tolist() == [1, 1]
    (words,) = open_checkpoint(str(path)).listing.warnings
    assert words == "9 bytes behind the archive belong to nothing"
