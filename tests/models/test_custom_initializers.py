"""A person's own initialisers: how they are found and understood, and what is said of broken ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from paramtui.core.catalogue import CHOICE, INTEGER, LITERAL, NUMBER, TEXT, TRUTH, Catalogue, bind
from paramtui.core.edits import ApplyFunction, Call, Initialise, Step, parse_call
from paramtui.core.model_target import ModelOptions
from paramtui.engine.computing import EngineComputer
from paramtui.errors import EditError, UserCodeError
from paramtui.models.host import ModuleHost
from paramtui.models.initializers import Initializers
from paramtui.models.loading import Loaded

HEAD = "import torch\nfrom torch import nn\nfrom typing import Literal, Optional\n"


@pytest.fixture(autouse=True)
def _fresh_imports(tmp_path: Path) -> Iterator[None]:
    """Modules of files of the test, and the directories that were put on the path for them, go with it."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def written(folder: Path, text: str, name: str = "own_functions.py") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + text)
    return str(path)


def catalogue_of(*files: str) -> Catalogue:
    return Initializers(files, "cpu").current().catalogue


def own(catalogue: Catalogue) -> dict[str, str]:
    """What each function of the person's own takes."""
    return {each.name: each.takes for each in catalogue.initializers if each.source}


@pytest.mark.parametrize(
    ("signature", "takes"),
    [
        ("m", "module"),
        ("layer", "module"),
        ("anything", "module"),
        ("w", "tensor"),
        ("tensor", "tensor"),
        ("param", "tensor"),
        ("w: nn.Module", "module"),
        ("m: torch.Tensor", "tensor"),
        ("m: nn.Parameter", "tensor"),
        ("x: 'nn.Linear'", "module"),
        ("m: Optional[torch.Tensor]", "tensor"),
        ("m: nn.Linear | nn.Conv2d", "module"),
        ("m: object", "module"),
        ("m: 'NotThere'", "module"),
        ("x: float", None),
        ("data: list[int]", None),
        ("count: int", None),
        ("", None),
        ("*args", None),
        ("*, m", None),
    ],
)
def test_what_a_function_takes_is_told_by_its_annotation_or_its_name(
    tmp_path: Path, signature: str, takes: str | None
) -> None:
    found = own(catalogue_of(written(tmp_path, f"def fill({signature}): pass\ndef good(m): pass")))
    assert found == ({"fill": takes} if takes else {}) | {"good": "module"}


def test_options_have_kinds_defaults_and_choices(tmp_path: Path) -> None:
    text = """
def fill(w, gain: float, times: int = 3, scale=1.5, whole=2, on=True, flag: bool = False, name='a',
         mode: Literal['x', 'y'] = 'x', size=(1, 2), other=None, odd=torch.float32, *, last='fan_in', **rest):
    '''Fills `w`. And more.'''
"""
    (found,) = [each for each in catalogue_of(written(tmp_path, text)).initializers if each.source]
    assert found.summary == "Fills w."
    assert found.where.endswith("own_functions.py:5")
    assert [(each.name, each.kind, each.required, each.default) for each in found.options] == [
        ("gain", NUMBER, True, None),
        ("times", INTEGER, False, 3),
        ("scale", NUMBER, False, 1.5),
        ("whole", NUMBER, False, 2),
        ("on", TRUTH, False, True),
        ("flag", TRUTH, False, False),
        ("name", TEXT, False, "a"),
        ("mode", CHOICE, False, "x"),
        ("size", LITERAL, False, (1, 2)),
        ("other", LITERAL, False, None),
        ("last", TEXT, False, "fan_in"),
    ]
    assert found.options[7].choices == ("x", "y")
    with pytest.raises(EditError, match="needs gain"):
        bind(found, parse_call("fill()"))
    assert bind(found, parse_call("fill(2, mode='y')")).arguments == (("gain", 2), ("mode", "y"))


def test_public_functions_alone_are_offered(tmp_path: Path) -> None:
    defined = "from torch.nn.init import zeros_\ndef _hidden(m): pass\ndef shown(m): pass\n"
    text = defined + "class Thing: pass\nVALUE = 1"
    assert own(catalogue_of(written(tmp_path, text))) == {"shown": "module"}
    text = defined + "__all__ = ['_hidden', 'zeros_']"
    assert own(catalogue_of(written(tmp_path, text, "other_functions.py"))) == {
        "_hidden": "module",
        "zeros_": "tensor",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:", "is no valid Python"),
        ("1 / 0", "failed: ZeroDivisionError"),
        ("import not_there_at_all", "which is not installed"),
        ("raise SystemExit(3)", "called sys.exit(3)"),
        ("X = 1", "has no function that could initialise something"),
    ],
)
def test_a_broken_file_is_told_and_the_others_are_there(tmp_path: Path, text: str, words: str) -> None:
    broken = written(tmp_path, text, "broken_functions.py")
    good = written(tmp_path, "def fill(m): pass")
    for path in (broken, str(tmp_path / "missing_functions.py")):
        found = catalogue_of(path, good)
        assert own(found) == {"fill": "module"}
        assert len(found.problems) == 1
    assert "no such file" in found.problems[0]
    assert words in catalogue_of(broken, good).problems[0]
    assert any(each.name == "zeros_" for each in found.initializers)


def test_files_of_the_configuration_directory_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    written(tmp_path, "def zebra(m): pass", "paramtui/initializers/a_functions.py")
    written(tmp_path, "def apple(w): pass", "paramtui/initializers/b_functions.py")
    written(tmp_path, "def never(m): pass", "paramtui/initializers/_c_functions.py")
    found = own(catalogue_of(written(tmp_path, "def mine(m): pass")))
    assert list(found) == ["zebra", "apple", "mine"]


def held(*files: str, net: nn.Module | None = None) -> tuple[ModuleHost, Any]:
    net = net if net is not None else nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3)))
    return ModuleHost(Loaded(net, None, "", "", called=False), "net", ModelOptions(init_files=files)), net


def test_a_function_of_a_module_is_applied_as_apply_does(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "SEEN = []\ndef fill(m, std=0.1):\n    SEEN.append(m)\n    if isinstance(m, nn.Linear):\n"
        "        nn.init.normal_(m.weight, std=std)\n        m.bias.data.fill_(float(torch.rand(())))",
    )
    host, net = held(path)
    import copy

    wanted = copy.deepcopy(net)
    host.apply(ApplyFunction("1", Call("fill", (("std", 0.5),), path), 9))
    seen: list[nn.Module] = []

    def fill(module: nn.Module) -> None:
        seen.append(module)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5)
            module.bias.data.fill_(float(torch.rand(())))

    torch.manual_seed(9)
    wanted[1].apply(fill)
    for one, other in zip(net.parameters(), wanted.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [type(each) for each in sys.modules["own_functions"].SEEN] == [type(each) for each in seen]
    assert sys.modules["own_functions"].SEEN[-1] is net[1]


def test_a_function_of_a_tensor_gets_each_tensor_with_its_arguments(tmp_path: Path) -> None:
    path = written(
        tmp_path, "def fill(w, low, high=2.0):\n    assert not w.requires_grad\n    w.uniform_(low, high)"
    )
    host, net = held(path)
    call = Call("fill", (("low", 1.0),), path)
    host.apply(Initialise((Step("0.weight", call), Step("0.bias", call)), 4))
    torch.manual_seed(4)
    assert torch.equal(net[0].weight, torch.empty(3, 3).uniform_(1.0, 2.0))
    assert torch.equal(net[0].bias, torch.empty(3).uniform_(1.0, 2.0))


def test_a_file_that_has_changed_is_read_anew_before_the_next_change(tmp_path: Path) -> None:
    path = written(tmp_path, "def fill(w):\n    w.fill_(1)\n    raise ValueError('not yet')")
    host, net = held(path)
    edit = Initialise((Step("0.bias", Call("fill", (), path)),), 0)
    with pytest.raises(UserCodeError, match="not yet"):
        host.apply(edit)
    # Of the same length and within the same second, which is what Python's own cache goes by.
    written(tmp_path, "def fill(w):\n    w.fill_(2)\n    #aise ValueError('not yet')")
    host.apply(edit)
    assert net[0].bias.tolist() == [2, 2, 2]
    first = host.editor.catalogue()
    assert host.editor.catalogue() is first
    # What was looked at with the old function is not done with it.
    host.preview(edit, None, ())
    written(tmp_path, "def fill(w):\n    w.fill_(3)\ndef other(m): pass")
    host.apply(edit)
    assert net[0].bias.tolist() == [3, 3, 3]
    assert own(host.editor.catalogue()) == {"fill": "tensor", "other": "module"}
    written(tmp_path, "def fill(w:")
    assert "no valid Python" in host.editor.catalogue().problems[0]
    with pytest.raises(EditError, match="there is no initialiser fill"):
        host.apply(edit)
    os.unlink(path)
    assert "no such file" in host.editor.catalogue().problems[0]
    written(tmp_path, "def fill(w):\n    w.fill_(4)")
    host.apply(edit)
    assert net[0].bias.tolist() == [4, 4, 4]
    for _ in range(3):
        host.undo()
    assert not host.editor.catalogue().problems


def test_a_function_of_another_file_of_the_same_name_takes_its_place_in_a_journal(tmp_path: Path) -> None:
    path = written(tmp_path, "def fill(w): w.fill_(1)")
    host, net = held(path)
    host.apply(Initialise((Step("0.bias", Call("fill", (), "/elsewhere/own_functions.py")),), 0))
    assert net[0].bias.tolist() == [1, 1, 1]
    with pytest.raises(EditError, match="--init FILE.py gives it"):
        host.apply(Initialise((Step("0.bias", Call("full", (), "/elsewhere/own_functions.py")),), 0))


def test_installed_packages_offer_theirs_to_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far_package.py").write_text("def fill(w, to=3.0):\n    w.fill_(to)\nvalue = 7\n")
    info = tmp_path / "far_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[paramtui.initializers]\nfar_fill = far_package:fill\nbad = far_package:nothing\n"
        "worse = far_package:value\n"
    )
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    file = written(tmp_path, "def mine(m): pass")
    computer = EngineComputer([file])
    try:
        found = computer.catalogue()
        assert own(found) == {"mine": "module", "far_fill": "tensor"}
        assert found.named("far_fill").source == "entry point far_fill"
        assert found.named("far_fill").options[0].default == 3.0
        assert len(found.problems) == 2
        assert any("entry point worse" in each and "cannot be called" in each for each in found.problems)
        # An engine looks at its files again, too.
        written(tmp_path, "def mine(m): pass\ndef more(m): pass")
        assert list(own(computer.catalogue())) == ["mine", "more", "far_fill"]
    finally:
        computer.close()
