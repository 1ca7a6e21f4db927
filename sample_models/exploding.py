"""A network whose gradient is NaN in one layer: what a division by zero on the way back looks like.

Each row of the first layer's output is divided by its length. A row of zeros has length 0: going forward, a
small number keeps the division finite, but the square root has an infinite slope at 0, and infinity times
zero is NaN. The layer before it gets NaN on the way back; the one behind it stays healthy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEACHES = "a gradient that is NaN in one layer"


class Normalize(nn.Module):
    """Divides each row by its length; the length is made safe too late."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows of length 1 for rows of shape [batch, 8]; rows of zeros stay zero."""
        length = x.square().sum(-1, keepdim=True).sqrt()  # [batch, 1]; its slope at 0 is infinite
        out: Tensor = x / (length + 1e-6)
        return out


def build() -> nn.Sequential:
    """The network; the bias of its first layer makes rows of zeros possible."""
    net = nn.Sequential(
        nn.Linear(4, 8),  # [batch, 4] -> [batch, 8]: its gradient is NaN
        Normalize(),  # no parameters; here it happens
        nn.ReLU(),
        nn.Linear(8, 2),  # [batch, 8] -> [batch, 2]: its gradient is finite
    )
    first = net[0]
    if isinstance(first, nn.Linear):
        nn.init.zeros_(first.bias)
    return net


def example_inputs() -> tuple[Tensor, ...]:
    """Two rows of four features, the second one all zeros."""
    return (torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]),)


def loss(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Mean square of the outputs."""
    output: Tensor = model(*inputs)
    return output.square().mean()
