"""A small change in a large model costs what the change costs, not what the model does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from paramtui.core.edits import ApplyFunction, Call, Initialise, SetCells, Step
from paramtui.core.model_target import ModelOptions
from paramtui.models import gradients, host, snapshots
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded


def opened(net: nn.Module) -> ModuleHost:
    found = ModuleHost(Loaded(net, None, "", "", called=False), "net", ModelOptions())
    found.gradients()
    return found


def network() -> Any:
    net: Any = nn.Sequential(*(nn.Linear(8, 8) for _ in range(300)))
    net[7].weight = net[5].weight
    for parameter in net.parameters():
        parameter.grad = torch.rand_like(parameter)
    return net


def test_only_the_figures_of_what_has_changed_are_worked_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    held = opened(net)
    measured: list[int] = []
    own = gradients._figures

    def counting(parameter: Any, owner: int) -> Any:
        measured.append(owner)
        return own(parameter, owner)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model was listed anew")

    monkeypatch.setattr(gradients, "_figures", counting)
    monkeypatch.setattr(host, "list_module", never)
    names = held.listing.names
    shared = [names.index("5.weight"), names.index("7.weight")]
    for work in (
        lambda: held.apply(SetCells("7.weight", "0", "=", 3.0)),
        held.undo,
        held.redo,
        lambda: held.apply(Initialise((Step("7.weight", Call("zeros_")),), 0)),
    ):
        measured.clear()
        figures = work().gradients.figures
        assert measured == shared[:1]
        norm = net[5].weight.double().norm().item()
        assert [figures[each].weight_norm for each in shared] == [pytest.approx(norm)] * 2
        exact = {name: parameter.double().norm().item() for name, parameter in net.named_parameters()}
        assert all(
            figures[names.index(name)].weight_norm == pytest.approx(norm) for name, norm in exact.items()
        )
        assert all(figures[names.index(name)].norm for name in exact)


def test_a_function_that_changes_gradients_is_measured_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    held = opened(net)
    before = held.gradients().figures

    def reset(self: nn.Linear) -> None:
        self.weight.grad.mul_(2)  # type: ignore[union-attr]

    monkeypatch.setattr(nn.Linear, "reset_parameters", reset)
    figures = held.apply(ApplyFunction("2", Call("reset_parameters"), 0)).gradients.figures
    place = held.listing.names.index("2.weight")
    assert figures[place].norm == pytest.approx(2 * before[place].norm)  # type: ignore[operator]
    undone = held.undo().gradients.figures
    assert undone == before


def test_setting_one_number_keeps_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    held = opened(nn.Linear(1000, 1000))
    kept: list[int] = []
    own = snapshots.Snapshot.__init__

    def counting(self: snapshots.Snapshot, regions: list[snapshots.Region]) -> None:
        own(self, regions)
        kept.append(self.nbytes)

    monkeypatch.setattr(snapshots.Snapshot, "__init__", counting)
    held.apply(SetCells("weight", "7, 9", "=", 3.0))
    held.apply(SetCells("weight", "7", "=", 3.0))
    assert kept == [4, 4000]
    # All that a function can reach is kept while it runs, and afterwards what it has changed.
    held.apply(ApplyFunction("", Call("reset_parameters"), 0))
    assert kept[-1] == 4 * (1_000_000 + 1000)


@pytest.mark.parametrize("whole", [True, False])
def test_memory_that_lies_in_other_memory_is_kept_once(whole: bool) -> None:
    import numpy as np

    base = np.zeros(1000, np.float32)
    pieces = [torch.from_numpy(base[at : at + 600]) for at in (0, 200, 400)]
    kept = snapshots.Snapshot(snapshots.regions_of(pieces, whole=whole))
    assert kept.nbytes == 4000
    base[:] = np.arange(1000)
    for number in (0, 1, 0, 1):
        kept.swap()
        np.testing.assert_array_equal(base, np.arange(1000) * number)
