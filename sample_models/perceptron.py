"""A perceptron with one hidden layer: the smallest network with parameters to look at.

Two linear layers, each with a weight and a bias, and a ReLU between them that has none. Its
parameters are named by their place in the `Sequential`: ``0.weight``, ``0.bias``, ``2.weight``, ``2.bias``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEACHES = "what parameters are: weight and bias of two linear layers"


def build() -> nn.Sequential:
    """The network."""
    return nn.Sequential(
        nn.Linear(4, 8),  # [batch, 4] -> [batch, 8]; weight [8, 4], bias [8]
        nn.ReLU(),  # [batch, 8] -> [batch, 8]; no parameters
        nn.Linear(8, 1),  # [batch, 8] -> [batch, 1]; weight [1, 8], bias [1]
    )


def example_inputs() -> tuple[Tensor, ...]:
    """Two rows of four features."""
    return (torch.rand(2, 4),)


def loss(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Mean square of the outputs: enough to give every parameter a gradient."""
    output: Tensor = model(*inputs)
    return output.square().mean()
