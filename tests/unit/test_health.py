"""The rules of health, each on a file that breaks it and on one that does not."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.health import ERROR, NOTE, RULES, SEVERITIES, WARNING, Finding, check, failed, summary
from tests.support import rewrite_zip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def found_in(path: Path) -> list[Finding]:
    source = open_checkpoint(str(path))
    return check(source.listing, source.find_uses())


def told(path: Path) -> list[tuple[str, str, str]]:
    """Rule, severity and place of each finding."""
    return [(finding.rule, finding.severity, finding.where) for finding in found_in(path)]


def raw(path: Path, header: dict[str, Any], nbytes: int) -> Path:
    """A safetensors file with any header over zeros."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(nbytes))
    return path


def entry(begin: int, end: int, dtype: str = "F32", shape: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape or [(end - begin) // 4], "data_offsets": [begin, end]}


def layers(
    count: int, *, without: tuple[int, ...] = (), dtype: torch.dtype = torch.bfloat16
) -> dict[str, Any]:
    """A state dict as a language model of so many layers has it."""
    state: dict[str, Any] = {"embed.weight": torch.zeros(10, 2, dtype=dtype)}
    for place in range(count):
        if place not in without:
            state[f"layers.{place}.mlp.weight"] = torch.zeros(4, 2, dtype=dtype)
            state[f"layers.{place}.norm.weight"] = torch.zeros(2, dtype=dtype)
    return state


# Bytes


def test_a_sound_file_has_no_findings(save: Save, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    assert told(save(net.state_dict())) == []
    assert told(save(net.state_dict(), _use_new_zipfile_serialization=False)) == []
    safetensors.torch.save_file(net.state_dict(), tmp_path / "m.safetensors")
    assert told(tmp_path / "m.safetensors") == []


def test_a_safetensors_file_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(4), "b": torch.zeros(4)}, path)
    path.write_bytes(path.read_bytes()[:-4])
    assert told(path) == [("truncated-data", ERROR, "b")]


def test_a_legacy_file_that_is_cut_loses_what_lies_behind(save: Save) -> None:
    path = save({"a": torch.zeros(400)}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-8])
    (finding,) = found_in(path)
    assert (finding.rule, finding.where) == ("truncated-data", "a")
    assert "is the file cut?" in finding.message


def test_bytes_that_belong_to_no_tensor_and_bytes_that_belong_to_two(tmp_path: Path) -> None:
    hole = raw(tmp_path / "hole.safetensors", {"a": entry(0, 4), "b": entry(8, 12)}, 12)
    assert told(hole) == [("hole", WARNING, str(hole))]
    trailing = raw(tmp_path / "trailing.safetensors", {"a": entry(0, 4)}, 12)
    assert told(trailing) == [("trailing-bytes", WARNING, str(trailing))]
    overlap = raw(tmp_path / "overlap.safetensors", {"a": entry(0, 8), "b": entry(4, 12)}, 12)
    assert told(overlap) == [("overlapping-data", ERROR, "b")]


def test_headers_that_make_no_sense(tmp_path: Path) -> None:
    size = raw(tmp_path / "size.safetensors", {"a": entry(0, 8, shape=[3])}, 8)
    assert told(size) == [("malformed-tensor", ERROR, "a")]
    broken = raw(tmp_path / "broken.safetensors", {"a": {"dtype": "F32"}}, 0)
    assert told(broken) == [("malformed-tensor", ERROR, "a")]
    dtype = raw(tmp_path / "dtype.safetensors", {"a": entry(0, 3, "F6_E2M3", [4])}, 3)
    assert told(dtype) == [("unsupported-dtype", WARNING, "a")]


def test_a_storage_that_is_gone_and_one_that_is_too_short(save: Save, tmp_path: Path) -> None:
    path = save({"a": torch.zeros(4), "b": torch.zeros(4)})
    gone = rewrite_zip(
        path, tmp_path / "gone.pt", lambda name, data: None if name.endswith("data/1") else data
    )
    assert told(gone) == [("missing-storage", ERROR, "b")]
    short = rewrite_zip(
        path, tmp_path / "short.pt", lambda name, data: data[:8] if name.endswith("data/1") else data
    )
    assert told(short) == [("out-of-bounds", ERROR, "b")]


def test_bytes_before_an_archive_and_behind_a_legacy_file(save: Save, tmp_path: Path) -> None:
    path = save({"a": torch.zeros(4)}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes() + b"more")
    assert told(path) == [("trailing-bytes", WARNING, str(path))]


def test_meta_tensors_are_no_damage(save: Save) -> None:
    assert told(save({"a": torch.zeros(4, device="meta")})) == []


# Several files


def sharded(folder: Path, *shards: dict[str, torch.Tensor], total: int | None = None) -> dict[str, str]:
    """Writes shards with an index; returns its map."""
    count = len(shards)
    places: dict[str, str] = {}
    for place, shard in enumerate(shards, start=1):
        name = f"model-{place:05}-of-{count:05}.safetensors"
        safetensors.torch.save_file(shard, folder / name)
        places |= dict.fromkeys(shard, name)
    write_index(folder, places, total)
    return places


def write_index(folder: Path, places: dict[str, str], total: int | None = None) -> None:
    fields: dict[str, Any] = {"weight_map": places}
    if total is not None:
        fields["metadata"] = {"total_size": total}
    (folder / "model.safetensors.index.json").write_text(json.dumps(fields))


def test_shards_that_agree_with_their_index(tmp_path: Path) -> None:
    sharded(tmp_path, {"a": torch.zeros(4)}, {"b": torch.zeros(4)}, total=32)
    assert told(tmp_path) == []


def test_a_missing_shard_is_told_with_the_tensors_that_it_held(tmp_path: Path) -> None:
    places = sharded(tmp_path, {"a": torch.zeros(4)}, {"b": torch.zeros(4)}, total=32)
    (tmp_path / places["b"]).unlink()
    assert told(tmp_path) == [("missing-shard", ERROR, places["b"]), ("missing-tensor", ERROR, "b")]


def test_a_torn_shard_is_there_and_cannot_be_read(tmp_path: Path) -> None:
    places = sharded(tmp_path, {"a": torch.zeros(4)}, {"b": torch.zeros(4)})
    (tmp_path / places["b"]).write_bytes(b"\xff" * 20)
    rules = [rule for rule, _, _ in told(tmp_path)]
    assert rules == ["unreadable-file", "missing-tensor"]


def test_names_that_only_the_files_or_only_the_index_have(tmp_path: Path) -> None:
    places = sharded(tmp_path, {"a": torch.zeros(4)}, {"b": torch.zeros(4), "c": torch.zeros(1)})
    del places["c"]
    places["d"] = places["a"]
    write_index(tmp_path, places)
    assert told(tmp_path) == [("missing-tensor", ERROR, "d"), ("not-in-index", WARNING, "c")]


def test_a_tensor_in_another_shard_than_the_index_says(tmp_path: Path) -> None:
    places = sharded(tmp_path, {"a": torch.zeros(4), "x": torch.zeros(1)}, {"b": torch.zeros(4)})
    places["x"] = places["b"]
    write_index(tmp_path, places)
    (finding,) = found_in(tmp_path)
    assert (finding.rule, finding.where) == ("wrong-shard", "x")
    assert "model-00001-of-00002.safetensors" in finding.message


def test_a_sum_of_bytes_that_is_not_that_of_the_files(tmp_path: Path) -> None:
    sharded(tmp_path, {"a": torch.zeros(4)}, {"b": torch.zeros(4)}, total=36)
    (finding,) = found_in(tmp_path)
    assert (finding.rule, finding.where) == ("index-size", str(tmp_path / "model.safetensors.index.json"))
    assert "36 bytes" in finding.message
    assert "hold 32" in finding.message


def test_shards_without_an_index_of_which_one_number_is_missing(tmp_path: Path) -> None:
    for place in (1, 3):
        safetensors.torch.save_file(
            {f"t{place}": torch.zeros(1)}, tmp_path / f"m-0000{place}-of-00003.safetensors"
        )
    (finding,) = found_in(tmp_path)
    assert (finding.rule, finding.severity) == ("missing-shard", ERROR)
    assert "2 of 3" in finding.message


# Families


def test_a_layer_that_is_missing_between_others(save: Save) -> None:
    (finding,) = found_in(save(layers(80, without=(41,))))
    assert (finding.rule, finding.severity, finding.where) == ("missing-layer", WARNING, "layers.41")
    assert finding.message == "layers.41 is missing between 0 and 79"


def test_several_missing_layers_are_one_finding(save: Save) -> None:
    (finding,) = found_in(save({"model": layers(40, without=(7, 8, 30))}))
    assert finding.where == "model.layers.7"
    assert "model.layers.7, model.layers.8 and model.layers.30 are missing" in finding.message


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(4, 4), nn.ReLU())]),
        nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU())]),
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8)
        ),
        nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2)),
    ],
    ids=["mlp", "norms", "convolutions", "dropout"],
)
def test_layers_without_parameters_are_no_gaps(save: Save, net: nn.Module) -> None:
    assert told(save(net.state_dict())) == []


def test_a_module_without_parameters_stands_where_a_pickle_has_it(save: Save) -> None:
    net = nn.Sequential(*[nn.Identity() if place == 4 else nn.Linear(2, 2) for place in range(12)])
    assert told(save(net)) == []
    # Of its state dict only numbers are left.
    assert [finding.where for finding in found_in(save(net.state_dict()))] == ["4"]


def test_layers_of_two_kinds_may_lie_on_both_sides_of_a_gap(save: Save) -> None:
    state = {}
    for place in range(40):
        kind = "attention" if place % 2 else "mamba"
        if place != 21:
            state[f"layers.{place}.{kind}.weight"] = torch.zeros(2)
            state[f"layers.{place}.norm.weight"] = torch.zeros(2)
    del state["layers.20.norm.weight"], state["layers.20.mamba.weight"]
    (finding,) = [each for each in found_in(save(state)) if each.rule == "missing-layer"]
    assert "layers.20 and layers.21" in finding.message


def test_state_of_an_optimizer_has_gaps_for_what_was_never_trained(save: Save) -> None:
    moments = {place: {"exp_avg": torch.zeros(2)} for place in range(12) if place != 5}
    assert told(save({"state": moments, "param_groups": [{"lr": 0.1}]})) == []


@pytest.mark.parametrize("place", [0, 3, 79])
def test_one_dtype_among_eighty_is_odd_wherever_it_is(save: Save, place: int) -> None:
    state = layers(80)
    state[f"layers.{place}.mlp.weight"] = state[f"layers.{place}.mlp.weight"].float()
    (finding,) = found_in(save(state))
    assert (finding.rule, finding.severity) == ("odd-dtype", WARNING)
    assert finding.where == f"layers.{place}.mlp.weight"
    assert finding.message == "float32, but bfloat16 in 79 other blocks"


def test_a_block_of_another_dtype_is_one_finding(save: Save) -> None:
    state = {
        f"layers.{place}.experts.{expert}.w": torch.zeros(
            2, dtype=torch.float32 if place == 3 else torch.float16
        )
        for place in range(10)
        for expert in range(6)
    }
    (finding,) = found_in(save(state))
    assert (finding.rule, finding.where) == ("odd-dtype", "layers.3")
    assert finding.message == "6 tensors are float32, but float16 in 9 other blocks"


def test_dtypes_that_differ_by_kind_of_tensor_are_as_usual(save: Save) -> None:
    state = layers(10)
    for place in range(10):
        state[f"layers.{place}.norm.weight"] = state[f"layers.{place}.norm.weight"].float()
    assert told(save(state)) == []


def test_one_shape_among_many_is_odd_but_for_the_ends_of_a_few(save: Save) -> None:
    state = layers(12)
    state["layers.5.mlp.weight"] = torch.zeros(5, 2, dtype=torch.bfloat16)
    (finding,) = found_in(save(state))
    assert (finding.rule, finding.severity, finding.where) == ("odd-shape", WARNING, "layers.5.mlp.weight")
    assert finding.message == "[5, 2], but [4, 2] in 11 other blocks"
    state = layers(12)
    state["layers.11.mlp.weight"] = torch.zeros(5, 2, dtype=torch.bfloat16)
    assert told(save(state)) == [("odd-shape", NOTE, "layers.11.mlp.weight")]


# Names, ties, storage


def test_names_that_several_tensors_have(save: Save) -> None:
    path = save({"a": {"b": torch.zeros(2)}, "a.b": torch.zeros(2), "c": torch.zeros(2)})
    assert told(path) == [("duplicate-name", WARNING, "a.b")]


def test_a_declared_tie_that_the_file_contradicts(tmp_path: Path) -> None:
    state = {"model.embed_tokens.weight": torch.zeros(10, 4), "lm_head.weight": torch.ones(10, 4)}
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (finding,) = found_in(tmp_path)
    assert (finding.rule, finding.severity) == ("contradicted-tie", WARNING)
    assert finding.where == "model.embed_tokens.weight"
    assert "lm_head.weight" in finding.message


def test_a_configuration_that_is_broken(tmp_path: Path) -> None:
    state = {"model.embed_tokens.weight": torch.zeros(10, 4)}
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{")
    assert told(tmp_path) == [("config", WARNING, str(tmp_path / "config.json"))]


def test_a_view_that_keeps_a_large_storage(save: Save) -> None:
    assert told(save({"tiny": torch.randn(1_000_000)[:3]})) == [("unused-storage", WARNING, "tiny")]


def test_a_malformed_tensor_is_one_finding(tmp_path: Path) -> None:
    from tests.formats.test_hostile_pickles import archive

    call = b"}X\x01\x00\x00\x00tctorch._utils\n_rebuild_tensor_v2\n(K\x01tRs."
    assert told(archive(tmp_path / "x.pt", call)) == [("malformed-tensor", ERROR, "t")]


# Numbers


def test_numbers_are_judged_where_they_were_read(save: Save) -> None:
    import asyncio

    state = {
        "nan": torch.tensor([1.0, float("nan"), 3.0]),
        "inf": torch.tensor([[1.0, float("inf")], [float("-inf"), 0.0]]),
        "zero": torch.zeros(2, 2),
        "bias": torch.zeros(3),
        "norm": torch.ones(5),
        "same complex": torch.tensor([1j, 1.0]),
        "step": torch.zeros(()),
        "fine": torch.randn(4),
    }
    source = open_checkpoint(str(save(state)))
    figures: dict[int, Any] = {}
    try:
        asyncio.run(source.scan(range(len(source.listing)), figures.__setitem__))
    finally:
        source.close()
    found = check(source.listing, figures=figures)
    assert [(finding.rule, finding.severity, finding.where) for finding in found] == [
        ("nan", ERROR, "nan"),
        ("inf", WARNING, "inf"),
        ("all-zero", WARNING, "zero"),
        ("all-zero", NOTE, "bias"),
        ("constant", NOTE, "norm"),
    ]
    assert found[0].message == "1 of 3 numbers are NaN"
    assert found[1].message == "2 of 4 numbers are infinite"
    assert check(source.listing) == []


# All


def test_every_rule_has_a_name_that_lasts_a_severity_and_words() -> None:
    for rule, (severity, words) in RULES.items():
        assert rule == rule.lower()
        assert rule.replace("-", "").isalpha()
        assert severity in SEVERITIES
        assert words


def test_notes_alone_are_no_failure() -> None:
    note = Finding("constant", NOTE, "a", "")
    warning = Finding("hole", WARNING, "f", "")
    assert not failed([note])
    assert failed([note, warning])
    assert summary([]) == "nothing found"
    assert summary([note, note, warning]) == "1 warning, 2 notes"
