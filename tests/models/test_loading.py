from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from paramtui.core.model_target import ModelTarget, model_target
from paramtui.errors import (
    CandidatesError,
    ParamtuiError,
    RunStoppedError,
    TargetError,
    UsageError,
    UserCodeError,
)
from paramtui.models.loading import Loaded, load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str], Path]

NUMBERS = itertools.count()
LINEAR = "from torch import nn\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        path = tmp_path / f"written{next(NUMBERS)}.py"
        path.write_text(text)
        return path

    return written


def load(target: object, device: str = "cpu", seed: int = 0) -> Loaded:
    found = model_target(str(target))
    assert found is not None
    return load_model(found, device, seed)


def failure(target: object, kind: type[ParamtuiError] = UserCodeError) -> str:
    with pytest.raises(kind) as caught:
        load(target)
    return str(caught.value)


# Which texts are models


def test_what_is_a_model_is_told_from_the_text(write: Write, tmp_path: Path) -> None:
    path = write("")
    assert model_target(str(path)) == ModelTarget(str(path), str(path), "", "")
    assert model_target(f"{path}:build") == ModelTarget(f"{path}:build", str(path), "", "build")
    assert model_target(f"{path}:Nets.small") == ModelTarget(
        f"{path}:Nets.small", str(path), "", "Nets.small"
    )
    assert model_target("package.module:build") == ModelTarget(
        "package.module:build", "", "package.module", "build"
    )
    assert model_target("missing.py") == ModelTarget("missing.py", "missing.py", "", "")
    for text in ("model.safetensors", "package.module", "a:b:c d", ":build", "x:", str(tmp_path), "a b:c"):
        assert model_target(text) is None
    (tmp_path / "odd.py").mkdir()
    (tmp_path / "odd:name").write_bytes(b"")
    assert model_target("odd.py") is None
    assert model_target("odd:name") is None


# What is found in a file


@pytest.mark.parametrize("name", ["build", "build_model", "make_model", "get_model"])
def test_a_builder_is_called_whatever_classes_stand_beside_it(write: Write, name: str) -> None:
    loaded = load(write(f"{LINEAR}class Net(nn.Module): pass\ndef {name}(): return nn.Linear(2, 3)"))
    assert isinstance(loaded.model, nn.Linear)
    assert loaded.factory == name


def test_else_the_only_instance_is_taken_and_else_the_only_class_is_called(write: Write) -> None:
    text = f"{LINEAR}from torch.nn import ReLU\nclass Net(nn.Module): pass\n"
    assert type(load(write(text)).model).__name__ == "Net"
    loaded = load(write(text + "net = nn.Linear(1, 2)"))
    assert isinstance(loaded.model, nn.Linear)
    assert not loaded.called


def test_a_class_that_needs_arguments_is_no_candidate(write: Write) -> None:
    needs = "class A(nn.Module):\n    def __init__(self, n): super().__init__()\n"
    text = f"{LINEAR}{needs}class B(nn.Module): pass\n"
    assert type(load(write(text)).model).__name__ == "B"


def test_several_are_listed_as_targets_that_open(write: Write) -> None:
    path = write(f"{LINEAR}class A(nn.Module): pass\nclass B(nn.Module): pass\n")
    with pytest.raises(CandidatesError) as caught:
        load(path)
    assert caught.value.candidates == [f"{path}:A", f"{path}:B"]
    assert type(load(caught.value.candidates[1]).model).__name__ == "B"


def test_none_and_a_wrong_name_say_what_there_is(write: Write) -> None:
    assert "defines no model" in failure(write("x = 1"), TargetError)
    path = write(f"{LINEAR}def build(): return nn.Linear(1, 1)")
    assert "did you mean build?" in failure(f"{path}:biuld", TargetError)
    assert "no such file" in failure("nowhere.py", TargetError)
    assert "no file name" in failure("\0.py", TargetError)
    assert "no module nowhere" in failure("nowhere.at:all", TargetError)
    assert "neither a function nor" in failure(f"{write('x = 1')}:x", TargetError)


def test_a_module_s_factory_is_found_from_the_current_directory(write: Write, tmp_path: Path) -> None:
    (tmp_path / "somepackage").mkdir()
    (tmp_path / "somepackage" / "__init__.py").write_text("")
    (tmp_path / "somepackage" / "layers.py").write_text(f"{LINEAR}Layer = nn.Linear")
    (tmp_path / "somepackage" / "net.py").write_text(
        "from .layers import Layer\ndef build(): return Layer(3, 4)"
    )
    assert isinstance(load("somepackage.net:build").model, nn.Linear)
    # As a file too, relative imports and all.
    assert isinstance(load(tmp_path / "somepackage" / "net.py").model, nn.Linear)


def test_a_file_imports_its_neighbours_and_may_be_named_like_a_library(write: Write, tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_it.py").write_text("WIDTH = 5")
    path = tmp_path / "json.py"
    path.write_text(f"{LINEAR}from neighbour_of_it import WIDTH\ndef build(): return nn.Linear(WIDTH, 1)")
    model = load(path).model
    assert isinstance(model, nn.Linear)
    assert model.in_features == 5
    import json

    assert json.loads("1") == 1


# What goes wrong in it


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        (
            "def build():\n    return helper()\ndef helper():\n    raise ValueError('too small')",
            4,
            "ValueError: too small",
        ),
        ("import nosuchlibrary\n", 1, "imports nosuchlibrary, which is not installed"),
        ("def build():\n    import nosuchlibrary.part", 2, "imports nosuchlibrary, which is not installed"),
        ("import sys\ndef build():\n    sys.exit(3)", 3, "sys.exit(3)"),
        ("def build(:\n", 1, "no valid Python"),
        ("def build():\n    return input('name? ')", 2, "nobody can type"),
        ("def build():\n    return build()", 2, "never ends calling itself"),
        ("import torch\ndef build():\n    torch.zeros(2, 3) @ torch.zeros(2, 3)", 3, "RuntimeError"),
        ("def build():\n    raise BaseException\n", 2, "BaseException"),
    ],
)
def test_what_fails_is_told_with_its_line(
    write: Write, body: str, line: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    path = write(body)
    message = failure(path)
    assert words in message
    assert f"{path.name}:{line}: " in message


def test_an_exception_whose_text_cannot_be_made_is_told_all_the_same(write: Write) -> None:
    path = write("class Odd(Exception):\n    def __str__(self): raise ValueError\ndef build(): raise Odd")
    assert "Odd" in failure(path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def build(width, depth=2, *, kind): pass", "asks for arguments: width, kind"),
        ("def build(): return {}", "returned a dict"),
        ("def build(): pass", "returned None"),
        ("def build(): return 1, 'a'", "returned a tuple of 2 (int, str)"),
    ],
)
def test_a_factory_that_gives_no_model_is_shown(write: Write, body: str, words: str) -> None:
    path = write(body)
    message = failure(path, TargetError)
    assert words in message
    assert f"{path.name}:1" in message


def test_an_interrupt_is_no_failure(write: Write) -> None:
    with pytest.raises(RunStoppedError):
        load(write("def build(): raise KeyboardInterrupt"))


# Seeds and devices


def test_the_same_seed_builds_the_same_weights(write: Write) -> None:
    body = (
        "import random, numpy, torch\nfrom torch import nn\nLOADED = torch.rand(2)\n"
        "def build():\n    net = nn.Linear(3, 3)\n"
        "    net.drawn = (random.random(), numpy.random.rand(), LOADED)\n    return net"
    )
    first, second, other = (load(write(body), seed=seed).model for seed in (7, 7, 8))
    assert torch.equal(first.weight, second.weight)  # type: ignore[arg-type]
    assert not torch.equal(first.weight, other.weight)  # type: ignore[arg-type]
    assert first.drawn[:2] == second.drawn[:2] != other.drawn[:2]  # type: ignore[index]
    assert torch.equal(first.drawn[2], second.drawn[2])  # type: ignore[index]
    torch.manual_seed(7)
    assert torch.equal(first.weight, nn.Linear(3, 3).weight)  # type: ignore[arg-type]


def test_on_the_meta_device_nothing_is_allocated(write: Write) -> None:
    model = load(write(f"{LINEAR}def build(): return nn.Linear(1 << 20, 1 << 20)"), device="meta").model
    assert all(parameter.device.type == "meta" for parameter in model.parameters())
    model = load(write(f"{LINEAR}net = nn.Linear(3, 3)"), device="meta").model
    assert all(parameter.device.type == "meta" for parameter in model.parameters())


def test_a_device_that_is_not_there_is_said_at_once(write: Write) -> None:
    path = write("raise AssertionError")
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(UsageError):
            load(path, device=device)
