"""What is said of how names came to share memory, for models and files that torch makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.tie_words import how, partners
from paramtui.core.ties import Ties
from paramtui.models.module_listing import list_module

if TYPE_CHECKING:
    from paramtui.core.listing import Listing
    from tests.conftest import Save


def said(model: nn.Module) -> list[str]:
    listing = list_module(model, "model").listing
    return [how(listing, tied) for tied in Ties(listing).groups]


def named(listing: Listing, name: str) -> dict[str, list[str]]:
    (tensor,) = listing.ids_named(name)
    tied = Ties(listing).of(tensor)
    assert tied is not None
    return dict(partners(listing, tied, tensor))


def test_one_parameter_under_two_names_of_different_modules() -> None:
    net: Any = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 6, bias=False))
    net[1].weight = net[0].weight
    assert said(net) == ["one Parameter under 2 names: its gradient is the sum over them"]


def test_a_module_that_is_used_twice_and_a_block_that_is() -> None:
    layer = nn.Linear(3, 3)
    assert set(said(nn.Sequential(layer, layer, layer))) == {
        "one Parameter of a module that is used at 3 places"
    }
    block = nn.Sequential(nn.Linear(3, 3, bias=False))
    assert said(nn.Sequential(block, nn.ReLU(), block)) == [
        "one Parameter of a module that is used at 2 places"
    ]


def test_different_parameters_over_one_storage() -> None:
    net: Any = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = nn.Parameter(net[0].weight.data)
    assert said(net) == ["2 Parameters over one storage: each has a gradient of its own"]


def test_a_buffer_that_is_a_view_of_a_parameter() -> None:
    layer = nn.Linear(3, 4)
    layer.register_buffer("first", layer.weight.data[:2])
    net = nn.Sequential(layer)
    assert said(net) == ["a buffer is a view of a parameter: a step of the optimizer changes both"]
    listing = list_module(net, "model").listing
    assert named(listing, "0.first") == {"overlaps": ["0.weight (this is its [0:2])"]}


def test_optimizer_state_that_is_the_memory_of_a_parameter(save: Save) -> None:
    weight = torch.randn(4, 3)
    state = {
        "model": {"weight": weight},
        "optimizer": {
            "state": {0: {"step": torch.tensor(1.0), "master": weight}},
            "param_groups": [{"params": [0]}],
        },
    }
    listing = open_checkpoint(str(save(state))).listing
    (tied,) = Ties(listing).groups
    assert (tied.kind, [listing.names[member] for member in tied.members]) == (
        "alias",
        ["model.weight", "optimizer.state.0.master"],
    )
    assert how(listing, tied) == "optimizer state that is the memory of what it optimizes"


def test_a_whole_pickled_module_keeps_its_ties(save: Save) -> None:
    layer = nn.Linear(3, 3, bias=False)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    listing = open_checkpoint(str(save(net))).listing
    (tied,) = Ties(listing).groups
    assert [listing.names[member] for member in tied.members] == ["0.weight", "2.weight"]


def test_columns_and_diagonals_are_told_as_far_as_slices_tell(save: Save) -> None:
    whole = torch.randn(6, 8)
    listing = open_checkpoint(
        str(
            save({"whole": whole, "columns": whole[:, 2:5], "block": whole[1:3, 4:], "odd": whole.diagonal()})
        )
    ).listing
    assert named(listing, "columns")["overlaps"][0] == "whole (this is its [:, 2:5])"
    assert named(listing, "block")["overlaps"][0] == "whole (this is its [1:3, 4:8])"
    assert "whole" in named(listing, "odd")["overlaps"]
