"""The installed program on a real pseudo-terminal: what arrives there, and what is left behind."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from tests.terminal.terminal import LEAVE_ALTERNATE, PATIENCE, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Save


@pytest.fixture
def weights(save: Save) -> Path:
    return save({"model": {"0.weight": torch.arange(6.0).reshape(2, 3)}, "epoch": 7})


def test_a_file_opens_shows_its_rows_and_q_gives_the_terminal_back(
    terminal: Callable[..., Terminal], weights: Path
) -> None:
    found = terminal(str(weights))
    text = found.until(lambda text: "clean" in text and "1 tensor" in text and "▸ model" in text)
    assert weights.name in text
    found.press("+jj")
    # What is drawn may arrive in several pieces.
    found.until(lambda text: "[2, 3]  6 elements" in text and "2.   " in text and ">" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


def test_a_narrower_window_shows_the_tree_alone(terminal: Callable[..., Terminal], weights: Path) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "float32 x1" in text)
    found.resize(80, 24)
    found.until(lambda text: "float32 x1" not in text and "clean" in text.split("\n")[0])
    found.press("+jj\r")
    found.until(lambda text: "[2, 3]  6 elements" in text and "q back" in text)
    found.press("q")
    found.until(lambda text: "▾ model" in text and "q quit" in text)
    found.press("\x03")
    assert found.end() == 0
    found.assert_restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_the_program_and_gives_the_terminal_back(
    terminal: Callable[..., Terminal], weights: Path, number: signal.Signals
) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "▸ model" in text)
    found.process.send_signal(number)
    assert found.end() == 128 + number
    found.assert_restored()
    assert b"Traceback" not in found.received


def test_a_terminal_that_is_gone_ends_the_program_even_without_a_signal(
    terminal: Callable[..., Terminal], weights: Path
) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "▸ model" in text)
    os.close(found.master)
    found.master = os.open(os.devnull, os.O_RDONLY)
    # The pseudo-terminal is not the controlling one here: no SIGHUP comes.
    assert found.process.wait(PATIENCE) == 128 + signal.SIGHUP


def test_a_target_that_cannot_be_opened_is_said_on_screen_and_by_the_exit_status(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    found = terminal(str(tmp_path / "missing.pt"))
    found.until(lambda text: "no such file or directory" in text)
    found.press("q")
    assert found.end() == 2
    found.assert_restored()


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"SSH_CONNECTION": "1 2 3 4"}, {"TERM": "linux"}, {"TERM": "dumb"}]
)
def test_it_reads_without_colours_and_over_a_line(
    terminal: Callable[..., Terminal], weights: Path, env: dict[str, str]
) -> None:
    found = terminal(str(weights), **env)
    text = found.until(lambda text: "▸ model" in text and "float32 x1" in text)
    assert any(line[1:4] == ">▸ " for line in text.split("\n"))
    found.press("q")
    assert found.end() == 0


def test_without_a_target_the_samples_are_offered_and_opened(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    found = terminal(XDG_STATE_HOME=str(tmp_path))
    found.until(lambda text: "nothing yet" in text and "lead into them" in text and "q close" in text)
    found.press("/nested_blocks.pt\r")
    found.until(lambda text: "nested_blocks.pt" in text.split("\n")[0] and "clean" in text)
    found.press("o")
    # What was opened is offered first the next time.
    found.until(lambda text: "Opened lately" in text and "checkpoints/nested_blocks.pt" in text)
    found.press("q")
    found.until(lambda text: "clean" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


def test_a_poisoned_torch_changes_nothing_about_browsing(
    terminal: Callable[..., Terminal], weights: Path, tmp_path: Path
) -> None:
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("torch", "safetensors", "transformers"):
        (poison / f"{name}.py").write_text(
            f"open({str(tmp_path / 'touched')!r}, 'a').close()\nraise SystemExit(99)\n"
        )
    found = terminal(str(weights), PYTHONPATH=str(poison))
    found.until(lambda text: "▸ model" in text and "float32 x1" in text)
    found.press("+/weig\r")
    found.until(lambda text: "[2, 3]  6 elements" in text and "torch.load(" in text and "q quit" in text)
    found.press("v")
    found.until(lambda text: "NN NaN" in text)
    found.press("v&*.weight\r")
    found.until(lambda text: "NN NaN" not in text and "epoch" not in text and "q quit" in text)
    found.press("f")
    found.until(lambda text: "1 tensor, as stored, only *.weight" in text)
    found.press("y")
    found.until(lambda text: "copied" in text)
    found.press("a")
    found.until(lambda text: "none was called" in text)
    found.press("q")
    assert found.end() == 0
    assert not (tmp_path / "touched").exists()


def test_y_puts_the_expression_on_the_clipboard_of_the_terminal(
    terminal: Callable[..., Terminal], weights: Path
) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "▸ model" in text)
    found.press("/weight\r")
    found.until(lambda text: "[2, 3]  6 elements" in text and "q quit" in text)
    found.press("y")
    found.until(lambda text: "copied" in text)
    (copied,) = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\x07", found.received)
    expression = base64.b64decode(copied).decode()
    assert torch.equal(eval(expression, {"torch": torch}), torch.arange(6.0).reshape(2, 3))


def test_the_place_to_begin_at_is_named_on_the_command_line(
    terminal: Callable[..., Terminal], save: Save
) -> None:
    path = save({"model": {"a.weight": torch.ones(2), "b.weight": torch.arange(4000.0).reshape(400, 10)}})
    found = terminal(str(path), "--at", "model.b.weight", "--index", "300, 2")
    found.until(lambda text: "3002." in text and "rows 300-" in text)


def test_typing_goes_on_while_the_window_changes_its_size(
    terminal: Callable[..., Terminal], weights: Path
) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "▸ model" in text)
    found.press("/we")
    found.until(lambda text: "1 match" in text)
    for width, height in ((15, 3), (1, 1), (80, 24), (200, 60)):
        found.resize(width, height)
    found.press("ig")
    found.until(lambda text: "find" in text and "weig" in text and "clean" in text)
    found.press("\x1b")
    found.until(lambda text: "q quit" in text)
    found.press("q")
    assert found.end() == 0


def test_the_settings_of_the_configuration_directory_hold(
    terminal: Callable[..., Terminal], weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "conf" / "paramtui"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        'theme = "light"\nmouse = false\nprecision = 2\ncolour = 1\n[keys]\n"app.leave" = "Q"\n'
    )
    found = terminal(str(weights), XDG_CONFIG_HOME=str(tmp_path / "conf"))
    found.until(lambda text: "▸ model" in text and "colour:" in text and "Q quit" in text)
    assert b"\x1b[?1000h" not in found.received
    found.press("Q")
    assert found.end() == 0


def test_a_terminal_without_unicode_gets_ascii(terminal: Callable[..., Terminal], weights: Path) -> None:
    found = terminal(str(weights), PYTHONIOENCODING="latin-1", LC_ALL="C")
    found.until(lambda text: "+ model" in text and "+----" in text)
    assert found.received.isascii()
    assert b"\\u" not in found.received


def test_without_a_terminal_it_says_what_to_use_instead(weights: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "paramtui", str(weights)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert b"paramtui ls" in done.stderr


BROKEN = """
import sys
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui import cli
def broken(self):
    raise LookupError("a mistake in the program")
async def later(self):
    broken(self)
setattr(TreePane, "action_last", broken)
from textual import work
setattr(TreePane, "action_first", lambda self: self.run_worker(later(self)))
sys.argv = ["paramtui", sys.argv[1]]
cli.run()
"""


@pytest.mark.parametrize("key", ["G", "\x1b[H"], ids=["an action", "a worker"])
def test_an_error_of_the_program_gives_the_terminal_back_with_two_lines(
    terminal: Callable[..., Terminal], weights: Path, tmp_path: Path, key: str
) -> None:
    program = (sys.executable, "-c", BROKEN)
    found = terminal(str(weights), program=program, XDG_STATE_HOME=str(tmp_path / "state"))
    found.until(lambda text: "clean" in text)
    found.press(key)
    assert found.end() == 2
    found.assert_restored()
    after = found.received.rpartition(LEAVE_ALTERNATE)[2].decode()
    assert "an error of its own: LookupError: a mistake in the program" in after
    (report,) = (tmp_path / "state" / "paramtui").glob("crash-*.txt")
    assert "in broken" in report.read_text()
    assert len(after.splitlines()) < 8
