"""Ties that a header declares: listed as ghosts, and contradictions said; and ghosts in other places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model
from torch import nn

from paramtui.core.expressions import expression
from paramtui.core.listing import GHOST
from paramtui.core.tree import Tree
from tests.formats.declaring import config, ghost_rows, ghosts, language_model, problems, saved
from tests.support import opened

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "the header"


class Tied(nn.Module):
    """An embedding, and a head that is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.middle = nn.Linear(4, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight


# The alias map


def test_a_name_that_save_model_left_out_is_a_ghost_of_the_one_it_kept(tmp_path: Path) -> None:
    model = Tied()
    save_model(model, str(tmp_path / "tied.safetensors"))
    stored = load_file(tmp_path / "tied.safetensors")
    listing = opened(tmp_path / "tied.safetensors").listing
    assert listing.names == list(stored)
    assert set(stored) | set(ghosts(listing)) == set(model.state_dict())
    assert ghosts(listing) == {"head.weight": "embed.weight"}
    assert ghost_rows(listing) == {"head.weight": "= embed.weight (declared by the header)"}
    assert [declared.by for declared in listing.declared] == [HEADER]
    assert listing.warnings == []


def test_all_names_of_one_tensor_are_declared_together(tmp_path: Path) -> None:
    model = nn.Module()
    model.a, model.b, model.c = (nn.Linear(3, 3, bias=False) for _ in range(3))
    model.b.weight = model.c.weight = model.a.weight
    save_model(model, str(tmp_path / "three.safetensors"), metadata={"format": "pt"})
    listing = opened(tmp_path / "three.safetensors").listing
    assert len(listing.declared) == 1
    assert ghosts(listing) == {"b.weight": "a.weight", "c.weight": "a.weight"}


def test_ghosts_count_neither_as_tensors_nor_as_bytes(tmp_path: Path) -> None:
    model = Tied()
    save_model(model, str(tmp_path / "tied.safetensors"))
    totals = opened(tmp_path / "tied.safetensors").listing.totals()
    own = list(model.parameters())
    assert totals.tensors == len(own)
    assert totals.unique_elements == sum(parameter.numel() for parameter in own)


@pytest.mark.parametrize("text", ["", "pt", "trained on 3 GPUs", "embed", "{}", "embed.weight.grad"])
def test_free_text_of_a_header_is_no_alias(tmp_path: Path, text: str) -> None:
    save_file({"embed.weight": torch.ones(2)}, tmp_path / "m.safetensors", metadata={"note": text})
    listing = opened(tmp_path / "m.safetensors").listing
    assert listing.declared == []
    assert ghost_rows(listing) == {}


def test_the_name_of_the_framework_is_no_alias(tmp_path: Path) -> None:
    save_file({"pt": torch.ones(2)}, tmp_path / "m.safetensors", metadata={"format": "pt"})
    assert opened(tmp_path / "m.safetensors").listing.declared == []


def test_chains_lead_to_the_tensor_and_circles_nowhere(tmp_path: Path) -> None:
    metadata = {"a": "b", "b": "w", "x": "y", "y": "x", "z": "x", "self": "self", "long": "a"}
    save_file({"w": torch.ones(2)}, tmp_path / "m.safetensors", metadata=metadata)
    listing = opened(tmp_path / "m.safetensors").listing
    assert ghosts(listing) == {"a": "w", "b": "w", "long": "w"}
    assert listing.warnings == []


def test_a_chain_of_100000_names_is_followed(tmp_path: Path) -> None:
    metadata = {f"n{place}": f"n{place + 1}" for place in range(100_000)}
    save_file({"n100000": torch.ones(2)}, tmp_path / "m.safetensors", metadata=metadata)
    found = ghosts(opened(tmp_path / "m.safetensors").listing)
    assert len(found) == 100_000
    assert set(found.values()) == {"n100000"}


def test_a_name_that_is_declared_an_alias_and_stored_all_the_same_is_said(tmp_path: Path) -> None:
    state = {"a": torch.zeros(2), "b": torch.ones(2)}
    save_file(state, tmp_path / "m.safetensors", metadata={"a": "b"})
    listing = opened(tmp_path / "m.safetensors").listing
    (declared,) = listing.declared
    assert declared.ghosts == ()
    assert [listing.names[tensor] for tensor in (declared.tensor, *declared.stored)] == ["b", "a"]
    assert declared.problem == "the header says that a is b, but the file stores both"
    assert listing.warnings == [f"{declared.problem}; compare them"]


def test_names_that_are_the_same_bytes_contradict_no_header(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"__metadata__": {"a": "b"}, "a": entry, "b": entry}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    assert opened(tmp_path / "m.safetensors").listing.declared == []


def test_many_contradictions_are_summed_up(tmp_path: Path) -> None:
    state = {f"t{place}": torch.ones(1) for place in range(12)}
    metadata = {f"t{place}": "t0" for place in range(1, 12)}
    save_file(state, tmp_path / "m.safetensors", metadata=metadata)
    listing = opened(tmp_path / "m.safetensors").listing
    assert len(problems(listing)) == 11
    assert len(listing.warnings) == 6
    assert listing.warnings[-1].startswith("and 6 more names")


def test_names_of_a_header_are_shown_safely(tmp_path: Path) -> None:
    state = {"a\x1b[31m": torch.zeros(2), "b\u202e": torch.ones(2)}
    save_file(state, tmp_path / "m.safetensors", metadata={"a\x1b[31m": "b\u202e"})
    (warning,) = opened(tmp_path / "m.safetensors").listing.warnings
    assert "\x1b" not in warning
    assert "\u202e" not in warning


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two files of one checkpoint; the second declares a name of what lies in the first."""
    save_file({"embed.weight": torch.ones(3)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file(
        {"mid.weight": torch.ones(3)},
        tmp_path / "model-00002-of-00002.safetensors",
        metadata={"head.weight": "embed.weight"},
    )
    return tmp_path


def test_a_shard_declares_names_of_the_whole_checkpoint(shards: Path) -> None:
    listing = opened(shards).listing
    assert ghosts(listing) == {"head.weight": "embed.weight"}
    assert opened(shards / "model-00002-of-00002.safetensors").listing.declared == []


def test_the_ghosts_of_a_directory_belong_to_none_of_its_files(shards: Path) -> None:
    torch.save({"state": {}, "param_groups": []}, shards / "optimizer.pt")
    listing = opened(shards).listing
    (ghost,) = [value.node for value in listing.values if value.type_name == GHOST]
    last = [shard for shard in listing.shards if shard.first_node <= ghost][-1]
    assert last.path == ""
    assert [shard.first_node for shard in listing.shards] == sorted(
        shard.first_node for shard in listing.shards
    )


# Ghosts elsewhere


def test_no_line_of_python_reaches_a_ghost(tmp_path: Path) -> None:
    listing = saved(tmp_path, language_model(head=False), tie_word_embeddings=True)
    tree = Tree(listing)
    (ghost,) = tree.find("lm_head.weight")
    (block,) = tree.find("lm_head")
    assert tree.value[ghost] >= 0
    assert expression(listing, tree, ghost) == ""
    assert expression(listing, tree, block) == ""
    (real,) = tree.find("model.norm.weight")
    line = expression(listing, tree, real)
    assert line.endswith('["model.norm.weight"]')


def test_the_dict_that_a_ghost_stands_in_is_still_reached(tmp_path: Path) -> None:
    torch.save({"state_dict": language_model(head=False)}, tmp_path / "pytorch_model.bin")
    torch.save({"state": {}, "param_groups": []}, tmp_path / "optimizer.pt")
    config(tmp_path, tie_word_embeddings=True)
    listing = opened(tmp_path).listing
    assert list(ghosts(listing)) == ["state_dict.lm_head.weight"]
    tree = Tree(listing)
    (row,) = tree.find("state_dict")
    namespace = {"torch": torch}
    found = eval(expression(listing, tree, row), namespace)  # noqa: S307  the line is the program's own
    assert list(found) == list(language_model(head=False))


def test_the_metadata_of_the_file_stays_as_it_is(tmp_path: Path) -> None:
    save_model(Tied(), str(tmp_path / "tied.safetensors"))
    opened(tmp_path / "tied.safetensors")
    with safe_open(tmp_path / "tied.safetensors", "pt") as file:
        assert file.metadata() == {"head.weight": "embed.weight"}
