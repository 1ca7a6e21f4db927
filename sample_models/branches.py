"""A network with a frozen branch and one that is never reached: three ways of having no gradient.

``encoder`` is frozen (``requires_grad`` is False), as a pretrained part would be. ``auxiliary`` is built and
listed but never called, so backward does not reach it: its ``.grad`` stays None. ``gate`` is called, and
multiplied by zero: its gradient exists and is zero everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEACHES = "frozen, unreached and zero gradients, side by side"


class Branches(nn.Module):
    """Four features in, two out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 8)  # frozen below
        self.head = nn.Linear(8, 2)  # trained
        self.gate = nn.Linear(8, 2)  # counts for nothing: its gradient is exactly zero
        self.auxiliary = nn.Linear(8, 2)  # never called: its gradient is None
        self.encoder.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of shape [batch, 2] for rows of shape [batch, 4]."""
        x = self.encoder(x).relu()  # [batch, 8]
        out: Tensor = self.head(x) + 0.0 * self.gate(x)  # [batch, 2]
        return out


def build() -> Branches:
    """The network."""
    return Branches()


def example_inputs() -> tuple[Tensor, ...]:
    """Two rows of four features."""
    return (torch.rand(2, 4),)


def loss(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Mean square of the outputs."""
    output: Tensor = model(*inputs)
    return output.square().mean()
