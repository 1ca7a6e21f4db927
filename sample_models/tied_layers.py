"""One layer used twice: parameters that are shared, counted once and trained by both uses.

``net[2]`` and ``net[4]`` are the same `Linear`. Changing ``net[2].weight`` changes ``net[4].weight``, and its
gradient is the sum of what both places contribute.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEACHES = "tied parameters: one layer at two places"


def build() -> nn.Sequential:
    """The network; its third and fifth entry are one module."""
    shared = nn.Linear(8, 8)  # weight [8, 8], bias [8]
    return nn.Sequential(
        nn.Linear(4, 8),  # [batch, 4] -> [batch, 8]
        nn.ReLU(),
        shared,  # [batch, 8] -> [batch, 8]
        nn.ReLU(),
        shared,  # [batch, 8] -> [batch, 8], the same weights again
        nn.ReLU(),
        nn.Linear(8, 1),  # [batch, 8] -> [batch, 1]
    )


def example_inputs() -> tuple[Tensor, ...]:
    """Two rows of four features."""
    return (torch.rand(2, 4),)


def loss(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Mean square of the outputs."""
    output: Tensor = model(*inputs)
    return output.square().mean()
