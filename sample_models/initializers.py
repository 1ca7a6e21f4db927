"""Initialisers of one's own, for ``--init``: functions of a module, as ``apply`` takes them, and of a tensor.

A function of a module is called for every module of a block, those without parameters too, so it looks at
what it is given. A function of a tensor changes it in place; its other arguments become fields of the form.
"""

from __future__ import annotations

import torch
from torch import nn


def init_normal(m: nn.Module) -> None:
    """Weights normal with standard deviation 0.01, biases zero."""
    if type(m) is nn.Linear:
        nn.init.normal_(m.weight, mean=0, std=0.01)
        nn.init.zeros_(m.bias)


def init_constant(m: nn.Module) -> None:
    """Weights one, biases zero."""
    if type(m) is nn.Linear:
        nn.init.constant_(m.weight, 1)
        nn.init.zeros_(m.bias)


def my_init(m: nn.Module) -> None:
    """Weights uniform from -10 to 10, those smaller than 5 set to zero."""
    if type(m) is nn.Linear:
        nn.init.uniform_(m.weight, -10, 10)
        m.weight.data *= m.weight.data.abs() >= 5


def rescale(tensor: torch.Tensor, std: float = 0.02) -> None:
    """Gives a tensor another standard deviation and leaves its pattern as it is."""
    tensor.mul_(std / tensor.std())
