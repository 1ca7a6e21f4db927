"""Live models in a real terminal: engines that die, code that misbehaves, and `browse` from a script."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engine.test_engine import assert_gone, group
from tests.terminal.terminal import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.terminal.terminal import Terminal

    Start = Callable[..., Terminal]

SLOW = """
import time, torch
from torch import nn
class Net(nn.Linear):
    def forward(self, x):
        print("in forward", flush=True)
        time.sleep(1000)
def build(): return Net(4, 2)
def example_inputs(): return torch.ones(2, 4)
"""


def engines(screen: int) -> list[int]:
    """Engines that a screen has started: leaders of their own groups."""
    children = Path(f"/proc/{screen}/task/{screen}/children").read_text().split()
    return [int(child) for child in children if os.getpgid(int(child)) == int(child)]


def write(folder: Path, text: str) -> str:
    path = folder / "net.py"
    path.write_text(text)
    return str(path)


def test_a_model_is_built_run_and_left_without_a_process(terminal: Start, tmp_path: Path) -> None:
    from paramtui.samples import samples_directory

    found = terminal(str(samples_directory() / "tied_layers.py"))
    found.until(lambda text: "cpu  train" in text)
    (engine,) = engines(found.process.pid)
    found.press("+jg")
    found.until(lambda text: "backward: loss" in text)
    found.until(lambda text: "model[0].weight.grad" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()
    assert_gone(engine)
    assert b"Traceback" not in found.received


def test_an_engine_killed_in_the_middle_of_a_pass_is_said_and_started_again(
    terminal: Start, tmp_path: Path
) -> None:
    found = terminal(write(tmp_path, SLOW), width=140)
    found.until(lambda text: "cpu  train" in text)
    (engine,) = engines(found.process.pid)
    found.press("g")
    found.until(lambda text: "backward…" in text)
    os.kill(engine, signal.SIGKILL)
    found.until(lambda text: "SIGKILL while backward" in text and "ctrl+r" in text and "engine ended" in text)
    assert "weight" in found.text
    found.press("\x12")
    found.until(lambda text: "built anew" in text and "cpu  train" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)])
def test_no_engine_outlives_its_screen(terminal: Start, tmp_path: Path, name: str, number: int) -> None:
    found = terminal(write(tmp_path, SLOW))
    found.until(lambda text: "cpu  train" in text)
    (engine,) = engines(found.process.pid)
    found.press("g")
    found.until(lambda text: "backward…" in text)
    found.process.send_signal(number)
    found.end()
    assert_gone(engine)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import sys\ndef build(): sys.exit(3)", "net.py:2: build() called sys.exit(3)"),
        ("import os\ndef build(): os._exit(4)", "ended itself with exit status 4"),
        ("def build(: pass", "net.py:1"),
    ],
)
def test_a_factory_that_leaves_is_shown_and_the_terminal_lives(
    terminal: Start, tmp_path: Path, body: str, words: str
) -> None:
    found = terminal(write(tmp_path, body), width=150)
    found.until(lambda text: words in text)
    found.press("q")
    assert found.end() == 2
    found.assert_restored()


def test_a_factory_that_prints_forks_and_then_never_returns_is_waited_for_and_given_up(
    terminal: Start, tmp_path: Path
) -> None:
    text = (
        "import os, time\ndef build():\n    for i in range(10000): print('line', i, 'x' * 90)\n"
        "    if os.fork() == 0: time.sleep(1000)\n    while True: time.sleep(1)"
    )
    found = terminal(write(tmp_path, text))
    found.until(lambda text: re.search(r"calling build\(\)… \d+ s", text))
    (engine,) = engines(found.process.pid)
    found.press("p")
    found.until(lambda text: "line 9999 xxx" in text)
    assert len(group(engine)) >= 3
    found.press("p\x1b")
    found.until(lambda text: "stopped" in text and "ctrl+r tries again" in text)
    assert_gone(engine)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


SCRIPT = """
import signal, sys
import torch
from torch import nn
import paramtui

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
def handler(*_): print("terminated by", _[0]); sys.exit(7)
signal.signal(signal.SIGTERM, handler)
jobs = signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH, signal.SIGINT, signal.SIGQUIT, signal.SIGTTIN
usual = [signal.getsignal(number) for number in jobs]
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(2):
    optimizer.zero_grad()
    loss = net(torch.ones(2, 4)).sum()
    if step:
        print("before")
        state = torch.get_rng_state()
        paramtui.browse(net)
        assert torch.equal(state, torch.get_rng_state())
        assert signal.getsignal(signal.SIGTERM) is handler
        assert [signal.getsignal(number) for number in jobs] == usual
        print("after", net.training, net[0].weight.grad is not None)
    loss.backward()
    optimizer.step()
print("done")
"""


def script(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "script.py").write_text(text)
    return (sys.executable, str(folder / "script.py"))


def lines(found: Terminal) -> list[str]:
    """What was printed outside the screen."""
    outside = re.sub(rb"\x1b\[\?1049h.*?\x1b\[\?1049l", b"", found.received, flags=re.DOTALL)
    plain = re.sub(rb"\x1b\[[0-9;?>=]*[a-zA-Z]|\x1b.", b"", outside).decode()
    return [line for line in plain.replace("\r", "").split("\n") if line]


def test_browse_shows_the_model_of_a_script_and_the_script_goes_on(terminal: Start, tmp_path: Path) -> None:
    found = terminal(program=script(tmp_path, SCRIPT), PYTHONPATH=str(Path(__file__).parents[2]))
    found.until(lambda text: "cpu  train" in text)
    found.press("+j")
    found.until(lambda text: "model[0].weight" in text)
    found.press("g")
    found.until(lambda text: "backward: loss" in text)
    found.press("T")
    found.until(lambda text: "cpu  eval" in text)
    found.press("q")
    assert found.end() == 0
    assert lines(found)[-3:] == ["before", "after False True", "done"]
    found.assert_restored()


def test_a_signal_to_a_script_that_browses_reaches_the_script_s_own_handler(
    terminal: Start, tmp_path: Path
) -> None:
    found = terminal(program=script(tmp_path, SCRIPT), PYTHONPATH=str(Path(__file__).parents[2]))
    found.until(lambda text: "cpu  train" in text)
    found.process.send_signal(signal.SIGTERM)
    assert found.end() == 7
    assert lines(found)[-1] == "terminated by 15"
    found.assert_restored()


ASYNC = """
import asyncio, threading
from torch import nn
import paramtui

def tried(call):
    try:
        call()
    except paramtui.errors.ParamtuiError as error:
        print(error)

import paramtui.errors
async def main():
    tried(lambda: paramtui.browse(nn.Linear(1, 1)))
    thread = threading.Thread(target=lambda: tried(lambda: paramtui.browse(nn.Linear(1, 1))))
    thread.start(); thread.join()
    try:
        await paramtui.browse_async({"a": 1})
    except paramtui.errors.ParamtuiError as error:
        print(error)
    await paramtui.browse_async(nn.Linear(1, 1))
    print("done")
asyncio.run(main())
"""


def test_in_an_event_loop_a_thread_or_of_something_else_it_says_what_to_do(
    terminal: Start, tmp_path: Path
) -> None:
    found = terminal(program=script(tmp_path, ASYNC), PYTHONPATH=str(Path(__file__).parents[2]), width=200)
    found.until(lambda text: "cpu  train" in text)
    found.press("q")
    assert found.end() == 0
    printed = lines(found)
    assert "await paramtui.browse_async(model)" in printed[0]
    assert "main thread" in printed[1]
    assert "takes an nn.Module, not a dict" in printed[2]
    assert printed[-1] == "done"
    found.assert_restored()


def test_the_screen_answers_keys_while_a_factory_keeps_its_process_busy(
    terminal: Start, tmp_path: Path
) -> None:
    found = terminal(write(tmp_path, "def build():\n    while True: pass"))
    found.until(lambda text: "calling build()" in text)
    found.press("?")
    begun = time.monotonic()
    found.until(lambda text: "Everywhere" in text)
    assert time.monotonic() - begun < PATIENCE / 2
    found.press("q\x03")
    found.end()
    found.assert_restored()
