"""The arithmetic of ``torch.nn.init`` without torch: fans, gains, and how wide each initialiser spreads.

Sources: Glorot and Bengio 2010 (Xavier), He et al. 2015 (Kaiming), Saxe et al. 2013 (orthogonal), and
``torch/nn/init.py`` for defaults, the gains of ``calculate_gain`` and what each function writes.
"""

from __future__ import annotations

from math import ceil, erfc, exp, isfinite, pi, prod, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LINEAR: Final = (
    "linear",
    "sigmoid",
    *(f"conv{n}d" for n in (1, 2, 3)),
    *(f"conv_transpose{n}d" for n in (1, 2, 3)),
)
DEFAULT_SLOPE: Final = 0.01
"""Of leaky_relu, where `gain` is given none."""


class Spread(NamedTuple):
    """Where numbers lie: their mean and their standard deviation (of the population, not of a sample)."""

    mean: float
    std: float


def fans(shape: Sequence[int]) -> tuple[int, int] | None:
    """Fan-in and fan-out of a weight, as ``_calculate_fan_in_and_fan_out``; None below 2 dimensions."""
    if len(shape) < 2:
        return None
    field = prod(shape[2:])
    return shape[1] * field, shape[0] * field


def gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity's weights are scaled, as ``calculate_gain``.

    Args:
        nonlinearity: Its name in ``torch.nn.functional``.
        param: The negative slope of ``leaky_relu``; others have none.

    Raises:
        ValueError: PyTorch knows no gain for it.
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity == "relu":
        return sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = DEFAULT_SLOPE if param is None else param
        return sqrt(2 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3 / 4
    raise ValueError(f"no gain is known for {nonlinearity}")


def spread(name: str, arguments: Mapping[str, object], shape: Sequence[int]) -> Spread | None:
    """Mean and standard deviation of what an initialiser writes into a tensor.

    Of random ones they are the distribution's; of ``eye_``, ``dirac_`` and constants, which have no chance in
    them, those of the elements.

    Args:
        name: Of a function of ``torch.nn.init``, such as ``kaiming_uniform_``.
        arguments: Its arguments by name; those left out have their defaults.
        shape: Of the tensor.

    Returns:
        None for other functions, for a shape that the function refuses or that has no elements, and where
        arguments are no finite numbers or out of their range.
    """
    formula = _FORMULAS.get(name)
    if formula is None or 0 in shape:
        return None
    try:
        found = formula(arguments, shape)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return found if found is not None and isfinite(found.mean) and isfinite(found.std) else None


def _argument(arguments: Mapping[str, object], name: str, default: float | None = None) -> float:
    found = arguments.get(name, default)
    if not isinstance(found, int | float):
        raise TypeError(name)
    return float(found)


def _mixed(weight: float, inner: Spread) -> Spread:
    """A share `weight` of numbers spread like `inner`, the others 0."""
    mean = weight * inner.mean
    return Spread(mean, sqrt(max(weight * (inner.std**2 + inner.mean**2) - mean**2, 0.0)))


def _constant(value: float) -> Callable[[Mapping[str, object], Sequence[int]], Spread]:
    return lambda _arguments, _shape: Spread(value, 0.0)


def _given(arguments: Mapping[str, object], _shape: Sequence[int]) -> Spread:
    return Spread(_argument(arguments, "val"), 0.0)


def _uniform(arguments: Mapping[str, object], _shape: Sequence[int]) -> Spread | None:
    low, high = _argument(arguments, "a", 0.0), _argument(arguments, "b", 1.0)
    return Spread((low + high) / 2, (high - low) / sqrt(12)) if low <= high else None


def _normal(arguments: Mapping[str, object], _shape: Sequence[int]) -> Spread | None:
    std = _argument(arguments, "std", 1.0)
    return Spread(_argument(arguments, "mean", 0.0), std) if std >= 0 else None


def _truncated(arguments: Mapping[str, object], _shape: Sequence[int]) -> Spread | None:
    mean, std = _argument(arguments, "mean", 0.0), _argument(arguments, "std", 1.0)
    low, high = _argument(arguments, "a", -2.0), _argument(arguments, "b", 2.0)
    if not (low < high and std > 0):
        return None
    return truncated_normal(mean, std, low, high)


def truncated_normal(mean: float, std: float, low: float, high: float) -> Spread | None:
    """A normal distribution of which only what lies from `low` to `high` is kept.

    With alpha and beta the bounds in units of `std`, phi the density and Z the share that is kept
    (Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions, 13.10.1)::

        mean' = mean + std * (phi(alpha) - phi(beta)) / Z
        var'  = std^2 * (1 + (alpha*phi(alpha) - beta*phi(beta)) / Z - ((phi(alpha) - phi(beta)) / Z)^2)

    Returns:
        None where the bounds lie so far out that float64 cannot tell how much is kept.
    """
    alpha, beta = (low - mean) / std, (high - mean) / std
    if max(abs(alpha), abs(beta), 1.0) * (beta - alpha) < 1e-3:
        # Between bounds this close the density is as good as constant, and the formula loses its digits.
        return Spread((low + high) / 2, (high - low) / sqrt(12))
    if alpha > 0:
        # In the upper tail 1 - Phi is the small number; the mirror image has the same in the lower one.
        mirrored = truncated_normal(-mean, std, -high, -low)
        return mirrored and Spread(-mirrored.mean, mirrored.std)
    kept = _below(beta) - _below(alpha)
    if kept < 1e-290:
        return None
    at_alpha, at_beta = _density(alpha), _density(beta)
    shift = (at_alpha - at_beta) / kept
    ends = (alpha * at_alpha if at_alpha else 0.0) - (beta * at_beta if at_beta else 0.0)
    variance = 1 + ends / kept - shift**2
    return Spread(mean + std * shift, std * sqrt(max(variance, 0.0)))


def _density(place: float) -> float:
    return exp(-place * place / 2) / sqrt(2 * pi)


def _below(place: float) -> float:
    return erfc(-place / sqrt(2)) / 2


def _xavier(arguments: Mapping[str, object], shape: Sequence[int]) -> Spread | None:
    found = fans(shape)
    return found and Spread(0.0, abs(_argument(arguments, "gain", 1.0)) * sqrt(2 / sum(found)))


def _kaiming(arguments: Mapping[str, object], shape: Sequence[int]) -> Spread | None:
    found = fans(shape)
    mode = str(arguments.get("mode", "fan_in")).lower()
    if found is None or mode not in ("fan_in", "fan_out"):
        return None
    nonlinearity = str(arguments.get("nonlinearity", "leaky_relu"))
    factor = gain(nonlinearity, _argument(arguments, "a", 0.0))
    return Spread(0.0, factor / sqrt(found[mode == "fan_out"]))


def _eye(_arguments: Mapping[str, object], shape: Sequence[int]) -> Spread | None:
    return _mixed(1 / max(shape), Spread(1.0, 0.0)) if len(shape) == 2 else None


def _dirac(arguments: Mapping[str, object], shape: Sequence[int]) -> Spread | None:
    groups = arguments.get("groups", 1)
    if len(shape) not in (3, 4, 5) or not isinstance(groups, int) or groups < 1 or shape[0] % groups:
        return None
    ones = groups * min(shape[0] // groups, shape[1])
    return _mixed(ones / prod(shape), Spread(1.0, 0.0))


def _orthogonal(arguments: Mapping[str, object], shape: Sequence[int]) -> Spread | None:
    """Rows (or columns) of length `gain`: the mean square of an element is fixed, its mean 0 by symmetry."""
    if len(shape) < 2:
        return None
    rows, columns = shape[0], prod(shape[1:])
    return Spread(0.0, abs(_argument(arguments, "gain", 1.0)) / sqrt(max(rows, columns)))


def _sparse(arguments: Mapping[str, object], shape: Sequence[int]) -> Spread | None:
    if len(shape) != 2:
        return None
    zeros = min(max(ceil(_argument(arguments, "sparsity") * shape[0]), 0), shape[0])
    return _mixed(1 - zeros / shape[0], Spread(0.0, _argument(arguments, "std", 0.01)))


_FORMULAS: Final[dict[str, Callable[[Mapping[str, object], Sequence[int]], Spread | None]]] = {
    "uniform_": _uniform,
    "normal_": _normal,
    "trunc_normal_": _truncated,
    "constant_": _given,
    "ones_": _constant(1.0),
    "zeros_": _constant(0.0),
    "eye_": _eye,
    "dirac_": _dirac,
    "xavier_uniform_": _xavier,
    "xavier_normal_": _xavier,
    "kaiming_uniform_": _kaiming,
    "kaiming_normal_": _kaiming,
    "orthogonal_": _orthogonal,
    "sparse_": _sparse,
}
