"""Targets opened lately: kept newest first, and never in the way."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from paramtui.recent import note_recent, recent_targets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "paramtui" / "recent.json"


def test_the_newest_comes_first_and_each_once(state: Path) -> None:
    for target in ("a:b", "c:d", "a:b", "e:f"):
        note_recent(target)
    assert recent_targets() == ["e:f", "a:b", "c:d"]
    assert recent_targets(1) == ["e:f"]


def test_a_file_is_kept_by_its_whole_path(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.pt").touch()
    monkeypatch.chdir(tmp_path)
    note_recent("w.pt")
    assert recent_targets() == [str(tmp_path / "w.pt")]


def test_only_the_last_fifty_are_kept_and_only_the_person_can_read_them(state: Path) -> None:
    for number in range(60):
        note_recent(f"m:{number}")
    assert recent_targets(100) == [f"m:{number}" for number in range(59, 9, -1)]
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.parent.stat().st_mode) == 0o700
    assert [path.name for path in state.parent.iterdir()] == ["recent.json"]


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1}', "[1, 2]", "[" * 100_000, '["x"' + " " * 1_000_000 + "]"]
)
def test_a_damaged_file_is_forgotten_and_mended(state: Path, text: str) -> None:
    state.parent.mkdir(parents=True)
    state.write_text(text)
    assert recent_targets() == []
    note_recent("a:b")
    assert recent_targets() == ["a:b"]


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    note_recent("a:b")
    assert recent_targets() == []


def test_odd_names_survive(state: Path) -> None:
    note_recent("\udcff\n\x1b.pt")
    assert recent_targets() == ["\udcff\n\x1b.pt"]
