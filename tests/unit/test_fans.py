"""The arithmetic of initialisers gives what torch computes, and what its initialisers write."""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import pytest
import torch
from torch.nn import init

from paramtui.core.fans import Spread, fans, gain, spread, truncated_normal

LARGE = (400, 300)

RANDOM: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("uniform_", {}, LARGE),
    ("uniform_", {"a": -3.0, "b": 0.5}, LARGE),
    ("normal_", {}, LARGE),
    ("normal_", {"mean": 4, "std": 0.02}, LARGE),
    ("trunc_normal_", {}, LARGE),
    ("trunc_normal_", {"std": 0.02}, LARGE),
    ("trunc_normal_", {"mean": 1.0, "std": 2.0, "a": -1.0, "b": 2.0}, LARGE),
    ("trunc_normal_", {"mean": 0.0, "std": 1.0, "a": 1.5, "b": 4.0}, LARGE),
    ("trunc_normal_", {"mean": 0.0, "std": 1.0, "a": -4.0, "b": -1.5}, LARGE),
    ("trunc_normal_", {"std": 1000.0}, LARGE),
    ("trunc_normal_", {"a": -inf, "b": 0.0}, LARGE),
    ("xavier_uniform_", {}, (64, 32, 5, 3)),
    ("xavier_uniform_", {"gain": 5 / 3}, (100, 900)),
    ("xavier_normal_", {"gain": 0.5}, LARGE),
    ("kaiming_uniform_", {}, LARGE),
    ("kaiming_uniform_", {"a": sqrt(5)}, (128, 64, 3, 3)),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}, (100, 900)),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}, (64, 32, 5, 3)),
    ("kaiming_normal_", {"a": 0.3, "nonlinearity": "leaky_relu"}, LARGE),
    ("kaiming_normal_", {"a": 0.3, "nonlinearity": "selu"}, LARGE),
    ("orthogonal_", {}, LARGE),
    ("orthogonal_", {"gain": 2.0}, (90, 30, 3, 5)),
    ("sparse_", {"sparsity": 0.25}, LARGE),
    ("sparse_", {"sparsity": 0.9, "std": 3.0}, LARGE),
]
EXACT: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("constant_", {"val": -2.5}, (3, 4)),
    ("constant_", {"val": 7}, ()),
    ("ones_", {}, (5,)),
    ("zeros_", {}, (5, 2)),
    ("eye_", {}, (3, 7)),
    ("eye_", {}, (6, 6)),
    ("eye_", {}, (1, 1)),
    ("dirac_", {}, (4, 6, 3)),
    ("dirac_", {}, (6, 4, 3, 2)),
    ("dirac_", {"groups": 3}, (9, 2, 3, 3, 3)),
    ("dirac_", {"groups": 2}, (4, 5, 1)),
]


def written(name: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> torch.Tensor:
    torch.manual_seed(0)
    tensor = torch.empty(shape, dtype=torch.float64)
    getattr(init, name)(tensor, **arguments)
    return tensor


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize(("name", "arguments", "shape"), RANDOM)
def test_random_initialisers_write_numbers_with_this_mean_and_spread(
    name: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    tensor = written(name, arguments, shape)
    found = spread(name, arguments, shape)
    assert found is not None
    assert tensor.std(correction=0).item() == pytest.approx(found.std, rel=0.02)
    assert abs(tensor.mean().item() - found.mean) < 5 * found.std / sqrt(tensor.numel())


@pytest.mark.parametrize(("name", "arguments", "shape"), EXACT)
def test_initialisers_without_chance_have_exactly_this_mean_and_spread(
    name: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    tensor = written(name, arguments, shape)
    found = spread(name, arguments, shape)
    assert found is not None
    assert found.mean == pytest.approx(tensor.mean().item(), rel=1e-14)
    assert found.std == pytest.approx(tensor.std(correction=0).item(), rel=1e-12, abs=1e-15)


def test_every_initialiser_of_torch_has_a_spread() -> None:
    public = {name for name in dir(init) if name.endswith("_") and not name.startswith("_")}
    assert public == {name for name, _, _ in [*RANDOM, *EXACT]}


@pytest.mark.parametrize("shape", [(3, 4), (8, 2, 3), (5, 4, 3, 2), (2, 3, 4, 5, 6), (1, 1), (0, 4)])
def test_fans_are_those_of_torch(shape: tuple[int, ...]) -> None:
    assert fans(shape) == init._calculate_fan_in_and_fan_out(torch.empty(shape))


@pytest.mark.parametrize("shape", [(), (7,)])
def test_fewer_than_two_dimensions_have_no_fans(shape: tuple[int, ...]) -> None:
    assert fans(shape) is None
    for name in ("xavier_normal_", "kaiming_uniform_", "orthogonal_", "eye_", "dirac_", "sparse_"):
        assert spread(name, {"sparsity": 0.1}, shape) is None


@pytest.mark.parametrize("param", [None, 0, 0.2, -1.5])
@pytest.mark.parametrize(
    "nonlinearity",
    [
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
        "sigmoid", "tanh", "relu", "leaky_relu", "selu",
    ],
)  # fmt: skip
def test_gains_are_those_of_torch(nonlinearity: Any, param: float | None) -> None:
    assert gain(nonlinearity, param) == init.calculate_gain(nonlinearity, param)


def test_a_nonlinearity_without_a_gain_is_refused_as_torch_refuses_it() -> None:
    with pytest.raises(ValueError, match="no gain is known for gelu"):
        gain("gelu")
    assert spread("kaiming_normal_", {"nonlinearity": "gelu"}, (3, 4)) is None


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("glorot_", {}, (3, 4)),
        ("normal_", {}, (0, 4)),
        ("normal_", {"std": "wide"}, (3, 4)),
        ("normal_", {"std": -1.0}, (3, 4)),
        ("normal_", {"mean": inf}, (3, 4)),
        ("uniform_", {"a": 2.0, "b": 1.0}, (3, 4)),
        ("uniform_", {"a": -inf}, (3, 4)),
        ("trunc_normal_", {"std": 0.0}, (3, 4)),
        ("trunc_normal_", {"a": 1.0, "b": 0.0}, (3, 4)),
        ("trunc_normal_", {"a": 900.0, "b": 901.0}, (3, 4)),
        ("constant_", {}, (3, 4)),
        ("sparse_", {}, (3, 4)),
        ("kaiming_normal_", {"mode": "fan_both"}, (3, 4)),
        ("dirac_", {"groups": 3}, (4, 4, 3)),
        ("dirac_", {"groups": 0}, (4, 4, 3)),
        ("dirac_", {}, (4, 4)),
        ("eye_", {}, (4, 4, 4)),
    ],
)
def test_what_has_no_spread_has_none(name: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    assert spread(name, arguments, shape) is None


def test_a_normal_distribution_cut_far_out_or_tightly_keeps_its_digits() -> None:
    assert truncated_normal(0, 1, -40, 40) == Spread(0.0, 1.0)
    # Half a normal distribution: mean sqrt(2/pi), variance 1 - 2/pi.
    half = truncated_normal(0, 1, 0, inf)
    assert half is not None
    assert half.mean == pytest.approx(sqrt(2 / torch.pi), rel=1e-12)
    assert half.std == pytest.approx(sqrt(1 - 2 / torch.pi), rel=1e-12)
    for low, high in ((1.0, 1.0005), (1.0, 1.002), (-0.0005, 0.0005), (5.0, 9.0), (-9.0, -5.0), (20.0, 25.0)):
        found = truncated_normal(0, 1, low, high)
        assert found is not None
        places = torch.linspace(low, high, 200_001, dtype=torch.float64)
        nearest = min(abs(low), abs(high))
        weights = torch.exp((nearest**2 - places**2) / 2)
        weights[[0, -1]] /= 2
        mean = (weights * places).sum() / weights.sum()
        variance = (weights * (places - mean) ** 2).sum() / weights.sum()
        assert found.mean == pytest.approx(mean.item(), rel=1e-6, abs=1e-9)
        assert found.std == pytest.approx(variance.sqrt().item(), rel=1e-4)
