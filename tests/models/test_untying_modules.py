"""Modules that stand at several places: one place gets a parameter of its own, all else stays tied."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from paramtui.core.edits import Edit, SetCells, Tie, Untie
from paramtui.errors import EditError
from tests.models.rewired import (
    apart,
    assert_is_listed,
    assert_same_results,
    hosted,
    made,
    named,
    names_of,
    objects_and_bits,
    partition,
    put,
)


def block() -> nn.Module:
    inner = nn.Linear(4, 4)
    return nn.Sequential(inner, nn.Tanh(), inner, nn.LayerNorm(4))


def shared_layer() -> nn.Module:
    shared = nn.Linear(4, 4)
    return nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 4))


def nested() -> nn.Module:
    """A layer twice in a block, which stands twice in another, which stands twice in the model."""
    once = block()
    outer = nn.Sequential(once, nn.Linear(4, 4), once)
    net = nn.ModuleDict({"a": outer, "b": nn.Sequential(outer, once), "c": nn.Linear(4, 4)})
    net["c"].weight = once[0].weight  # type: ignore[index]
    return Summed(net)


class Summed(nn.Module):
    """Runs what it holds one after the other."""

    def __init__(self, parts: nn.ModuleDict) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts.values():
            x = part(x)
        return x


@pytest.mark.parametrize("make", [shared_layer, block, nested])
def test_one_place_of_a_module_that_stands_at_several_is_untied_alone(
    make: Callable[[], nn.Module],
) -> None:
    names = list(named(made(make)))
    x = torch.rand(3, 4)
    for name in names:
        net, by_hand = made(make), apart(make)
        host = hosted(net)
        group = next(group for group in partition(net) if name in group)
        if len(group) == 1:
            with pytest.raises(EditError, match="shares memory with nothing"):
                host.apply(Untie((name,)))
            continue
        before = objects_and_bits(net)
        outcome = host.apply(Untie((name,)))
        assert names_of(host, outcome.changed) == {name}
        assert partition(net) == partition(made(make)) - {group} | {group - {name}, frozenset({name})}
        assert list(named(net)) == names
        assert_is_listed(host, net)
        put(by_hand, name, nn.Parameter(named(by_hand)[name].detach().clone()))
        assert_same_results(net, by_hand, x)
        with torch.no_grad():
            for each in (net, by_hand):
                named(each)[name].mul_(3)
        assert_same_results(net, by_hand, x)
        with torch.no_grad():
            named(net)[name].div_(3)
        net.zero_grad()
        host.undo()
        assert objects_and_bits(net) == before


@pytest.mark.parametrize("make", [shared_layer, nested])
def test_all_places_of_a_shared_module_come_apart_at_once(make: Callable[[], nn.Module]) -> None:
    net = made(make)
    host = hosted(net)
    groups = [group for group in partition(net) if len(group) > 1]
    before = objects_and_bits(net)
    for group in groups:
        host.apply(Untie(tuple(sorted(group))))
        assert frozenset({max(group)}) in partition(net)
    assert all(len(group) == 1 for group in partition(net))
    assert not host.listing.sharing.groups
    assert_is_listed(host, net)
    by_hand = apart(make)
    for group in groups:
        for name in group:
            put(by_hand, name, nn.Parameter(named(by_hand)[name].detach().clone()))
    assert_same_results(net, by_hand, torch.rand(3, 4))
    net.zero_grad()
    while host.editor._done:
        host.undo()
    assert objects_and_bits(net) == before


def test_tying_a_parameter_of_a_shared_module_ties_it_at_all_places() -> None:
    net: Any = made(shared_layer)
    host = hosted(net)
    outcome = host.apply(Tie("2.weight", "3.weight"))
    assert net[0].weight is net[2].weight is net[3].weight
    assert names_of(host, outcome.changed) == {"0.weight", "2.weight"}


@pytest.mark.parametrize("seed", range(6))
def test_any_changes_in_any_order_and_their_undoing_are_those_of_plain_torch(seed: int) -> None:
    draw = random.Random(seed)
    net, mirror = made(nested), apart(nested)
    host = hosted(net)
    names = [name for name, each in named(net).items() if each.shape == (4, 4)]
    states = [(objects_and_bits(net), partition(net))]
    for _ in range(30):
        name, other = draw.sample(names, 2)
        edits: list[Edit] = [Tie(name, other), Untie((name,)), Untie((name, other))]
        edit = draw.choice([*edits, SetCells(name, "1", "*=", 0.5)])
        try:
            outcome = host.apply(edit)
        except EditError as error:
            assert "one parameter already" in str(error) or "shares memory with nothing" in str(error)
            alone = {name for group in partition(net) if len(group) == 1 for name in group}
            tensors = named(net)
            assert tensors[name] is tensors[other] if isinstance(edit, Tie) else {name, other} & alone
            continue
        for changed in sorted(names_of(host, outcome.changed)):
            mirrored = named(mirror)
            if isinstance(edit, Tie):
                put(mirror, changed, mirrored[other])
            elif isinstance(edit, Untie):
                put(mirror, changed, nn.Parameter(mirrored[changed].detach().clone()))
        if isinstance(edit, SetCells):
            named(mirror)[name].data[1] *= 0.5
        assert partition(net) == partition(mirror), edit
        for each, tensor in named(mirror).items():
            assert torch.equal(named(net)[each], tensor), (edit, each)
        assert_is_listed(host, net)
        states.append((objects_and_bits(net), partition(net)))
        if draw.random() < 0.3:
            count = draw.randint(1, len(states) - 1)
            for at in range(count):
                host.undo()
                assert (objects_and_bits(net), partition(net)) == states[-2 - at]
            for at in range(count):
                host.redo()
                assert (objects_and_bits(net), partition(net)) == states[len(states) - count + at]
    assert_same_results(net, mirror, torch.rand(3, 4))
    net.zero_grad()
    while host.editor._done:
        host.undo()
        assert_is_listed(host, net)
    assert (objects_and_bits(net), partition(net)) == states[0]


def test_a_module_that_holds_itself_is_untied_where_that_changes_no_names() -> None:
    net: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    net[1].around = net
    host = hosted(net)
    names = list(host.listing.names)
    host.apply(Untie(("1.weight",)))
    assert net[1].weight is not net[0].weight
    assert host.listing.names == names
    inner: Any = nn.Linear(2, 2)
    inner.self = inner
    outer: Any = nn.ModuleDict({"a": inner, "b": inner})
    host = hosted(outer)
    names = list(host.listing.names)
    with pytest.raises(EditError, match="modules that hold themselves"):
        host.apply(Untie(("a.weight",)))
    assert outer["a"] is outer["b"] is inner
    assert host.listing.names == names
