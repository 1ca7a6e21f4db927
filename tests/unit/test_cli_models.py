"""``ls``, ``show`` and ``grad`` of models, as a person and a script meet them: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from paramtui.samples import samples_directory
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def run_paramtui(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paramtui", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def good(*words: str) -> str:
    done = run_paramtui(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


NET = """
import torch
from torch import nn
print("building")
def build():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    net[0].bias.requires_grad_(False)
    net.unused = nn.Linear(2, 2)
    net.forward = lambda x: net[2](net[1](net[0](x)))
    return net
"""


@pytest.fixture
def target(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return str(tmp_path / "net.py")


def built(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    names: dict[str, Any] = {}
    exec(NET, names)
    torch.manual_seed(seed)
    return names["build"]()


def test_a_model_is_listed_as_the_design_promises(target: str) -> None:
    found = json.loads(good("ls", "--json", target))
    net = built()
    assert (found["format"], found["target"]) == ("module", target)
    listed = {entry["name"]: entry for entry in found["tensors"]}
    assert [name for name, entry in listed.items() if entry["kind"] == "parameter"] == [
        name for name, _ in net.named_parameters(remove_duplicate=False)
    ]
    assert [name for name, entry in listed.items() if entry["kind"] == "buffer"] == [
        name for name, _ in net.named_buffers(remove_duplicate=False)
    ]
    for name, parameter in net.named_parameters():
        entry = listed[name]
        assert entry["requires_grad"] == parameter.requires_grad
        assert entry["type"] == "torch.nn.parameter.Parameter"
        assert (entry["shape"], entry["device"], entry["is_leaf"]) == (list(parameter.shape), "cpu", True)
    modules = {entry["name"]: entry for entry in found["modules"]}
    assert modules["0"]["class"] == "torch.nn.modules.linear.Linear"
    assert modules["0"]["extra"] == net[0].extra_repr()
    assert modules["1"]["training"] is True
    assert found["built"] == "build() of " + target
    assert found["seed"] == 0
    assert set(found) >= {"target", "format", "tensors", "values", "shared", "globals", "warnings", "totals"}


def test_the_tree_of_a_model_says_what_is_frozen_and_what_is_a_buffer(target: str) -> None:
    lines = good("ls", target).splitlines()
    assert next(line for line in lines if " bias " in line).endswith("frozen")
    assert next(line for line in lines if "running_mean" in line).endswith("buffer")


def test_numbers_are_those_that_the_seed_makes(target: str) -> None:
    for seed in (0, 5):
        shown = json.loads(good("show", target, "0.weight", "1,:3", "--seed", str(seed), "--json"))
        assert shown["values"] == built(seed)[0].weight[1, :3].tolist()


def test_what_the_code_prints_goes_to_stderr(target: str) -> None:
    done = run_paramtui("ls", "--json", target)
    assert json.loads(done.stdout)["format"] == "module"
    assert "building" in done.stderr


def test_gradients_are_those_of_autograd_in_strict_json() -> None:
    sys.path.insert(0, str(samples_directory()))
    try:
        for name in ("tied_layers", "exploding", "branches"):
            module = __import__(name)
            torch.manual_seed(0)
            net = module.build()
            torch.manual_seed(0)
            inputs = module.example_inputs()
            torch.manual_seed(0)
            loss = module.loss(net, *inputs)
            loss.backward()
            found = json.loads(
                good("grad", str(samples_directory() / f"{name}.py"), "--json"), parse_constant=refuse
            )
            assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
            assert found["loss_from"] == f"loss() of {name}.py"
            assert [entry["name"] for entry in found["parameters"]] == [
                key for key, _ in net.named_parameters()
            ]
            for entry, (_, parameter) in zip(found["parameters"], net.named_parameters(), strict=True):
                if parameter.grad is None:
                    assert (entry["norm"], entry["max_abs"], entry["nan"], entry["zero"]) == (None,) * 4
                elif parameter.grad.isnan().any():
                    assert entry["norm"] == "NaN"
                    assert entry["nan"] == parameter.grad.isnan().sum()
                else:
                    assert entry["norm"] == pytest.approx(parameter.grad.norm().item(), rel=1e-5)
                    assert entry["max_abs"] == pytest.approx(parameter.grad.abs().max().item(), rel=1e-5)
                    assert entry["zero"] == (parameter.grad == 0).sum()
    finally:
        sys.path.remove(str(samples_directory()))


def refuse(name: str) -> None:
    raise AssertionError(name)


def test_gradients_as_text_say_what_was_run_and_what_has_none() -> None:
    lines = good("grad", str(samples_directory() / "branches.py")).splitlines()
    assert "loss() of branches.py" in lines[0]
    assert "example_inputs() of branches.py" in lines[1]
    words = {line.split()[0]: line for line in lines[3:-1]}
    assert words["encoder.weight"].endswith("frozen: requires no gradient")
    assert words["auxiliary.bias"].endswith("None: not reached by backward")
    assert words["gate.weight"].endswith("exactly zero")


def test_inputs_and_their_mistakes(target: str) -> None:
    found = json.loads(good("grad", target, "--inputs", "3x4", "--json"))
    assert found["inputs"] == "3x4"
    assert found["loss_from"] == "sum of the outputs"
    done = run_paramtui("grad", target, "--inputs", "3xx")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no shape" in done.stderr
    assert "building" not in done.stderr  # said before anything is built
    done = run_paramtui("grad", target, "--inputs", "3x5")
    assert done.returncode == 2
    assert "mat1 and mat2" in done.stderr.splitlines()[-1]


def test_weights_are_loaded_and_what_does_not_fit_is_warned_of(target: str, save: Save) -> None:
    net = built(3)
    saved = str(save({"model": net.state_dict()}))
    plain = run_paramtui("show", target, "0.weight", "0", "--json", "--weights", saved)
    assert "0 of 11 loaded" in plain.stderr and "the entry model would fit better" in plain.stderr
    assert json.loads(plain.stdout)["values"] == built()[0].weight[0].tolist()
    fixed = good("show", target, "0.weight", "0", "--json", "--weights", saved, "--fix-weights")
    assert json.loads(fixed)["values"] == net[0].weight[0].tolist()
    listed = json.loads(good("ls", target, "--json", "--weights", saved, "--fix-weights"))
    assert (listed["weights"]["missing"], listed["weights"]["unexpected"]) == ([], [])
    found = json.loads(good("ls", target, "--json", "--weights", str(save({"x": torch.ones(3)}))))
    assert found["weights"]["unexpected"] == [["x", "float32", [3]]]
    assert found["values"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["grad", "model.safetensors"], "gradients need a model"),
        (["ls", "model.safetensors", "--weights", "x.pt"], "--weights loads a checkpoint into a model"),
        (["ls", "nowhere.py"], "nowhere.py: no such file"),
        (["ls", "nowhere.module:build"], "there is no module nowhere.module"),
        (["ls", "TARGET:biuld"], "did you mean build?"),
        (["ls", "TARGET", "--device", "nonsense"], "there is no device 'nonsense'"),
        (["ls", "TARGET", "--seed", "-3"], "a whole number from 0"),
        (["ls", "TARGET", "--weights", "nowhere.pt"], "nowhere.pt"),
        (["grad", "TARGET", "--device", "meta"], "meta device"),
        (["show", "TARGET", "0.weight", "--device", "meta"], "meta device"),
    ],
)
def test_what_cannot_be_done_is_one_line(target: str, words: list[str], message: str) -> None:
    done = run_paramtui(*[word.replace("TARGET", target) for word in words])
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_meta_model_is_listed_without_memory(tmp_path: Path) -> None:
    (tmp_path / "large.py").write_text(
        "from torch import nn\n"
        "def build(): return nn.Sequential(*[nn.Linear(1 << 15, 1 << 15) for _ in range(9)])"
    )
    found = json.loads(good("ls", "--json", "--device", "meta", str(tmp_path / "large.py")))
    assert found["totals"]["elements"] == 9 * ((1 << 30) + (1 << 15))
    assert {entry["device"] for entry in found["tensors"]} == {"meta"}


def test_a_checkpoint_is_listed_without_the_engine(save: Save) -> None:
    code = (
        "import sys\nfrom paramtui.cli import main\n"
        f"main(['ls', {str(save(nn.Linear(1, 1).state_dict()))!r}])\n"
        "print([n for n in sys.modules if n.startswith(('paramtui.engine', 'paramtui.models', 'torch'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_model_is_listed_without_torch_in_this_process(target: str) -> None:
    code = (
        "import sys\nfrom paramtui.cli import main\n"
        f"main(['grad', {target!r}])\n"
        "print([n for n in sys.modules if n.startswith(('paramtui.models', 'torch', 'textual'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
