"""Whatever the terminal is, and whatever becomes of it: rows are drawn, and it is given back as it was."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Save
    from tests.terminal.terminal import Terminal

    Start = Callable[..., Terminal]

NO_UNICODE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def weights(save: Save) -> Path:
    return save({"model": {"0": {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}}})


@pytest.mark.parametrize(
    ("environment", "letters"),
    [
        ({"TERM": "linux"}, "▸╭"),
        ({"TERM": "screen"}, "▸╭"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, "▸╭"),
        ({"TERM": "vt100"}, "▸╭"),
        ({"TERM": "dumb"}, "▸╭"),
        ({"NO_COLOR": "1"}, "▸╭"),
        ({"LC_ALL": "C", **NO_UNICODE}, "+"),
        ({"PYTHONIOENCODING": "latin-1"}, "+"),
        ({"PYTHONIOENCODING": "ascii"}, "+"),
    ],
    ids=str,
)
def test_rows_are_drawn_with_the_letters_that_there_are(
    terminal: Start, weights: Path, environment: dict[str, str], letters: str
) -> None:
    found = terminal(str(weights), width=80, height=24, **environment)
    text = found.until(lambda text: "clean" in text and "model" in text)
    assert all(letter in text for letter in letters)
    if "NO_COLOR" in environment:
        # 39 and 49 are the terminal's own.
        codes = {code for run in re.findall(rb"\x1b\[([0-9;]*)m", found.received) for code in run.split(b";")}
        assert codes <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"39", b"49"}
    if letters == "+":
        assert text.isascii() and "\\u" not in text
    found.press("+?")
    found.until(lambda text: "open or close a block" in text)
    found.press("\x1b")
    found.until(lambda text: "open or close a block" not in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (19, 4), (20, 5), (500, 200)], ids=str)
def test_any_size_is_drawn_or_said_to_be_too_small(
    terminal: Start, weights: Path, size: tuple[int, int]
) -> None:
    width, height = size
    found = terminal(str(weights), width=width, height=height)
    small = width < 20 or height < 5
    found.until(lambda text: ("too"[:width] if small else "model") in text)
    found.resize(100, 30)
    found.until(lambda text: "clean" in text and "model" in text and "too small" not in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


def test_a_storm_of_sizes_ends_in_the_last_one(terminal: Start, weights: Path) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "clean" in text)
    chance = random.Random(0)
    for _ in range(60):
        found.resize(chance.randint(1, 500), chance.randint(1, 200))
        found.press(chance.choice("jk+-\t"))
        while found._read(0):
            pass
    found.resize(90, 24)
    found.until(lambda text: "clean" in text.splitlines()[0] and "q quit" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_signal_during_a_look_at_all_tensors_leaves_no_process(
    terminal: Start, save: Save, number: signal.Signals
) -> None:
    base = torch.zeros(1 << 22)
    path = save({f"w{n}": base[n : n + (1 << 22) - 500] for n in range(400)})
    found = terminal(str(path))
    found.until(lambda text: "clean" in text)
    found.press("I")
    found.until(lambda text: "esc stops" in text)
    workers = children(found.process.pid)
    assert workers
    found.process.send_signal(number)
    assert found.end() == 128 + number
    found.assert_restored()
    for worker in workers:
        gone(worker)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += map(int, file.read().split())
    return found


def gone(pid: int) -> None:
    """Waits until a process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    try:
        assert select.select([descriptor], [], [], 60)[0], f"{pid} is still there"
    finally:
        os.close(descriptor)


def test_processes_that_count_can_be_killed_and_the_screen_lives(terminal: Start, save: Save) -> None:
    base = torch.zeros(1 << 22)
    path = save({f"w{n}": base[n : n + (1 << 22) - 500] for n in range(400)})
    found = terminal(str(path))
    found.until(lambda text: "clean" in text)
    found.press("I")
    found.until(lambda text: "esc stops" in text)
    workers = children(found.process.pid)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    found.until(lambda text: "by SIGKILL" in text)
    # And can do it again.
    found.press("I")
    found.until(lambda text: "esc stops" in text)
    workers += children(found.process.pid)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()
    for worker in workers:
        gone(worker)


def test_a_size_that_no_signal_told_of_is_noticed(terminal: Start, weights: Path) -> None:
    found = terminal(str(weights), width=120, height=30)
    found.until(lambda text: "clean" in text)
    found._resize(70, 20)
    found.screen.resize(20, 70)
    found.until(lambda text: "clean" in text.splitlines()[0] and "q quit" in text.splitlines()[-1])
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


def test_bytes_that_are_no_text_are_passed_over(terminal: Start, weights: Path) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "clean" in text)
    # A letter as a latin-1 terminal sends it, and half of one.
    os.write(found.master, b"\xe9\xff?")
    found.until(lambda text: "open or close a block" in text)
    os.write(found.master, b"\xc3\x1b")
    found.until(lambda text: "open or close a block" not in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()
    assert b"Traceback" not in found.received


@pytest.mark.parametrize("keys", ["?", "i", "s", "O", "C", "P", "/b", ":1", "&w"])
def test_escape_and_the_next_key_in_one_packet_are_two_keys_one_after_the_other(
    terminal: Start, weights: Path, keys: str
) -> None:
    found = terminal(str(weights))
    found.until(lambda text: "clean" in text)
    # Back to the tree, all blocks open, and out.
    found.press(f"{keys}\x1b+")
    found.until(lambda text: "▾ model" in text and "open or close" not in text)
    found.press(f"{keys}\x1bq")
    assert found.end() == 0
    found.assert_restored()


@pytest.mark.parametrize("pause", [0.1, 0.25, 0.4, 0.6])
def test_keys_that_are_pressed_while_it_starts_are_kept_until_there_is_a_tree(
    terminal: Start, weights: Path, pause: float
) -> None:
    found = terminal(str(weights))
    time.sleep(pause)
    found.press("+jj")
    found.until(lambda text: "▾ model" in text and "weight" in text and "float32" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()
    assert b"error" not in found.received
