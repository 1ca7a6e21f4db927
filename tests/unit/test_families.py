"""Which names are compared as blocks of a family: those of the largest models, and not those of a bomb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.families import Families
from tests.unit.test_health import entry, found_in, layers, raw

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def test_names_too_many_and_too_long_to_compare_are_in_no_family(save: Save) -> None:
    state = layers(8, without=(3,))
    assert [finding.rule for finding in found_in(save(state))] == ["missing-layer"]
    filler = "0.1.2.3.4.5.6.7." + "n" * 1900
    state |= {f"{filler}{place:x}": torch.zeros(1) for place in range(3000)}
    assert [finding.rule for finding in found_in(save(state))] == []


def test_the_experts_of_a_very_large_model_are_all_compared(tmp_path: Path) -> None:
    header = {
        f"model.layers.{layer}.mlp.experts.{expert}.{kind}_proj.{what}": entry(0, 0, shape=[0])
        for layer in range(61)
        for expert in range(384)
        for kind in ("up", "down", "gate")
        for what in ("weight", "weight_scale_inv")
        if (layer, expert) != (30, 200)
    }
    found = Families(open_checkpoint(str(raw(tmp_path / "m.safetensors", header, 0))).listing)
    assert [(gap.family, gap.missing) for gap in found.gaps()] == [("model.layers.30.mlp.experts", (200,))]
