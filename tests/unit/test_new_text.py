"""Texts written to files that were not there: scripts, and exported changes."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from paramtui.core.new_text import write_new
from tests.saving.faults import ERRORS, Fault, injected

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "import torch\n# größer \N{EM DASH} \U0001f600\n" * 300


@pytest.mark.parametrize("short", [True, False])
def test_a_text_is_written_whole_in_utf_8(tmp_path: Path, short: bool) -> None:
    with injected(Fault(short=short)):
        write_new(str(tmp_path / "x.py"), TEXT)
    assert (tmp_path / "x.py").read_text("utf-8") == TEXT


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("theirs")
    (tmp_path / "link.py").symlink_to("nowhere.py")
    for name in ("x.py", "link.py"):
        with pytest.raises(FileExistsError):
            write_new(str(tmp_path / name), TEXT)
    assert (tmp_path / "x.py").read_text() == "theirs"
    assert not (tmp_path / "nowhere.py").exists()


def test_a_name_that_is_no_unicode_is_written_in_letters(tmp_path: Path) -> None:
    write_new(str(tmp_path / "x.py"), "a = '\udcff'")
    assert (tmp_path / "x.py").read_text() == "a = '\\udcff'"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "close"])
@pytest.mark.parametrize("error", [*ERRORS, None])
def test_where_it_fails_nothing_of_it_stays(tmp_path: Path, call: str, error: int | None) -> None:
    with injected(Fault(call, 1, error)), pytest.raises((OSError, KeyboardInterrupt)) as caught:
        write_new(str(tmp_path / "x.py"), TEXT)
    assert error is None or (isinstance(caught.value, OSError) and caught.value.errno == error)
    assert list(tmp_path.iterdir()) == []


def test_a_half_file_that_cannot_be_removed_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "unlink", full)
    with pytest.raises(OSError, match="No space left"):
        write_new(str(tmp_path / "x.py"), TEXT)
