"""A person's settings: what is understood is taken, what is not becomes a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paramtui.tui.settings import MAX_BYTES, Settings, config_path, load_settings

EVERYTHING = """
theme = "light"
precision = 7
heatmap = true
scientific = true
mouse = false
animation = false

[keys]
"tree.down" = "f4"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def only_problem(config: Path, text: str) -> str:
    """The one sentence about a file of which nothing else is wrong."""
    config.write_text(text, encoding="utf-8")
    (problem,) = load_settings(config).problems
    return problem


def test_without_a_file_the_defaults_hold(config: Path) -> None:
    assert load_settings(config) == Settings("dark", 4, False, False, True, True, {}, ())


def test_every_setting_is_read(config: Path) -> None:
    config.write_text(EVERYTHING)
    assert load_settings(config) == Settings("light", 7, True, True, False, False, {"tree.down": "f4"}, ())


def test_the_file_lies_where_the_desktop_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path() == tmp_path / "paramtui" / "config.toml"
    config_path().parent.mkdir()
    config_path().write_text("precision = 9")
    assert load_settings().precision == 9


@pytest.mark.parametrize("unset", [True, False])
def test_else_it_lies_below_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unset: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    if unset:
        monkeypatch.delenv("XDG_CONFIG_HOME")
    assert config_path() == tmp_path / ".config" / "paramtui" / "config.toml"


@pytest.mark.parametrize(
    ("line", "name", "words"),
    [
        ('theme = "purple"', "theme", "is one of dark, light, ansi, not 'purple'"),
        ("theme = []", "theme", "not []"),
        ("precision = 0", "precision", "is a whole number from 1 to 12, not 0"),
        ("precision = 13", "precision", "not 13"),
        ("precision = 4.0", "precision", "not 4.0"),
        ("precision = true", "precision", "not True"),
        ("heatmap = 1", "heatmap", "is true or false, not 1"),
        ('mouse = "no"', "mouse", "is true or false, not 'no'"),
        ('keys = "f4"', "keys", "is a table, [keys]"),
        ('thme = "dark"', "thme", "did you mean theme?"),
        ("precission = 3", "precission", "did you mean precision?"),
        ("zzzz = 3", "zzzz", "there is no such setting"),
        ("problems = []", "problems", "there is no such setting"),
    ],
)
def test_a_wrong_setting_is_named_and_only_it_keeps_its_default(
    config: Path, line: str, name: str, words: str
) -> None:
    problem = only_problem(config, f"scientific = true\n{line}\n")
    assert problem.startswith(f"{config}: {name}: ")
    assert words in problem
    assert load_settings(config)._replace(problems=()) == Settings(scientific=True)


@pytest.mark.parametrize("precision", [1, 12])
def test_the_ends_of_the_range_are_taken(config: Path, precision: int) -> None:
    config.write_text(f"precision = {precision}")
    assert load_settings(config) == Settings(precision=precision)


def test_every_wrong_setting_has_its_own_sentence(config: Path) -> None:
    config.write_text('theme = 3\nprecision = 99\nmouse = "x"\nnovelty = 1\n[keys]\n"tree.up" = 7\n')
    problems = load_settings(config).problems
    for name, problem in zip(
        ["theme", "precision", "mouse", "novelty", "keys.tree.up"], problems, strict=True
    ):
        assert problem.startswith(f"{config}: {name}: ")


def test_invalid_toml_says_the_line(config: Path) -> None:
    assert "line 2" in only_problem(config, 'theme = "light"\nprecision = = 3\n')


def test_bytes_that_are_no_text_say_the_line(config: Path) -> None:
    config.write_bytes(b'theme = "light"\n\nmouse = "\xff"\n')
    assert load_settings(config) == Settings(problems=(f"{config}: line 3 is not UTF-8 text",))


def test_a_file_that_is_too_large_is_not_read(config: Path) -> None:
    config.write_bytes(b"#" * (MAX_BYTES + 1))
    assert load_settings(config) == Settings(problems=(f"{config}: is larger than 64,000 bytes",))


def test_the_largest_file_is_read(config: Path) -> None:
    config.write_bytes(b"precision = 5\n".ljust(MAX_BYTES, b"#"))
    assert load_settings(config) == Settings(precision=5)


def test_a_file_that_cannot_be_read_is_a_sentence(config: Path) -> None:
    config.mkdir()
    (problem,) = load_settings(config).problems
    assert problem == f"{config}: cannot be read: Is a directory"


def test_a_pipe_is_not_waited_for(config: Path) -> None:
    os.mkfifo(config)
    (problem,) = load_settings(config).problems
    assert problem == f"{config}: is no regular file"


def test_a_path_that_no_file_has_is_a_sentence() -> None:
    (problem,) = load_settings(Path("a\0b")).problems
    assert "cannot be read" in problem
    assert "\0" not in problem


@pytest.mark.parametrize(
    "text",
    [
        f"precision = 0x{'f' * 9000}",
        f"heatmap = [0x{'f' * 9000}]",
        f"theme{'.a' * 3000} = 1",
        f"theme = {'[' * 5000}",
        f"precision = {'9' * 9000}",
    ],
)
def test_values_that_python_does_not_write_are_sentences(config: Path, text: str) -> None:
    assert only_problem(config, text).startswith(f"{config}: ")
    assert load_settings(config)._replace(problems=()) == Settings()


@pytest.mark.parametrize(
    "text",
    [
        '"\\u001b[31m" = 1',
        'theme = "\\u001b[31m\\u202e"',
        '[keys]\n"\\u001b[31m" = 1',
        "theme = \x1b[31m",
    ],
)
def test_control_characters_do_not_reach_the_terminal(config: Path, text: str) -> None:
    assert only_problem(config, text).isprintable()


def test_keys_may_be_a_list_or_stand_without_quotes(config: Path) -> None:
    config.write_text('[keys]\n"tree.up" = ["f4", ","]\ntree.next-sibling = "f5"\nvalues.up = ["f6"]\n')
    assert load_settings(config) == Settings(
        keys={"tree.up": "f4,comma", "tree.next-sibling": "f5", "values.up": "f6"}
    )


@pytest.mark.parametrize("value", ["3", "[]", "[3]", "{}", "{ a.b = 'f4' }"])
def test_keys_that_are_no_text_are_refused_alone(config: Path, value: str) -> None:
    problem = only_problem(config, f'[keys]\n"tree.up" = {value}\n"tree.down" = "f4"\n')
    assert f"{config}: keys.tree.up" in problem
    assert load_settings(config).keys == {"tree.down": "f4"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore")))
)
def test_no_file_is_an_error(config: Path, data: bytes) -> None:
    config.write_bytes(data)
    assert all(problem.isprintable() for problem in load_settings(config).problems)


def test_without_a_file_no_parser_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from paramtui.tui.settings import load_settings\n"
        "load_settings(Path(sys.argv[1], 'missing'))\n"
        "print(*{'tomllib', 'textual', 'dataclasses', 'difflib'} & sys.modules.keys())\n"
    )
    run = [sys.executable, "-c", script, str(tmp_path)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == ""
