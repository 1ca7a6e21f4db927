"""A person's settings: what holds, and what is said of mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from paramtui.tui.settings import Settings, config_path, load_settings

if TYPE_CHECKING:
    from pathlib import Path


def loaded(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_settings(path)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml") == Settings()


def test_every_setting_is_taken(tmp_path: Path) -> None:
    text = """
        theme = "light"
        precision = 6
        heatmap = true
        scientific = true
        mouse = false
        animation = false
        [keys]
        "screen.find" = "f4"
        "tree.down" = ["down", "n"]
    """
    keys = {"screen.find": "f4", "tree.down": "down,n"}
    assert loaded(tmp_path, text) == Settings("light", 6, True, True, False, False, keys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('theme = "blue"', ["theme", "dark, light, ansi", "'blue'"]),
        ("precision = 0", ["precision", "1 to 12"]),
        ("precision = true", ["precision", "1 to 12"]),
        ("heatmap = 1", ["heatmap", "true or false"]),
        ("presicion = 3", ["presicion", "did you mean precision?"]),
        ("keys = 3", ["[keys]"]),
        ("[keys]\nx = 3", ["keys.x", "text"]),
        ('theme = "dark\n', ["line 1"]),
        ("problems = []", ["problems", "no such setting"]),
    ],
)
def test_a_mistake_is_told_with_file_and_setting_and_the_default_holds(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    settings = loaded(tmp_path, text)
    (problem,) = settings.problems
    for word in ["config.toml", *words]:
        assert word in problem
    assert settings._replace(problems=()) == Settings()


def test_one_mistake_leaves_the_other_settings_as_they_are(tmp_path: Path) -> None:
    settings = loaded(tmp_path, 'theme = "ansi"\nprecision = 99\nheatmap = true')
    assert (settings.theme, settings.precision, settings.heatmap) == ("ansi", 4, True)
    assert len(settings.problems) == 1


def test_a_huge_or_unreadable_file_is_told(tmp_path: Path) -> None:
    assert "larger" in loaded(tmp_path, "#" * 1_000_001).problems[0]
    (tmp_path / "folder").mkdir()
    assert load_settings(tmp_path / "folder").problems
    (tmp_path / "bytes.toml").write_bytes(b'theme = "\xff"')
    assert load_settings(tmp_path / "bytes.toml").problems


def test_control_characters_of_the_file_are_not_repeated(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, 'theme = "\\u001b[2J"').problems
    assert "\x1b" not in problem


def test_the_file_lies_in_the_configuration_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/conf")
    assert str(config_path()) == "/conf/paramtui/config.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/a")
    assert str(config_path()) == "/home/a/.config/paramtui/config.toml"
