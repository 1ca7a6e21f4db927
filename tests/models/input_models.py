"""Small models of many kinds, and the inputs that are to be found for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations


class Lenet(nn.Module):
    """Takes pictures of 28 x 28 and no others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.out = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = nn.functional.max_pool2d
        return self.out(pool(self.conv2(pool(self.conv1(x), 2)), 2).flatten(1))  # type: ignore[no-any-return]


class TwoBranches(nn.Module):
    """Two arguments of different width."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(5, 4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.left(x) + self.right(y)  # type: ignore[no-any-return]


class Backwards(nn.Module):
    """Layers registered in another order than they are used in."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.first = nn.Linear(16, 2), nn.Linear(4, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.first(x))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A recurrent layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(7, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])  # type: ignore[no-any-return]


class Language(nn.Module):
    """Positions are registered before tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.tokens = nn.Embedding(16, 8), nn.Embedding(100, 8)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))  # type: ignore[no-any-return]


@dataclasses.dataclass
class Config:
    """As those of Hugging Face."""

    vocab_size: int = 30
    is_encoder_decoder: bool = False


class HuggingLike(nn.Module):
    """All arguments are optional, and some are needed."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        self.config = Config(is_encoder_decoder=both)
        self.shared = nn.Embedding(30, 4)

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, decoder_input_ids: Any = None
    ) -> dict[str, torch.Tensor]:
        if input_ids is None or (self.config.is_encoder_decoder and decoder_input_ids is None):
            raise ValueError("You have to specify input_ids")
        return {"logits": self.shared(input_ids)}


class NoArguments(nn.Module):
    """A function of its parameters alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self) -> torch.Tensor:
        return self.weight.sum()


class Bare(nn.Module):
    """A parameter without a layer around it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


def network(forward: Any, **layers: nn.Module) -> nn.Module:
    """A model of these layers; forward has the model as its first argument."""
    net = type("Net", (nn.Module,), {"forward": forward})()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net  # type: ignore[no-any-return]


def keyword_only() -> nn.Module:
    def forward(self: Any, x: torch.Tensor, *, y: torch.Tensor) -> torch.Tensor:
        return self.a(x) + self.b(y)  # type: ignore[no-any-return]

    return network(forward, a=nn.Linear(4, 2), b=nn.Linear(6, 2))


def users_and_items() -> nn.Module:
    def forward(self: Any, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([self.users(user), self.items(item)], -1))  # type: ignore[no-any-return]

    return network(forward, users=nn.Embedding(10, 4), items=nn.Embedding(20, 4), head=nn.Linear(8, 1))


def with_labels() -> nn.Module:
    def forward(self: Any, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.head(x), labels)

    return network(forward, head=nn.Linear(4, 3))


def conditional() -> nn.Module:
    def forward(self: Any, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.out(torch.cat([noise, self.classes(labels)], 1))  # type: ignore[no-any-return]

    return network(forward, classes=nn.Embedding(10, 5), out=nn.Linear(25, 3))


def denoiser() -> nn.Module:
    def forward(self: Any, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.steps(t)[:, :, None, None]  # type: ignore[no-any-return]

    return network(forward, conv=nn.Conv2d(3, 8, 3), steps=nn.Embedding(1000, 8))


def graph() -> nn.Module:
    def forward(self: Any, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.line(x)[edge_index]  # type: ignore[no-any-return]

    return network(forward, line=nn.Linear(4, 3))


def bag_of_words() -> nn.Module:
    def forward(self: Any, text: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return self.head(self.bag(text, offsets))  # type: ignore[no-any-return]

    return network(forward, bag=nn.EmbeddingBag(30, 8), head=nn.Linear(8, 2))


def patches(side: int) -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return torch.cat([torch.zeros(len(x), 1, 16), tokens], 1) + self.place.weight  # type: ignore[no-any-return]

    place = nn.Linear(16, (side // 8) ** 2 + 1)
    return network(forward, patch=nn.Conv2d(3, 16, 8, 8), place=place)


def viewed() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.conv(x).view(-1, 4 * 26 * 26))  # type: ignore[no-any-return]

    return network(forward, conv=nn.Conv2d(1, 4, 3), out=nn.Linear(4 * 26 * 26, 10))


def channels_last() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    return network(forward, conv=nn.Conv2d(3, 4, 3))


def one_hot() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.line(nn.functional.one_hot(x, 6).float())  # type: ignore[no-any-return]

    return network(forward, line=nn.Linear(6, 2))


def one_example() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.line(x.view(4))  # type: ignore[no-any-return]

    return network(forward, line=nn.Linear(4, 2))


def with_state() -> nn.Module:
    def forward(self: Any, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return self.cells(x, hidden)[0]  # type: ignore[no-any-return]

    return network(forward, cells=nn.RNN(4, 5, batch_first=True))


def adapted() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.up(self.down(x))  # type: ignore[no-any-return]

    return network(forward, up=nn.Linear(2, 3), down=nn.Linear(7, 2), base=nn.Linear(7, 3))


def pictures_and_text() -> nn.Module:
    def forward(self: Any, input_ids: Any = None, pixel_values: Any = None) -> torch.Tensor:
        return self.patch(pixel_values).flatten(1) @ self.words(input_ids).mean(1).T  # type: ignore[no-any-return]

    net: Any = network(forward, patch=nn.Conv2d(3, 4, 24), words=nn.Embedding(40, 4))
    net.config = {"text_config": {"vocab_size": 40}, "vision_config": {"image_size": 24, "num_channels": 3}}
    return net  # type: ignore[no-any-return]


def masked() -> nn.Module:
    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        assert attention_mask.max() < 2
        return self.words(input_ids) * attention_mask[..., None]  # type: ignore[no-any-return]

    net: Any = network(forward, words=nn.Embedding(40, 4))
    net.config = Config(vocab_size=40)
    return net  # type: ignore[no-any-return]


class BrokenProperties(nn.Linear):
    """Cannot be asked for what others have."""

    @property
    def config(self) -> object:
        raise RuntimeError("not yet configured")

    @property
    def num_embeddings(self) -> int:
        raise ValueError("none")


def knotted() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 2))
    net[0].add_module("parent", net)
    return net


FOUND = {
    "keywords only": (keyword_only, "2x4; y=2x6"),
    "users and items": (users_and_items, "int64:2x8<10; int64:2x8<20"),
    "labels": (with_labels, "2x4; int64:2<2"),
    "conditional": (conditional, "2x20; int64:2<10"),
    "denoiser": (denoiser, "2x3x32x32; int64:2<1000"),
    "graph": (graph, "2x4; int64:2x8<2"),
    "bag of words": (bag_of_words, "int64:2<30; int64:2<1"),
    "patches of 48": (lambda: patches(48), "2x3x48x48"),
    "patches of 40": (lambda: patches(40), "2x3x40x40"),
    "viewed": (viewed, "2x1x28x28"),
    "channels last": (channels_last, "2x32x32x3"),
    "one hot": (one_hot, "int64:2x6<2"),
    "one example": (one_example, "1x4"),
    "hidden state": (with_state, "2x8x4; 1x2x5"),
    "hidden state of a cell": (
        lambda: network(lambda self, x, h: self.cell(x, h), cell=nn.GRUCell(4, 5)),
        "2x4; 2x5",
    ),
    "adapter": (adapted, "2x7"),
    "pictures and text": (pictures_and_text, "input_ids=int64:2x8<40; pixel_values=2x3x24x24"),
    "masked": (masked, "input_ids=int64:2x8<40; attention_mask=int64:2x8<2"),
    "broken properties": (lambda: BrokenProperties(4, 2), "2x4"),
    "cycle": (knotted, "2x4"),
    "scripted": (lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 2))), "2x4"),
    "lazy norm": (nn.LazyBatchNorm2d, "2x3x8x8"),
    "long kernel": (
        lambda: nn.Sequential(nn.Conv1d(1, 4, 400, 160), nn.AdaptiveAvgPool1d(1)),
        "2x1x1000",
    ),
    "linear": (lambda: nn.Linear(4, 2), "2x4"),
    "sequential": (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU()), "2x4"),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3), "2x3x32"),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), "2x3x32x32"),
    "conv3d": (lambda: nn.Conv3d(1, 2, 3), "2x1x16x16x16"),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3), "2x2x32x32"),
    "lenet": (Lenet, "2x1x28x28"),
    "two branches": (TwoBranches, "2x3; 2x5"),
    "backwards": (Backwards, "2x4"),
    "recurrent": (Recurrent, "2x8x7"),
    "gru cell": (lambda: nn.GRUCell(4, 5), "2x4"),
    "tokens": (Language, "int64:2x8<16"),
    "bag": (lambda: nn.EmbeddingBag(10, 3), "int64:2x8<10"),
    "attention": (lambda: nn.MultiheadAttention(8, 2), "2x8x8; 2x8x8; 2x8x8"),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2), "2x8x8"),
    "decoder": (lambda: nn.TransformerDecoderLayer(8, 2), "2x8x8; 2x8x8"),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1), "2x8x8; 2x8x8"),
    "batch norm 1d": (lambda: nn.BatchNorm1d(4), "2x4"),
    "batch norm 2d": (lambda: nn.BatchNorm2d(4), "2x4x8x8"),
    "group norm": (lambda: nn.GroupNorm(2, 4), "2x4x8x8"),
    "layer norm": (lambda: nn.LayerNorm(5), "2x8x5"),
    "bilinear": (lambda: nn.Bilinear(3, 4, 5), "2x3; 2x4"),
    "hugging": (lambda: HuggingLike(both=False), "input_ids=int64:2x8<30"),
    "hugging both": (
        lambda: HuggingLike(both=True),
        "input_ids=int64:2x8<30; decoder_input_ids=int64:2x8<30",
    ),
    "no arguments": (NoArguments, "no arguments"),
    "bare": (Bare, "2x5"),
    "no layers": (nn.ReLU, "2x4"),
    "lazy": (lambda: nn.LazyLinear(3), "2x4"),
    "parametrised": (lambda: parametrizations.weight_norm(nn.Linear(4, 2)), "2x4"),
    "flattened": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 62 * 62, 2)),
        "2x3x64x64",
    ),
}
