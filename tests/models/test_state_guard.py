from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from paramtui.models.state_guard import preserved, seed_all

if TYPE_CHECKING:
    from collections.abc import Callable


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(3), parametrizations.spectral_norm(nn.Linear(3, 2)), nn.Dropout(), nn.BatchNorm1d(2)
    )


def facts(net: nn.Module) -> dict[str, tuple[int, list[float]]]:
    return {name: (id(buffer), buffer.flatten().tolist()) for name, buffer in net.named_buffers()}


def disturb(net: nn.Sequential) -> None:
    net(torch.randn(4, 3))
    net.eval()
    net[0].running_mean = torch.full((3,), 7.0)
    net[0].register_buffer("added", torch.ones(1))
    del net[3].running_var
    random.random(), np.random.rand(), torch.rand(3)


@pytest.mark.parametrize("fails", [False, True])
def test_buffers_modes_and_random_state_are_as_before(fails: bool) -> None:
    net = network()
    net[2].eval()
    seed_all(3)
    before, modes = facts(net), [module.training for module in net.modules()]
    expected = [random.random(), np.random.rand(), torch.rand(3).tolist()]
    seed_all(3)
    try:
        with preserved(net):
            disturb(net)
            if fails:
                raise ValueError
    except ValueError:
        pass
    assert [random.random(), np.random.rand(), torch.rand(3).tolist()] == expected
    assert facts(net) == before
    assert [module.training for module in net.modules()] == modes


def test_an_unchanged_buffer_is_not_written_to() -> None:
    net = nn.BatchNorm1d(2).eval()
    x = torch.randn(3, 2, requires_grad=True)
    loss = net(x).sum()  # the graph has saved the running statistics
    with preserved(net):
        net(torch.randn(3, 2))
    loss.backward()
    assert x.grad is not None


def test_odd_buffers_survive() -> None:
    net = nn.Module()
    net.register_buffer("none", None)
    net.register_buffer("meta", torch.ones(2, device="meta"))
    net.register_buffer("sparse", torch.eye(3).to_sparse())
    net.register_buffer("nan", torch.tensor(torch.nan))
    net.add_module("lazy", nn.LazyBatchNorm1d())
    net.add_module("itself", net)
    before = list(net._buffers.values())
    with preserved(net):
        net.nan = None  # type: ignore[assignment]
        net.lazy(torch.randn(4, 5))  # type: ignore[operator]
    assert list(map(id, net._buffers.values())) == list(map(id, before))
    # What had no shape has one now: that cannot be taken back.
    assert net.lazy.running_mean.shape == (5,)  # type: ignore[union-attr]


def in_inference_mode() -> torch.Tensor:
    with torch.inference_mode():
        return torch.ones(3)


def doubled(net: nn.Module) -> None:
    with torch.inference_mode(net.b.is_inference()), torch.no_grad():  # type: ignore[operator]
        net.b.mul_(2)  # type: ignore[operator]


def edge_added(net: nn.Module) -> None:
    net.b.add_(torch.ones(3, 3).to_sparse())  # type: ignore[operator]


def resized(net: nn.Module) -> None:
    net.b.resize_(5).fill_(9)  # type: ignore[operator]


def exchanged(net: nn.Module) -> None:
    net.b.data = torch.zeros(4, dtype=torch.float64)


CHANGES: dict[str, tuple[Callable[[], torch.Tensor], Callable[[nn.Module], object]]] = {
    "inference": (in_inference_mode, doubled),
    "sparse": (lambda: torch.eye(3).to_sparse().coalesce(), doubled),
    "not coalesced": (lambda: torch.eye(3).to_sparse(), doubled),
    "sparse with more elements": (lambda: torch.eye(3).to_sparse().coalesce(), edge_added),
    "compressed": (lambda: torch.eye(3).to_sparse_csr(), lambda net: net.b.values().mul_(2)),  # type: ignore[operator]
    "needs a gradient": (lambda: torch.ones(3, requires_grad=True), doubled),
    "complex": (lambda: torch.tensor([1j, complex("nan")]), doubled),
    "resized": (lambda: torch.ones(3), resized),
    "exchanged": (lambda: torch.ones(3), exchanged),
    "8 bits": (
        lambda: torch.ones(3).to(torch.float8_e4m3fn),
        lambda net: net.b.copy_(torch.zeros(3)),  # type: ignore[operator]
    ),
    "quantised": (
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        lambda net: net.b.copy_(torch.zeros(3)),  # type: ignore[operator]
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_buffer_of_any_kind_has_its_elements_back(name: str) -> None:
    make, change = CHANGES[name]
    net, buffer = nn.Module(), make()
    net.register_buffer("b", buffer)
    before = buffer.to_dense().clone() if buffer.layout != torch.strided else buffer.detach().clone()
    with preserved(net):
        change(net)
    assert net.b is buffer
    now = buffer.to_dense() if buffer.layout != torch.strided else buffer.detach()
    assert now.dtype == before.dtype and str(now) == str(before)


def test_random_state_is_back_where_a_buffer_cannot_be() -> None:
    net, root = nn.Module(), torch.zeros(1)
    net.register_buffer("wide", root.expand(3))  # nothing can be written into it
    seed_all(5)
    expected = torch.rand(2)
    seed_all(5)
    with preserved(net):
        root.fill_(7)
        torch.rand(9)
    assert torch.equal(torch.rand(2), expected)
    assert net.wide.tolist() == [0, 0, 0]  # type: ignore[operator]


def test_two_names_of_one_buffer_and_views_of_its_memory_stay_so() -> None:
    net, shared = nn.ModuleList([nn.Module(), nn.Module()]), torch.zeros(4)
    for module, buffer in zip(net, (shared, shared), strict=True):
        module.register_buffer("b", buffer)
    net.register_buffer("part", shared[1:3])
    with preserved(net):
        shared.fill_(3)
        net[0].b = torch.ones(1)
    assert net[0].b is net[1].b is shared
    shared[1] = 5
    assert shared.tolist() == [0, 5, 0, 0]
    assert net.part.tolist() == [5, 0]  # type: ignore[operator]


def test_a_state_dict_has_the_same_names_in_the_same_order() -> None:
    net = nn.Module()
    net.register_buffer("hidden", torch.ones(1), persistent=False)
    net.register_buffer("first", torch.ones(1))
    net.register_buffer("second", torch.ones(1))
    with preserved(net):
        del net.hidden, net.first
        net.hidden = torch.zeros(1)  # an attribute, and no buffer
        net.first = nn.Parameter(torch.zeros(1))
        net.register_buffer("added", torch.ones(1), persistent=False)
    assert list(net.state_dict()) == ["first", "second"]
    assert [name for name, _ in net.named_buffers()] == ["hidden", "first", "second"]
    assert net.hidden.tolist() == net.first.tolist() == [1]
    assert not hasattr(net, "added")


def test_a_scripted_model_keeps_its_state() -> None:
    net = torch.jit.script(nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()))
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with preserved(net):
        net(torch.randn(4, 3))
        net.eval()
    assert net.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())


def test_one_pass_inside_another_keeps_the_outer_state() -> None:
    net = nn.BatchNorm1d(3)
    with preserved(net):
        net(torch.randn(4, 3))
        between = net.running_mean.tolist()  # type: ignore[union-attr]
        with preserved(net):
            net(torch.randn(4, 3))
        assert net.running_mean.tolist() == between  # type: ignore[union-attr]
    assert net.running_mean.tolist() == [0, 0, 0]  # type: ignore[union-attr]


def test_a_graph_that_has_saved_a_sparse_buffer_survives() -> None:
    net = nn.Module()
    net.register_buffer("edges", torch.eye(3).to_sparse().coalesce())
    x = torch.randn(3, 2, requires_grad=True)
    loss = torch.sparse.mm(net.edges, x).sum()
    with preserved(net):
        torch.sparse.mm(net.edges, x)
    loss.backward()
    assert x.grad is not None and x.grad.tolist() == [[1, 1]] * 3
