"""``paramtui ls`` and ``paramtui show`` as a person and a script meet them: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import prod
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from paramtui.commands import show
from tests.support import ROOT, good, opened, run_paramtui

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paramtui.core.source import Window
    from tests.conftest import Save


def test_json_of_the_example_is_what_the_design_promises(example: Path) -> None:
    found = json.loads(good("ls", "--json", str(example)))
    assert found == {
        "target": str(example),
        "format": "torch-zip",
        "tensors": [
            {
                "id": number,
                "name": f"model.{key}",
                "path": ["model", key],
                "kind": "tensor",
                "dtype": "float32",
                "shape": shape,
                "stride": stride,
                "offset": 0,
                "storage": str(number),
                "nbytes": nbytes,
                "requires_grad": False,
            }
            for number, (key, shape, stride, nbytes) in enumerate(
                [
                    ("0.weight", [8, 4], [4, 1], 128),
                    ("0.bias", [8], [1], 32),
                    ("2.weight", [1, 8], [8, 1], 32),
                    ("2.bias", [1], [1], 4),
                ]
            )
        ],
        "values": [{"name": "epoch", "path": ["epoch"], "type": "int", "value": 7}],
        "shared": [],
        "globals": ["collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2"],
        "warnings": [],
        "totals": {"tensors": 4, "elements": 49, "unique_elements": 49, "nbytes": 196, "unique_nbytes": 196},
    }


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def test_show_json_is_strict_and_exact(save: Save) -> None:
    path = save(
        {
            "f": torch.tensor([[1.5, float("nan")], [float("inf"), -float("inf")]]),
            "i": torch.tensor([2**63 - 1, -(2**63)]),
            "c": torch.tensor([1 + 2j, complex(float("nan"), 0)]),
            "b": torch.tensor([True, False]),
            "s": torch.tensor(5),
            "e": torch.empty(0, 3),
            "big": torch.arange(700_000).reshape(700, 1000),
        }
    )
    assert strict(good("show", str(path), "f", "--json")) == {
        "name": "f",
        "dtype": "float32",
        "shape": [2, 2],
        "index": "",
        "values": [[1.5, "NaN"], ["Infinity", "-Infinity"]],
    }
    assert strict(good("show", str(path), "i", "--json"))["values"] == [2**63 - 1, -(2**63)]
    assert strict(good("show", str(path), "c", "--json"))["values"] == [[1, 2], ["NaN", 0]]
    assert strict(good("show", str(path), "b", "--json"))["values"] == [True, False]
    assert strict(good("show", str(path), "s", "--json"))["values"] == 5
    assert strict(good("show", str(path), "e", "--json"))["values"] == []
    found = strict(good("show", str(path), "big", "1:, ::2", "--json"))
    assert found["shape"] == [699, 500]
    assert found["values"] == torch.arange(700_000).reshape(700, 1000)[1:, ::2].tolist()


def test_show_prints_the_facts_and_the_numbers_of_torch(save: Save) -> None:
    tensor = torch.randn(20, 30)
    path = save({"layer.weight": tensor})
    head, _, text = good("show", str(path), "layer.weight").partition("\n")
    assert head.startswith("layer.weight")
    assert "float32" in head
    assert "[20, 30]" in head
    assert text == f"{tensor}\n"
    assert good("show", str(path), "layer.weight", "0, :3").partition("\n")[2] == f"{tensor[0, :3]}\n"
    assert good("show", str(path), "layer.weight", "-1,:3").partition("\n")[2] == f"{tensor[-1, :3]}\n"
    assert good("show", str(path), "layer.weight", "-1").partition("\n")[2] == f"{tensor[-1]}\n"
    assert good("show", str(path)).partition("\n")[2] == f"{tensor}\n"


def test_a_bare_tensor_needs_no_name(save: Save) -> None:
    path = save(torch.arange(3))
    assert "(tensor)" in good("ls", str(path))
    assert good("show", str(path)).endswith(f"{torch.arange(3)}\n")


def test_show_of_a_value_prints_it(example: Path) -> None:
    assert "7" in good("show", str(example), "epoch")
    assert strict(good("show", str(example), "epoch", "--json"))["value"] == 7


def layers(save: Save) -> Path:
    return save({f"layers.{i}.{part}": torch.ones(i + 1) for i in range(12) for part in ("weight", "bias")})


def test_patterns_narrow_the_list_and_its_totals(save: Save) -> None:
    path = layers(save)
    found = json.loads(good("ls", "--json", str(path), "layers.1*.weight", "layers.3.*"))
    assert [entry["name"] for entry in found["tensors"]] == [
        "layers.1.weight",
        "layers.3.weight",
        "layers.3.bias",
        "layers.10.weight",
        "layers.11.weight",
    ]
    assert found["totals"] == {
        "tensors": 5,
        "elements": 33,
        "unique_elements": 33,
        "nbytes": 132,
        "unique_nbytes": 132,
    }
    assert "layers.4" not in good("ls", "--flat", str(path), "layers.3.*")
    done = run_paramtui("ls", str(path), "nothing*")
    assert b"no name matches nothing*" in done.stderr


def test_the_flat_list_has_one_line_a_tensor(save: Save) -> None:
    lines = good("ls", "--flat", str(layers(save))).splitlines()
    assert len(lines) == 25
    assert lines[1].split() == ["layers.0.weight", "float32", "[1]", "4", "B"]


def test_siblings_are_listed_2_before_10(save: Save) -> None:
    path = save({f"layers.{i}.weight": torch.ones(2) for i in (10, 2, 1)})
    lines = [line.split()[0] for line in good("ls", str(path)).splitlines()[1:]]
    assert lines == ["layers", "1", "weight", "2", "weight", "10", "weight"]


def test_depth_hides_what_lies_deeper(save: Save) -> None:
    path = layers(save)
    assert [line.split()[0] for line in good("ls", "--depth", "1", str(path)).splitlines()[1:]] == ["layers"]
    assert len(good("ls", "--depth", "2", str(path)).splitlines()) == 1 + 1 + 12


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("stored", ["c", "a10", "b", "a2"]),
        ("name", ["a2", "a10", "b", "c"]),
        ("size", ["b", "c", "a2", "a10"]),
        ("shape", ["a10", "c", "a2", "b"]),
        ("dtype", ["a2", "b", "c", "a10"]),
    ],
)
def test_the_flat_list_is_sorted_as_asked(save: Save, order: str, names: list[str]) -> None:
    path = save(
        {
            "c": torch.zeros(2, 1, dtype=torch.float64),
            "a10": torch.zeros(1, dtype=torch.int8),
            "b": torch.zeros(90, dtype=torch.float16),
            "a2": torch.zeros(3, dtype=torch.bfloat16),
        }
    )
    lines = good("ls", "--flat", "--sort", order, str(path)).splitlines()[1:]
    assert [line.split()[0] for line in lines] == names


def test_shared_tensors_are_marked_and_explained(save: Save) -> None:
    weight = torch.ones(4, 4)
    path = save({"a": weight, "b": weight, "c": torch.ones(1)})
    text = good("ls", str(path))
    assert "=A the same memory: a, b" in text
    assert json.loads(good("ls", "--json", str(path)))["shared"] == [["a", "b"]]


def test_a_row_keeps_its_mark_though_its_partner_does_not_match(save: Save) -> None:
    weight, other = torch.ones(4, 4), torch.ones(3)
    path = str(save({"a": other, "b": other, "embed": weight, "head": weight, "alone": torch.ones(1)}))
    for words in ([], ["--flat"]):
        text = good("ls", path, *words, "head*", "alone")
        assert next(line for line in text.splitlines() if line.startswith("head")).endswith("=B")
        assert text.endswith("=B the same memory: embed, head\n")
        assert "=A" not in text
    found = json.loads(good("ls", path, "--json", "head*"))
    assert [entry["name"] for entry in found["tensors"]] == ["head"]
    assert found["shared"] == [["embed", "head"]]


def test_names_that_a_header_declares_are_in_every_list(tmp_path: Path) -> None:
    state = {"2.weight": torch.arange(6.0).reshape(2, 3), "5.weight": torch.ones(2)}
    path = str(tmp_path / "tied.safetensors")
    save_file(state, path, metadata={"4.weight": "2.weight", "10.weight": "2.weight"})
    found = json.loads(good("ls", "--json", path))
    # The header has no order that can be relied upon.
    (group,) = found["shared"]
    assert group in (["2.weight", "4.weight", "10.weight"], ["2.weight", "10.weight", "4.weight"])
    assert {entry["name"] for entry in found["values"]} == {"__metadata__.4.weight", "__metadata__.10.weight"}
    lines = good("ls", "--flat", path).splitlines()
    assert sorted(lines[3:5]) == [
        "10.weight  = 2.weight (declared by the header)  :A",
        "4.weight   = 2.weight (declared by the header)  :A",
    ]
    lines = good("ls", "--flat", "--sort", "name", path).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["2.weight", "4.weight", "5.weight", "10.weight"]
    lines = good("ls", "--flat", path, "4*").splitlines()
    assert lines[1:] == [
        "4.weight  = 2.weight (declared by the header)  :A",
        f":A declared to be the same: {', '.join(group)}",
    ]


def test_show_of_a_name_that_is_declared_another_shows_the_numbers_of_that(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    path = str(tmp_path / "tied.safetensors")
    save_file({"2.weight": tensor}, path, metadata={"4.weight": "2.weight"})
    for name in ("4.weight", '["4.weight"]'):
        said, _, rest = good("show", path, name, "1").partition("\n")
        assert said == "4.weight = 2.weight (declared by the header)"
        assert rest == good("show", path, "2.weight", "1")
        assert rest.endswith(f"{tensor[1]}\n")
    assert strict(good("show", path, "--json", "4.weight", "1")) == {
        **strict(good("show", path, "--json", "2.weight", "1")),
        "name": "4.weight",
    }


def test_options_may_stand_anywhere(save: Save) -> None:
    path = str(layers(save))
    assert good("ls", path, "--flat", "layers.3.*") == good("ls", "--flat", path, "layers.3.*")
    assert good("ls", path, "layers.3.*", "--sort", "name", "layers.1.*") == good(
        "ls", "--sort", "name", path, "layers.3.*", "layers.1.*"
    )
    expected = good("show", "--json", path, "layers.3.bias", "-2")
    assert good("show", path, "--json", "layers.3.bias", "-2") == expected
    assert good("show", path, "layers.3.bias", "--json", "-2") == expected
    assert good("show", path, "layers.3.bias", "--json", "-2,") == expected.replace('"-2"', '"[-2,]"')
    # What comes after two dashes is no option.
    assert b"no name matches --flat" in run_paramtui("ls", path, "--", "--flat").stderr


def test_a_closed_pipe_ends_the_list_in_silence(save: Save) -> None:
    path = save({f"layer.{i}.weight": torch.ones(1) for i in range(3000)})
    command = f"{sys.executable} -m paramtui ls --json {path} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=60, cwd=ROOT)
    assert done.stderr == b""
    assert done.stdout.splitlines()[-1] in (b"0", b"141")


# What is not imported.


def test_a_poisoned_torch_changes_nothing(example: Path, tmp_path: Path) -> None:
    for name in ("torch", "safetensors", "rich", "textual"):
        (tmp_path / "poison" / name).mkdir(parents=True)
        (tmp_path / "poison" / name / "__init__.py").write_text("raise SystemExit('imported')")
    env = {"PYTHONPATH": str(tmp_path / "poison")}
    probe = subprocess.run(
        [sys.executable, "-c", "import torch"], env={**os.environ, **env}, capture_output=True, check=False
    )
    assert b"imported" in probe.stderr
    for words in (
        ["ls", str(example)],
        ["ls", "--json", str(example)],
        ["show", str(example), "model.0.weight"],
    ):
        assert good(*words, env=env) == good(*words)


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["ls"], ["numpy", "textual", "rich", "torch", "asyncio", "pickle", "safetensors"]),
        (["ls", "--json"], ["numpy", "textual", "rich", "torch", "asyncio", "pickle", "safetensors"]),
        (["ls", "--flat"], ["numpy", "textual", "rich", "torch", "asyncio", "pickle", "safetensors"]),
        (["show"], ["textual", "rich", "torch", "safetensors"]),
    ],
)
def test_looking_imports_nothing_that_it_does_not_need(
    example: Path, words: list[str], unwanted: list[str]
) -> None:
    arguments = [*words, str(example), *(["model.0.weight"] if words == ["show"] else [])]
    code = (
        "import sys\nfrom paramtui.cli import main\n"
        f"status = main({arguments!r})\n"
        f"print(status, [name for name in {unwanted!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.stderr == b"0 []\n"
    assert done.stdout


@pytest.mark.parametrize("index", ["", "1", ":, 2:5", "..., 0", "::2, 5"])
def test_json_in_pieces_is_that_of_the_whole_and_reads_no_number_by_itself(
    save: Save, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    monkeypatch.setattr(show, "PIECE", 50)
    tensor = torch.arange(3 * 70 * 11).reshape(3, 70, 11)
    source = opened(save(tensor))._source
    sizes: list[int] = []

    def read(tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        sizes.append(prod(map(len, picks)))
        return source.read_window(tensor, picks)

    found = strict("".join(show.show_json(source.listing, read, 0, index)))
    chosen = eval(f"tensor[{index or '...'}]", {"tensor": tensor})
    assert found["values"] == chosen.tolist()
    assert sum(sizes) == chosen.numel()
    assert max(sizes) <= 50
    # Rows of eleven go four at a time, seventy numbers as fifty and twenty.
    assert len(sizes) <= -(-chosen.numel() // 33)
