"""``paramtui check``: its report as text, JSON and SARIF, and its exit status."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from torch import nn

from paramtui.core.health import RULES
from tests.support import ROOT, refused, run_paramtui

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

MODEL = """
import torch
from torch import nn

def build():
    print("built")
    net = nn.Sequential(*[nn.Linear(4, 4) for _ in range(6)])
    net[3].to(torch.float64)
    return net
"""


class Trap:
    """Runs a command if it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


class Custom:
    """A class of a person's own."""


def checked(*words: str, status: int) -> str:
    """Output of a run that must end in silence with a status."""
    done = run_paramtui("check", *words)
    assert (done.returncode, done.stderr) == (status, b"")
    return done.stdout.decode()


@pytest.fixture
def trapped(save: Save, tmp_path: Path) -> Path:
    """A file that would leave a mark if anything in it ran."""
    return save({"w": torch.ones(2), "hooks": [Trap(f"touch {tmp_path / 'ran'}")], "mine": Custom()})


# Status and text


def test_a_sound_file_is_fine(example: Path) -> None:
    lines = checked(str(example), status=0).splitlines()
    assert lines[0].startswith(f"{example}  torch-zip  4 tensors  49 elements")
    assert lines[1] == "nothing was executed: the file was read as data"
    assert "3 known" in lines[3]
    assert "collections.OrderedDict, torch.FloatStorage, torch._utils._rebuild_tensor_v2" in lines[4]
    assert lines[-1].startswith("nothing found")


def test_what_would_run_is_told_first_with_its_place_and_is_not_run(trapped: Path, tmp_path: Path) -> None:
    text = checked(str(trapped), status=1)
    lines = text.splitlines()
    assert lines[1] == "nothing was executed: the file was read as data"
    assert lines[4].split() == ["runs", "code", f"{os.name}.system", "hooks.0"]
    assert lines[5].split() == ["unusual", f"{__name__}.Custom", "mine"]
    (error,) = [line for line in lines if line.startswith("error")]
    assert error.split()[1:3] == ["runs-code", "hooks.0"]
    assert "runs code if the file is loaded by pickle" in error
    assert not (tmp_path / "ran").exists()


def test_notes_alone_end_with_0_and_warnings_with_1(save: Save) -> None:
    path = str(save({"bias": torch.zeros(3)}))
    assert "1 note\n" in checked(path, "--values", status=0)
    assert "nothing found  (--values reads all numbers and checksums too)" in checked(path, status=0)
    path = str(save({"weight": torch.zeros(3, 3)}))
    assert "1 warning\n" in checked(path, "--values", status=1)


def test_what_is_no_readable_checkpoint_is_a_finding(save: Save, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(save({"w": torch.ones(2)}).read_bytes()[:-30])
    text = checked(str(path), status=1)
    assert text.startswith(f"{path}  cannot be opened as a checkpoint\nnothing was executed")
    assert "1 error\n" in text and "error    unreadable-file" in text and "cut" in text
    found = json.loads(checked(str(path), "--json", status=1))
    (finding,) = found["findings"]
    assert (found["format"], found["tensors"], finding["where"]) == ("unreadable", 0, str(path))
    (run,) = json.loads(checked(str(path), "--sarif", status=1))["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("unreadable-file", "error")
    assert result["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": f"file://{path}"}}}]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("cut", [0, 1])
def test_a_pickle_that_is_no_checkpoint_is_judged_all_the_same(
    tmp_path: Path, protocol: int, cut: int
) -> None:
    # One pickle behind the other, and the last without its end: what it calls is called before that is seen.
    data = pickle.dumps(7, protocol) + pickle.dumps([Trap(f"touch {tmp_path / 'ran'}")], protocol)
    path = tmp_path / "plain.pkl"
    path.write_bytes(data[: len(data) - cut])
    found = json.loads(checked(str(path), "--json", status=1))
    if cut and protocol >= 4:
        # A frame that is cut is refused before anything in it is called, by Python too.
        assert [finding["rule"] for finding in found["findings"]] == ["unreadable-file"]
        return
    assert [finding["rule"] for finding in found["findings"]] == ["runs-code", "unreadable-file"]
    (use,) = found["globals"]
    assert (use["name"], use["verdict"], use["known"]) == (f"{os.name}.system", "runs code", False)
    if protocol >= 2:
        assert f"loading it would run {os.name}.system" in refused("ls", str(path))
    assert not (tmp_path / "ran").exists()


def test_a_tensor_that_only_an_index_names_is_no_file(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.safetensors", "b": "a.safetensors"}}))
    (run,) = json.loads(checked(str(index), "--sarif", status=1))["runs"]
    (result,) = run["results"]
    assert result["ruleId"] == "missing-tensor"
    assert result["locations"] == [
        {
            "physicalLocation": {"artifactLocation": {"uri": f"file://{index}"}},
            "logicalLocations": [{"fullyQualifiedName": "b", "kind": "member"}],
        }
    ]


def test_what_is_not_there_ends_with_2(tmp_path: Path) -> None:
    assert "gone.pt" in refused("check", str(tmp_path / "gone.pt"))
    assert "not allowed with" in refused("check", "x.pt", "--json", "--sarif")


def test_control_characters_of_names_never_reach_the_terminal(tmp_path: Path) -> None:
    from tests.formats.test_hostile_pickles import archive

    name = b"\x1b]0;owned\x07"
    path = archive(tmp_path / "x.pt", b"}X\x0a\x00\x00\x00" + name + b"cos\n" + name + b"\n)Rs.")
    text = checked(str(path), status=1)
    assert "\x1b" not in text
    assert r"os.\x1b]0;owned\x07" in text


def test_many_findings_of_one_rule_are_cut_in_text_and_all_in_json(save: Save) -> None:
    path = str(save({f"t{place}": torch.full((2, 2), float("nan")) for place in range(30)}))
    text = checked(path, "--values", status=1)
    assert text.count("numbers are NaN") == 20
    assert "and 10 more: a tensor has numbers that are NaN" in text
    assert len(json.loads(checked(path, "--values", "--json", status=1))["findings"]) == 30


# JSON


def test_json_is_findings_globals_and_nothing_executed(trapped: Path, tmp_path: Path) -> None:
    found = json.loads(checked(str(trapped), "--json", status=1))
    assert list(found) == ["target", "format", "tensors", "values", "findings", "globals", "executed"]
    assert found["executed"] == []
    assert [list(each) for each in found["findings"]] == [["rule", "severity", "where", "message"]] * 2
    assert [each["rule"] for each in found["findings"]] == ["runs-code", "unusual-global"]
    globals_ = {each["name"]: each for each in found["globals"]}
    assert globals_[f"{os.name}.system"] == {
        "name": f"{os.name}.system",
        "known": False,
        "verdict": "runs code",
        "times": 1,
        "used_at": [["hooks", 0]],
    }
    assert globals_["torch.FloatStorage"]["known"] is True
    assert globals_["torch.FloatStorage"]["used_at"] == [["w"]]
    assert not (tmp_path / "ran").exists()


def test_json_of_a_safetensors_file_with_bad_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    state = {"a": torch.tensor([1.0, float("nan")], dtype=torch.bfloat16), "b": torch.ones(2)}
    safetensors.torch.save_file(state, path)
    assert json.loads(checked(str(path), "--json", status=0)) == {
        "target": str(path),
        "format": "safetensors",
        "tensors": 2,
        "values": False,
        "findings": [],
        "globals": [],
        "executed": [],
    }
    assert json.loads(checked(str(path), "--values", "--json", status=1))["findings"] == [
        {"rule": "nan", "severity": "error", "where": "a", "message": "1 of 2 numbers are NaN"},
        {"rule": "constant", "severity": "note", "where": "b", "message": "all 2 numbers are 1.0"},
    ]


def test_a_tensor_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(4), "b": torch.randn(4)}, path)
    path.write_bytes(path.read_bytes()[:-4])
    found = json.loads(checked(str(path), "--values", "--json", status=1))["findings"]
    assert [(each["rule"], each["where"]) for each in found] == [("truncated-data", "b"), ("all-zero", "a")]


# SARIF


def test_sarif_has_what_its_standard_requires(trapped: Path) -> None:
    log = json.loads(checked(str(trapped), "--sarif", status=1))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "paramtui"
    assert [rule["id"] for rule in driver["rules"]] == list(RULES)
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    first, second = run["results"]
    assert (first["ruleId"], first["level"]) == ("runs-code", "error")
    assert (second["ruleId"], second["level"]) == ("unusual-global", "warning")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == f"file://{trapped}"
    (name,) = first["locations"][0]["logicalLocations"]
    assert name["fullyQualifiedName"] == "hooks.0"


def test_sarif_of_a_sound_file_has_no_results(example: Path) -> None:
    (run,) = json.loads(checked(str(example), "--sarif", status=0))["runs"]
    assert run["results"] == []


def test_sarif_names_the_shard_and_writes_paths_as_uris(tmp_path: Path) -> None:
    folder = tmp_path / "a b%"
    folder.mkdir()
    names = [f"model-0000{place}-of-00002.safetensors" for place in (1, 2)]
    safetensors.torch.save_file({"a": torch.randn(2)}, folder / names[0])
    safetensors.torch.save_file({"b": torch.full((2,), float("inf"))}, folder / names[1])
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    done = run_paramtui("check", "a b%", "--values", "--sarif", cwd=tmp_path)
    assert done.returncode == 1
    found = {
        result["ruleId"]: result["locations"][0] for result in json.loads(done.stdout)["runs"][0]["results"]
    }
    assert list(found) == ["missing-tensor", "inf"]
    assert found["inf"]["physicalLocation"]["artifactLocation"]["uri"] == f"a%20b%25/{names[1]}"


def test_sarif_of_an_index_that_names_what_no_file_can_be_named_is_written(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.safetensors", "b": "\ud800.safetensors"}}))
    (run,) = json.loads(checked(str(index), "--sarif", status=1))["runs"]
    (missing, _) = run["results"]
    assert missing["ruleId"] == "missing-shard"
    uri = missing["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == f"file://{tmp_path}/%5Cud800.safetensors"


# Models, and what is not imported


def test_a_model_is_checked_and_its_code_is_said_to_have_run(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(MODEL)
    done = run_paramtui("check", str(path), "--json", "--values")
    assert done.returncode == 1
    assert b"built" in done.stderr
    found = json.loads(done.stdout)
    assert found["executed"] == [str(path)]
    assert found["globals"] == []
    assert [(each["rule"], each["where"]) for each in found["findings"]] == [("odd-dtype", "3")]
    done = run_paramtui("check", f"{path}:build", "--sarif")
    (result,) = json.loads(done.stdout)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == f"file://{path}"


def test_a_sound_model_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("from torch import nn\nnet = nn.Linear(3, 3)\n")
    text = checked(str(path), "--values", status=0)
    assert "to list a model its code is run" in text
    assert "nothing was executed" not in text


@pytest.mark.parametrize("words", [[], ["--json"], ["--sarif"]])
def test_a_check_imports_nothing_heavy(example: Path, words: list[str]) -> None:
    unwanted = ["numpy", "textual", "rich", "torch", "asyncio", "pickle", "safetensors"]
    code = (
        "import sys\nfrom paramtui.cli import main\n"
        f"status = main({['check', str(example), *words]!r})\n"
        f"print(status, [name for name in {unwanted!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.stderr == b"0 []\n"
    assert done.stdout


def test_a_whole_module_of_ones_own_says_what_loading_would_import(save: Save) -> None:
    found = json.loads(checked(str(save({"net": nn.Linear(2, 2), "x": Custom()})), "--json", status=1))
    (finding,) = found["findings"]
    assert finding["where"] == "x"
    assert f"imports {__name__}" in finding["message"]
