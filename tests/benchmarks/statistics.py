"""Figures of 1 GiB of numbers against the plain loop in torch; memory of all processes; figures compared."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.benchmarks.pty_driver import Driver, python
from tests.benchmarks.screen import DOWN, HOME, verdict
from tests.benchmarks.timing import ENVIRONMENT, run

PYTHON = sys.executable
ROUNDS = 3
LIMIT_MIB = 400
# How many times faster than the loop: promised, aimed at.
PROMISED = {"bfloat16": (20, 30), "float32": (10, 15)}

MAKE = """
import sys, torch
from safetensors.torch import save_file
dtype, count = getattr(torch, sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
numbers = {f"layers.{n}.weight": (0.02 * torch.randn(4096, 4096)).to(dtype) for n in range(count)}
save_file(numbers, sys.argv[1])
"""
# Prints its own seconds: the import of torch is not counted.
LOOP = """
import sys, time, torch
from safetensors import safe_open
start = time.perf_counter()
with safe_open(sys.argv[1], "pt") as file:
    for name in file.keys():
        tensor = file.get_tensor(name)
        finite = tensor[torch.isfinite(tensor)]
        finite.min().item(), finite.max().item(), finite.mean().item()
        finite.std().item(), finite.norm().item()
        torch.isnan(tensor).sum().item(), torch.isinf(tensor).sum().item(), (tensor == 0).sum().item()
        torch.histc(finite.float(), 64)
print(time.perf_counter() - start)
"""
# Prints figures in float64 of the tensors, and exact quantiles of the first ones.
FIGURES = """
import json, sys, numpy, torch
from safetensors import safe_open
out = {}
with safe_open(sys.argv[1], "pt") as file:
    for place, name in enumerate(sorted(file.keys())):
        wide = file.get_tensor(name).double()
        out[name] = {"min": wide.min().item(), "max": wide.max().item(), "mean": wide.mean().item(),
                     "std": wide.std().item(), "l1": wide.abs().sum().item(), "l2": wide.norm().item(),
                     "zero": int((wide == 0).sum()), "nan": int(wide.isnan().sum())}
        if place < 2:
            shares = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
            out[name]["quantiles"] = numpy.quantile(numpy.sort(wide.flatten().numpy()), shares).tolist()
print(json.dumps(out))
"""


# Many views of one storage, each of other elements: hours of counting that stay in the page cache.
VIEWS = """
import sys, torch
torch.manual_seed(0)
numbers = (0.02 * torch.randn(1 << 26)).bfloat16()
count = len(numbers) - 2000
torch.save({f"layers.{n}.weight": numbers[n : n + count] for n in range(2000)}, sys.argv[1])
"""


def command(path: Path, *options: str) -> tuple[str, ...]:
    """Our command."""
    return (PYTHON, "-m", "paramtui", "stats", str(path), "--json", *options)


def peak_mib(words: tuple[str, ...]) -> float:
    """Largest memory of a command and all its children together: proportional set size, in MiB."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_pss, [process.pid, *_children(process.pid)])))
        time.sleep(0.01)
    return peak / 1024


def _children(pid: int) -> list[int]:
    """All processes below one, whichever of its threads has started them."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            continue
    return found + [below for child in found for below in _children(child)]


def _pss(pid: int) -> int:
    """KiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def differences(path: Path) -> str:
    """How far figures are from torch's in float64, and whether counts and exact quantiles are the same."""
    _, text = run(command(path, "--exact"))
    _, expected = run((PYTHON, "-c", FIGURES, str(path)))
    ours: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in json.loads(text)["tensors"]}
    worst, counts, quantiles = 0.0, True, True
    for name, theirs in json.loads(expected).items():
        entry = ours[name]
        # A mean near zero is a difference of large sums.
        scale = {"mean": theirs["l1"] / entry["numel"]}
        for figure in ("min", "max", "mean", "std", "l1", "l2"):
            by = scale.get(figure, abs(theirs[figure]))
            worst = max(worst, abs(entry[figure] - theirs[figure]) / by)
        counts &= (entry["zero"], entry["nan"]) == (theirs["zero"], theirs["nan"])
        if "quantiles" in theirs:
            quantiles &= list(entry["quantiles"].values()) == theirs["quantiles"]
    return f"largest relative difference {worst:.1e}, counts equal: {counts}, quantiles equal: {quantiles}"


def _ticks(pids: list[int]) -> int:
    """Processor time of processes, in ticks of 10 ms; of those that are gone none."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total


def _runs(pid: int) -> bool:
    """Whether a process is there, and not only waits for its end to be noted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _scanning(path: Path) -> tuple[Driver, list[int]]:
    """The screen while it looks at all tensors, and the processes that count."""
    driver = Driver(*python("-m", "paramtui", str(path)))
    driver.until(b"clean")
    driver.press("+")
    driver.drain(0.5)
    driver.press("I")
    driver.until(b"esc stops")
    return driver, _children(driver.process.pid)


def first_answers(path: Path) -> None:
    """How soon after the cursor comes to a tensor of 128 MiB something of its numbers is drawn."""
    driver = Driver(*python("-m", "paramtui", str(path)))
    try:
        driver.until(b"clean")
        driver.press("f")  # every row is a tensor
        driver.drain(0.5)
        driver.latency_until(DOWN, b"exact")  # what it takes has been imported
        driver.drain(0.5)
        found = []
        for _ in range(10):
            found.append(1000 * driver.latency_until(DOWN, b"sampled"))
            driver.until(b"exact")
            driver.drain(0.2)
        print(
            f"key to a distribution that is labelled as sampled: median {median(found):.0f} ms"
            f" {verdict(median(found), 100)}, worst {max(found):.0f} ms",
            flush=True,
        )
    finally:
        driver.close()


def keys_during_a_scan(path: Path) -> None:
    """Keys while all tensors are looked at, and what is left after esc, ctrl+c and kill -9."""
    driver, workers = _scanning(path)
    try:
        found = []
        for _ in range(150):
            time.sleep(0.04)
            driver.drain(0.0)
            # Only a row of the tree has the sign of the cursor.
            found.append(driver.latency_until(DOWN, b">"))
        late, worst = quantiles(found, n=20)[-1] * 1000, max(found) * 1000
        print(
            f"key to paint while {len(workers)} processes count: 95th percentile {late:.1f} ms"
            f" {verdict(late, 50)}, worst {worst:.1f} ms {verdict(worst, 150)}",
            flush=True,
        )
        # On a block, where nothing else is counted.
        driver.press(HOME)
        driver.drain(0.5)
        driver.press("\x1b")
        time.sleep(0.1)
        before = _ticks(workers)
        time.sleep(1)
        spent = 10 * (_ticks(workers) - before)
        print(f"  processor time from 0.1 s to 1.1 s after esc: {spent} ms {verdict(spent, 10)}", flush=True)
    finally:
        driver.close()
    for name, end in (("ctrl+c", None), ("kill -9", signal.SIGKILL)):
        driver, workers = _scanning(path)
        try:
            if end is None:
                driver.press("\x03")
            else:
                driver.process.send_signal(end)
            driver.process.wait(10)
            deadline = time.perf_counter() + 1
            while time.perf_counter() < deadline and any(map(_runs, workers)):
                time.sleep(0.01)
            left = sum(map(_runs, workers))
            print(f"  processes left 1 s after {name} at most: {left} {verdict(left, 0)}", flush=True)
        finally:
            driver.close()


def main(directory: Path) -> None:
    """Prints a line for each dtype, then what keys do while numbers are counted."""
    for dtype, (promised, aim) in PROMISED.items():
        path = directory / f"statistics-{dtype}.safetensors"
        if not path.exists():
            count = "32" if dtype == "bfloat16" else "16"
            subprocess.run([PYTHON, "-c", MAKE, str(path), dtype, count], check=True)
        ours, theirs = [], []
        for attempt in range(ROUNDS + 1):
            seconds, _ = run(command(path))
            _, text = run((PYTHON, "-c", LOOP, str(path)))
            if attempt:  # the first round fills caches
                ours.append(seconds)
                theirs.append(float(text))
        ratio = median(theirs) / median(ours)
        kept = "kept" if ratio >= promised else "BROKEN"
        print(
            f"stats of 1 GiB of {dtype}, the whole command, against a loop in torch: {ratio:.1f} times faster"
            f" (promised: {promised}, aim {aim}: {kept}); {median(ours):.3f} s to {median(theirs):.3f} s",
            flush=True,
        )
        if sys.platform == "linux":
            memory = peak_mib(command(path, "--exact"))
            kept = "kept" if memory <= LIMIT_MIB else "BROKEN"
            print(f"  {memory:.0f} MiB in all processes (promised: at most {LIMIT_MIB}: {kept})", flush=True)
        print(f"  {differences(path)}", flush=True)
    if sys.platform == "linux":
        views = directory / "views.pt"
        if not views.exists():
            subprocess.run([PYTHON, "-c", VIEWS, str(views)], check=True)
        first_answers(views)
        keys_during_a_scan(views)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
