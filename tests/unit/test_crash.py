"""Errors of the program's own: two lines for the person, a report for its developers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from paramtui import cli
from paramtui.core import crash

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_command_line_says_two_lines_and_where_the_report_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def broken(*_: object) -> int:
        raise LookupError("no such\x1b[2J thing\nand more")

    monkeypatch.setattr(cli, "_ls", broken)
    assert cli.main(["ls", "some file.pt"]) == 2
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert out == ""
    assert first == r"paramtui: an error of its own: LookupError: no such\x1b[2J thing"
    (report,) = (tmp_path / "paramtui").iterdir()
    assert second == f"the report for its developers is {report}"
    text = report.read_text()
    assert "LookupError: no such" in text and "in broken" in text and "'some file.pt'" in text
    assert "\x1b" not in text
    assert report.stat().st_mode & 0o077 == 0


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file" / "deeper"))
    assert crash.told(ValueError("x"), []).splitlines()[1] == "no report could be written"


def test_the_latest_reports_alone_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for number in range(crash.KEPT + 5):
        (tmp_path / "paramtui").mkdir(exist_ok=True)
        (tmp_path / "paramtui" / f"crash-2000{number:04}.txt").write_text("")
    path = crash.written(ValueError("x"), [])
    left = sorted(os.listdir(tmp_path / "paramtui"))
    assert len(left) == crash.KEPT and left[-1] == os.path.basename(path)
    assert left[0] == "crash-20000006.txt"
