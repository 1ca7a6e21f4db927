"""Writing files over old ones and to new names."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from paramtui.checkpoints.writing import (
    FileJob,
    Sink,
    Written,
    identity_of,
    leftovers,
    remove_leftover,
    write_files,
)
from paramtui.errors import SavingError, SavingStoppedError, ValuesError

NEW = bytes(range(256)) * 4096


def giving(data: bytes, piece: int = 100_000) -> Callable[[Sink], None]:
    def write(sink: Sink) -> None:
        for at in range(0, len(data), piece):
            sink.append(data[at : at + piece])

    return write


def over(path: Path, data: bytes = NEW) -> FileJob:
    return FileJob(str(path), len(data), giving(data), identity_of(str(path)))


def fresh(path: Path, data: bytes = NEW, mode_of: Path | None = None) -> FileJob:
    return FileJob(str(path), len(data), giving(data), None, str(mode_of) if mode_of else None)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.pt"
    path.write_bytes(b"old")
    return path


def test_a_file_is_replaced_and_its_new_identity_is_told(old: Path) -> None:
    done = write_files([over(old)])
    assert old.read_bytes() == NEW
    assert done == Written([str(old)], [identity_of(str(old))], durable=True, notes=[])
    assert names(old.parent) == ["old.pt"]
    write_files([over(old, b"again")])
    assert old.read_bytes() == b"again"


def test_an_identity_tells_what_the_system_tells(old: Path) -> None:
    status = old.stat()
    fd = os.open(old, os.O_RDONLY)
    assert identity_of(str(old)) == identity_of(fd)
    os.close(fd)
    assert identity_of(str(old)) == (
        *(status.st_dev, status.st_ino),
        *(3, status.st_mtime_ns, status.st_ctime_ns),
    )


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o444, 0o664])
def test_mode_and_owner_stay(old: Path, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(old, 1234, 2345)
    old.chmod(mode)
    before = old.stat()
    write_files([over(old)])
    after = old.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_attributes_of_the_user_stay(old: Path) -> None:
    try:
        os.setxattr(old, "user.origin", b"here")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes on this system's temporary folder")
    write_files([over(old)])
    assert os.getxattr(old, "user.origin") == b"here"


def test_a_new_file_has_the_usual_mode_or_that_of_another(old: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_files([fresh(old.parent / "usual")])
    finally:
        os.umask(mask)
    old.chmod(0o604)
    write_files([fresh(old.parent / "like", mode_of=old)])
    assert stat.S_IMODE((old.parent / "usual").stat().st_mode) == 0o640
    assert stat.S_IMODE((old.parent / "like").stat().st_mode) == 0o604
    assert (old.parent / "like").stat().st_nlink == 1


def test_a_link_stays_a_link_and_its_target_is_replaced(old: Path) -> None:
    folder = old.parent / "elsewhere"
    folder.mkdir()
    first, second = folder / "first", folder / "second"
    first.symlink_to("../old.pt")
    second.symlink_to(first)
    done = write_files([over(second)])
    assert done.paths == [str(old)]
    assert first.is_symlink()
    assert second.is_symlink()
    assert not old.is_symlink()
    assert old.read_bytes() == second.read_bytes() == NEW
    assert names(folder) == ["first", "second"]


def test_a_file_changed_before_is_left_alone(old: Path) -> None:
    job = over(old)
    old.write_bytes(b"theirs")
    with pytest.raises(SavingError, match="changed since it was opened"):
        write_files([job])
    assert old.read_bytes() == b"theirs"


def test_a_change_of_mode_or_time_alone_is_a_change(old: Path) -> None:
    job = over(old)
    old.chmod(0o600)
    with pytest.raises(SavingError, match="changed since it was opened"):
        write_files([job])


@pytest.mark.parametrize("how", ["written", "replaced", "removed"])
def test_a_file_changed_meanwhile_is_left_alone(old: Path, how: str) -> None:
    def write(sink: Sink) -> None:
        sink.append(NEW)
        if how == "written":
            old.write_bytes(b"theirs")
        elif how == "replaced":
            (old.parent / "other").write_bytes(b"theirs")
            (old.parent / "other").rename(old)
        else:
            old.unlink()

    job = over(old)._replace(write=write)
    with pytest.raises(SavingError, match="(changed|removed) since it was opened") as caught:
        write_files([job])
    assert caught.value.hint is not None
    assert names(old.parent) == ([] if how == "removed" else ["old.pt"])
    assert how == "removed" or old.read_bytes() == b"theirs"


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling"])
def test_a_new_file_never_takes_the_place_of_anything(old: Path, kind: str) -> None:
    path = old.parent / "there"
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(b"theirs")
    else:
        path.symlink_to("old.pt" if kind == "link" else "nowhere")
    before = names(old.parent)
    with pytest.raises(SavingError, match="exists already"):
        write_files([fresh(path)])
    assert names(old.parent) == before
    assert old.read_bytes() == b"old"


@contextmanager
def without_links() -> Iterator[None]:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    with mock.patch("os.link", link):
        yield


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_while_a_new_one_is_written_stays(tmp_path: Path, links: bool) -> None:
    path = tmp_path / "there"

    def write(sink: Sink) -> None:
        sink.append(NEW)
        path.write_bytes(b"theirs")

    job = fresh(path)._replace(write=write)
    with pytest.raises(SavingError, match="a file of this name exists"):
        if links:
            write_files([job])
        else:
            with without_links():
                write_files([job])
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["there"]


def test_a_new_file_is_made_where_there_are_no_hard_links(tmp_path: Path) -> None:
    with without_links():
        assert write_files([fresh(tmp_path / "new")]).durable
    assert (tmp_path / "new").read_bytes() == NEW
    assert names(tmp_path) == ["new"]


@pytest.mark.parametrize("stop", [SavingStoppedError("stopped"), KeyboardInterrupt(), ZeroDivisionError()])
def test_what_progress_raises_stops_the_saving_and_leaves_nothing(old: Path, stop: BaseException) -> None:
    def progress(done: int, total: int) -> None:
        assert total == 2 * len(NEW)
        if done > 1.5 * len(NEW):
            raise stop

    with pytest.raises(type(stop)):
        write_files([over(old), fresh(old.parent / "new")], progress)
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["old.pt"]


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_files([fresh(tmp_path / "a"), fresh(tmp_path / "b", b"tail")], lambda *counts: seen.append(counts))
    total = len(NEW) + 4
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_source_that_cannot_be_read_leaves_everything(old: Path) -> None:
    def write(sink: Sink) -> None:
        sink.append(NEW[:100])
        raise ValuesError("was cut while it was read")

    with pytest.raises(ValuesError, match="was cut"):
        write_files([over(old)._replace(write=write)])
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["old.pt"]


def test_as_many_bytes_as_announced_are_written_or_none(old: Path) -> None:
    for count in (len(NEW) - 1, len(NEW) + 1):
        with pytest.raises(SavingError, match="announced"):
            write_files([over(old)._replace(nbytes=count)])
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["old.pt"]


def test_bytes_written_before_can_be_overwritten_and_others_not(tmp_path: Path) -> None:
    def write(sink: Sink) -> None:
        sink.append(b"a" * 10)
        sink.append(memoryview(b"b" * 1_000_000))
        sink.patch(8, b"cccc")
        for begin in (-1, 1_000_007):
            with pytest.raises(SavingError, match="not written yet"):
                sink.patch(begin, b"dddd")
        sink.append(b"e")

    write_files([FileJob(str(tmp_path / "a"), 1_000_011, write)])
    assert (tmp_path / "a").read_bytes() == b"a" * 8 + b"cccc" + b"b" * 999_998 + b"e"


def test_an_empty_file_can_be_written(tmp_path: Path) -> None:
    write_files([fresh(tmp_path / "a", b"")])
    assert (tmp_path / "a").read_bytes() == b""


def test_a_set_whose_second_file_changed_is_left_as_it_was(old: Path) -> None:
    second = old.parent / "second.pt"
    second.write_bytes(b"second")
    jobs = [over(old), over(second), fresh(old.parent / "third.pt")]
    second.write_bytes(b"theirs")
    with pytest.raises(SavingError, match="second.pt: was changed"):
        write_files(jobs)
    assert (old.read_bytes(), second.read_bytes()) == (b"old", b"theirs")
    assert names(old.parent) == ["old.pt", "second.pt"]


def test_two_links_to_one_file_are_refused(old: Path) -> None:
    (old.parent / "link").symlink_to(old)
    with pytest.raises(SavingError, match="one and the same"):
        write_files([over(old), over(old.parent / "link")])
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "a\nb", "-", "\udcff", "..."])
def test_any_name_that_a_file_can_have_is_saved_to(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_files([fresh(path)])
    write_files([over(path, b"over")])
    assert path.read_bytes() == b"over"


def test_places_where_no_file_can_be_are_refused_in_words(old: Path) -> None:
    for path, words in (
        (old.parent / "missing" / "a", "no such file or directory"),
        (old / "a", "not a directory"),
        (old.parent / ("n" * 300), "file name too long"),
        (Path("a\0b"), "no name that a file can have"),
    ):
        with pytest.raises(SavingError, match=words):
            write_files([fresh(path)])
    fifo = old.parent / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SavingError, match="is a FIFO, not a regular file"):
        write_files([over(fifo)])


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "a.pt"
        path.write_bytes(b"old")
        path.chmod(0o666)
        folder.chmod(0o555)
        superuser = os.geteuid() == 0
        if superuser:
            os.seteuid(65534)  # nobody
        try:
            with pytest.raises(SavingError, match=f"{name}: no file can be made here: permission denied"):
                write_files([over(path)])
        finally:
            if superuser:
                os.seteuid(0)
        folder.chmod(0o755)
        assert path.read_bytes() == b"old"
        assert names(folder) == ["a.pt"]


def test_what_a_crash_left_is_found_by_target_and_removed(old: Path) -> None:
    left = old.parent / f".old.pt.paramtui-{'0' * 16}.tmp"
    other = old.parent / f".new.pt.paramtui-{'a' * 16}.tmp"
    left.write_bytes(b"half")
    other.write_bytes(b"")
    (old.parent / ".old.pt.paramtui-short.tmp").write_bytes(b"")
    (old.parent / f".old.pt.paramtui-{'1' * 16}.tmp").symlink_to(old)
    assert [(found.path, found.target, found.nbytes) for found in leftovers(str(old.parent), ["old.pt"])] == [
        (str(left), "old.pt", 4)
    ]
    assert {found.target for found in leftovers(str(old.parent))} == {"old.pt", "new.pt"}
    remove_leftover(str(left))
    assert not left.exists()
    with pytest.raises(SavingError, match="no temporary file"):
        remove_leftover(str(old))
    assert leftovers(str(old.parent / "missing")) == []


def test_a_temporary_file_that_is_being_written_is_no_leftover(old: Path) -> None:
    def write(sink: Sink) -> None:
        sink.append(NEW)
        (temporary,) = [path for path in old.parent.iterdir() if path.name.endswith(".tmp")]
        assert leftovers(str(old.parent)) == []
        with pytest.raises(SavingError, match="being written by another process"):
            remove_leftover(str(temporary))

    write_files([over(old)._replace(write=write)])
    assert old.read_bytes() == NEW


def test_a_temporary_file_taken_for_a_leftover_is_made_anew(old: Path) -> None:
    real = fcntl.flock
    removed: list[str] = []

    def late(fd: int, how: int) -> None:
        found = [path for path in old.parent.iterdir() if path.name.endswith(".tmp")]
        if not removed:
            removed.append(str(found[0]))
            found[0].unlink()
        real(fd, how)

    with mock.patch("fcntl.flock", late):
        write_files([over(old)])
    assert old.read_bytes() == NEW
    assert len(removed) == 1
    assert names(old.parent) == ["old.pt"]
