"""Gradients after parameters were tied and untied: whose they are, and from when."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from paramtui.core.edits import Tie, Untie
from paramtui.core.gradients import AWAY, BETWEEN, FINITE, FROZEN, NEWER, NOT_YET, RETIED, TIED, UNREACHED
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.engine.client import EngineSource
from tests.models.rewired import hosted

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.core.gradients import Figures, Gradients
    from paramtui.models.host import ModuleHost


def net() -> Any:
    """Two layers that are run, and one that is not."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one = nn.Linear(4, 4, bias=False)
            self.two = nn.Linear(4, 4, bias=False)
            self.idle = nn.Linear(4, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(x)).square()  # type: ignore[no-any-return]

    return Net()


class Run:
    """A host with what it says of one name after another."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.host: ModuleHost = hosted(model)

    def backward(self, *, accumulate: bool = False) -> None:
        self.host.backward("3x4", accumulate=accumulate)

    def at(self, name: str) -> tuple[str | None, int, str]:
        """State, places of then, and what came since."""
        gradients = self.host.gradients()
        tensor = self.host.listing.names.index(name)
        figure = gradients.figures[tensor]
        return gradients.state(tensor), figure.places, figure.since

    def norm(self, name: str) -> float | None:
        figures = self.host.gradients().figures
        return figures[self.host.listing.names.index(name)].norm


def test_the_gradient_of_before_is_not_called_a_sum_after_tying_and_is_one_after_the_next_pass() -> None:
    run = Run(net())
    run.backward()
    alone = run.norm("one.weight")
    run.host.apply(Tie("two.weight", "one.weight"))
    for name in ("one.weight", "two.weight"):
        assert run.at(name) == (FINITE, 1, TIED)
        assert run.norm(name) == alone == pytest.approx(run.model.one.weight.grad.norm().item())
    run.backward()
    assert run.at("two.weight") == run.at("one.weight") == (FINITE, 2, "")
    assert run.norm("two.weight") == pytest.approx(run.model.two.weight.grad.norm().item())


def test_a_parameter_that_was_untied_has_no_gradient_yet_and_is_not_called_unreached() -> None:
    model = net()
    model.two.weight = model.one.weight
    run = Run(model)
    run.backward()
    assert run.at("two.weight") == (FINITE, 2, "")
    run.host.apply(Untie(("two.weight",)))
    assert model.two.weight.grad is None
    assert run.at("two.weight") == (NEWER, 0, AWAY)
    assert run.at("one.weight") == (FINITE, 2, RETIED)
    assert run.at("idle.weight") == (UNREACHED, 1, "")
    run.host.undo()
    assert run.at("two.weight") == run.at("one.weight") == (FINITE, 2, "")
    run.host.redo()
    assert run.at("two.weight") == (NEWER, 0, AWAY)
    run.backward()
    assert run.at("two.weight") == run.at("one.weight") == (FINITE, 1, "")


def test_undoing_a_tie_after_a_pass_says_that_the_gradient_is_of_an_earlier_one() -> None:
    run = Run(net())
    run.backward()
    old = run.norm("two.weight")
    run.host.apply(Tie("two.weight", "one.weight"))
    run.host.undo()
    assert run.at("two.weight") == run.at("one.weight") == (FINITE, 1, "")
    run.host.redo()
    run.backward()
    run.host.undo()
    assert run.at("two.weight") == (FINITE, 1, AWAY)
    assert run.norm("two.weight") == old
    assert run.at("one.weight") == (FINITE, 2, RETIED)


def test_before_any_pass_an_untied_parameter_is_like_all_others() -> None:
    model = net()
    model.two.weight = model.one.weight
    run = Run(model)
    run.host.apply(Untie(("two.weight",)))
    assert run.at("two.weight")[0] == run.at("one.weight")[0] == NOT_YET
    run.backward()
    run.host.apply(Tie("two.weight", "one.weight"))
    run.host.zero_gradients()
    assert run.at("two.weight") == (NOT_YET, 2, "")


def test_what_was_not_reached_and_is_tied_to_what_is_used_waits_for_a_pass() -> None:
    run = Run(net())
    run.backward()
    run.host.apply(Tie("two.weight", "idle.weight"))
    assert run.at("idle.weight") == (NEWER, 1, TIED)
    run.backward()
    assert run.at("idle.weight") == (FINITE, 2, "")


def test_a_frozen_parameter_stays_frozen_whatever_is_tied_to_it() -> None:
    model = net()
    model.one.weight.requires_grad_(False)
    run = Run(model)
    run.backward()
    run.host.apply(Tie("two.weight", "one.weight"))
    assert model.two.weight.requires_grad is False
    assert run.at("two.weight")[0] == FROZEN


def test_passes_before_and_after_a_tie_that_are_added_up_are_called_so() -> None:
    run = Run(net())
    run.backward()
    first = run.model.one.weight.grad.clone()
    run.host.apply(Tie("two.weight", "one.weight"))
    run.backward(accumulate=True)
    assert run.at("two.weight") == (FINITE, 2, BETWEEN)
    both = run.model.one.weight.grad.clone()
    run.backward(accumulate=True)
    assert run.at("two.weight")[2] == BETWEEN
    run.backward()
    assert run.at("two.weight") == (FINITE, 2, "")
    assert not torch.equal(both, first)


def test_gradients_that_were_there_already_are_of_the_places_of_then() -> None:
    model = net()
    model.two.weight = model.one.weight
    model(torch.ones(1, 4)).sum().backward()
    run = Run(model)
    assert run.at("two.weight") == (FINITE, 2, "")
    run.host.apply(Tie("idle.weight", "one.weight"))
    assert run.at("idle.weight") == (FINITE, 2, TIED)


def test_what_is_remembered_of_a_parameter_does_not_keep_it() -> None:
    run = Run(net())
    run.backward()
    gone = weakref.ref(run.model.two.weight)
    run.model.two.weight = nn.Parameter(torch.ones(4, 4))
    run.backward()
    gc.collect()
    assert gone() is None


async def test_it_is_told_through_the_engine_too(tmp_path: Path) -> None:
    code = tmp_path / "tied_net.py"
    code.write_text(
        "import torch\n"
        "from torch import nn\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))\n"
        "    net[2].weight = net[0].weight\n"
        "    return net\n"
    )
    source = EngineSource(ModelTarget(str(code), str(code), "", ""), ModelOptions(), print).wait_open()
    try:

        def figure(gradients: Gradients, name: str) -> Figures:
            return gradients.figures[source.listing.names.index(name)]

        found = (await source.backward("3x4", accumulate=False)).gradients
        assert (figure(found, "2.weight").places, figure(found, "2.weight").since) == (2, "")
        found = (await source.apply(Untie(("2.weight",)))).gradients
        assert figure(found, "2.weight").since == AWAY
        found = (await source.apply(Tie("1.weight", "0.weight"))).gradients
        assert (figure(found, "1.weight").places, figure(found, "1.weight").since) == (2, RETIED)
    finally:
        source.close()
