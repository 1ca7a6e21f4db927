"""Files that two programs would read differently: what torch.load would run must not hide in them."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import struct
import subprocess
import tarfile
import urllib.request
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from paramtui.checkpoints.inert_pickle import named_globals
from paramtui.errors import FormatError
from tests.support import opened, values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Save

END = struct.Struct("<4s4H2LH")
MAGIC = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


def refuses(path: Path) -> str:
    with pytest.raises(FormatError) as error:
        opened(path)
    return error.value.what


# Zip archives


@pytest.mark.parametrize("field", [3, 5, 6])
def test_an_archive_whose_two_ends_name_different_directories_is_refused(save: Save, field: int) -> None:
    path = save({"w": torch.ones(2)})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x05\x06")
    end = list(END.unpack_from(raw, at))
    assert raw[at - 20 : at - 16] == b"PK\x06\x07"  # torch writes the long record, too
    end[field + (field == 3)] -= 1
    raw[at : at + END.size] = END.pack(*end)
    path.write_bytes(raw)
    assert refuses(path) == "has two directories that do not agree: programs would read either"


def test_an_archive_whose_short_end_leaves_all_to_the_long_one_is_read(save: Save) -> None:
    path = save({"w": torch.ones(2)})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x05\x06")
    raw[at + 8 : at + 20] = b"\xff" * 12
    path.write_bytes(raw)
    assert opened(path).read("w").tolist() == torch.load(path)["w"].tolist() == [1, 1]


def test_an_archive_behind_another_one_is_refused_where_the_first_one_counts_too(tmp_path: Path) -> None:
    def archive(text: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            file.writestr("archive/data.pkl", text)
        return out.getvalue()

    first, second = archive(pickle.dumps({"a": 1})), archive(pickle.dumps({"b": 2}))
    assert len(first) == len(second)
    path = tmp_path / "two.pt"
    # The directory of the second one is said to be where that of the first one is.
    path.write_bytes(first + second)
    assert f"has a directory at byte {first.index(b'PK' + bytes([1, 2])):,} and another" in refuses(path)
    path.write_bytes(b"PK\x03\x04" + bytes(60) + second)
    assert values(opened(path)) == {"b": 2}


@pytest.mark.parametrize("other", ["archive/DATA.pkl", "archive/data.PKL", "Archive/data.pkl"])
def test_names_that_torch_takes_for_one_are_refused(tmp_path: Path, other: str) -> None:
    path = tmp_path / "case.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
        file.writestr(other, pickle.dumps({"b": 2}))
    assert refuses(path) == f"has two records named '{other}'"


@pytest.mark.parametrize(
    ("field", "number", "words"),
    [(6, 1 << 20, "does not fit before byte"), (4, 60_000, "claims 60,000 records in a directory of")],
)
def test_an_end_that_claims_too_much_is_refused(tmp_path: Path, field: int, number: int, words: str) -> None:
    path = tmp_path / "short.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    raw = bytearray(path.read_bytes())
    end = list(END.unpack_from(raw, len(raw) - END.size))
    end[field] = number
    raw[-END.size :] = END.pack(*end)
    path.write_bytes(raw)
    assert words in refuses(path)


# Tar archives


def tarred(path: Path, edit: Callable[[bytearray], None] = lambda header: None) -> None:
    """A file of the old format whose first pickles quote the header of a tar archive."""
    head = b"\x80\x02" + MAGIC + b".\x80\x02M\xe9\x03.\x80\x02T" + struct.pack("<I", 600)
    info = tarfile.TarInfo(head.decode("latin-1"))
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT, "latin-1"))
    header[257:265] = bytes(8)  # what the oldest archives lack
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    edit(header)
    raw = bytes(header) + bytes(1100)
    path.write_bytes(raw)


def numbered(header: bytearray) -> None:
    said = sum(header[:148]) + 8 * 32 + sum(header[156:512])
    header[148:156] = b"\x80" + said.to_bytes(7, "big")


def signed(header: bytearray) -> None:
    rest = header[:148] + b" " * 8 + header[156:512]
    header[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in rest)


@pytest.mark.parametrize("edit", [lambda header: None, numbered, signed])
def test_a_tar_archive_in_the_old_format_is_none_of_the_old_format(
    tmp_path: Path, edit: Callable[[bytearray], None]
) -> None:
    path = tmp_path / "both.pt"
    tarred(path, edit)
    # This is where torch.load looks first.
    with tarfile.open(path, "r:") as file:
        assert len(file.getmembers()) == 1
    assert refuses(path).startswith("is a tar archive")


@pytest.mark.parametrize("checksum", [b"000001\0 ", b"        ", b"12x4567 "])
def test_what_is_no_tar_archive_is_read_as_it_is(tmp_path: Path, checksum: bytes) -> None:
    path = tmp_path / "one.pt"

    def edit(header: bytearray) -> None:
        header[148:156] = checksum

    tarred(path, edit)
    with pytest.raises(tarfile.ReadError), tarfile.open(path, "r:"):
        pass
    assert "tar archive" not in refuses(path)


# Pickles


def test_what_is_set_on_an_object_twice_is_all_listed(tmp_path: Path) -> None:
    once = pickle.dumps({"a": 1, "b": [2, {"c": 3}]}, 2)[2:-1]
    again = pickle.dumps({"d": {"e": 4}}, 2)[2:-1]
    name = b"\x80\x02cargparse\nNamespace\n)\x81"
    path = tmp_path / "twice.pt"
    for states in ([once, again], [once, again, pickle.dumps({"f": 5}, 2)[2:-1]]):
        data = name + b"".join(state + b"b" for state in states) + b"."
        assert set(vars(pickle.loads(data))) >= {"a", "b", "d"}
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", data)
        found = values(opened(path))
        assert {1, 2, 3, 4} <= {value for value in found.values() if isinstance(value, int)}
        assert len(states) == 2 or 5 in found.values()


@pytest.mark.parametrize("protocol", range(6))
def test_globals_have_the_names_that_python_3_looks_for(tmp_path: Path, protocol: int) -> None:
    things: list[Any] = [
        subprocess.Popen,
        urllib.request.urlopen,
        functools.reduce,
        range,
        os.system,
        FormatError,
    ]
    path = tmp_path / "names.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(things, protocol))
    names = [
        f"{thing.__module__}.{thing.__qualname__}" for thing in pickle.loads(pickle.dumps(things, protocol))
    ]
    names = [name.replace("_functools.", "functools.") for name in names]
    found = [name.replace("_functools.", "functools.") for name in opened(path).listing.globals]
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize("end", [b"", b".", b".N", b"\xff", b".cbuiltins\neval\n", b"R"])
def test_what_pickles_name_is_told_as_far_as_they_can_be_read(end: bytes) -> None:
    data = pickle.dumps(7, 2) + b"\x80\x02cos\nsystem\n" + end
    names = ["builtins.eval"] * (b"eval" in end) + ["os.system"]
    assert named_globals(data) == names
    assert named_globals(b"<html>") == named_globals(b"") == []


# Shards


def index(folder: Path, weights: dict[str, str], name: str = "m.safetensors.index.json") -> Path:
    (folder / name).write_text(json.dumps({"weight_map": weights}))
    return folder / name


def test_an_index_is_no_shard(tmp_path: Path) -> None:
    first = index(tmp_path, {"a": "n.index.json", "b": "m.safetensors.index.json"})
    index(tmp_path, {"a": "m.safetensors.index.json"}, "n.index.json")
    words = refuses(first)
    assert "none of its shards can be read" in words and "is an index of other files" in words


def test_a_directory_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "inner" / "x.safetensors")
    assert "is a directory" in refuses(index(tmp_path, {"a": "inner"}))


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_under_two_names_is_listed_once(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    link(tmp_path / "x.safetensors", tmp_path / "y.safetensors")
    found = opened(index(tmp_path, {"a": "x.safetensors", "b": "y.safetensors"})).listing
    assert found.names == ["a"]
    assert any("y.safetensors: is the same file as x.safetensors" in words for words in found.warnings)
