"""``paramtui shared``: groups as torch knows them, what they save, and what only looks shared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import nn

from tests.support import good, run_paramtui

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
    assert "116 B are there again" in text


def test_patterns_narrow_what_is_looked_at(save: Save) -> None:
    weight, fused = torch.randn(6, 4), torch.randn(12, 4)
    path = save({"a": weight, "b": weight, "qkv": fused, "q": fused[:4], "k": fused[4:8]})
    # Without the fused one its parts have nothing in common.
    assert shared(str(path), "a", "b", "q", "k")["groups"] == [
        {"kind": "alias", "members": ["a", "b"], "nbytes": 96}
    ]


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
