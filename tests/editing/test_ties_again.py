"""Ties of a live model, made again by a script, by a journal that was left behind, and by replaying."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from paramtui.commands.init import replay
from paramtui.core.edits import Call, Edit, Initialise, SetCells, Step, Tie, Untie, edit_text
from paramtui.core.journal import Journal, journal_json, read_journal, read_lines
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.engine.client import EngineSource
from paramtui.errors import EditError
from paramtui.models.module_source import ModuleSource
from tests.editing.checkpoints import all_bits
from tests.models.rewired import hosted, named, partition
from tests.support import good, refused

MODEL = """
import torch
from torch import nn


class Own(nn.Parameter):
    pass


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.Linear(4, 4)
        block = nn.ModuleDict({"in": layer, "self attention": nn.Sequential(layer, nn.Linear(4, 4))})
        self.blocks = nn.ModuleList([block, block, nn.ModuleDict({"in": layer})])
        self.rnn = self.again = nn.LSTM(4, 4, num_layers=2)
        self.loose = nn.ParameterList([torch.rand(4, 4), torch.rand(4, 4).t()])
        self.byname = nn.ParameterDict({"a b": torch.rand(4, 4), "c": self.loose[1]})
        self.own = self.owned = Own(torch.rand(4, 4))
        self.register_parameter("odd name", nn.Parameter(torch.rand(4, 4)))
        self._parameters["dot.ted"] = self._parameters["float"] = nn.Parameter(torch.rand(4, 4))
        self.frozen = nn.Parameter(self.loose[1].data, requires_grad=False)
        whole = torch.rand(8)
        self.register_buffer("whole", whole)
        self.register_buffer("part", whole[2:4])
        self.register_buffer("asks", self.whole[:3].detach().requires_grad_())


def build():
    return Net()
"""
EDITS: tuple[Edit, ...] = (
    SetCells("blocks.0.in.weight", "0", "=", 2.0),
    Tie("odd name", "blocks.0.in.weight"),
    Untie(("blocks.1.self attention.0.weight",)),
    SetCells("blocks.1.self attention.0.weight", "1", "*=", -3.0),
    Tie("loose.0", "odd name"),
    Untie(("blocks.0.in.bias", "blocks.1.in.bias", "blocks.2.in.bias")),
    Untie(("again.weight_hh_l1",)),
    Tie("again.weight_hh_l0", "again.weight_hh_l1"),
    Tie("byname.a b", "loose.1"),
    Untie(("byname.c", "own", "frozen")),
    Untie(('["dot.ted"]',)),
    Tie("float", "odd name"),
    Untie(("part", "asks")),
    Initialise((Step("loose.1", Call("normal_")), Step("part", Call("zeros_"))), 3),
    SetCells("frozen", "2", "+=", 1.0),
)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.py"
    path.write_text(MODEL)
    made = EngineSource(
        ModelTarget(str(path), str(path), "", ""), ModelOptions(), lambda *_: None
    ).wait_open()
    yield made
    made.close()


def build() -> Any:
    space: dict[str, Any] = {"__name__": "net"}
    exec(MODEL, space)
    torch.manual_seed(0)
    return space["build"]()


def ties_of(state: dict[str, torch.Tensor]) -> set[frozenset[str]]:
    """Names of a state dict that lie in one memory."""
    groups: dict[int, set[str]] = {}
    for name, tensor in state.items():
        groups.setdefault(tensor.untyped_storage().data_ptr(), set()).add(name)
    return set(map(frozenset, groups.values()))


def run(script: Path) -> None:
    """Runs a script with a Python that finds no paramtui here."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", str(script)], capture_output=True, check=False, env=env, timeout=100
    )
    assert done.returncode == 0, done.stderr.decode()


async def saved(source: Any, path: Path) -> dict[str, torch.Tensor]:
    await source.save(str(path), over=False, progress=lambda *_: None)
    state: dict[str, torch.Tensor] = torch.load(path)
    return state


async def test_the_script_gives_the_same_bits_and_the_same_ties(source: Any, tmp_path: Path) -> None:
    for edit in EDITS:
        assert (await source.apply(edit)).said == edit_text(edit)
    text = await source.script()
    script = tmp_path / "again.py"
    script.write_text(text)
    await asyncio.to_thread(run, script)
    again = torch.load(tmp_path / "net-again.pt")
    state = await saved(source, tmp_path / "saved.pt")
    assert all_bits(again) == all_bits(state)
    assert ties_of(again) == ties_of(state)
    assert [again[name].stride() for name in state] == [each.stride() for each in state.values()]
    # Lines as a person would write them, and the copy of a module only where one is needed.
    assert '\nmodel._parameters["odd name"] = model.blocks[0]["in"].weight\n' in text
    assert "\nmodel.again.weight_hh_l0 = model.again.weight_hh_l1\n" in text
    assert 'own = own_module(model, "again")\n' in text
    assert text.count("def own_module") == 1


async def test_undoing_takes_its_lines_away_and_plain_lines_need_no_copy_of_a_module(source: Any) -> None:
    await source.apply(Untie(("again.weight_hh_l1",)))
    assert "own_module" in await source.script()
    await source.undo()
    await source.apply(Untie(("byname.c",)))
    await source.apply(Tie("byname.c", "byname.a b"))
    text = await source.script()
    assert "own_module" not in text
    assert (
        "model.byname.c = nn.Parameter(model.byname.c.detach().clone(),"
        " requires_grad=model.byname.c.requires_grad)\n" in text
    )


async def test_the_script_of_a_model_of_the_callers_own_runs_on_its_copy() -> None:
    net, mirror = build(), build()
    source = ModuleSource(hosted(net))
    for edit in EDITS:
        await source.apply(edit)
    exec(await source.script(), {"model": mirror})
    assert partition(mirror) == partition(net)
    for name, tensor in named(net).items():
        other = named(mirror)[name]
        assert torch.equal(other, tensor)
        assert (type(other).__name__, other.requires_grad) == (type(tensor).__name__, tensor.requires_grad)
    x = torch.rand(2, 4)
    assert torch.equal(net.again(x)[0], mirror.again(x)[0])
    assert torch.equal(net.rnn(x)[0], mirror.rnn(x)[0])


async def test_a_journal_that_was_left_behind_gives_the_same_ties_again(source: Any, tmp_path: Path) -> None:
    journal = Journal(source.head())
    for edit in EDITS:
        journal.intent(edit)
        journal.done((await source.apply(edit)).digest)
    journal.close(keep=True)
    recovery = read_lines(journal.path)
    assert [change.edit for change in recovery.changes] == list(EDITS)
    state = await saved(source, tmp_path / "saved.pt")
    restarted = await source.restart(replay=True)
    assert "other numbers" not in restarted.said
    assert all_bits(await saved(source, tmp_path / "restarted.pt")) == all_bits(state)
    for _ in EDITS:
        await source.undo()
    replayed = await replay(source, recovery.changes)
    assert (replayed.changes, replayed.different) == (len(EDITS), ())
    again = await saved(source, tmp_path / "again.pt")
    assert (all_bits(again), ties_of(again)) == (all_bits(state), ties_of(state))


async def test_replay_makes_the_ties_of_an_exported_journal_again(source: Any, tmp_path: Path) -> None:
    for edit in EDITS:
        await source.apply(edit)
    state = await saved(source, tmp_path / "saved.pt")
    written = tmp_path / "changes.json"
    written.write_text(journal_json(source.head(), source.history.done))
    assert [change.edit for change in read_journal(str(written)).changes] == list(EDITS)
    out = tmp_path / "again.pt"
    told = json.loads(good("replay", str(written), str(tmp_path / "net.py"), "-o", str(out), "--json"))
    assert (told["changes"], told["different"]) == (len(EDITS), [])
    again = torch.load(out)
    assert (all_bits(again), ties_of(again)) == (all_bits(state), ties_of(state))
    # A checkpoint has no parameters that could be tied.
    only = tmp_path / "ties.json"
    only.write_text(journal_json(source.head(), source.history.done[1:2]))
    words = refused("replay", str(only), str(out), "-o", str(tmp_path / "no.pt"))
    assert "change 1 (odd name tied to blocks.0.in.weight) cannot be made" in words
    assert "only parameters of a live model can be tied" in words


async def test_a_checkpoint_says_what_it_lacks_for_a_tie(tmp_path: Path) -> None:
    from paramtui.checkpoints.registry import open_checkpoint
    from paramtui.editable import EditableCheckpoint

    torch.save(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).state_dict(), tmp_path / "x.pt")
    editor = EditableCheckpoint(open_checkpoint(str(tmp_path / "x.pt")))
    edits: tuple[Edit, ...] = (Tie("1.weight", "0.weight"), Untie(("0.weight",)))
    for edit in edits:
        with pytest.raises(EditError, match="only parameters of a live model"):
            await editor.apply(edit)
        with pytest.raises(EditError, match="only parameters of a live model"):
            await editor.preview(edit, None, ())
    assert not editor.history.done
    editor.close()
