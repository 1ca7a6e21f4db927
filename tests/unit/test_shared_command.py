"""``paramtui shared``: groups as torch knows them, what they save, and what only looks shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from tests.support import ROOT, good, run_paramtui

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

TIED = """
import torch
from torch import nn

def build():
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))
"""


def shared(*words: str) -> Any:
    return json.loads(good("shared", "--json", *words))


class LanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(50, 8)
        self.lm_head = nn.Linear(8, 50, bias=False)
        self.lm_head.weight = self.embed_tokens.weight


def test_json_is_the_groups_with_kind_members_and_bytes(save: Save) -> None:
    weight, fused = torch.randn(6, 4), torch.randn(12, 4)
    path = save(
        {
            "a": weight,
            "b": weight,
            "qkv": fused,
            "q": fused[:4],
            "k": fused[4:8],
            "alone": torch.zeros(3),
        }
    )
    assert shared(str(path)) == {
        "groups": [
            {"kind": "alias", "members": ["a", "b"], "nbytes": 96},
            {"kind": "overlap", "members": ["qkv", "q", "k"], "nbytes": 192},
        ]
    }


def test_nothing_shared_is_an_empty_list_and_a_sentence(save: Save) -> None:
    path = save({"a": torch.zeros(3), "b": torch.zeros(3)})
    assert shared(str(path)) == {"groups": []}
    assert "no names share memory" in good("shared", str(path))


def test_halves_of_one_storage_are_no_group_but_views_of_it(save: Save) -> None:
    whole = torch.randn(10)
    path = save({"left": whole[:5], "right": whole[5:]})
    assert shared(str(path)) == {
        "groups": [],
        "storages": [{"kind": "storage", "members": ["left", "right"], "nbytes": 40}],
    }
    assert "a/ views of one storage that do not all touch" in good("shared", str(path))


def test_a_small_view_of_a_large_storage_is_flagged(save: Save) -> None:
    path = save({"tiny": torch.randn(1_000_000)[:3], "fine": torch.randn(4)})
    # What torch saves: the whole storage.
    assert path.stat().st_size > 4_000_000
    assert shared(str(path))["unused"] == [
        {"storage": "0", "members": ["tiny"], "used": 12, "nbytes": 4_000_000}
    ]
    for command in ("shared", "ls"):
        text = good(command, str(path))
        assert "28 B (4.0 MB stored)" in text
        assert "warning: 4.0 MB are stored that no tensor uses: tiny uses 12 B of a storage of 4.0 MB" in text


def test_names_that_a_header_declares_are_a_group_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "lm.safetensors"
    safetensors.torch.save_model(LanguageModel(), str(path))
    found = shared(str(path))
    (group,) = found["groups"]
    assert group["kind"] == "declared"
    assert sorted(group["members"]) == ["embed_tokens.weight", "lm_head.weight"]
    assert group["nbytes"] == 50 * 8 * 4
    (declared,) = found["declarations"]
    assert (declared["by"], declared["contradiction"]) == ("the header", None)
    text = good("shared", str(path))
    assert "A: declared to be the same  1.6 kB  saves 1.6 kB  declared by the header: stored once" in text


def test_a_config_that_contradicts_the_file_is_pointed_out(tmp_path: Path) -> None:
    state = {"model.embed_tokens.weight": torch.randn(50, 8), "lm_head.weight": torch.randn(50, 8)}
    safetensors.torch.save_file(state, str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = shared(str(tmp_path))
    assert found["groups"] == []
    (declared,) = found["declarations"]
    assert declared["by"] == "config.json"
    assert "the file stores both" in declared["contradiction"]
    assert "warning: config.json ties lm_head.weight" in good("shared", str(tmp_path))


def test_a_live_model_says_how_it_is_tied(tmp_path: Path) -> None:
    path = tmp_path / "tied.py"
    path.write_text(TIED)
    assert shared(str(path)) == {
        "groups": [
            {"kind": "alias", "members": ["2.weight", "4.weight"], "nbytes": 256},
            {"kind": "alias", "members": ["2.bias", "4.bias"], "nbytes": 32},
        ]
    }
    text = good("shared", str(path))
    assert "one Parameter of a module that is used at 2 places" in text
    assert "2 groups, sharing saves 288 B" in text


def test_equal_copies_are_found_when_asked_for_and_are_not_shared(save: Save) -> None:
    weight = torch.randn(6, 4)
    path = save({"a": weight, "b": weight.clone(), "c": weight + 1, "x": torch.ones(5), "y": torch.ones(5)})
    assert "copies" not in shared(str(path))
    found = shared(str(path), "--copies")
    assert found["groups"] == []
    assert found["copies"] == [
        {"members": ["a", "b"], "nbytes": 96, "constant": None},
        {"members": ["x", "y"], "nbytes": 20, "constant": "1"},
    ]
    text = good("shared", "--copies", str(path))
    assert "equal copies, which share nothing" in text
    assert "2 x 20 B  all 1" in text
    assert "116 B could be shared" in text


def test_a_group_is_told_whole_if_one_of_its_names_matches(save: Save) -> None:
    weight, fused, halves = torch.randn(6, 4), torch.randn(12, 4), torch.randn(10)
    state = {"a": weight, "b": weight, "qkv": fused, "q": fused[:4], "k": fused[4:8]}
    path = save({**state, "left": halves[:5], "right": halves[5:], "tiny": torch.randn(3_000)[:3]})
    assert shared(str(path), "b", "tiny") == {
        "groups": [{"kind": "alias", "members": ["a", "b"], "nbytes": 96}],
        "unused": [{"storage": "3", "members": ["tiny"], "used": 12, "nbytes": 12_000}],
    }
    assert shared(str(path), "q", "rig*") == {
        "groups": [{"kind": "overlap", "members": ["qkv", "q", "k"], "nbytes": 192}],
        "storages": [{"kind": "storage", "members": ["left", "right"], "nbytes": 40}],
    }
    text = good("shared", str(path), "b")
    assert "1 tensor  24 elements  96 B" in text
    assert "A= the same memory  96 B  saves 96 B\n   a\n   b\n\n1 group, sharing saves 96 B\n" in text
    assert "no name that matches shares memory" in good("shared", str(path), "tiny")


def test_a_name_without_numbers_of_its_own_matches_too(tmp_path: Path) -> None:
    path = tmp_path / "lm.safetensors"
    safetensors.torch.save_model(LanguageModel(), str(path))
    whole = shared(str(path))
    for pattern in ("lm_head*", "embed*"):
        assert shared(str(path), pattern) == whole
    assert json.loads(run_paramtui("shared", "--json", str(path), "other").stdout) == {"groups": []}


def test_options_may_stand_between_the_target_and_the_patterns(save: Save) -> None:
    weight = torch.randn(6, 4)
    path = str(save({"a": weight, "b": weight, "c": weight.clone()}))
    expected = shared(path, "a", "--copies")
    assert expected["copies"] == [{"members": ["a", "c"], "nbytes": 96, "constant": None}]
    assert json.loads(good("shared", path, "--copies", "--json", "a")) == expected
    assert good("shared", path, "--copies", "a") == good("shared", "--copies", path, "a")


def test_a_pattern_that_matches_nothing_is_said(save: Save) -> None:
    path = str(save({"a": torch.zeros(3)}))
    for command in ("shared", "ls"):
        found = run_paramtui(command, path, "zzz")
        assert found.returncode == 0
        assert found.stderr == b"paramtui: no name matches zzz\n"


def test_patterns_choose_copies_by_each_of_their_names(save: Save) -> None:
    weight, row = torch.randn(6, 4), torch.randn(40)
    state = {"a": weight, "other_a": weight, "copy": weight.clone(), "x": torch.ones(5), "y": torch.ones(5)}
    path = str(save({**state, "row": row, "rows": row[:20], "again": row[:20], "part": row[:20].clone()}))
    by_letters = {tuple(group["members"]) for group in shared(path, "--copies")["copies"]}
    assert by_letters == {("a", "copy"), ("x", "y"), ("rows", "part")}

    def chosen(*patterns: str) -> list[list[str]]:
        return [group["members"] for group in shared(path, "--copies", *patterns)["copies"]]

    assert chosen("y") == [["x", "y"]]
    assert chosen("copy") == chosen("other_a") == [["a", "copy"]]
    # It is another name of the rows, which were compared for both.
    assert chosen("again") == [["rows", "part"]]
    assert chosen("row") == []
    assert "no equal copies" in good("shared", "--copies", path, "row")


def test_a_ghost_matches_the_copies_of_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    one = torch.randn(3)
    safetensors.torch.save_file({"w": one, "v": one.clone()}, str(path), metadata={"other_w": "w"})
    assert shared(str(path), "--copies", "other_w")["copies"] == [
        {"members": ["v", "w"], "nbytes": 12, "constant": None}
    ]


def test_what_takes_most_memory_again_comes_first(save: Save) -> None:
    kinds = {"few": torch.zeros(30), "many": torch.randn(20), "large": torch.randn(25)}
    counts = {"few": 2, "many": 4, "large": 2}
    path = save({f"{kind}{at}": one.clone() for kind, one in kinds.items() for at in range(counts[kind])})
    found = shared(str(path), "--copies")["copies"]
    again = [(len(group["members"]) - 1) * group["nbytes"] for group in found]
    assert again == [240, 120, 100]
    assert [group["constant"] for group in found] == [None, "0", None]
    assert "460 B could be shared" in good("shared", "--copies", str(path))


def test_tensors_that_were_not_compared_are_summed_up_by_reason(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(TIED)
    text = good("shared", str(path), "--copies", "--device", "meta")
    assert "not compared: 8 tensors (0.weight, 0.bias, 2.weight, …): is on the meta device" in text
    assert text.count("not compared") == 1
    text = good("shared", str(path), "--copies", "--device", "meta", "0.w*")
    assert "not compared: 0.weight: is on the meta device" in text
    assert len(shared(str(path), "--copies", "--device", "meta")["not_compared"]) == 8


def test_a_terminal_is_told_what_will_be_read_before_it_is(save: Save) -> None:
    one = torch.randn(1000)
    path = save({"a": one, "b": one.clone()})
    master, slave = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "paramtui", "shared", "--copies", str(path)],
            stdout=subprocess.PIPE,
            stderr=slave,
            check=True,
            timeout=60,
            cwd=ROOT,
        )
        said = os.read(master, 4096)
    finally:
        os.close(master)
        os.close(slave)
    # Each is written over the one before, and nothing is left of the last.
    assert said.split(b"\r\x1b[K") == [b"", b"reading 0 B of 8.0 kB", b"reading 8.0 kB of 8.0 kB", b""]
    assert b"2 x 4.0 kB" in done.stdout


def contradicting(folder: Path, head: torch.Tensor, embedding: torch.Tensor) -> Any:
    state = {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
    safetensors.torch.save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    assert "equal" not in shared(str(folder))["declarations"][0]
    (declared,) = shared(str(folder), "--copies")["declarations"]
    return declared["equal"]


def test_a_contradiction_is_settled_by_comparing(tmp_path: Path) -> None:
    one = torch.randn(50, 8)
    words = "lm_head.weight and model.embed_tokens.weight, which config.json declares to be one: "
    assert contradicting(tmp_path, one.clone(), one) is True
    assert f"{words}they are equal copies\n" in good("shared", "--copies", str(tmp_path))
    assert contradicting(tmp_path, one + 1, one) is False
    assert f"{words}they differ\n" in good("shared", "--copies", str(tmp_path))
    assert contradicting(tmp_path, one[:40].clone(), one) is False
    assert contradicting(tmp_path, torch.empty(0, 8), torch.empty(0, 8)) is True
    assert shared(str(tmp_path), "--copies", "lm*")["declarations"][0]["equal"] is True


def test_equal_views_that_overlap_are_not_said_to_differ(tmp_path: Path) -> None:
    zeros = torch.zeros(51, 8)
    state = {"model.embed_tokens.weight": zeros[:50], "lm_head.weight": zeros[1:]}
    torch.save(state, tmp_path / "pytorch_model.bin")
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (declared,) = shared(str(tmp_path), "--copies")["declarations"]
    assert declared["equal"] is None
    assert "they differ" not in good("shared", "--copies", str(tmp_path))


def test_a_module_at_two_places_of_a_whole_pickled_model_is_said(save: Save) -> None:
    layer, norm = nn.Linear(8, 8), nn.BatchNorm1d(8)
    block = nn.Sequential(nn.ReLU(), layer)
    tied = nn.Linear(8, 8, bias=False)
    tied.weight = nn.Linear(8, 8).weight
    other = nn.Linear(8, 8, bias=False)
    other.weight = tied.weight
    path = str(save(nn.Sequential(block, norm, block, layer, norm, tied, other)))
    reasons = {}
    for group in good("shared", path).split("\n\n")[1:-1]:
        head, *names = group.splitlines()
        reasons[tuple(name.strip() for name in names)] = head.partition(" saves ")[2].partition("  ")[2]
    places = "of a module that is used at"
    assert reasons["0.1.weight", "2.1.weight", "3.weight"] == f"one Parameter {places} 3 places"
    assert reasons["1.running_mean", "4.running_mean"] == f"one buffer {places} 2 places"
    # Two modules, and one Parameter that someone has put into both.
    assert reasons["5.weight", "6.weight"] == ""
    assert len(reasons) == 8


def test_sums_that_read_the_same_are_said_once(save: Save) -> None:
    large = torch.zeros(1_000_000)
    path = save({"large": large, "last": large[-100:]})
    line = good("ls", str(path)).splitlines()[0]
    assert line.endswith("2 tensors  1.0 M elements  4.0 MB")
    totals = json.loads(good("ls", "--json", str(path)))["totals"]
    assert (totals["nbytes"], totals["unique_nbytes"]) == (4_000_400, 4_000_000)


def test_totals_of_the_list_say_unique_and_listed(save: Save) -> None:
    weight = torch.randn(100, 50)
    path = save({"model": {"emb": {"weight": weight}, "head": {"weight": weight}}, "other": torch.zeros(10)})
    text = good("ls", str(path))
    assert "5,010 elements (10.0 K listed)  20.0 kB (40.0 kB listed)" in text
    # The block around both counts them once.
    model = next(line for line in text.splitlines() if line.startswith("model"))
    assert model.split()[1:] == ["5,000", "20.0", "kB"]
    totals = json.loads(good("ls", "--json", str(path)))["totals"]
    assert totals == {
        "tensors": 3,
        "elements": 10_010,
        "unique_elements": 5_010,
        "nbytes": 40_040,
        "unique_nbytes": 20_040,
    }


def test_what_cannot_be_opened_is_said_in_one_line(tmp_path: Path) -> None:
    found = run_paramtui("shared", str(tmp_path / "missing.pt"))
    assert found.returncode == 2
    assert found.stdout == b""
    assert found.stderr.count(b"\n") == 1
