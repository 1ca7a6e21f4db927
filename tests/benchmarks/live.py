"""Live models: are keys still painted while torch is imported, a model built and run; how fast is a list."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from tests.benchmarks.pty_driver import PATIENCE, Driver, python
from tests.benchmarks.timing import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 0.1
ROUNDS = 3
PAUSE = 0.02
OPEN = b"cpu  train"
DOWN, UP = "\x1b[B", "\x1b[A"

# A second of building in Python, and a pass that keeps all cores busy.
BUSY = """
import time, torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(1500, 1500) for _ in range(12))
    def forward(self, x):
        for _ in range(PASSES):
            for layer in self.layers:
                x = layer(x).tanh()
        return x
def build():
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        sum(range(1000))
    return Net()
def example_inputs(): return torch.randn(1500, 1500)
"""
# As a decoder of 3 billion parameters is made.
LARGE = """
from torch import nn
def linear(wide, long):
    return nn.Linear(wide, long, bias=False)
def layer():
    sizes = dict(q=(3200, 3200), k=(3200, 3200), v=(3200, 3200), o=(3200, 3200),
                 gate=(3200, 8640), up=(3200, 8640), down=(8640, 3200))
    made = {name: linear(*size) for name, size in sizes.items()}
    return nn.ModuleDict(made | {"norm1": nn.RMSNorm(3200), "norm2": nn.RMSNorm(3200)})
def build():
    layers = nn.ModuleList(layer() for _ in range(26))
    embed, head = nn.Embedding(32000, 3200), linear(3200, 32000)
    return nn.ModuleDict({"embed": embed, "layers": layers, "norm": nn.RMSNorm(3200), "head": head})
"""


def cool() -> None:
    """Asks the system to forget the files of torch, so that importing it reads the disk."""
    folder = Path(sysconfig.get_paths()["platlib"]) / "torch"
    if hasattr(os, "posix_fadvise"):
        for path in folder.rglob("*"):
            if path.is_file():
                handle = os.open(path, os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)


def _typed(driver: Driver, keys: tuple[str, str], ends: bytes, least: int) -> Iterator[float]:
    """Seconds from each of some keys to the next bytes on screen, until a text has come."""
    tail, ended, number = b"", False, 0

    def read(patience: float) -> bool:
        nonlocal tail, ended
        data = driver.read(patience)
        tail += data
        ended = ended or re.search(ends, tail) is not None
        tail = tail[-50:]
        return bool(data)

    deadline = time.perf_counter() + PATIENCE
    while not ended or number < least:
        if time.perf_counter() > deadline:
            raise SystemExit(f"waited in vain for {ends!r}")
        # What was painted for the key before has come.
        while read(PAUSE):
            pass
        start = time.perf_counter()
        driver.press(keys[number % 2])
        number += 1
        if not read(PATIENCE):
            raise SystemExit(f"nothing was painted after {keys[number % 2]!r}")
        yield time.perf_counter() - start


def typing(directory: Path) -> None:
    """Types while a model is opened, and while it is run."""
    path = directory / "busy_net.py"
    path.write_text(BUSY.replace("PASSES", "3"))
    opening: list[float] = []
    running: list[float] = []
    for _ in range(ROUNDS):
        cool()
        driver = Driver(*python("-m", "paramtui", str(path)))
        try:
            driver.until(b"opening")
            # Help opens and closes: each of these keys paints.
            opening += _typed(driver, ("?", "q"), OPEN, 10)
            driver.drain(0.5)
            driver.press("\x1b")  # closes the help, if it is open
            driver.drain(0.5)
            driver.press("+")
            driver.drain(0.3)
            driver.press("g")
            running += _typed(driver, (DOWN, UP), rb"\de[+-]\d\d", 10)
        finally:
            driver.close()
    measured = {
        "torch is imported cold and the model built": opening,
        "it runs forward and backward": running,
    }
    for name, found in measured.items():
        largest, late = max(found), quantiles(found, n=20)[-1]
        kept = "kept" if largest <= LIMIT else "BROKEN"
        print(
            f"key to paint while {name}: median {median(found) * 1000:.0f} ms, p95 {late * 1000:.0f},"
            f" largest {largest * 1000:.0f} of {len(found)} keys (promised: none over 100: {kept})",
            flush=True,
        )


def _seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - start


def listing(directory: Path) -> None:
    """A model of 3 billion parameters on the meta device, beside the import of torch alone."""
    path = directory / "three_billion.py"
    path.write_text(LARGE)
    ours, floor = [], []
    for _ in range(5):
        floor.append(_seconds(*python("-c", "import torch")))
        ours.append(_seconds(*python("-m", "paramtui", "ls", "--device", "meta", str(path))))
    more = median(ours) - median(floor)
    kept = "kept" if more <= 1 else "BROKEN"
    print(
        f"ls of 3 billion parameters on meta: {more:.2f} s more than importing torch ({median(floor):.2f} s),"
        f" ratio {median(ours) / median(floor):.2f} (promised: within a second of it: {kept})",
        flush=True,
    )


def main(directory: Path) -> None:
    """Both."""
    typing(directory)
    listing(directory)


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]))
