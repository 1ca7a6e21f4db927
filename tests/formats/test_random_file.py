"""Reading by offset: what a file says of itself, and every way in which it can fail."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from paramtui.checkpoints.files import RandomFile, kind_of
from paramtui.checkpoints.temporary import identity_of
from paramtui.errors import TargetError, ValuesError
from tests.support import open_descriptors

CONTENT = bytes(range(250))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


def failing(number: int) -> object:
    def call(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("preadv", [True, False])
@pytest.mark.parametrize("most", [7, 1 << 30])
def test_any_range_is_read_in_pieces_as_large_as_the_system_allows(
    path: Path, monkeypatch: pytest.MonkeyPatch, preadv: bool, most: int
) -> None:
    monkeypatch.setattr("paramtui.checkpoints.files._MAX_READ", most)
    if not preadv:
        monkeypatch.delattr(os, "preadv")
    with RandomFile(str(path)) as file:
        descriptor = file.descriptor()
        for begin, nbytes in ((0, 250), (3, 20), (249, 1), (250, 0)):
            assert file.read(begin, nbytes) == CONTENT[begin : begin + nbytes]
            assert file.read(begin, nbytes, descriptor) == CONTENT[begin : begin + nbytes]
            buffer = bytearray(nbytes)
            file.read_into(begin, buffer, descriptor)
            assert buffer == CONTENT[begin : begin + nbytes]
        os.close(descriptor)


def test_bytes_that_are_not_there_are_refused_before_they_are_read(path: Path) -> None:
    with RandomFile(str(path)) as file:
        for read in (lambda: file.read(249, 2), lambda: file.read_into(249, bytearray(2), file.descriptor())):
            with pytest.raises(ValuesError, match="ends at byte 250; 2 bytes from byte 249 are not there"):
                read()


@pytest.mark.parametrize("into", [True, False])
def test_a_file_that_is_cut_while_it_is_read_is_said_with_the_byte(path: Path, into: bool) -> None:
    with RandomFile(str(path)) as file:
        descriptor = file.descriptor()
        os.truncate(path, 100)
        with pytest.raises(ValuesError, match="was cut while it was read: byte 100 is gone") as caught:
            if into:
                file.read_into(90, bytearray(50), descriptor)
            else:
                file.read(90, 50)
        os.close(descriptor)
        assert caught.value.hint == "open it again"


@pytest.mark.parametrize("into", [True, False])
def test_what_the_system_refuses_to_read_is_said_with_the_byte(
    path: Path, monkeypatch: pytest.MonkeyPatch, into: bool
) -> None:
    monkeypatch.setattr(os, "pread", failing(errno.EIO))
    monkeypatch.delattr(os, "preadv")
    with RandomFile(str(path)) as file, pytest.raises(ValuesError, match="byte 90: input/output error"):
        if into:
            file.read_into(90, bytearray(50), file.descriptor())
        else:
            file.read(90, 50)


@pytest.mark.parametrize("call", ["open", "fstat"])
def test_what_the_system_refuses_to_open_leaves_nothing_open(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = open_descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing(errno.ESTALE))
        with pytest.raises(TargetError, match="stale file handle"):
            RandomFile(str(path))
    assert open_descriptors() == before


def test_a_closed_file_is_opened_for_each_read_and_a_pinned_one_stays_open(path: Path) -> None:
    before = open_descriptors()
    file = RandomFile(str(path))
    file.close()
    file.close()
    assert file.read(5, 2) == b"\x05\x06"
    assert open_descriptors() == before
    file.pin()
    file.pin()
    file.close()
    assert open_descriptors() == before + 1
    other = path.with_name("other")
    other.write_bytes(b"other")
    os.replace(other, path)
    assert file.read(5, 2) == b"\x05\x06"
    descriptor = file.descriptor()
    assert os.pread(descriptor, 2, 5) == b"\x05\x06"
    os.close(descriptor)
    os.close(file._fd)


def test_a_file_that_was_saved_over_is_known_by_what_took_its_place(path: Path) -> None:
    with RandomFile(str(path)) as file:
        other = path.with_name("other")
        other.write_bytes(b"saved")
        file.saved_as = identity_of(str(other))
        os.replace(other, path)
        assert file.outdated() == ""
        os.utime(path, ns=(0, 5))
        assert file.outdated() == "has changed"


def test_a_file_that_cannot_be_looked_at_is_not_called_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RandomFile(str(path)) as file:
        monkeypatch.setattr(os, "stat", failing(errno.EACCES))
        assert file.outdated() == "cannot be reached"
        monkeypatch.setattr(os, "stat", failing(errno.ENOTDIR))
        assert file.outdated() == "is gone"


def test_every_kind_of_thing_has_words() -> None:
    kinds = (stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFLNK)
    assert [kind_of(kind) for kind in kinds] == [
        *("a directory", "a FIFO", "a socket"),
        *("a character device", "a block device", "something else"),
    ]
