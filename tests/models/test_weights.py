"""Checkpoints are loaded as `load_state_dict` would, and what does not fit is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.key_matching import Choice, match, propose
from paramtui.models.weights import aliases, load_weights, state_entries
from tests.support import PLAIN_DTYPES, random_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Save


def network() -> Any:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2, bias=False).to(torch.bfloat16))


def training(net: nn.Module) -> dict[str, object]:
    optimizer = torch.optim.Adam(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return {"epoch": 3, "optimizer": optimizer.state_dict(), "model": net.state_dict()}


def prefixed(prefix: str) -> Callable[[nn.Module], object]:
    return lambda net: {prefix + name: tensor for name, tensor in net.state_dict().items()}


LAYOUTS: dict[str, tuple[Callable[[nn.Module], object], Choice | None]] = {
    "plain": (lambda net: net.state_dict(), None),
    "whole module": (lambda net: net, None),
    "training": (training, Choice(("model",))),
    "parallel": (prefixed("module."), Choice(remove="module.")),
    "compiled": (prefixed("_orig_mod."), Choice(remove="_orig_mod.")),
    "lightning": (
        lambda net: {"state_dict": prefixed("model.")(net)},
        Choice(("state_dict",), remove="model."),
    ),
    "inner": (lambda net: net[0].state_dict(), None),  # type: ignore[index]
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_loads_or_is_proposed_and_then_loads(name: str, save: Save) -> None:
    make, choice = LAYOUTS[name]
    net, other = network(), network()
    source = open_checkpoint(str(save(make(net))))
    entries, twins = state_entries(other), aliases(other)
    assert [entry.name for entry in entries] == list(other.state_dict())
    if name == "inner":
        found = match(source.listing, entries, Choice(), twins)
        assert found.words == "0 of 8 loaded; 8 missing, 2 unexpected"
        assert propose(source.listing, entries, twins) == Choice(add="0.")
        return
    assert propose(source.listing, entries, twins) == choice
    found = match(source.listing, entries, choice or Choice(), twins)
    assert found.complete
    assert load_weights(other, source, found.pairs) == []
    for key, tensor in net.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor)


def test_what_does_not_fit_is_told_and_the_rest_loaded(save: Save) -> None:
    net, other = network(), network()
    state = net.state_dict()
    del state["0.bias"]
    state |= {"0.weight": torch.ones(8, 5), "9.extra": torch.ones(3)}
    source = open_checkpoint(str(save(state)))
    found = match(source.listing, state_entries(other), Choice(), aliases(other))
    assert found.missing == ["0.bias"]
    assert [source.listing.names[tensor] for tensor in found.unexpected] == ["9.extra"]
    assert [name for name, _ in found.mismatched] == ["0.weight"]
    kept = other[0].weight.clone()
    load_weights(other, source, found.pairs)
    assert torch.equal(other[0].weight, kept)
    assert torch.equal(other[2].weight, net[2].weight)


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=str)
def test_every_type_arrives_bit_for_bit(dtype: torch.dtype, save: Save) -> None:
    stored = random_tensor(dtype, (5, 3))
    source = open_checkpoint(str(save({"plain": stored, "turned": stored.t()})))
    net = nn.Module()
    net.register_buffer("plain", torch.zeros(5, 3).to(dtype))
    net.register_buffer("turned", torch.zeros(3, 5).to(dtype))
    found = match(source.listing, state_entries(net), Choice(), {})
    load_weights(net, source, found.pairs)
    assert torch.equal(net.get_buffer("plain").view(torch.uint8), stored.view(torch.uint8))
    if not dtype.is_complex and dtype.itemsize > 1:
        return
    turned = net.get_buffer("turned").t().contiguous()
    assert torch.equal(turned.view(torch.uint8), stored.view(torch.uint8)) or dtype.is_floating_point


def test_another_type_is_converted_as_copy_does(save: Save) -> None:
    net, half = nn.Linear(3, 4), nn.Linear(3, 4).half()
    source = open_checkpoint(str(save(net.state_dict())))
    load_weights(half, source, match(source.listing, state_entries(half), Choice(), {}).pairs)
    assert half.weight.dtype == torch.float16
    assert torch.equal(half.weight, net.weight.half())


def test_a_tied_head_that_a_file_stores_once_is_not_missing(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        net = nn.Module()
        net.embed, net.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        net.head.weight = net.embed.weight
        return net

    net, other = tied(), tied()
    safetensors.torch.save_model(net, str(tmp_path / "tied.safetensors"))
    source = open_checkpoint(str(tmp_path / "tied.safetensors"))
    found = match(source.listing, state_entries(other), Choice(), aliases(other))
    assert found.complete and len(found.pairs) == 1
    load_weights(other, source, found.pairs)
    assert other.head.weight is other.embed.weight  # type: ignore[union-attr]
    assert torch.equal(other.embed.weight, net.embed.weight)  # type: ignore[union-attr, arg-type]


def test_lazy_parameters_take_the_shape_of_the_file_and_meta_ones_no_numbers(save: Save) -> None:
    source = open_checkpoint(str(save(nn.Linear(3, 4).state_dict())))
    lazy, meta = nn.LazyLinear(4), nn.Linear(3, 4, device="meta")
    load_weights(lazy, source, match(source.listing, state_entries(lazy), Choice(), {}).pairs)
    assert lazy.weight.shape == (4, 3)
    notes = load_weights(meta, source, match(source.listing, state_entries(meta), Choice(), {}).pairs)
    assert "meta device" in notes[0]


def test_large_tensors_are_read_in_pieces(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    from paramtui.models import weights

    monkeypatch.setattr(weights, "PIECE", 64)
    net, other = nn.Linear(30, 7), nn.Linear(30, 7)
    source = open_checkpoint(str(save(net.state_dict())))
    largest = 0
    read = source.read

    def watched(location: int, begin: int, nbytes: int) -> bytes:
        nonlocal largest
        largest = max(largest, nbytes)
        return read(location, begin, nbytes)

    monkeypatch.setattr(source, "read", watched)
    load_weights(other, source, match(source.listing, state_entries(other), Choice(), {}).pairs)
    assert largest == 64
    assert torch.equal(other.weight, net.weight)
