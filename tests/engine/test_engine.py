"""The process that holds a model: what it survives, what is said when it does not, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.engine.client import EngineSource
from paramtui.engine.process import Engine
from paramtui.errors import EngineError, InputsError, RunStoppedError, UsageError, UserCodeError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Begin = Callable[..., EngineSource]

PATIENCE = 60.0
LINEAR = "import os, signal, sys, time, torch\nfrom torch import nn\n"


class Heard:
    """What an engine has told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self._more = threading.Condition()

    def __call__(self, kind: str, words: str) -> None:
        with self._more:
            self.told.append((kind, words))
            self._more.notify_all()

    def of(self, kind: str) -> str:
        return "".join(words for found, words in self.told if found == kind)

    def until(self, condition: Callable[[], object]) -> None:
        with self._more:
            assert self._more.wait_for(condition, PATIENCE), self.told[-5:]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def begin(tmp_path: Path, heard: Heard) -> Iterator[Begin]:
    sources: list[EngineSource] = []

    def begun(text: str, **options: object) -> EngineSource:
        path = tmp_path / f"net{len(sources)}.py"
        path.write_text(LINEAR + text)
        target = ModelTarget(str(path), str(path), "", "")
        sources.append(EngineSource(target, ModelOptions(**options), heard))  # type: ignore[arg-type]
        return sources[-1]

    yield begun
    for source in sources:
        source.close()
        assert_gone(source.pid)


def group(leader: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def assert_gone(leader: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while group(leader):
        assert time.monotonic() < deadline, group(leader)
        os.sched_yield()


NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        FORWARD
        return self.layer(x)
def build(): return Net()
"""


def rewrite(path: str, text: str) -> None:
    Path(path).write_text(text)


def net(forward: str) -> str:
    return NET.replace("FORWARD", forward)


def test_stages_and_what_is_printed_are_told_and_a_megabyte_is_not_too_much(
    begin: Begin, heard: Heard
) -> None:
    source = begin(
        "def build():\n    for i in range(10000): print('x' * 100, i)\n    return nn.Linear(4, 2)"
    ).wait_open()
    assert source.listing.names == ["weight", "bias"]
    stages = [words for kind, words in heard.told if kind == "stage"]
    assert stages == ["importing torch", "importing net0.py", "calling build()", "listing the model"]
    heard.until(lambda: heard.of("output").count("\n") == 10_000)
    assert heard.of("output").splitlines()[-1] == "x" * 100 + " 9999"


def test_what_compiled_code_writes_is_told_too(begin: Begin, heard: Heard) -> None:
    begin(
        "def build():\n    os.write(1, b'from below'); os.write(2, b' and \\xff'); return nn.Linear(1, 1)"
    ).wait_open()
    heard.until(lambda: "from below and \\xff" in heard.of("output"))


def test_a_failing_factory_is_raised_here_and_its_traceback_printed(begin: Begin, heard: Heard) -> None:
    with pytest.raises(UserCodeError, match=r"net0\.py:3: build\(\) failed: ValueError: no") as caught:
        begin("def build(): raise ValueError('no')").wait_open()
    assert caught.value.hint == "line: def build(): raise ValueError('no')"
    heard.until(lambda: "Traceback" in heard.of("traceback"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(3)", "ended itself with exit status 3 while calling build()"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "SIGKILL while calling build(): was the machine out of memory?",
        ),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV while calling build(): a crash in compiled code"),
    ],
)
def test_an_engine_that_dies_while_building_says_of_what(begin: Begin, body: str, words: str) -> None:
    with pytest.raises(EngineError, match=words.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")):
        begin(f"def build(): {body}").wait_open()


def test_a_factory_may_fork_and_its_children_end_with_the_engine(begin: Begin, heard: Heard) -> None:
    text = (
        "def build():\n    if os.fork() == 0:\n        print('child', flush=True)\n        time.sleep(1000)\n"
        "    if os.fork() == 0: print('returns', flush=True)\n    return nn.Linear(4, 2)"
    )
    source = begin(text).wait_open()
    assert source.read_window(0, (range(2), range(4))).values is not None
    heard.until(lambda: "child" in heard.of("output") and "returns" in heard.of("output"))
    assert len(group(source.pid)) > 1
    source.close()
    assert_gone(source.pid)


def test_a_factory_that_never_returns_is_given_up(begin: Begin, heard: Heard) -> None:
    source = begin("def build():\n    print('here', flush=True)\n    while True: time.sleep(1)")
    heard.until(lambda: "here" in heard.of("output"))
    source.close()
    assert_gone(source.pid)
    with pytest.raises(EngineError):
        source.wait_open()


def test_output_without_end_is_taken_at_a_pace_and_asking_works_meanwhile(begin: Begin, heard: Heard) -> None:
    source = begin(
        net("") + "import threading\ndef spam():\n    while True: print('spam' * 20)\n"
        "threading.Thread(target=spam, daemon=True).start()"
    ).wait_open()
    begun, before = time.monotonic(), len(heard.of("output"))
    for _ in range(20):
        assert source.read_window(0, (range(2), range(4))).values is not None
    taken = len(heard.of("output")) - before
    # The promised pace is about 5 MiB a second.
    assert taken < (time.monotonic() - begun + 1) * 12e6


async def test_numbers_are_read_while_a_pass_runs_and_it_can_be_stopped(begin: Begin, heard: Heard) -> None:
    source = await begin(net("print('running', flush=True); time.sleep(1000)"), inputs="2x4").opened()
    running = asyncio.create_task(source.backward(None, accumulate=False))
    await asyncio.to_thread(heard.until, lambda: "running" in heard.of("output"))
    window = await source.window(0, (range(2), range(4)))
    assert window.values is not None and window.values.shape == (2, 4)
    assert not running.done()
    assert await source.interrupt()
    with pytest.raises(RunStoppedError, match="the forward pass was stopped"):
        await running
    assert not source.ended
    assert not await source.interrupt()  # nothing runs any more


async def test_a_pass_that_does_not_listen_is_ended_and_the_model_built_anew(
    begin: Begin, heard: Heard
) -> None:
    body = """
        if x.sum() < 0:
            while True:
                try:
                    print('deaf', flush=True); time.sleep(1000)
                except KeyboardInterrupt: pass"""
    inputs = "\ndef example_inputs(): return torch.ones(2, 4)\ndef negative(): return -torch.ones(2, 4)"
    source = await begin(net(body) + inputs).opened()
    first = await source.backward(None, accumulate=False)
    await source.set_training(training=False)
    before = (await source.window(0, (range(2), range(4)))).values
    path = source.listing.target
    running = asyncio.create_task(source.backward(f"{path}:negative", accumulate=False))
    await asyncio.to_thread(heard.until, lambda: "deaf" in heard.of("output"))
    await source.interrupt()
    old = source.pid
    outcome = await source.restart(replay=True)
    assert_gone(old)
    with pytest.raises(EngineError):
        await running
    assert outcome.said == "the model was built anew; 2 things done again"
    assert source.gradients.figures == first.gradients.figures
    assert source.gradients.figures[0].norm
    assert source.listing.live is not None and source.listing.live.mode() == "eval"
    np.testing.assert_array_equal((await source.window(0, (range(2), range(4)))).values, before)


async def test_an_engine_killed_in_the_middle_of_a_pass_says_so_and_keeps_what_is_known(
    begin: Begin, heard: Heard
) -> None:
    source = await begin(net("print('running', flush=True); time.sleep(1000)"), inputs="2x4").opened()
    running = asyncio.create_task(source.backward(None, accumulate=False))
    await asyncio.to_thread(heard.until, lambda: "running" in heard.of("output"))
    os.kill(source.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="SIGKILL while backward"):
        await running
    await asyncio.to_thread(heard.until, lambda: heard.of("ended"))
    assert "SIGKILL" in source.ended
    assert source.listing.names == ["layer.weight", "layer.bias"]
    with pytest.raises(EngineError, match="SIGKILL"):
        await source.window(0, (range(2), range(4)))
    assert_gone(source.pid)
    await source.restart(replay=True)
    assert not source.ended
    assert (await source.window(0, (range(2), range(4)))).values is not None


async def test_a_model_that_cannot_be_built_anew_can_be_once_its_code_is_mended(begin: Begin) -> None:
    source = await begin(net(""), inputs="2x4").opened()
    await source.set_training(training=False)
    path = source.listing.target
    rewrite(path, "oops(")
    with pytest.raises(UserCodeError, match="no valid Python"):
        await source.restart(replay=True)
    assert source.ended
    rewrite(path, LINEAR + net(""))
    outcome = await source.restart(replay=True)
    assert outcome.said == "the model was built anew; 1 thing done again"
    assert source.listing.live is not None and source.listing.live.mode() == "eval"


async def test_a_pass_that_fails_leaves_the_gradients_of_before(begin: Begin) -> None:
    text = net("assert not SAD") + "SAD = []\ndef example_inputs(): return torch.ones(2, 4)\n"
    text += "def sad(): SAD.append(1); return torch.ones(2, 4)\ndef wide(): return torch.ones(2, 5)"
    source = await begin(text).opened()
    outcome = await source.backward(None, accumulate=False)
    path = source.listing.target
    with pytest.raises(UserCodeError, match="forward pass failed: RuntimeError"):
        await source.backward(f"{path}:wide", accumulate=False)
    with pytest.raises(UserCodeError, match="forward pass failed: AssertionError"):
        await source.backward(f"{path}:sad", accumulate=True)
    gradient = await source.gradient_window(0, (range(2), range(4)))
    np.testing.assert_array_equal(gradient.values, np.full((2, 4), 2.0))
    assert source.gradients == outcome.gradients


async def test_inputs_that_nobody_knows_are_asked_for(begin: Begin) -> None:
    source = await begin(net("assert x.shape == (3, 7, 4)")).opened()
    with pytest.raises(InputsError) as caught:
        await source.backward(None, accumulate=False)
    assert caught.value.tried[0][1].startswith("AssertionError at ")
    outcome = await source.backward("3x7x4", accumulate=False)
    assert outcome.gradients.inputs == "3x7x4"
    with pytest.raises(ValuesError, match="cannot be made"):
        await source.backward("999999x999999", accumulate=False)
    with pytest.raises(UsageError, match="larger than anything"):
        await source.backward("9999999x999999", accumulate=False)


async def test_a_large_window_and_listing_go_by_file_and_leave_none(begin: Begin) -> None:
    text = "def build():\n    wide = [nn.Linear(600, 600) for _ in range(3)]\n"
    text += "    return nn.Sequential(*wide, *[nn.ReLU() for _ in range(9000)])"
    source = await begin(text).opened()
    assert len(source.listing.modules) == 9004
    window = await source.window(4, (range(600), range(600)))
    assert window.values is not None and window.values.shape == (600, 600)
    folder = source._engine.folder
    assert os.listdir(folder) == []
    source.close()
    with pytest.raises(FileNotFoundError):
        os.listdir(folder)


def test_the_engine_and_its_children_end_when_the_screen_is_killed(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "net.py").write_text(
        LINEAR + "def build():\n    if os.fork() == 0: time.sleep(1000)\n    return nn.Linear(1, 1)"
    )
    code = (
        "import time\nfrom paramtui.core.model_target import *\n"
        "from paramtui.engine.client import EngineSource\n"
        "s = EngineSource(model_target('net.py'), ModelOptions(), lambda *_: None).wait_open()\n"
        "print(s.pid, s._engine.folder, flush=True)\ntime.sleep(1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    assert len(group(int(pid))) >= 3  # itself, the one that watches, the one that was forked
    process.kill()
    process.wait()
    assert_gone(int(pid))
    assert not Path(folder).exists()


def test_an_engine_that_is_given_up_at_once_leaves_nothing(heard: Heard) -> None:
    engine = Engine(heard)
    engine.close()
    assert_gone(engine.pid)
    with pytest.raises(EngineError):
        engine.call("window", tensor=0, picks=[]).result(PATIENCE)
