"""Names that a file declares and does not store, where an edited checkpoint is saved."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from paramtui.core.edits import SetCells
from tests.editing.checkpoints import SharedComputer, opened

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.core.source import Saved


class Tied(nn.Module):
    """An embedding, and a head that is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight


def edited(path: Path, out: Path, computer: SharedComputer) -> Saved:
    """Sets the first cell of the embedding to 5 and saves."""
    editor = opened(path, computer)
    asyncio.run(editor.apply(SetCells("embed.weight", "0, 0", "=", 5.0)))
    return asyncio.run(editor.save(str(out), over=False, progress=lambda *_: None))


@pytest.fixture
def tied(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    path = tmp_path / "tied.safetensors"
    save_model(Tied(), str(path), metadata={"format": "pt"})
    return path


def test_a_safetensors_file_keeps_its_alias_map(tied: Path, computer: SharedComputer) -> None:
    out = tied.with_name("again.safetensors")
    edited(tied, out, computer)
    with safe_open(out, "pt") as file:
        assert file.metadata() == {"format": "pt", "head.weight": "embed.weight"}
        assert list(file.keys()) == ["embed.weight"]
    model = Tied()
    load_model(model, str(out))
    assert model.head.weight[0, 0] == 5


def test_a_torch_file_of_it_has_the_name_as_the_same_tensor(tied: Path, computer: SharedComputer) -> None:
    out = tied.with_name("again.pt")
    saved = edited(tied, out, computer)
    state = torch.load(out)
    expected = load_file(tied)["embed.weight"]
    expected[0, 0] = 5
    assert sorted(state) == ["embed.weight", "head.weight"]
    assert state["head.weight"].data_ptr() == state["embed.weight"].data_ptr()
    assert torch.equal(state["head.weight"], expected)
    assert "tied as the header declares: head.weight" in saved.said
    Tied().load_state_dict(state)


def test_shards_with_an_alias_map_become_one_file_with_one(tmp_path: Path, computer: SharedComputer) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    save_file({"embed.weight": torch.ones(6, 4)}, folder / "model-00001-of-00002.safetensors")
    save_file(
        {"mid.weight": torch.ones(3)},
        folder / "model-00002-of-00002.safetensors",
        metadata={"head.weight": "embed.weight"},
    )
    out = tmp_path / "one.safetensors"
    edited(folder, out, computer)
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
        names = sorted(file.keys())
    assert names == ["embed.weight", "mid.weight"]
    assert metadata == {"format": "pt", "head.weight": "embed.weight"}


def test_a_ghost_of_a_configuration_is_written_nowhere(tmp_path: Path, computer: SharedComputer) -> None:
    state = {"embed.weight": torch.ones(2), "model.embed_tokens.weight": torch.ones(6, 4)}
    torch.save(state, tmp_path / "pytorch_model.bin")
    fields = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    editor = opened(tmp_path / "pytorch_model.bin", computer)
    assert [declared.by for declared in editor.listing.declared] == ["config.json"]
    asyncio.run(editor.apply(SetCells("embed.weight", "0", "=", 5.0)))
    for name in ("out.safetensors", "out.bin"):
        asyncio.run(editor.save(str(tmp_path / name), over=False, progress=lambda *_: None))
    assert sorted(load_file(tmp_path / "out.safetensors")) == sorted(state)
    assert list(torch.load(tmp_path / "out.bin")) == list(state)
