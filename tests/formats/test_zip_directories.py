"""Directories of archives: zip64 fields, records that are not what the directory says, the last one kept."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.zip_directory import ZipDirectory
from paramtui.errors import FormatError, ValuesError
from tests.support import assert_rows, opened, rewrite_zip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

FULL = 0xFFFFFFFF


def read(path: Path) -> dict[str, bytes]:
    """The records of an archive by the reader under test."""
    with RandomFile(str(path)) as file:
        directory = ZipDirectory(file)
        return {name: directory.content(name) for name in directory.names}


def one_record(path: Path, extra: bytes, nbytes: int = FULL, packed: int = FULL, begin: int = FULL) -> Path:
    """An archive of the record ``a`` of 5 bytes, its directory with these numbers and this extra field."""
    content = b"hello"
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(content), 5, 5, 1, 0)
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", 45, 45, 0, 0, 0, 0, zlib.crc32(content), packed, nbytes, 1, len(extra),
        0, 0, 0, 0, begin,
    )  # fmt: skip
    directory = entry + b"a" + extra
    body = local + b"a" + content
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


def field(*numbers: int, kind: int = 1, length: int | None = None) -> bytes:
    raw = struct.pack(f"<{len(numbers)}Q", *numbers)
    return struct.pack("<HH", kind, len(raw) if length is None else length) + raw


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_with_zip64_sizes_and_places_reads_as_zipfile_reads_it(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    tensors = {"w": torch.randn(50, 3), "v": torch.arange(3)}
    # From ten bytes on, a size or place is written in the extra field.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    path = rewrite_zip(save(tensors), tmp_path / "large.pt", lambda _, content: content, method=method)
    with zipfile.ZipFile(path) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    assert struct.pack("<L", FULL) in path.read_bytes()
    assert read(path) == expected
    assert_rows(opened(path), tensors)
    assert torch.load(path, weights_only=True)["w"].equal(tensors["w"])


@pytest.mark.parametrize(
    ("extra", "narrow"),
    [
        (field(5, 5, 0), {}),
        (field(kind=9, length=0) + field(5, 5, 0), {}),
        (b"\x09\x00\x03\x00abc" + field(5, 5, 0), {}),
        (field(5), {"packed": 5, "begin": 0}),
        (field(5), {"nbytes": 5, "begin": 0}),
        (field(0), {"nbytes": 5, "packed": 5}),
        (field(5, 5, 0, 0), {}),
    ],
)
def test_zip64_fields_stand_for_the_numbers_that_are_full(
    tmp_path: Path, extra: bytes, narrow: dict[str, int]
) -> None:
    path = one_record(tmp_path / "a.zip", extra, **narrow)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("a") == b"hello"
    assert read(path) == {"a": b"hello"}


@pytest.mark.parametrize(
    "extra", [b"", b"\x01", field(), field(5, 5), field(5, 5, 0, length=20), field(5, kind=2)]
)
def test_a_full_number_without_its_zip64_field_leads_past_the_file(tmp_path: Path, extra: bytes) -> None:
    path = one_record(tmp_path / "a.zip", extra)
    with pytest.raises(FormatError, match="its record 'a' reaches past the end of the file"):
        read(path)


def test_a_directory_of_more_records_than_its_end_can_say_needs_its_zip64_record(tmp_path: Path) -> None:
    raw = bytearray(one_record(tmp_path / "a.zip", field(5, 5, 0)).read_bytes())
    for at, number in (-14, 0xFFFF), (-12, 0xFFFF):
        struct.pack_into("<H", raw, len(raw) + at, number)
    path = tmp_path / "many.zip"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="lacks the zip64 record that its directory points to"):
        read(path)


def deflated(path: Path, content: bytes, said: int, packed: bytes | None = None) -> Path:
    """An archive of the deflated record ``a``, whose directory says another length."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
        archive.infolist()[0].file_size = said
    raw = bytearray(path.read_bytes())
    if packed is not None:
        raw[31 : 31 + len(packed)] = packed
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (20, "the record 'a' inflates to 21 bytes, not 20"),
        (61, "the record 'a' inflates to 60 bytes, not 61"),
    ],
)
def test_a_deflated_record_of_another_length_is_refused(tmp_path: Path, said: int, words: str) -> None:
    with pytest.raises(ValuesError) as caught:
        read(deflated(tmp_path / "a.zip", b"abc" * 20, said))
    assert str(caught.value) == f"{tmp_path / 'a.zip'}: {words}"


def test_a_deflated_record_of_no_deflated_bytes_is_refused(tmp_path: Path) -> None:
    # A block of a kind that there is not.
    with pytest.raises(ValuesError, match="the record 'a' cannot be inflated: Error -3"):
        read(deflated(tmp_path / "a.zip", b"abc" * 20, 60, b"\xff"))


def test_a_deflated_record_is_inflated_once_for_all_its_tensors(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = torch.arange(100.0)
    tensors = {"whole": base, "part": base[40:], "other": torch.arange(50)}
    path = rewrite_zip(save(tensors), tmp_path / "packed.pt", lambda _, c: c, method=zipfile.ZIP_DEFLATED)
    checkpoint = opened(path)
    asked: list[str] = []
    content = ZipDirectory.content

    def counted(self: ZipDirectory, name: str, limit: int | None = None) -> bytes:
        asked.append(name)
        return content(self, name, limit)

    monkeypatch.setattr(ZipDirectory, "content", counted)
    for name in ("whole", "part", "whole", "other", "part"):
        assert checkpoint.read(name).tolist() == tensors[name].tolist()
    assert [name.rpartition("/")[2] for name in asked] == ["0", "1", "0"]
