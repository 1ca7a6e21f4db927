"""Modules that hold more than tables of parameters run with what was tied and untied."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any

import pytest
import torch
from torch import nn

from paramtui.core.edits import SetCells, Tie, Untie
from paramtui.errors import EditError
from tests.models.rewired import (
    apart,
    assert_same_results,
    hosted,
    made,
    named,
    objects_and_bits,
    partition,
    put,
    results,
)


class Tower(nn.Module):
    """An RNN at two places."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.first = self.second = kind(4, 4, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.first(x)[0])[0]
        return out


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_an_rnn_runs_with_what_was_tied_and_untied(kind: Any) -> None:
    net: Any = made(lambda: Tower(kind))
    by_hand: Any = made(lambda: Tower(kind))
    host = hosted(net)
    x = torch.rand(2, 5, 4)
    results(net, x)
    net.zero_grad()
    before = objects_and_bits(net)
    host.apply(Tie("first.weight_hh_l1", "first.weight_hh_l0"))
    by_hand.first.weight_hh_l1 = by_hand.first.weight_hh_l0
    assert_same_results(net, by_hand, x)
    host.apply(Untie(("second.weight_hh_l1",)))
    host.apply(SetCells("second.weight_hh_l1", "", "*=", 3.0))
    assert net.first is not net.second
    assert net.first.weight_hh_l1 is net.second.weight_hh_l0
    # With a module of its own at both places.
    own = kind(4, 4, num_layers=2, batch_first=True)
    for name, parameter in by_hand.first.named_parameters(remove_duplicate=False):
        setattr(own, name, parameter)
    own.weight_hh_l1 = nn.Parameter(by_hand.first.weight_hh_l1.detach() * 3)
    by_hand.second = own
    assert_same_results(net, by_hand, x)
    net.zero_grad()
    for _ in range(3):
        host.undo()
    assert objects_and_bits(net) == before
    assert_same_results(net, made(lambda: Tower(kind)), x)


class Encoder(nn.Module):
    """One encoder layer at two places, as some transformers have it."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.ModuleList([layer, layer])
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        out: torch.Tensor = self.attention(x, x, x)[0]
        return out


def test_attention_runs_with_what_was_untied_also_on_its_fast_path() -> None:
    net, by_hand = made(Encoder), apart(Encoder)
    name = "layers.1.self_attn.in_proj_weight"
    host = hosted(net)
    host.apply(Untie((name,)))
    host.apply(SetCells(name, "", "*=", 2.0))
    host.apply(Tie("attention.in_proj_weight", name))
    own = nn.Parameter(named(by_hand)[name].detach() * 2)
    put(by_hand, name, own)
    put(by_hand, "attention.in_proj_weight", own)
    x = torch.rand(2, 3, 8)
    assert_same_results(net, by_hand, x)
    net.eval()
    by_hand.eval()
    with torch.no_grad():
        assert torch.equal(net(x), by_hand(x))
    host.undo()
    host.undo()
    host.undo()
    with torch.no_grad():
        assert torch.equal(net(x), made(Encoder).eval()(x))


def test_originals_of_parametrised_layers_are_tied_and_untied() -> None:
    def make() -> nn.Module:
        layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        other = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        return nn.Sequential(layer, other, layer)

    net, by_hand = made(make), apart(make)
    host = hosted(net)
    first, last = (f"{at}.parametrizations.weight.original1" for at in (1, 2))
    host.apply(Untie((last,)))
    host.apply(Tie(first, last))
    # The copies made by hand run the getter of their own class on their own originals.
    own = nn.Parameter(named(by_hand)[last].detach().clone())
    put(by_hand, last, own)
    put(by_hand, first, own)
    assert_same_results(net, by_hand, torch.rand(3, 4))


def test_a_copy_runs_its_own_methods_and_hooks() -> None:
    class Odd(nn.Linear):
        def doubled(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight) * 2

        def seen(self, *_: object) -> None:
            self.count = getattr(self, "count", 0) + 1

        def loading(self, state: Any, *_: object) -> None:
            self.loaded = sorted(state)

    def called(module: Odd, x: torch.Tensor) -> torch.Tensor:
        return module.doubled(x)

    shared: Any = Odd(4, 4)
    shared.forward = partial(called, shared)
    shared.other = MethodType(Odd.doubled, shared)
    shared.register_forward_hook(shared.seen)
    shared.own_hooks = {"seen": shared.seen}
    shared.register_load_state_dict_pre_hook(Odd.loading)
    net: Any = nn.Sequential(shared, shared)
    host = hosted(net)
    host.apply(Untie(("1.weight",)))
    host.apply(SetCells("1.weight", "", "=", 1.0))
    x = torch.rand(2, 4)
    assert net[0] is shared
    assert torch.equal(net[1](x), nn.functional.linear(x, torch.ones(4, 4)) * 2)
    assert torch.equal(net[1].other(x), net[1](x))
    assert torch.equal(net[0](x), nn.functional.linear(x, shared.weight) * 2)
    assert (net[0].count, net[1].count) == (1, 2)
    net.load_state_dict(net.state_dict())
    assert net[0].loaded
    assert net[1].loaded
    assert net[1].own_hooks is shared.own_hooks
    assert shared.own_hooks["seen"].__self__ is shared
    net[1].register_forward_pre_hook(lambda *_: None)
    assert not shared._forward_pre_hooks


def test_a_copy_is_made_without_the_code_of_its_class_and_follows_the_mode() -> None:
    class Careful(nn.Linear):
        def __new__(cls, *_: Any) -> Any:
            assert not closed, "the code of the class is called"
            return super().__new__(cls)

        def __getstate__(self) -> Any:
            raise AssertionError("the code of the class is called")

    closed: list[bool] = []
    shared = Careful(4, 4)
    net: Any = nn.Sequential(shared, shared)
    host = hosted(net)
    closed.append(True)
    host.apply(Untie(("1.bias",)))
    made_of = net[1]
    host.undo()
    host.set_training(training=False)
    host.redo()
    assert net[1] is made_of
    assert type(made_of) is Careful
    assert not made_of.training
    assert host.listing.live is not None
    assert host.listing.live.mode() == "eval"


def test_modules_that_are_more_than_their_attributes_are_refused() -> None:
    net: Any = nn.Sequential(nn.Linear(4, 4))
    net.a = net.b = torch.compile(net[0])
    net.d = net.c = torch.jit.script(nn.Linear(4, 4))
    host = hosted(net)
    before = partition(net)
    for name in ("a._orig_mod.weight", "c.weight"):
        with pytest.raises(EditError, match="compiled module"):
            host.apply(Untie((name,)))
    assert partition(net) == before
