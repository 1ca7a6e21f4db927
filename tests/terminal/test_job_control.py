"""To the shell and back, and terminals that close or take no more: the process never stays."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest
import torch

from tests.terminal.terminal import ENTER_ALTERNATE, LEAVE_ALTERNATE, PATIENCE
from tests.terminal.test_matrix import children, gone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Save
    from tests.terminal.terminal import Terminal

    Start = Callable[..., Terminal]

BASH = ("bash", "--norc", "--noprofile", "--noediting", "-i")


@pytest.fixture
def shell(terminal: Start, save: Save) -> Terminal:
    """A shell with the program in the foreground."""
    path = save({"model": {"weight": torch.arange(6.0).view(2, 3)}})
    found = terminal(program=BASH, controlling=True, width=100, height=24, PS1="ready> ")
    found.until(lambda text: "ready>" in text)
    found.press(f"{sys.executable} -m paramtui {path}\n")
    found.until(lambda text: "clean" in text and "model" in text)
    return found


def whole(text: str) -> bool:
    """Whether title, tree, page and keys are all drawn, and nothing of the shell is left."""
    lines = text.splitlines()
    seen = "clean" in lines[0] and "▾ model" in text and "(weight): float32" in text and "q quit" in lines[-1]
    return seen and all(line.strip() for line in lines) and "Stopped" not in text


def stopped(found: Terminal) -> int:
    """Waits until the shell says that its job is stopped, and gives the job's number."""
    found.until(lambda text: re.search(r"Stopped(.|\n)*\nready>", text))
    job = children(found.process.pid)[0]
    assert state(job) == "T"
    return job


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_again(
    shell: Terminal, tmp_path: Path
) -> None:
    shell.press("+")
    shell.until(whole)
    for _ in range(3):
        shell.press("\x1a")
        stopped(shell)
        assert shell.received.count(ENTER_ALTERNATE) == shell.received.count(LEAVE_ALTERNATE)
        shell.press(f"stty -a > {tmp_path}/stty; echo sa''id\n")
        shell.until(lambda text: "said" in text)
        modes = (tmp_path / "stty").read_text().split()
        assert {"icanon", "echo", "isig", "icrnl"} <= set(modes)
        shell.press("clear; fg\n")
        # All of it, not only what changes.
        shell.until(whole)
    shell.press("?")
    shell.until(lambda text: "open or close a block" in text)
    # Over a dialog, too, and into another size.
    shell.press("\x1a")
    stopped(shell)
    shell._resize(70, 20)
    shell.screen.resize(20, 70)
    shell.press("clear; fg\n")
    shell.until(lambda text: "open or close a block" in text and "Stopped" not in text)
    shell.press("\x1b")
    shell.until(lambda text: "clean" in text.splitlines()[0] and "q quit" in text.splitlines()[-1])
    shell.press("q")
    shell.until(lambda text: "ready>" in text)
    shell.press("exit\n")
    assert shell.end() == 0


def test_a_stopped_program_ends_with_its_shell(shell: Terminal) -> None:
    shell.press("\x1a")
    job = stopped(shell)
    shell.press("exit\nexit\n")
    shell.end()
    # Its shell hangs up and lets it go on.
    gone(job)


def test_a_closed_terminal_ends_shell_program_and_workers(shell: Terminal) -> None:
    job = children(shell.process.pid)[0]
    os.close(shell.master)
    shell.master = os.open(os.devnull, os.O_RDONLY)
    gone(job)
    shell.process.wait(PATIENCE)


def test_without_a_shell_ctrl_z_is_said_to_lead_nowhere(terminal: Start, save: Save) -> None:
    found = terminal(str(save({"w": torch.ones(2)})))
    found.until(lambda text: "clean" in text)
    found.press("\x1a")
    found.until(lambda text: "no shell waits" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


def test_a_terminal_that_takes_no_more_does_not_hold_up_the_end(terminal: Start, save: Save) -> None:
    found = terminal(str(save({f"w{n}": torch.ones(2) for n in range(200)})), width=400, height=150)
    found.until(lambda text: "clean" in text)
    # Nobody reads what is drawn, until the line is full and the screen waits.
    for _ in range(100):
        found.press("\x1b[6~\x1b[5~fvt")
    deadline = time.monotonic() + PATIENCE
    while not waits(found.process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    found.process.send_signal(signal.SIGTERM)
    assert found.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert termios.tcgetattr(found._slave) == found.before


def waits(pid: int) -> bool:
    """Whether no thread of a process has done anything for a while."""
    before = spent(pid)
    time.sleep(0.5)
    return spent(pid) == before


def spent(pid: int) -> list[str]:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[11:13]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_signal_that_comes_while_it_is_stopped_ends_it_when_it_goes_on(
    shell: Terminal, number: signal.Signals
) -> None:
    shell.press("\x1a")
    job = stopped(shell)
    os.kill(job, number)
    shell.press("fg\n")
    shell.until(lambda text: text.count("ready>") >= 2)
    gone(job)
    assert shell.received.count(ENTER_ALTERNATE) == shell.received.count(LEAVE_ALTERNATE)
    shell.press("exit\n")
    assert shell.end() in (0, 128 + number)
