"""Targets opened lately: kept in order, never a reason to fail."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from paramtui.recent import KEPT, note_recent, recent_targets


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in a state directory that does not exist yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "paramtui" / "recent.json"


def write(kept: Path, data: bytes) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)


def test_nothing_was_opened_at_first(kept: Path) -> None:
    assert recent_targets() == []
    assert not kept.exists()


def test_the_newest_comes_first_and_each_once(kept: Path) -> None:
    for target in ["a", "b", "c", "a"]:
        note_recent(target)
    assert recent_targets() == ["a", "c", "b"]
    assert json.loads(kept.read_text()) == ["a", "c", "b"]


def test_fifty_are_kept_and_twenty_are_given(kept: Path) -> None:
    for number in range(60):
        note_recent(f"gone{number}")
    newest_first = [f"gone{number}" for number in reversed(range(60))]
    assert recent_targets() == newest_first[:20]
    assert recent_targets(3) == newest_first[:3]
    assert recent_targets(0) == []
    assert json.loads(kept.read_text()) == newest_first[:50]
    assert KEPT == 50


def test_an_existing_file_is_kept_by_its_absolute_path(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").touch()
    note_recent("net.pt")
    note_recent("./net.pt")
    note_recent("hub:org/name")
    assert recent_targets() == ["hub:org/name", str(tmp_path / "net.pt")]


def test_without_a_state_directory_the_home_directory_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    note_recent("a")
    assert json.loads((tmp_path / ".local/state/paramtui/recent.json").read_text()) == ["a"]


def test_only_the_owner_may_read_it(kept: Path) -> None:
    note_recent("a")
    note_recent("b")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_nothing_else_is_left_in_the_directory(kept: Path) -> None:
    note_recent("a")
    assert os.listdir(kept.parent) == ["recent.json"]


def test_a_write_that_fails_leaves_the_old_list(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note_recent("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        note_recent("new")
    assert recent_targets() == ["old"]
    assert os.listdir(kept.parent) == ["recent.json"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b'"a"',
        b"\xff\xfe\xff",
        b"[" * 100_000,
        b"9" * 9000,
        b"[" + b'"a",' * 300_000 + b'"a"]',
    ],
)
def test_a_damaged_file_gives_nothing_and_is_replaced(kept: Path, data: bytes) -> None:
    write(kept, data)
    assert recent_targets() == []
    note_recent("a")
    assert recent_targets() == ["a"]


def test_entries_that_are_no_text_are_left_out(kept: Path) -> None:
    write(kept, b'[1, "a", null, ["b"], {"c": "d"}, "e"]')
    assert recent_targets() == ["a", "e"]


def test_a_state_directory_that_cannot_be_made_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    note_recent("a")
    assert recent_targets() == []


def test_a_directory_in_its_place_is_no_error(kept: Path) -> None:
    kept.mkdir(parents=True)
    note_recent("a")
    assert recent_targets() == []
    assert os.listdir(kept.parent) == ["recent.json"]


@pytest.mark.parametrize("target", ["a\0b", "\udcff.pt", "模型.pt", "a\nb"])
def test_any_name_comes_back(kept: Path, target: str) -> None:
    note_recent(target)
    assert recent_targets() == [target]


def test_a_name_that_is_no_utf8_is_found_again(kept: Path, tmp_path: Path) -> None:
    path = os.path.join(str(tmp_path), os.fsdecode(b"\xff.pt"))
    try:
        Path(path).touch()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    note_recent(path)
    assert recent_targets() == [path]
    assert os.path.exists(recent_targets()[0])


def test_a_working_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        "import os, sys\n"
        "os.rmdir(os.getcwd())\n"
        "from paramtui.recent import note_recent, recent_targets\n"
        "note_recent('.')\n"
        "print(recent_targets())\n"
    )
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    run = [sys.executable, "-c", script]
    shown = subprocess.run(run, capture_output=True, text=True, check=True, cwd=gone, env=env).stdout
    assert shown.strip() == "['.']"


def test_a_factory_s_file_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "net.py").write_text("")
    monkeypatch.chdir(tmp_path)
    for target in ("net.py:build", "package.module:build", "gone.py:build"):
        note_recent(target)
    assert recent_targets() == ["gone.py:build", "package.module:build", f"{tmp_path / 'net.py'}:build"]
