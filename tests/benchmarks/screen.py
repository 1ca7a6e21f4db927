"""The screen through a real terminal: time and memory to the first row, answers to keys, bytes sent."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from tests.benchmarks import files
from tests.benchmarks.pty_driver import Driver, python

ROUNDS = 7
ROW = "▸".encode()
DOWN, PAGE_DOWN, HOME = "\x1b[B", "\x1b[6~", "\x1b[H"

BARE = """
from textual.app import App
from textual.widgets import Tree

class Bare(App):
    def compose(self):
        tree = Tree("root")
        tree.root.expand()
        for number in range(10):
            tree.root.add_leaf(f"leaf row {number}")
        yield tree

Bare().run()
"""


class Start(NamedTuple):
    """A target, and what is promised of its start."""

    name: str
    target: Path
    limit: float
    limit_mib: float


def verdict(value: float, limit: float) -> str:
    """Whether a promise is kept."""
    return f"(promised: at most {limit:g}: {'kept' if value <= limit else 'BROKEN'})"


def _start(command: tuple[str, ...], text: bytes) -> tuple[float, float]:
    driver = Driver(*command)
    try:
        return driver.until(text), driver.peak_mib()
    finally:
        driver.close()


def starts(cases: list[Start]) -> None:
    """Spawn to the first tree row, in turn with a bare app of Textual that shows a Tree."""
    bare: list[float] = []
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    memory: dict[str, float] = {}
    for attempt in range(ROUNDS + 1):
        peer, _ = _start(python("-c", BARE), b"leaf row 3")
        if attempt:  # the first round fills caches
            bare.append(peer)
        for case in cases:
            ours, mib = _start(python("-m", "paramtui", str(case.target)), ROW)
            memory[case.name] = max(mib, memory.get(case.name, 0.0))
            if attempt:
                seconds[case.name].append(ours)
    for case in cases:
        ratio = median(seconds[case.name]) / median(bare)
        print(
            f"first row of {case.name}, against a bare app with a Tree: ratio {ratio:.2f}"
            f" {verdict(ratio, case.limit)}; {median(seconds[case.name]):.3f} s to {median(bare):.3f} s;"
            f" {memory[case.name]:.0f} MiB {verdict(memory[case.name], case.limit_mib)}",
            flush=True,
        )


def _latencies(driver: Driver, keys: str, count: int, pause: float) -> list[float]:
    found: list[float] = []
    for _ in range(count):
        found.append(driver.latency(keys))
        time.sleep(pause)
        driver.drain(0.0)
    return found


def _report(what: str, found: list[float]) -> None:
    late = quantiles(found, n=20)[-1] * 1000
    print(f"{what}: key to first byte, 95th percentile {late:.1f} ms {verdict(late, 50)}", flush=True)


def keys_in_a_large_tree(folder: Path) -> None:
    """Walking 92,110 tensors with everything open, with pauses and without."""
    driver = Driver(*python("-m", "paramtui", str(folder)))
    try:
        driver.until(b"clean")
        driver.drain(1.0)
        driver.press("+")
        driver.drain(1.0)
        driver.press(HOME)
        driver.drain(1.0)
        _report("walking the 92,110-tensor tree, resting at each row", _latencies(driver, DOWN, 60, 0.25))
        _report("walking it with the key held", _latencies(driver, DOWN, 150, 0.035))
        _report("walking it by pages", _latencies(driver, PAGE_DOWN, 60, 0.15))
        # In the middle of a page a cursor move scrolls nothing.
        driver.press(HOME)
        driver.drain(1.0)
        held = moved = 0
        for _ in range(20):
            driver.press(DOWN)
            time.sleep(0.03)
            moved = driver.drain(0.0)
            held += moved
        panel = driver.drain(0.5)
        print(f"bytes of a cursor move while the key is held: {held // 20:,} {verdict(held / 20, 1000)}")
        print(f"bytes once it rests: {panel:,} {verdict(panel, 12_000)}", flush=True)
    finally:
        driver.close()


def keys_in_a_large_tensor(path: Path) -> None:
    """Scrolling the numbers of a tensor of 2^30 elements."""
    driver = Driver(*python("-m", "paramtui", str(path)))
    try:
        driver.until(b"clean")
        driver.drain(1.0)
        driver.press("\t")
        driver.drain(1.0)
        _report("scrolling 2^30 elements by rows", _latencies(driver, DOWN, 100, 0.05))
        _report("scrolling them by pages", _latencies(driver, PAGE_DOWN, 60, 0.1))
        driver.press(PAGE_DOWN)
        sent = driver.drain(0.5)
        print(f"bytes of a page of numbers: {sent:,} {verdict(sent, 12_000)}", flush=True)
        driver.press("v")
        driver.drain(0.5)
        driver.press(PAGE_DOWN)
        print(f"bytes of a page of heatmap (no promise): {driver.drain(0.5):,}", flush=True)
    finally:
        driver.close()


def main(directory: Path) -> None:
    """Prints all figures of the screen."""
    shards = files.many_shards(directory)
    starts(
        [
            Start("a 141 GB .pt, 723 tensors", files.large_checkpoint(directory), 1.35, 100),
            Start("a 706 GB .pt with optimizer state", files.training_checkpoint(directory), 1.5, 110),
            Start("92,110 tensors in 164 shards", shards, 2.5, 200),
        ]
    )
    keys_in_a_large_tree(shards)
    keys_in_a_large_tensor(files.large_tensor(directory))
