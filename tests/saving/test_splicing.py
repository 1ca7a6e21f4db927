"""Copies of checkpoint files with some bytes replaced."""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.splicing import Patch, spliced
from paramtui.checkpoints.writing import FileJob, identity_of, write_files
from paramtui.checkpoints.zip_checksums import crc_behind
from paramtui.errors import ParamtuiError, ValuesError
from tests.support import rewrite_zip


def patch(begin: int, data: bytes) -> Patch:
    return Patch(begin, len(data), lambda at, nbytes: data[at : at + nbytes])


def save_patched(path: Path, patches: list[Patch]) -> None:
    with RandomFile(str(path)) as file:
        write_files([FileJob(str(path), file.nbytes, spliced(file, patches), identity_of(str(path)))])


def tied() -> dict[str, torch.Tensor]:
    whole = torch.arange(3000.0)
    return {"a": whole, "b": whole, "part": whole[5:50:2], "c": torch.ones(7, dtype=torch.bool)}


def training() -> dict[str, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 3}


OBJECTS = (tied(), training(), [torch.zeros(300, 40, dtype=torch.bfloat16), torch.tensor(3), torch.empty(0)])


def storages(obj: Any) -> Iterator[bytes]:
    """The bytes below every tensor of an object, in order."""
    if isinstance(obj, torch.Tensor):
        raw = obj.untyped_storage()
        yield torch.empty(0, dtype=torch.uint8).set_(raw).numpy().tobytes() if raw.nbytes() else b""
    elif isinstance(obj, dict | list):
        for inner in obj.values() if isinstance(obj, dict) else obj:
            yield from storages(inner)


def places(raw: bytes, archive: zipfile.ZipFile) -> dict[str, tuple[int, int, int]]:
    """Byte where a record's content begins and ends, and where its entry of the directory does."""
    out = {}
    at = archive.start_dir
    for info in archive.infolist():
        name, extra = struct.unpack_from("<HH", raw, info.header_offset + 26)
        begin = info.header_offset + 30 + name + extra
        out[info.filename] = (begin, begin + info.file_size, at)
        at += 46 + sum(struct.unpack_from("<3H", raw, at + 28))
    return out


@st.composite
def ranges(draw: st.DrawFn, nbytes: int) -> list[tuple[int, bytes]]:
    """Disjoint ranges of a record and new bytes for them."""
    cuts = sorted(draw(st.sets(st.integers(0, nbytes), max_size=8)))
    return [
        (begin, draw(st.binary(min_size=end - begin, max_size=end - begin)))
        if end - begin < 50
        else (begin, draw(st.binary(min_size=1, max_size=1)) * (end - begin))
        for begin, end in zip(cuts[::2], cuts[1::2], strict=False)
    ]


@settings(max_examples=60)
@given(
    st.integers(0, len(OBJECTS) - 1),
    st.sampled_from([2, 3, 4, 5]),
    st.sampled_from(["true", "none", "zip"]),
    st.data(),
)
def test_patched_archives_load_as_torch_would_have_saved_them(
    which: int, protocol: int, checksums: str, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        path, expected = Path(name) / "x.pt", Path(name) / "expected.pt"
        torch.serialization.set_crc32_options(checksums != "none")
        torch.save(OBJECTS[which], path, pickle_protocol=protocol)
        torch.serialization.set_crc32_options(True)
        if checksums == "zip":
            # Written by Python, which has checksums in the local headers and no descriptors.
            rewrite_zip(path, Path(name) / "y.pt", lambda _, content: content).rename(path)
        raw = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            records = places(raw, archive)
        patches: list[tuple[int, bytes]] = []
        allowed = bytearray(len(raw))
        for record, (begin, end, entry) in records.items():
            if "/data/" in record:
                found = data.draw(ranges(end - begin))
                patches += [(begin + at, new) for at, new in found]
                if found:
                    # The checksum in the directory, and in the local header or behind the content.
                    header = struct.unpack_from("<L", raw, entry + 42)[0]
                    for place in (entry + 16, header + 14 if checksums == "zip" else end + 4):
                        allowed[place : place + 4] = b"\1" * 4
        changed = bytearray(raw)
        for at, new in patches:
            changed[at : at + len(new)] = new
            allowed[at : at + len(new)] = b"\1" * len(new)
        contents = {record: bytes(changed[begin:end]) for record, (begin, end, _) in records.items()}
        with zipfile.ZipFile(expected, "w") as archive:
            for record, content in contents.items():
                archive.writestr(record, content)

        save_patched(path, [patch(at, new) for at, new in patches])

        saved = path.read_bytes()
        assert len(saved) == len(raw)
        assert all(allowed[at] for at in range(len(raw)) if saved[at] != raw[at])
        with zipfile.ZipFile(path) as archive:
            if checksums == "none":
                assert all(info.CRC == 0 for info in archive.infolist())
            else:
                assert archive.testzip() is None
        assert {record: saved[begin:end] for record, (begin, end, _) in records.items()} == contents
        wanted = list(storages(torch.load(expected, weights_only=False)))
        assert list(storages(torch.load(path, weights_only=False))) == wanted
        if checksums != "zip":
            assert list(storages(torch.load(path, weights_only=False, mmap=True))) == wanted


@settings(max_examples=30)
@given(st.data())
def test_patched_safetensors_load_with_the_new_bytes_and_all_others(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.safetensors"
        save_file({"a": torch.arange(40, dtype=torch.uint8), "b": torch.zeros(30, dtype=torch.int16)}, path)
        raw = bytearray(path.read_bytes())
        first = len(raw) - 100
        found = data.draw(ranges(100))
        save_patched(path, [patch(first + at, new) for at, new in found])
        for at, new in found:
            raw[first + at : first + at + len(new)] = new
        assert path.read_bytes() == raw
        loaded = load_file(path)
        assert bytes(raw[first : first + 60]) == loaded["b"].numpy().tobytes()
        assert bytes(raw[first + 60 :]) == loaded["a"].numpy().tobytes()


def test_the_older_format_is_patched_as_plain_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(tied(), path, _use_new_zipfile_serialization=False)
    raw = path.read_bytes()
    at = raw.index(torch.arange(3000.0).numpy().tobytes())
    save_patched(path, [patch(at + 40, struct.pack("<2f", -1, -2))])
    loaded = torch.load(path)
    expected = tied()
    expected["a"][10:12] = torch.tensor([-1.0, -2.0])
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)
    assert path.read_bytes() == raw[: at + 40] + struct.pack("<2f", -1, -2) + raw[at + 48 :]


def test_a_patch_longer_than_one_piece_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": torch.zeros(10_000_000, dtype=torch.uint8), "b": torch.ones(3)}, path)
    with zipfile.ZipFile(path) as archive:
        begin = places(path.read_bytes(), archive)["x/data/0"][0]
    asked: list[int] = []

    def read(at: int, nbytes: int) -> bytes:
        asked.append(nbytes)
        return b"\7" * nbytes

    save_patched(path, [Patch(begin + 1, 9_000_000, read)])
    loaded = torch.load(path)
    assert loaded["a"].count_nonzero() == 9_000_000
    assert loaded["a"][0] == 0
    assert loaded["a"][1] == 7
    assert max(asked) <= 4 << 20
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_what_is_no_content_of_one_stored_record_is_not_patched(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(tied(), path)
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        begin, end, entry = places(raw, archive)["x/data/0"]
    with RandomFile(str(path)) as file:
        for at, nbytes in ((0, 4), (begin - 1, 2), (end - 1, 2), (entry, 4), (begin, end - begin + 200)):
            with pytest.raises(ValuesError, match="are not those of one record"):
                spliced(file, [patch(at, b"x" * nbytes)])
        for patches in (
            [patch(begin + 4, b"1234"), patch(begin, b"1234")],
            [patch(begin, b"1234"), patch(begin + 3, b"1")],
            [patch(len(raw) - 1, b"12")],
            [patch(-1, b"1")],
        ):
            with pytest.raises(ValuesError, match="overlaps another or reaches past"):
                spliced(file, patches)
    deflated = rewrite_zip(path, tmp_path / "y.pt", lambda _, content: content, method=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(deflated) as archive:
        info = archive.getinfo("x/data/0")
        begin = places(deflated.read_bytes(), archive)["x/data/0"][0]
    assert info.compress_size > 4
    with RandomFile(str(deflated)) as file, pytest.raises(ValuesError, match="compressed"):
        spliced(file, [patch(begin, b"1234")])


def test_a_source_that_changes_while_it_is_copied_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(tied(), path)
    with zipfile.ZipFile(path) as archive:
        begin = places(path.read_bytes(), archive)["x/data/0"][0]

    def read(at: int, nbytes: int) -> bytes:
        with path.open("r+b") as file:
            file.write(b"PK")
        return b"x" * nbytes

    with RandomFile(str(path)) as file:
        job = FileJob(str(tmp_path / "copy.pt"), file.nbytes, spliced(file, [Patch(begin, 4, read)]))
        with pytest.raises(ParamtuiError, match="changed while it was (copied|read)"):
            write_files([job])
    assert [found.name for found in tmp_path.iterdir()] == ["x.pt"]


def test_a_source_whose_status_alone_changes_while_it_is_copied_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old" * 100)
    path.chmod(0o600)

    def read(at: int, nbytes: int) -> bytes:
        path.chmod(0o640)
        return b"x" * nbytes

    with RandomFile(str(path)) as file:
        job = FileJob(str(tmp_path / "copy"), file.nbytes, spliced(file, [Patch(7, 4, read)]))
        with pytest.raises(ValuesError, match="was changed while it was copied"):
            write_files([job])
    assert [found.name for found in tmp_path.iterdir()] == ["x.bin"]


def test_a_source_that_is_gone_once_it_was_copied_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old" * 100)

    def read(at: int, nbytes: int) -> bytes:
        path.unlink()
        return b"x" * nbytes

    with RandomFile(str(path)) as file:
        job = FileJob(str(tmp_path / "copy"), file.nbytes, spliced(file, [Patch(296, 4, read)]))
        with pytest.raises(ValuesError, match="is not there any more"):
            write_files([job])
    assert list(tmp_path.iterdir()) == []


def test_a_change_that_gives_too_few_bytes_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old" * 100)
    with RandomFile(str(path)) as file:
        patches = [Patch(7, 20, lambda at, nbytes: b"x" * (nbytes - 3))]
        job = FileJob(str(tmp_path / "copy"), file.nbytes, spliced(file, patches))
        with pytest.raises(ValuesError, match="the change at byte 7 gave 17 of 20 bytes"):
            write_files([job])
    assert [found.name for found in tmp_path.iterdir()] == ["x.bin"]


def test_bytes_before_an_archive_move_all_its_places(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(tied(), path)
    raw = path.read_bytes()
    head = b"#!/bin/sh\n" * 100
    locator = raw.rindex(b"PK\x06\x07")
    (end64,) = struct.unpack_from("<Q", raw, locator + 8)
    assert raw[end64 : end64 + 4] == b"PK\x06\x06"
    # Once as it was written, and once with the place of the zip64 record put right.
    right = raw[: locator + 8] + struct.pack("<Q", end64 + len(head)) + raw[locator + 16 :]
    with zipfile.ZipFile(path) as archive:
        begin = places(raw, archive)["x/data/0"][0]
    for content in (raw, right):
        path.write_bytes(b"PK\x03\x04" + head[4:] + content)
        save_patched(path, [patch(len(head) + begin + 8, struct.pack("<f", 7))])
        saved = path.read_bytes()
        assert saved[: len(head)] == b"PK\x03\x04" + head[4:]
        path.write_bytes(saved[len(head) : len(head) + locator] + raw[locator:])
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
        loaded = torch.load(path)
        expected = torch.arange(3000.0)
        expected[2] = 7
        assert torch.equal(loaded["a"], expected)


def test_a_checksum_that_was_wrong_behind_a_record_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(tied(), path)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        begin, end, entry = places(bytes(raw), archive)["x/data/0"]
    assert raw[end : end + 4] == b"PK\x07\x08"
    raw[end + 4 : end + 8] = b"odd!"
    path.write_bytes(raw)
    save_patched(path, [patch(begin, struct.pack("<f", 7))])
    saved = path.read_bytes()
    assert saved[end : end + 8] == b"PK\x07\x08odd!"
    assert struct.unpack_from("<L", saved, entry + 16) == (zlib.crc32(saved[begin:end]),)


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 3000))
def test_a_difference_of_checksums_behind_equal_bytes_is_that_of_whole_checksums(
    first: bytes, second: bytes, behind: int
) -> None:
    second = second[: len(first)].ljust(len(first), b"\0")
    tail = b"tail" * (behind // 4)
    found = crc_behind(zlib.crc32(first) ^ zlib.crc32(second), len(tail))
    assert found == zlib.crc32(first + tail) ^ zlib.crc32(second + tail)
