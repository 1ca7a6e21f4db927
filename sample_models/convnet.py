"""A convolutional network with batch normalisation: parameters are trained, buffers are remembered.

``running_mean`` and ``running_var`` are buffers: saved with the network, moved with it, not trained. The
mean that pictures are shifted by is a buffer too, but not a persistent one, so no checkpoint holds it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEACHES = "buffers beside parameters, in a convolutional net"


class ConvNet(nn.Module):
    """Pictures of 16 x 16 pixels in, ten scores out."""

    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.full((3, 1, 1), 0.5), persistent=False)
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, padding=1)  # weight [8, 3, 3, 3], bias [8]
        self.bn1 = nn.BatchNorm2d(8)  # weight, bias, running_mean, running_var [8]
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding=1)  # weight [16, 8, 3, 3]
        self.bn2 = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(2)  # no parameters
        self.classify = nn.Linear(16, 10)  # weight [10, 16]

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores of shape [batch, 10] for pictures of shape [batch, 3, 16, 16]."""
        x = pictures - self.shift  # [batch, 3, 16, 16]
        x = self.pool(self.bn1(self.conv1(x)).relu())  # [batch, 8, 8, 8]
        x = self.pool(self.bn2(self.conv2(x)).relu())  # [batch, 16, 4, 4]
        out: Tensor = self.classify(x.mean((2, 3)))  # [batch, 16] -> [batch, 10]
        return out


def build() -> ConvNet:
    """The network."""
    return ConvNet()


def example_inputs() -> tuple[Tensor, ...]:
    """Two pictures."""
    return (torch.rand(2, 3, 16, 16),)


def loss(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Mean square of the scores."""
    output: Tensor = model(*inputs)
    return output.square().mean()
