"""Whatever a file names, no command prints a control character, and JSON is ASCII."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from paramtui.cli import main
from tests.hostile_text.files import FORBIDDEN, MADE, POISON

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = (
    ("ls",),
    ("ls", "--flat"),
    ("stats",),
    ("stats", "--exact"),
    ("shared",),
    ("shared", "--copies"),
    ("check",),
    ("check", "--values"),
    ("show",),
)
JSON_COMMANDS = (
    ("ls", "--json"),
    ("stats", "--json"),
    ("shared", "--json", "--copies"),
    ("check", "--json", "--values"),
    ("check", "--sarif"),
)
FOR_FILE_NAMES = POISON.replace("/", "").replace("\0", "")


@pytest.fixture(params=sorted(MADE))
def poisoned(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    # The program's own name for it ends in what decides the format.
    path = tmp_path / f"{FOR_FILE_NAMES}{request.param}"
    MADE[request.param](path)
    return path


def printed(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command writes to both streams; it does not fail in a way that is not foreseen."""
    assert main(words) in (0, 1, 2)
    found = capfd.readouterr()
    text = found.out + found.err
    assert "report" not in found.err and "Traceback" not in text
    assert not [char for char in FORBIDDEN if char in text]
    return text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_text_has_no_control_characters(
    poisoned: Path, command: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    text = printed(capfd, command[0], str(poisoned), *command[1:])
    # It was there, and is shown escaped.
    assert "pwned" in text


@pytest.mark.parametrize("command", JSON_COMMANDS, ids=" ".join)
def test_json_is_ascii_and_says_the_names_as_they_are(
    poisoned: Path, command: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    text = printed(capfd, command[0], str(poisoned), *command[1:])
    assert text.isascii()
    found = json.loads(text)
    if command[0] == "ls":
        assert any(POISON in entry["name"] for entry in found["tensors"] + found["values"])


def test_each_entry_is_shown_without_control_characters(
    poisoned: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(("ls", str(poisoned), "--json")) == 0
    found = json.loads(capfd.readouterr().out)
    entries = found["tensors"] + found["values"]
    assert len(entries) >= 1
    for entry in entries:
        printed(capfd, "show", str(poisoned), json.dumps(entry["path"]))
        printed(capfd, "show", str(poisoned), entry["name"])
        printed(
            capfd, "init", str(poisoned), "zeros_", "--block", entry["name"], "-o", str(poisoned) + "x.pt"
        )


def test_words_that_name_nothing_are_said_without_control_characters(
    poisoned: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ("ls", str(poisoned), POISON),
        ("show", str(poisoned), POISON + "no"),
        ("ls", str(poisoned) + "/nothing" + POISON.replace("\0", "")),
        ("ls", str(poisoned), f"--{POISON}"),
        ("init", str(poisoned), POISON, "-o", "x"),
        ("replay", str(poisoned), str(poisoned), "-o", "x"),
    ):
        assert "pwned" in printed(capfd, *words)


def test_a_folder_of_many_lists_them_without_control_characters(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("zip.pt", "tensors.safetensors"):
        MADE[name](tmp_path / (FOR_FILE_NAMES + name))
    text = printed(capfd, "ls", str(tmp_path))
    assert len(re.findall("pwned", text)) >= 2
    os.rename(tmp_path / (FOR_FILE_NAMES + "zip.pt"), tmp_path / FOR_FILE_NAMES)
    assert "pwned" in printed(capfd, "ls", str(tmp_path / FOR_FILE_NAMES))
