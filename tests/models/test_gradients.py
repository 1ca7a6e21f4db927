"""One pass forward and backward leaves what autograd leaves, and figures that are torch's."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn

from paramtui.core.gradients import FINITE, FROZEN, INF, NAN, NOT_YET, UNREACHED, ZERO, Gradients
from paramtui.core.model_target import ModelOptions
from paramtui.errors import RunStoppedError, UserCodeError, ValuesError
from paramtui.models.gradients import gradient_figures, run_backward, sum_of_outputs
from paramtui.models.host import ModuleHost
from paramtui.models.inputs import Inputs
from paramtui.models.loading import Loaded
from paramtui.models.module_listing import list_module, parameter_owners


def inputs(*tensors: torch.Tensor) -> Inputs:
    return Inputs(tensors, {}, "given")


def measured(model: nn.Module) -> dict[str, Any]:
    listed = list_module(model, "m")
    figures = gradient_figures(listed, parameter_owners(listed))
    return {listed.listing.names[tensor]: figure for tensor, figure in figures.items()}


@dataclasses.dataclass
class Output:
    """As models return it."""

    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    note: str = "no tensor"


@pytest.mark.parametrize(
    "shape",
    [
        lambda y: y,
        lambda y: (y, y * 2, "text", None),
        lambda y: {"logits": y, "labels": torch.ones(3, dtype=torch.long), "deep": [y.exp()]},
        lambda y: Output(y, (y.sin(), y.detach())),
        lambda y: [y, y],
    ],
)
def test_the_sum_is_over_all_floating_outputs_each_once(shape: Any) -> None:
    y = torch.randn(3, 2, requires_grad=True)
    output = shape(y)
    expected = {
        "Tensor": y.sum(),
        "tuple": (y + y * 2).sum(),
        "dict": (y + y.exp()).sum(),
        "Output": (y + y.sin()).sum(),
        "list": y.sum(),
    }[type(output).__name__]
    assert torch.allclose(sum_of_outputs(output), expected)


def test_complex_outputs_and_many_halves_have_a_sum() -> None:
    z = torch.randn(3, dtype=torch.complex64, requires_grad=True)
    assert torch.allclose(sum_of_outputs(z), z.real.sum() + z.imag.sum())
    half = torch.full((70_000,), 10.0, dtype=torch.float16, requires_grad=True)
    assert sum_of_outputs(half).item() == 700_000.0


@pytest.mark.parametrize("output", [None, "text", {"ids": torch.ones(2, dtype=torch.long)}, torch.ones(2)])
def test_outputs_without_a_gradient_are_refused(output: object) -> None:
    with pytest.raises(ValuesError):
        sum_of_outputs(output)


def test_the_loss_of_the_person_s_own_is_used_and_checked() -> None:
    model = nn.Linear(3, 2)
    x = torch.randn(4, 3)

    def loss(net: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return net(batch).square().mean()  # type: ignore[no-any-return]

    value, words = run_backward(model, inputs(x), loss, "loss() of net.py", accumulate=False)
    other = nn.Linear(3, 2)
    other.load_state_dict(model.state_dict())
    expected = other(x).square().mean()
    expected.backward()
    assert value == pytest.approx(expected.item())
    assert words == "loss() of net.py"
    assert torch.equal(model.weight.grad, other.weight.grad)  # type: ignore[arg-type]
    _, words = run_backward(model, inputs(x), lambda net, batch: net(batch), "loss()", accumulate=False)
    assert words == "loss(), summed"
    for wrong in (lambda net, batch: 3.0, lambda net, batch: torch.ones(())):
        with pytest.raises(UserCodeError, match="returned a"):
            run_backward(model, inputs(x), wrong, "loss()", accumulate=False)


def test_a_pass_that_fails_or_is_stopped_leaves_every_gradient_as_it_was() -> None:
    error: BaseException

    class Breaks(torch.autograd.Function):
        @staticmethod
        def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 1

        @staticmethod
        def backward(_ctx: Any, *_grads: Any) -> Any:
            raise error

    class Net(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self[1](Breaks.apply(self[0](x)))  # type: ignore[no-any-return]

    model = Net(nn.Linear(2, 2), nn.Linear(2, 2))
    before = torch.full((2, 2), 3.0)
    model[1].weight.grad = before
    for raised, kind in ((ValueError("no"), UserCodeError), (KeyboardInterrupt(), RunStoppedError)):
        error = raised
        for accumulate in (False, True):
            with pytest.raises(kind):
                run_backward(model, inputs(torch.ones(1, 2)), None, "", accumulate=accumulate)
            assert model[1].weight.grad is before
            assert before.tolist() == [[3.0, 3.0], [3.0, 3.0]]
            assert model[0].weight.grad is None


def test_hooks_stay_and_fire_once() -> None:
    model = nn.Linear(2, 2)
    fired: list[str] = []
    model.register_forward_hook(lambda *_: fired.append("forward"))
    model.register_full_backward_hook(lambda *_: fired.append("backward"))
    model.weight.register_hook(lambda _: fired.append("weight"))
    tables = [len(model._forward_hooks), len(model._backward_hooks)]
    run_backward(model, inputs(torch.ones(1, 2)), None, "", accumulate=False)
    assert sorted(fired) == ["backward", "forward", "weight"]
    assert [len(model._forward_hooks), len(model._backward_hooks)] == tables


def test_figures_are_those_of_torch_for_every_kind_of_gradient() -> None:
    model: Any = nn.Module()
    model.sparse = nn.Embedding(6, 3, sparse=True)
    model.narrow = nn.Linear(4, 4).to(torch.bfloat16)
    model.waves = nn.Linear(2, 2, dtype=torch.complex64)
    model.large = nn.Parameter(torch.ones(3, dtype=torch.float64))
    model.empty = nn.Parameter(torch.empty(0))
    model.shared = model.narrow
    model.sparse(torch.tensor([1, 1, 4])).sum().backward()
    model.narrow(torch.ones(2, 4, dtype=torch.bfloat16)).sum().backward()
    model.waves(torch.ones(1, 2, dtype=torch.complex64)).abs().sum().backward()
    (model.large * 1e200).sum().backward()
    model.empty.grad = torch.empty(0)
    found = measured(model)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        figure, gradient = found[name], parameter.grad
        assert gradient is not None
        dense = gradient.to_dense() if gradient.is_sparse else gradient
        wide = torch.view_as_real(dense).double() if dense.is_complex() else dense.double()
        expected = wide.norm().item()
        assert figure.norm == pytest.approx(expected, rel=1e-6) or math.isinf(expected)
        assert figure.zero == int((dense == 0).sum())
        assert figure.numel == dense.numel()
        assert (figure.nan, figure.inf) == (0, 0)
        if dense.numel():
            assert figure.max_abs == pytest.approx(dense.abs().max().item(), rel=1e-6)
    assert found["shared.weight"] == found["narrow.weight"]
    assert found["sparse.weight"].zero == 12


def test_states_are_told_apart() -> None:
    names = ("not", "frozen", "zero", "nan", "inf", "fine")
    model = nn.ParameterDict({name: nn.Parameter(torch.ones(2)) for name in names})
    model["frozen"].requires_grad_(requires_grad=False)

    def states() -> list[str | None]:
        found = measured(model)
        gradients = Gradients(0, None, "", "", None, {place: found[name] for place, name in enumerate(names)})
        return [gradients.state(place) for place in range(len(names))]

    assert states() == [NOT_YET, FROZEN, NOT_YET, NOT_YET, NOT_YET, NOT_YET]
    for name, value in {"zero": 0.0, "nan": math.nan, "inf": math.inf, "fine": 0.5}.items():
        model[name].grad = torch.tensor([value, 0.0])
    assert states() == [UNREACHED, FROZEN, ZERO, NAN, INF, FINITE]


def test_a_block_s_norm_counts_a_shared_parameter_once() -> None:
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, shared, nn.Linear(3, 1))
    model(torch.randn(4, 3)).sum().backward()
    listed = list_module(model, "m")
    gradients = Gradients(1, 0.0, "", "", 0, gradient_figures(listed, parameter_owners(listed)))
    expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item()  # type: ignore[union-attr]
    assert gradients.block_norm(range(len(listed.tensors))) == pytest.approx(expected, rel=1e-6)
    assert gradients.block_norm([]) is None


def test_passes_are_seeded_and_the_random_state_of_before_is_back() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    host = ModuleHost(Loaded(model, None, "", "", called=False), "m", ModelOptions(seed=5))
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = host.backward(None, accumulate=False).gradients
    assert torch.equal(torch.rand(3), expected)
    again = host.backward(None, accumulate=False).gradients
    assert again.figures == first.figures
    assert first.seed == again.seed == 5
    more = host.backward(None, accumulate=True).gradients
    # Another pass drops other numbers.
    assert (more.passes, more.seed) == (2, 6)
    assert more.figures != first.figures
