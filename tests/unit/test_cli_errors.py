"""What the command line refuses, and names made to mislead: one line, exit status 2, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from tests.support import ROOT, good, refused, run_paramtui

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def test_a_missing_file_is_named_with_what_is_near(example: Path) -> None:
    wrong = example.with_name(example.name + "t")
    assert f"did you mean {example}" in refused("ls", str(wrong))
    assert "no such file" in refused("ls", "/nowhere/at/all.pt")
    assert "no such file" in refused("show", "/nowhere/at/all.pt", "w")


def test_a_directory_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("hi")
    assert "readme.md" in refused("ls", str(tmp_path))


def test_devices_and_fifos_are_refused_at_once(tmp_path: Path) -> None:
    assert "character device" in refused("ls", "/dev/null", timeout=20)
    os.mkfifo(tmp_path / "pipe.pt")
    assert "FIFO" in refused("ls", str(tmp_path / "pipe.pt"), timeout=20)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(example: Path) -> None:
    example.chmod(0)
    assert "permission denied" in refused("ls", str(example))


def test_an_unknown_format_is_told_by_its_first_bytes_in_hex(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"\x01\x02\xfe\xffrest of it")
    assert "01 02 fe ff" in refused("ls", str(path))
    path.write_bytes(b"")
    assert "empty" in refused("ls", str(path))
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "Git LFS" in refused("ls", str(path))
    path.write_bytes(b"<!DOCTYPE html>")
    assert "HTML" in refused("ls", str(path))


def test_a_damaged_file_is_refused_in_one_line(example: Path) -> None:
    example.write_bytes(example.read_bytes()[:300])
    assert str(example) in refused("ls", str(example))
    assert str(example) in refused("ls", "--json", str(example))
    assert str(example) in refused("show", str(example), "epoch")


def test_wrong_names_and_indices_are_refused_with_what_could_be_meant(example: Path) -> None:
    assert "did you mean model.0.weight" in refused("show", str(example), "model.0.weigth")
    assert "is a block of 4 tensors" in refused("show", str(example), "model")
    assert "4 tensors" in refused("show", str(example))
    assert "dimension 0, which has size 8" in refused("show", str(example), "model.0.weight", "8")
    assert "'x'" in refused("show", str(example), "model.0.weight", "x")


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["ls", "x", "--depth", "0"],
        ["ls", "x", "--sort", "colour"],
        ["show"],
        ["ls", "x", "--nonsense"],
    ],
)
def test_wrong_arguments_exit_with_2_and_no_traceback(words: list[str]) -> None:
    done = run_paramtui(*words)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"usage" in done.stderr or done.stderr.startswith(b"paramtui: ")


def test_wrong_arguments_are_named() -> None:
    assert "the following arguments are required: TARGET (" in refused("ls")
    assert "the following arguments are required: TARGET (" in refused("shared", "--copies")
    assert "unrecognized arguments: --nonsense (" in refused("ls", "x", "--nonsense", "y")
    assert "unrecognized arguments: extra (" in refused("show", "x", "--json", "name", "0", "extra")
    assert "-o/--output" in refused("init", "x", "zeros_")


# Names.


def test_a_name_of_two_tensors_asks_for_the_key_path_and_takes_it(save: Save) -> None:
    path = save({"a": {"b": torch.tensor([1.5])}, "a.b": torch.tensor([2.5])})
    assert (
        "names belong to several tensors (a.b)" in json.loads(good("ls", "--json", str(path)))["warnings"][0]
    )
    error = refused("show", str(path), "a.b")
    assert '["a", "b"]' in error
    assert '["a.b"]' in error
    assert "1.5" in good("show", str(path), '["a", "b"]')
    assert "2.5" in good("show", str(path), '["a.b"]')
    assert "no tensor" in refused("show", str(path), '["a", "c"]')


EVIL = "\x1b[2Jred\x07\x9b31m\x00\u202eabc\r\n"


def test_control_characters_of_names_and_values_never_reach_the_output(save: Save, tmp_path: Path) -> None:
    class_like = OrderedDict([(EVIL, torch.ones(2)), ("v", EVIL), ("k" + EVIL, {EVIL: 5}), ("l", [EVIL])])
    path = save(class_like)
    other = tmp_path / "evil.safetensors"
    save_file({EVIL: torch.ones(2)}, other, metadata={EVIL: EVIL})
    odd = tmp_path / f"n{EVIL[:5]}.pt"
    odd.write_bytes(path.read_bytes())
    for words in (["ls"], ["ls", "--flat"], ["ls", "--json"], ["show"], ["show", "--json"]):
        for target in (path, other, odd):
            done = run_paramtui(
                *words, str(target), *([EVIL[:4].replace("\0", "")] if words[0] == "show" else [])
            )
            text = (done.stdout + done.stderr).decode()
            assert all(char.isprintable() or char == "\n" for char in text), (words, target)
            assert b"Traceback" not in done.stderr
    assert "\\x1b[2J" in good("ls", str(path))


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
    ],
    ids=str,
)
def test_any_encoding_of_the_output_works(save: Save, env: dict[str, str]) -> None:
    path = save({"é中\U0001f600\ud800": torch.ones(2), "x" * 300: torch.ones(1)})
    for words in (["ls"], ["ls", "--flat"], ["ls", "--json"], ["show"]):
        done = run_paramtui(*words, str(path), *(["missing é"] if words == ["show"] else []), env=env)
        assert done.returncode == (2 if words == ["show"] else 0)
        assert b"Traceback" not in done.stderr


def test_more_numbers_than_are_stored_are_not_written_out(save: Save) -> None:
    path = str(save({"w": torch.full((1, 1), 7.0).expand(1 << 20, 1 << 30), "b": torch.ones(1).expand(1000)}))
    words = refused("show", path, "w", "--json", timeout=20)
    assert f"w: {1 << 50:,} numbers are more than its 4 bytes hold (ask for a slice" in words
    assert json.loads(good("show", path, "w", "-1, :3", "--json"))["values"] == [7.0] * 3
    assert json.loads(good("show", path, "b", "--json"))["values"] == [1.0] * 1000


def test_an_unknown_type_of_any_size_is_refused_in_words(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F7", "shape": [1 << 40], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert "no dtype for F7" in refused("show", str(tmp_path / "w.safetensors"), "w", "--json")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is full")
@pytest.mark.parametrize("command", ["ls", "check", "stats"])
def test_output_that_finds_no_room_is_said_in_one_line(save: Save, command: str) -> None:
    path = save({f"w{n}": torch.ones(2) for n in range(2000)})
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "paramtui", command, str(path)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 2
    assert done.stderr == b"paramtui: the output could not be written: no space left on device\n"


def test_what_lies_in_the_current_directory_is_not_imported(save: Save, tmp_path: Path) -> None:
    path = save({"w": torch.ones(2)})
    for name in ("json", "zlib", "struct", "bisect", "asyncio", "torch", "numpy", "textwrap"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for command in ("ls", "check", "show"):
        assert run_paramtui(command, str(path), cwd=tmp_path).returncode == 0
    assert not (tmp_path / "ran").exists()
