"""Blocks within blocks: how parameters are reached in a network made of parts.

Four equal blocks, named ``block 0`` to ``block 3``, inside one more, and a linear layer behind them. A
parameter's name is the path to it: ``0.block 1.2.weight``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEACHES = "how names lead to parameters in nested blocks"


def block1() -> nn.Sequential:
    """Two linear layers: four features in, four out."""
    return nn.Sequential(
        nn.Linear(4, 8),  # [batch, 4] -> [batch, 8]
        nn.ReLU(),
        nn.Linear(8, 4),  # [batch, 8] -> [batch, 4]
        nn.ReLU(),
    )


def block2() -> nn.Sequential:
    """Four blocks in a row, each with a name of its own."""
    net = nn.Sequential()
    for index in range(4):
        net.add_module(f"block {index}", block1())  # [batch, 4] -> [batch, 4]
    return net


def build() -> nn.Sequential:
    """The network."""
    return nn.Sequential(
        block2(),  # [batch, 4] -> [batch, 4]
        nn.Linear(4, 1),  # [batch, 4] -> [batch, 1]
    )


def example_inputs() -> tuple[Tensor, ...]:
    """Two rows of four features."""
    return (torch.rand(2, 4),)


def loss(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Mean square of the outputs."""
    output: Tensor = model(*inputs)
    return output.square().mean()
