"""Changes in the process that holds a model: what is stopped, what kills it, and what is done again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.core.edits import ApplyFunction, Call, Edit, Initialise, SetCells, Step
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.engine.client import EngineSource
from paramtui.errors import EditError, EngineError, RunStoppedError, UserCodeError

NET = """
import os, sys, time, torch
from torch import nn
def build():
    net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    net[1][1].weight = net[0].weight
    return net
"""
FUNCTIONS = """
import os, sys, time, torch
from torch import nn
def good(m):
    if isinstance(m, nn.Linear): nn.init.normal_(m.weight)
def slow(m):
    for _ in range(150):
        good(m)
        if isinstance(m, nn.Linear):
            own = m.weight
            m.weight = nn.Parameter(torch.ones(4, 4))
            own.data = torch.ones(4, 4)
            m.weight = own
def die(m):
    m.weight.data.fill_(7) if isinstance(m, nn.Linear) else os._exit(3)
def leave(m):
    m.weight.data.fill_(7) if isinstance(m, nn.Linear) else sys.exit(3)
def say(m): print('said by', type(m).__name__)
def wait(m):
    m.weight.data.fill_(7); print('waiting', flush=True); time.sleep(1000)
"""


class Editing:
    """An engine with a small model, and all that can be seen of it."""

    def __init__(self, folder: Path) -> None:
        self.code, self.functions = folder / "edited_net.py", folder / "edited_functions.py"
        self.code.write_text(NET)
        self.functions.write_text(FUNCTIONS)
        self.waiting = threading.Event()
        self.source = EngineSource(
            ModelTarget(str(self.code), str(self.code), "", ""),
            ModelOptions(init_files=[str(self.functions)]),
            self._told,
        ).wait_open()

    def _told(self, kind: str, words: str) -> None:
        if kind == "output" and "waiting" in words:
            self.waiting.set()

    def function(self, name: str, block: str = "") -> ApplyFunction:
        return ApplyFunction(block, Call(name, (), str(self.functions)), 3)

    def numbers(self) -> list[Any]:
        listing = self.source.listing
        return [
            self.source.read_window(tensor, [range(size or 0) for size in shape]).values.tolist()  # type: ignore[union-attr]
            for tensor, shape in enumerate(listing.shape)
        ]


@pytest.fixture
def editing(tmp_path: Path) -> Iterator[Editing]:
    held = Editing(tmp_path)
    yield held
    held.source.close()


ZEROS = Initialise((Step("0.bias", Call("zeros_")), Step("1.0.weight", Call("normal_"))), 1)
CELL = SetCells("1.0.bias", "2", "=", 5.0)


async def test_what_was_changed_undone_and_redone_is_done_again_in_that_order(editing: Editing) -> None:
    source = editing.source
    edits: list[Edit] = [ZEROS, CELL, editing.function("good"), SetCells("0.weight", "", "*=", 2.0)]
    digests = [(await source.apply(edit)).digest for edit in edits]
    await source.undo()
    await source.undo()
    await source.redo()
    await source.apply(SetCells("1.0.bias", "2", "+=", 1.0))
    await source.undo()
    numbers, done, undone = editing.numbers(), source.history.done[:], source.history.undone[:]
    assert [change.digest for change in done] == digests[:3]
    outcome = await source.restart(replay=True)
    assert outcome.said == "the model was built anew; 9 things done again"
    assert editing.numbers() == numbers
    assert [change[1:] for change in source.history.done] == [change[1:] for change in done]
    assert [change[1:] for change in source.history.undone] == [change[1:] for change in undone]
    await source.redo()
    assert editing.numbers()[source.listing.names.index("1.0.bias")][2] == 6.0
    while source.history.done:
        await source.undo()
    torch.manual_seed(0)
    fresh = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    assert editing.numbers()[:2] == [each.tolist() for each in fresh[0].parameters()]
    await source.restart(replay=False)
    assert not source.history.done
    assert not source.history.undone


async def test_what_gives_other_numbers_when_it_is_done_again_is_told(editing: Editing) -> None:
    source = editing.source
    await source.apply(editing.function("good"))
    editing.functions.write_text(FUNCTIONS.replace("normal_(m.weight)", "zeros_(m.weight)"))
    outcome = await source.restart(replay=True)
    assert outcome.said.endswith("1 thing done again, which gave other numbers than before")
    assert editing.numbers()[0] == [[0.0] * 4] * 4


@pytest.mark.parametrize("way", ["die", "kill"])
async def test_a_change_that_ends_the_engine_is_told_and_what_was_before_it_is_done_again(
    editing: Editing, way: str
) -> None:
    source = editing.source
    await source.apply(ZEROS)
    await source.apply(CELL)
    before = editing.numbers()
    if way == "die":
        with pytest.raises(EngineError, match="ended itself with exit status 3 while changing numbers"):
            await source.apply(editing.function("die"))
    else:
        waiting = asyncio.create_task(source.apply(editing.function("wait")))
        assert await asyncio.to_thread(editing.waiting.wait, 60)
        os.kill(source.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="SIGKILL while changing numbers"):
            await waiting
    assert source.ended
    for work in (source.undo(), source.apply(CELL), source.preview(CELL, None, ()), source.catalogue()):
        with pytest.raises(EngineError):
            await work
    assert len(source.history.done) == 2
    await source.restart(replay=True)
    assert editing.numbers() == before
    await source.apply(editing.function("good"))
    await source.undo()
    assert editing.numbers() == before


async def test_a_function_that_fails_leaves_all_and_the_engine_goes_on(editing: Editing) -> None:
    source = editing.source
    before = editing.numbers()
    with pytest.raises(UserCodeError, match=r"leave called sys\.exit\(3\)"):
        await source.apply(editing.function("leave"))
    waiting = asyncio.create_task(source.apply(editing.function("wait")))
    assert await asyncio.to_thread(editing.waiting.wait, 60)
    # Who looks meanwhile does not see what may be taken back, and waits.
    window = asyncio.create_task(source.window(0, (range(4), range(4))))
    assert await source.interrupt()
    with pytest.raises(RunStoppedError, match="all is as it was"):
        await waiting
    shown = (await window).values
    assert shown is not None
    assert shown.tolist() == before[0]
    assert editing.numbers() == before
    await source.apply(editing.function("say"))
    assert not source.history.done[-1].tensors
    editing.functions.write_text(FUNCTIONS.replace("sys.exit(3)", "None"))
    await source.apply(editing.function("leave"))
    assert editing.numbers()[0] == [[7.0] * 4] * 4


async def test_whatever_is_stopped_whenever_is_done_and_told_or_not_done(editing: Editing) -> None:
    source = editing.source
    draw = random.Random(4)
    states = [editing.numbers()]
    outcomes: set[tuple[str, str]] = set()
    wanted = {("apply", "done"), ("apply", "stopped"), ("undo", "done")}
    rounds = 0
    while rounds < 120 or not wanted <= outcomes:
        rounds += 1
        assert rounds < 3000
        kinds = ["apply", "apply", "preview"] + (["undo"] if source.history.done else [])
        kind = draw.choice(kinds)
        edit = draw.choice([ZEROS, CELL, editing.function("good"), editing.function("slow")])
        work: Any = {
            "apply": lambda edit=edit: source.apply(edit),
            "preview": lambda edit=edit: source.preview(edit, 0, (range(4), range(4))),
            "undo": source.undo,
        }[kind]
        count = len(source.history.done)
        running = asyncio.create_task(work())
        await asyncio.sleep(draw.random() * 0.02)
        for _ in range(draw.choice((1, 2, 4))):
            await source.interrupt()
        try:
            await running
            outcomes.add((kind, "done"))
            count += {"apply": 1, "undo": -1}.get(kind, 0)
            del states[count + (kind != "apply") :]
        except RunStoppedError:
            outcomes.add((kind, "stopped"))
        assert len(source.history.done) == count
        if count == len(states):
            states.append(editing.numbers())
        assert editing.numbers() == states[count]
    # The engine counts as this side does.
    while source.history.done:
        await source.undo()
    assert editing.numbers() == states[0]
    with pytest.raises(EditError, match="nothing to undo"):
        await source.undo()


async def test_a_change_that_nobody_waits_for_any_more_is_noted(editing: Editing) -> None:
    source = editing.source
    before = editing.numbers()
    for edit in (ZEROS, editing.function("good")):
        abandoned = asyncio.create_task(source.apply(edit))
        await asyncio.sleep(0)
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
    # The engine does one thing after the other.
    await source.apply(CELL)
    assert [change.edit for change in source.history.done] == [ZEROS, editing.function("good"), CELL]
    for _ in range(3):
        await source.undo()
    assert editing.numbers() == before


async def test_a_preview_through_the_pipe_has_the_cells_of_torch(editing: Editing) -> None:
    source = editing.source
    before = np.array(editing.numbers()[0])
    preview = await source.preview(SetCells("0.weight", "1", "*=", 3.0), 0, (range(1, 3), range(4)))
    assert preview.before is not None and preview.after is not None
    wanted = torch.tensor(before, dtype=torch.float32)
    wanted[1] *= 3.0
    np.testing.assert_array_equal(preview.after.values, wanted[1:3].numpy())
    np.testing.assert_array_equal(preview.before.values, before[1:3].astype(np.float32))
    tied = source.listing.names.index("1.1.weight")
    assert set(preview.summaries) == {0, tied}
    assert np.array_equal(np.array(editing.numbers()[0]), before)


async def test_a_script_does_in_plain_torch_what_was_done(
    editing: Editing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it saves there
    source = editing.source
    for edit in (ZEROS, CELL, editing.function("good", "1")):
        await source.apply(edit)
    scope: dict[str, Any] = {}
    exec(compile(await source.script(), "script", "exec"), scope)
    model = scope["model"]
    wanted = dict(model.named_parameters(remove_duplicate=False))
    for name, numbers in zip(source.listing.names, editing.numbers(), strict=True):
        assert wanted[name].tolist() == numbers, name
