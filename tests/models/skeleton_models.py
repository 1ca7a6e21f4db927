"""Models and functions of a module that the tests of rebuilt blocks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sample_models import (
    branches,
    convnet,
    exploding,
    nested_blocks,
    perceptron,
    tied_layers,
    tied_transformer,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Residual(nn.Module):
    """A block of a ResNet."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer))


class Speech(nn.Module):
    """Embeddings with padding, two recurrent layers, and cells."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 6, padding_idx=2)
        self.encoder = nn.LSTM(6, 5, num_layers=2, bidirectional=True, dropout=0.1)
        self.decoder = nn.GRU(10, 4, bias=False)
        self.plain = nn.RNN(4, 3, nonlinearity="relu")
        self.projected = nn.LSTM(3, 5, proj_size=2)
        self.cell = nn.LSTMCell(2, 3)
        self.ln = nn.LayerNorm(3, eps=1e-3)
        self.lm_head = nn.Linear(3, 9, bias=False)


class Twice(nn.Module):
    """One layer in two blocks, where ``apply`` visits it twice, and a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
        self.second = nn.Sequential(self.first[0], nn.Linear(3, 4))
        self.embed_tokens = nn.Embedding(7, 4)
        self.lm_head = nn.Linear(4, 7, bias=False)
        self.lm_head.weight = self.embed_tokens.weight


class Odd(nn.Module):
    """Layers that only a whole module tells, and a parameter of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 2, stride=2, groups=1, bias=False)
        self.depthwise = nn.Conv2d(4, 4, 3, padding="same", groups=4, padding_mode="reflect")
        self.norms = nn.ModuleDict(
            {"group": nn.GroupNorm(2, 4), "instance": nn.InstanceNorm1d(4, affine=True)}
        )
        self.rms = nn.RMSNorm(4)
        self.prelu = nn.PReLU(4, init=0.5)
        self.pair = nn.Bilinear(2, 3, 4)
        self.bag = nn.EmbeddingBag(5, 3, padding_idx=1)
        self.bare = nn.LayerNorm((2, 2), elementwise_affine=False)
        self.attention = nn.MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True)
        self.scales = nn.ParameterList([torch.randn(2), torch.randn(3)])
        self.named = nn.ParameterDict({"a": torch.randn(2)})
        self.token = nn.Parameter(torch.randn(1, 4), requires_grad=False)
        self.last = nn.Linear(4, 4)
        self.last.bias.requires_grad_(False)
        self.register_buffer("steps", torch.arange(3))


ZOO: dict[str, Callable[[], nn.Module]] = {
    "perceptron": perceptron.build,
    "nested": nested_blocks.build,
    "tied": tied_layers.build,
    "branches": branches.build,
    "convnet": convnet.build,
    "exploding": exploding.build,
    "transformer": tied_transformer.build,
    "resnet": lambda: nn.Sequential(Residual(3, 8), Residual(8, 16), nn.Flatten(), nn.Linear(16, 10)),
    "speech": Speech,
    "twice": Twice,
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False
    ),
    "linear": lambda: nn.Linear(3, 2),
    "odd": Odd,
}
# What a state dict does not tell, and a whole module does.
REFUSED = {
    "transformer": {"": "positions"},
    "odd": {
        "": "token",
        "up": "transposed",
        "norms": "norms.group: ",
        "norms.group": "LayerNorm",
        "norms.instance": "LayerNorm",
        "rms": "RMSNorm",
        "prelu": "PReLU",
        "bag": "Embedding",
        "pair": "Bilinear",
        "scales": "scales: holds 0, 1 ",
        "named": "named: holds a ",
    },
}


def init_normal(m: Any) -> None:
    if type(m) is nn.Linear:
        nn.init.normal_(m.weight, mean=0, std=0.01)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


def init_constant(m: Any) -> None:
    if type(m) is nn.Linear:
        nn.init.constant_(m.weight, 1)


def my_init(m: Any) -> None:
    if type(m) is nn.Linear:
        nn.init.uniform_(m.weight, -10, 10)
        m.weight.data *= m.weight.data.abs() >= 5


def xavier(m: Any) -> None:
    if isinstance(m, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(m.weight)
    if isinstance(m, nn.GRU | nn.LSTM):
        for name in m._flat_weights_names:
            if "weight" in name:
                nn.init.xavier_uniform_(m.get_parameter(name))


def init_weights(m: Any) -> None:
    """As transformers' PreTrainedModel._init_weights."""
    if isinstance(m, nn.Linear):
        m.weight.data.normal_(mean=0.0, std=0.02 * getattr(m, "SCALE", 1))
        if m.bias is not None:
            m.bias.data.zero_()
    elif isinstance(m, nn.Embedding):
        m.weight.data.normal_(mean=0.0, std=0.02)
        if m.padding_idx is not None:
            m.weight.data[m.padding_idx].zero_()
    elif isinstance(m, nn.LayerNorm) and m.elementwise_affine:
        m.bias.data.zero_()
        m.weight.data.fill_(1.0)


def reset(m: Any) -> None:
    if hasattr(m, "reset_parameters"):
        m.reset_parameters()


def by_class_name(m: Any) -> None:
    """As PyTorch's DCGAN example; a model's own class can have a name like those."""
    name = m.__class__.__name__
    if name.find("Conv") != -1 and hasattr(m, "weight"):
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


def every_parameter(m: Any) -> None:
    for parameter in m.parameters(recurse=False):
        nn.init.normal_(parameter)


FUNCTIONS = (
    init_normal, init_constant, my_init, xavier, init_weights, reset, by_class_name, every_parameter,
)  # fmt: skip
