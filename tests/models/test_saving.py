"""What a live model is saved to is what torch and safetensors load back, and what is shown."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model
from torch import nn

from paramtui.core.edits import Call, Initialise, SetCells, Step
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.engine.client import EngineSource
from paramtui.errors import SavingError, SavingStoppedError
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded
from paramtui.models.module_source import ModuleSource
from tests.conformance.sources import devices
from tests.support import ROOT, assert_same_numbers, numbers

CODE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.embed.weight
        self.turned = nn.Parameter(torch.rand(3, 5).t())
        self.low = nn.Parameter(torch.rand(3, 5).to(torch.bfloat16), requires_grad=False)
        self.empty = nn.Parameter(torch.empty(0, 3))
        self.scalar = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("unsaved", torch.ones(2), persistent=False)
def build(): return Net()
"""


def network() -> Any:
    scope: dict[str, Any] = {"__name__": "network_of_tests"}
    exec(CODE, scope)
    return scope["build"]()


def source_of(net: nn.Module, device: str = "cpu") -> ModuleSource:
    return ModuleSource(ModuleHost(Loaded(net, None, "", "", called=False), "net", ModelOptions(device)))


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def silent(*_: int) -> None:
    pass


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
async def test_what_is_saved_is_what_a_strict_load_gives_back(
    tmp_path: Path, suffix: str, device: str
) -> None:
    net = network().to(device)
    source = source_of(net, device)
    steps = tuple(Step(name, Call("normal_")) for name in ("embed.weight", "turned", "low", "head.bias"))
    await source.apply(Initialise(steps, 5))
    await source.apply(SetCells("norm.running_mean", "1", "=", 9.0))
    path = str(tmp_path / f"saved{suffix}")
    told: list[tuple[int, int]] = []
    saved = await source.save(path, over=False, progress=lambda *numbers: told.append(numbers))
    assert saved.paths == (path,)
    assert saved.nbytes == len(read(path))
    assert told[-1][0] == told[-1][1] > 0
    assert not source.history.unsaved
    other = network()
    if suffix == ".pt":
        state = torch.load(path, weights_only=True)
        assert list(state) == list(net.state_dict())
        assert state["embed.weight"].data_ptr() == state["head.weight"].data_ptr()
        assert state["turned"].stride() == (1, 5)
        other.load_state_dict(state, strict=True)
    else:
        assert not any(load_model(other, path, strict=True))
    for name, tensor in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor.cpu()), name
    for tensor, name in enumerate(source.listing.names):
        shown = await source.window(tensor, [range(size or 0) for size in source.listing.shape[tensor]])
        if name in other.state_dict():
            assert shown.values is not None
            assert_same_numbers(shown.values, numbers(other.state_dict()[name]))
    with pytest.raises(SavingError, match="exists already"):
        await source.save(path, over=False, progress=silent)
    await source.undo()
    await source.save(path, over=True, progress=silent)
    again = torch.load(path, weights_only=True) if suffix == ".pt" else load_file(path)
    assert again["norm.running_mean"].tolist() == [0, 0, 0, 0]
    assert os.listdir(tmp_path) == [os.path.basename(path)]


class Extra(nn.Linear):
    def get_extra_state(self) -> Any:
        return {"steps": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Extra(2, 2), "_extra_state is no tensor but a dict"),
        (nn.ParameterList([nn.Parameter(torch.eye(3).to_sparse())]), "no plain tensor"),
        (nn.Linear(2, 2, device="meta"), "meta device"),
    ],
)
def test_what_a_file_of_tensors_cannot_hold_is_refused(tmp_path: Path, net: nn.Module, words: str) -> None:
    from paramtui.models.saving import save_model

    for suffix in (".pt", ".safetensors"):
        with pytest.raises(SavingError, match=words):
            save_model(net, str(tmp_path / f"saved{suffix}"), over=False)
    assert os.listdir(tmp_path) == []


async def test_a_save_that_is_stopped_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    net = nn.Linear(1500, 1500)
    source = source_of(net)
    path = tmp_path / "saved.pt"
    path.write_bytes(b"old")
    halted, going = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        if done and not halted.is_set():
            halted.set()
            going.wait(30)

    saving = asyncio.create_task(source.save(str(path), over=True, progress=progress))
    await asyncio.to_thread(halted.wait, 30)
    await source.stop_saving()
    going.set()
    with pytest.raises(SavingStoppedError, match="nothing was saved"):
        await saving
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["saved.pt"]
    # A wish to stop that nothing heeds any more does not stop what comes next.
    await source.save(str(path), over=True, progress=silent)
    assert torch.equal(torch.load(path, weights_only=True)["weight"], net.weight)


async def test_an_engine_tells_how_far_it_is_and_can_be_stopped_at_any_moment(tmp_path: Path) -> None:
    code = tmp_path / "engine_saves.py"
    code.write_text("from torch import nn\ndef build(): return nn.Linear(1500, 1500)\n")
    source = EngineSource(
        ModelTarget(str(code), str(code), "", ""), ModelOptions(), lambda *_: None
    ).wait_open()
    folder = tmp_path / "out"
    folder.mkdir()
    outcomes = set()
    try:
        for wait in (0, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.02, 0.03):
            path = folder / f"at{wait}.safetensors"
            told: list[tuple[int, int]] = []
            saving = asyncio.create_task(
                source.save(str(path), over=False, progress=lambda *numbers, told=told: told.append(numbers))
            )
            await asyncio.sleep(wait)
            for _ in range(3):
                await source.stop_saving()
            try:
                await saving
            except SavingStoppedError:
                outcomes.add("stopped")
                assert not path.exists()
            else:
                outcomes.add("saved")
                assert told[-1][0] == told[-1][1]
                assert load_file(path)["weight"].shape == (1500, 1500)
                path.unlink()
            assert os.listdir(folder) == []
        # The line is whole: it still answers.
        await source.save(str(folder / "last.safetensors"), over=False, progress=silent)
        window = await source.window(0, (range(2), range(2)))
        saved = load_file(folder / "last.safetensors")["weight"][:2, :2]
        assert torch.equal(torch.from_numpy(window.values.copy()), saved)  # type: ignore[union-attr]
    finally:
        source.close()
    assert outcomes


PEAK = """
import resource, sys, torch
from torch import nn
from paramtui.core.edits import *
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded
from paramtui.core.model_target import ModelOptions
torch.set_num_threads(1)
net = nn.Module()
net.large = nn.Parameter(torch.ones(4096, 16384))
host = ModuleHost(Loaded(net, None, "", "", called=False), "net", ModelOptions())
host.editor.catalogue()
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
def grown(what): print(what, peak() - before, flush=True)
host.apply(Initialise((Step("large", Call("zeros_")),), 0)); grown("apply")
host.undo(); grown("undo")
host.redo(); grown("redo")
host.preview(Initialise((Step("large", Call("ones_")),), 0), 0, (range(2), range(2))); grown("preview")
host.save(sys.argv[1], over=False, progress=None); grown("save")
"""


def test_keeping_and_saving_a_large_parameter_takes_little_memory_and_no_named_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "large.pt")],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(kept), "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    grown = {what: int(mib) for what, mib in map(str.split, done.stdout.splitlines())}
    assert list(grown) == ["apply", "undo", "redo", "preview", "save"]
    assert max(grown.values()) < 128, grown
    assert os.listdir(kept) == []
    assert (tmp_path / "large.pt").stat().st_size > 256 << 20
