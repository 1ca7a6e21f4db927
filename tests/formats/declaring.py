"""What the tests of declared ties share: small files with configurations, and what is declared of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from paramtui.core.listing import GHOST
from tests.support import opened

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.core.listing import Listing

CONFIG = "config.json"


def ghosts(listing: Listing) -> dict[str, str]:
    """The tensor that each ghost is declared to be, by name."""
    return {
        listing.node_name(listing.values[place].node): listing.names[declared.tensor]
        for declared in listing.declared
        for place in declared.ghosts
    }


def ghost_rows(listing: Listing) -> dict[str, object]:
    """What is written beside each ghost, by name."""
    return {
        listing.node_name(value.node): value.value for value in listing.values if value.type_name == GHOST
    }


def problems(listing: Listing) -> list[str]:
    return [declared.problem for declared in listing.declared if declared.problem]


def language_model(*, head: bool, rows: int = 6) -> dict[str, torch.Tensor]:
    """The state dict of a small Llama, with or without a head of its own."""
    torch.manual_seed(1)
    state = {
        "model.embed_tokens.weight": torch.randn(6, 4),
        "model.layers.0.mlp.up_proj.weight": torch.randn(8, 4),
        "model.norm.weight": torch.ones(4),
    }
    if head:
        state["lm_head.weight"] = torch.randn(rows, 4)
    return state


def config(folder: Path, **fields: object) -> Path:
    """Writes a configuration, by default of a Llama with a head."""
    fields = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **fields}
    path = folder / CONFIG
    path.write_text(json.dumps(fields))
    return path


def saved(folder: Path, state: dict[str, Any], **fields: object) -> Listing:
    """A safetensors file with a configuration beside it, opened."""
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config(folder, **fields)
    return opened(folder / "model.safetensors").listing
