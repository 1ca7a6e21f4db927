from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from paramtui.models.state_guard import preserved, seed_all


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
