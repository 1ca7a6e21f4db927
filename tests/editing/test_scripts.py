"""The exported script, run by a Python of its own with plain torch, gives what the editor shows and saves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from paramtui.core.catalogue import bind
from paramtui.core.edits import ApplyFunction, Call, Edit, Initialise, SetCells, Step, parse_call
from paramtui.core.indexing import parse_index
from paramtui.core.planning import address
from paramtui.core.script import written_index
from tests.editing.checkpoints import (
    KINDS,
    SharedComputer,
    all_bits,
    all_shown,
    loaded,
    opened,
    training,
    written,
)
from tests.editing.mirror import index_of

if TYPE_CHECKING:
    from paramtui.checkpoints.editing import CheckpointEditor

CUSTOM = '''
from random import random as drawn

import numpy
import torch
from torch import nn

SCALE = 0.5


def spread(tensor, low: float = 0.0, high: float = 1.0, names: tuple = ("a", "b"), shift: list = [0.0]):
    """Draws from all three generators."""
    tensor.uniform_(low, high)
    tensor.mul_(SCALE).add_(drawn() + numpy.random.rand() + len(names))
    if shift[0] == shift[0] and abs(shift[0]) != float("inf"):
        tensor.add_(shift[0])


def block(module, std: float = 0.1):
    """A name that the script itself uses, of a function that puts new tensors in place of the old ones."""
    if isinstance(module, nn.Linear):
        module.weight = nn.Parameter(torch.randn_like(module.weight) * std)
    if isinstance(module, nn.BatchNorm1d):
        module.running_mean = torch.full_like(module.running_mean, 0.25)
        nn.init.uniform_(module.weight)


def random(tensor):
    """Hides a module that the script imports."""
    tensor.fill_(0.125)
'''
NAMES = (
    "with \"both\" 'quotes'",
    "back\\slash\\",
    "space and\ttab",
    "ünïcödé 名前",
    "a.b",
    "new\nline",
    "TENSOR[0]",
    " = ",
    "",
    "[",
)


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("my own, 'quoted'") / "inits é.py"
    path.write_text(CUSTOM)
    return path


@pytest.fixture(scope="module")
def computer(custom: Path) -> Iterator[SharedComputer]:
    shared = SharedComputer([str(custom)])
    yield shared
    shared.end()


def call(computer: SharedComputer, text: str) -> Call:
    """A call as a person writes it."""
    written_call = parse_call(text)
    return bind(computer.catalogue().named(written_call.name), written_call)


def run_script(editor: CheckpointEditor, folder: Path) -> None:
    """Runs the exported script where the files are; paramtui is not to be found there."""
    script = folder / "again.py"
    script.write_text(asyncio.run(editor.script()))
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", str(script)],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=100,
        env=env,
    )
    assert done.returncode == 0, done.stderr.decode()


def apply_all(editor: CheckpointEditor, edits: Sequence[Edit]) -> None:
    async def work() -> None:
        for edit in edits:
            await editor.apply(edit)

    asyncio.run(work())


def again_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}-again{path.suffix}")


def sets(prefix: str, kinds: Sequence[str]) -> list[Edit]:
    """Numbers of every sort, set and computed."""
    edits: list[Edit] = [
        SetCells(f"{prefix}as_float32", "[0, 1:3]", "=", float("nan")),
        SetCells(f"{prefix}as_float32", " [::2] ", "*=", -0.1),
        SetCells(f"{prefix}as_float64", "..., -1", "=", -float("inf")),
        SetCells(f"{prefix}as_float64", "01", "+=", 1 << 63),
        SetCells(f"{prefix}as_bfloat16", "[1]", "-=", 1e-3),
        SetCells(f"{prefix}as_bfloat16", "", "/=", 3),
        SetCells(f"{prefix}as_float16", "[0:2,]", "=", -0.0),
        SetCells(f"{prefix}as_int64", "2", "=", -(1 << 63)),
        SetCells(f"{prefix}as_int8", "1:, ::3", "*=", 77),
        SetCells(f"{prefix}as_uint8", "[3, 3]", "+=", 250),
        SetCells(f"{prefix}as_bool", "0", "=", True),
        SetCells(f"{prefix}as_complex64", "0", "*=", complex(0.0, -2.0)),
        SetCells(f"{prefix}as_complex64", "1", "=", complex(float("nan"), -0.0)),
    ]
    return [edit for edit in edits if isinstance(edit, SetCells) and edit.tensor.split("as_")[1] in kinds]


@pytest.mark.parametrize("kind", KINDS)
def test_the_script_makes_the_same_bits_with_plain_torch(
    kind: str, tmp_path: Path, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(kind, tmp_path).relative_to(tmp_path)
    editor = opened(path, computer)
    names = editor.listing.names
    model = "model." if "model.fc1.weight" in names else ""
    zoo = "zoo." if model else ""
    # Beside other tensors the layers of a state dict at the top are no network.
    whole = {"module": "", "zip": "model", "legacy": "model"}.get(kind, "fc1")
    kinds = [name.removeprefix(f"{zoo}as_") for name in names if name.startswith(f"{zoo}as_")]
    apply_all(
        editor,
        [
            *sets(zoo, kinds),
            Initialise((Step(f"{model}fc1.weight", call(computer, "kaiming_uniform_(a=0.5)")),), 7),
            Initialise(
                (
                    Step(f"{model}fc1.bias", call(computer, "spread(high=2.0, names=('x',), shift=[-0.5])")),
                    Step(f"{model}conv.weight", call(computer, "normal_(std=0.01)")),
                    Step(f"{model}conv.bias", call(computer, "random")),
                ),
                8,
            ),
            ApplyFunction(whole, call(computer, "reset_parameters"), 9),
            ApplyFunction(f"{model}fc1", call(computer, "block(std=0.25)"), (1 << 40) + 3),
            ApplyFunction(f"{model}bn", call(computer, "block"), 11),
            SetCells(f"{model}lm_head.weight", "0, :", "*=", 2),
        ],
    )
    state = all_shown(editor)
    run_script(editor, tmp_path)
    if kind == "shards":
        again = {
            name: t for shard in tmp_path.rglob("*-again.safetensors") for name, t in loaded(shard).items()
        }
    else:
        again = loaded(again_of(tmp_path / path))
    assert {name: state[name] for name in again} == all_bits(again)
    assert len(again) == len(state)
    saved = Path("saved") if kind == "shards" else Path(f"saved{path.suffix}")
    asyncio.run(editor.save(str(saved), over=False, progress=lambda *_: None))
    assert all_bits(loaded(tmp_path / saved)) == state
    editor.close()


def test_awkward_names_are_reached(
    tmp_path: Path, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    held: dict[Any, Any] = {name: torch.full((3, 2), float(place)) for place, name in enumerate(NAMES)}
    held |= {
        3: torch.zeros(2),
        (1, "x"): {None: torch.zeros(2), True: torch.zeros(2)},
        "list": [torch.zeros(2)],
    }
    path = Path('it\'s a "file" ü.pt')
    torch.save(held, path)
    editor = opened(path, computer)
    edits: list[Edit] = []
    for tensor in range(len(editor.listing)):
        edits.append(SetCells(address(editor.listing, tensor), "0", "=", tensor + 0.5))
        edits.append(Initialise((Step(address(editor.listing, tensor), Call("normal_")),), tensor))
    apply_all(editor, edits)
    run_script(editor, tmp_path)
    again = loaded(again_of(path))
    assert sorted(all_bits(again).values()) == sorted(all_shown(editor).values())
    assert {str(name) for name in again} == set(editor.listing.names)


def test_names_of_blocks_that_look_like_python_stay_names(
    tmp_path: Path, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = nn.ModuleDict({name: nn.Linear(3, 2) for name in ("TENSOR[0] x", "a = TENSOR[1]", "'", '"')})
    torch.save(nn.Sequential(net), "odd.pt")
    editor = opened("odd.pt", computer)
    apply_all(editor, [ApplyFunction("", call(computer, "block"), 1)])
    run_script(editor, tmp_path)
    assert all_bits(loaded(Path("odd-again.pt"))) == all_shown(editor)


@pytest.mark.parametrize(
    "typed", ["[0]", "[0, 1]", "[1:7:2]", "007", "-1,", " ", "[]", "+2", "...,01", "[ -2: , 1 ]", ": , ::2"]
)
def test_an_index_is_written_as_python_reads_it(typed: str) -> None:
    text = written_index(parse_index(typed))
    cube = torch.arange(10 * 4 * 3).view(10, 4, 3)
    found = index_of(text)
    wanted = parse_index(typed) or (...,)
    assert torch.equal(cube[found], cube[wanted])


def test_a_script_of_nothing_opens_nothing(tmp_path: Path, computer: SharedComputer) -> None:
    torch.save(training(), tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    text = asyncio.run(editor.script())
    assert "torch.load" not in text
    compile(text, "script", "exec")
