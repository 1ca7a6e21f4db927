"""Saving on systems that lack something, or that answer oddly."""

from __future__ import annotations

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paramtui.checkpoints.temporary import Temporary, free_nbytes, leftovers, remove_leftover
from paramtui.checkpoints.writing import FileJob, Sink, identity_of, write_files
from paramtui.errors import SavingError

NEW = bytes(range(256)) * 1024


def giving(sink: Sink) -> None:
    sink.append(NEW)


def over(path: Path) -> FileJob:
    return FileJob(str(path), len(NEW), giving, identity_of(str(path)))


def fresh(path: Path) -> FileJob:
    return FileJob(str(path), len(NEW), giving)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.pt"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def failing(number: int) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return call


def temporary_name(target: str, digit: str) -> str:
    return f".{target}.paramtui-{digit * 16}.tmp"


def test_room_and_attributes_that_a_system_does_not_know_are_done_without(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("posix_fallocate", "listxattr", "getxattr", "setxattr"):
        monkeypatch.delattr(os, name, raising=False)
    assert write_files([over(old)]).durable
    assert old.read_bytes() == NEW
    assert old.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_room_that_a_file_system_cannot_reserve_is_found_by_writing(
    old: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(error), raising=False)
    assert write_files([over(old)]).durable
    assert old.read_bytes() == NEW


def test_of_attributes_those_of_the_user_and_access_lists_are_kept(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {
        "user.origin": b"here",
        "security.selinux": b"label",
        "system.posix_acl_access": b"list",
        "trusted.overlay.opaque": b"y",
    }
    given: dict[str, bytes] = {}
    monkeypatch.setattr(os, "listxattr", lambda _: list(held), raising=False)
    monkeypatch.setattr(os, "getxattr", lambda _, name: held[name], raising=False)
    monkeypatch.setattr(os, "setxattr", lambda _, name, value: given.update({name: value}), raising=False)
    write_files([over(old)])
    assert given == {"user.origin": b"here", "system.posix_acl_access": b"list"}


@pytest.mark.parametrize("refused", [False, True])
def test_where_there_is_a_stronger_sync_it_is_asked_for_and_the_usual_one_if_it_is_refused(
    old: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    asked: list[int] = []
    synced: list[int] = []
    fsync = os.fsync

    def control(fd: int, command: int) -> int:
        asked.append(command)
        if refused:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        return 0

    def counted(fd: int) -> None:
        synced.append(fd)
        fsync(fd)

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", counted)
    assert write_files([over(old)]).durable
    assert asked == [51]
    assert len(synced) == (2 if refused else 1), "the folder, and the file where the other was refused"


@pytest.mark.parametrize("call", ["write", "pwrite"])
def test_a_system_that_takes_no_more_bytes_is_said(
    old: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def write(sink: Sink) -> None:
        sink.append(NEW)
        sink.patch(0, b"head")

    monkeypatch.setattr(os, call, lambda *_: 0)
    with pytest.raises(SavingError, match="the system takes no more bytes"):
        write_files([over(old)._replace(write=write)])
    assert [path.name for path in old.parent.iterdir()] == ["old.pt"]
    assert old.read_bytes() == b"old"


def test_a_disk_that_does_not_say_what_is_free_is_written_to(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nothing:
        f_blocks = f_bfree = f_bavail = 0
        f_frsize = 4096

    monkeypatch.setattr(os, "statvfs", lambda _: Nothing)
    assert free_nbytes(str(old.parent)) is None
    write_files([over(old)])
    assert old.read_bytes() == NEW


@pytest.mark.parametrize("superuser", [True, False])
def test_what_is_kept_for_the_superuser_is_free_for_nobody_else(
    old: Path, monkeypatch: pytest.MonkeyPatch, superuser: bool
) -> None:
    class Half:
        f_blocks, f_bfree, f_bavail, f_frsize = 100, 60, 50, 1000

    monkeypatch.setattr(os, "statvfs", lambda _: Half)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if superuser else 1000)
    assert free_nbytes(str(old.parent)) == (60_000 if superuser else 50_000)
    with pytest.raises(SavingError, match="the disk is full: 262 kB are needed and [56]0.0 kB are free"):
        write_files([over(old)])
    assert old.read_bytes() == b"old"


def test_names_that_are_taken_are_passed_over(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = old.parent / temporary_name("old.pt", "0")
    taken.write_bytes(b"theirs")
    drawn = iter([b"\0" * 8, b"\x11" * 8])
    monkeypatch.setattr(os, "urandom", lambda _: next(drawn))
    write_files([over(old)])
    assert (old.read_bytes(), taken.read_bytes()) == (NEW, b"theirs")
    monkeypatch.setattr(os, "urandom", lambda _: b"\0" * 8)
    with pytest.raises(SavingError, match="no name is free for a temporary file"):
        write_files([over(old)])
    assert taken.read_bytes() == b"theirs"


def test_a_temporary_file_that_another_process_has_locked_is_given_up(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    calls: list[int] = []

    def late(fd: int, how: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_files([over(old)])
    assert len(calls) == 2
    assert old.read_bytes() == NEW
    assert [path.name for path in old.parent.iterdir()] == ["old.pt"]


@pytest.mark.parametrize("theirs", [b"theirs", None])
def test_a_name_that_another_program_takes_from_under_its_holder_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: bytes | None
) -> None:
    path = tmp_path / "new.pt"
    real = os.open
    monkeypatch.setattr(os, "link", failing(errno.EPERM))

    def taken(name: str, flags: int, mode: int = 0o777) -> int:
        fd = real(name, flags, mode)
        if name == str(path):
            path.unlink()
            if theirs is not None:
                path.write_bytes(theirs)
        return fd

    monkeypatch.setattr(os, "open", taken)
    with pytest.raises(SavingError, match="a file of this name exists"):
        write_files([fresh(path)])
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == (
        [("new.pt", theirs)] if theirs is not None else []
    )


def test_what_cannot_be_removed_after_a_failure_is_named(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "unlink", failing(errno.EACCES))
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(SavingError, match="input/output error") as caught:
        write_files([over(old)])
    monkeypatch.undo()
    (left,) = [path for path in old.parent.iterdir() if path != old]
    assert caught.value.hint == f"nothing was changed; remove what is left of the attempt: {left}"
    assert old.read_bytes() == b"old"
    assert [found.path for found in leftovers(str(old.parent))] == [str(left)]


def test_an_error_without_a_hint_gets_one_about_what_is_left(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "unlink", failing(errno.EACCES))
    with pytest.raises(SavingError, match="announced were written") as caught:
        write_files([over(old)._replace(nbytes=len(NEW) + 1)])
    monkeypatch.undo()
    (left,) = [path for path in old.parent.iterdir() if path != old]
    assert caught.value.hint == f"remove what is left of the attempt: {left}"


def test_a_temporary_file_is_closed_once_and_removed_once(old: Path) -> None:
    temporary = Temporary(str(old), 0o600)
    assert temporary.lies_at(temporary.path)
    assert temporary.discard()
    assert temporary.discard()
    assert not temporary.lies_at(temporary.path)
    assert [path.name for path in old.parent.iterdir()] == ["old.pt"]


def test_a_file_whose_mode_a_new_one_takes_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SavingError, match="gone.pt: is not there any more"):
        write_files([fresh(tmp_path / "new.pt")._replace(mode_of=str(tmp_path / "gone.pt"))])
    assert list(tmp_path.iterdir()) == []


def test_leftovers_that_cannot_be_removed_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / temporary_name("a.pt", "0")
    remove_leftover(str(path))
    path.write_bytes(b"half")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", failing(errno.EROFS))
        with pytest.raises(SavingError, match="read-only file system"):
            remove_leftover(str(path))
    assert path.read_bytes() == b"half"
    path.unlink()
    os.mkfifo(path)
    assert leftovers(str(tmp_path)) == []
    with pytest.raises(SavingError, match="is no regular file, or was replaced"):
        remove_leftover(str(path))
    assert path.exists()


def test_leftovers_that_may_only_be_read_are_removed_from_a_folder_that_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / temporary_name("a.pt", "0")
    path.write_bytes(b"half")
    real = os.open
    flags: Counter[int] = Counter()

    def reading(name: str, how: int, mode: int = 0o777) -> int:
        flags[how & os.O_ACCMODE] += 1
        if how & os.O_ACCMODE != os.O_RDONLY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(name, how, mode)

    monkeypatch.setattr(os, "open", reading)
    remove_leftover(str(path))
    assert flags == {os.O_RDWR: 1, os.O_RDONLY: 1}
    assert not path.exists()
