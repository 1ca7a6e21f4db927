"""What a block says is what PyTorch prints of the module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paramtui.core.block_text import MAX_LINES, block_text
from paramtui.core.tree import Tree
from tests.support import opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4, padding_idx=1)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.acts = nn.ModuleDict({"a": nn.Tanh(), "b": nn.GELU()})
        self.scales = nn.ParameterList([torch.ones(2), torch.zeros(3, 4)])
        self.named = nn.ParameterDict({"x": torch.ones(2)})
        self.weight = nn.Parameter(torch.ones(3))
        self.rate = 0.5


LAYERS = (
    nn.Linear(2, 3),
    nn.Linear(2, 3, bias=False),
    nn.Bilinear(2, 3, 4),
    nn.Conv1d(1, 2, 3),
    nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect"),
    nn.Conv2d(8, 8, 3, groups=8, bias=False, padding="same", dilation=2),
    nn.ConvTranspose2d(8, 4, 3, stride=2, output_padding=1),
    nn.BatchNorm2d(8),
    nn.BatchNorm1d(8, affine=False),
    nn.InstanceNorm1d(4),
    nn.LayerNorm(4),
    nn.LayerNorm((4, 2), bias=False),
    nn.RMSNorm(4),
    nn.GroupNorm(2, 4),
    nn.LocalResponseNorm(2),
    nn.Embedding(3, 4, max_norm=1.0),
    nn.EmbeddingBag(3, 4),
    nn.LSTM(4, 8, num_layers=2, bidirectional=True),
    nn.GRU(2, 3),
    nn.RNN(2, 3, batch_first=True, dropout=0.1, num_layers=2),
    nn.LSTMCell(2, 3),
    nn.RNNCell(2, 3, nonlinearity="relu", bias=False),
    nn.ReLU(inplace=True),
    nn.ReLU(),
    nn.LeakyReLU(0.2),
    nn.ELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Hardtanh(),
    nn.Threshold(0.1, 2),
    nn.Softplus(),
    nn.Softmax(dim=1),
    nn.PReLU(),
    nn.Sigmoid(),
    nn.Identity(),
    nn.Dropout(0.1),
    nn.Flatten(),
    nn.Unflatten(1, (2, 2)),
    nn.MaxPool2d(2),
    nn.AvgPool2d(2),
    nn.LPPool2d(2, 3),
    nn.AdaptiveAvgPool2d(1),
    nn.Upsample(scale_factor=2),
    nn.PixelShuffle(2),
    nn.ZeroPad2d(1),
    nn.ConstantPad1d(2, 1.5),
    nn.Fold((4, 4), 2),
    nn.Unfold(2),
    nn.MultiheadAttention(4, 2),
    nn.TransformerEncoderLayer(8, 2, dropout=0.0),
    nn.CrossEntropyLoss(),
    nn.CosineSimilarity(),
)


def text(path: Path) -> list[str]:
    return block_text(Tree(opened(path).listing), 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "layer", LAYERS, ids=[f"{n}-{type(layer).__name__}" for n, layer in enumerate(LAYERS)]
)
def test_a_layer_is_written_as_pytorch_prints_it(layer: nn.Module, save: Save) -> None:
    assert text(save(layer)) == repr(layer).splitlines()


@pytest.mark.filterwarnings("ignore")
def test_a_nest_of_blocks_is_written_as_pytorch_prints_it(save: Save) -> None:
    for module in (Net(), nn.Sequential(*LAYERS), nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2)):
        assert text(save(module)) == repr(module).splitlines()


def test_a_state_dict_names_its_tensors_with_equal_blocks_as_one(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state = {f"layers.{n}.{part}": torch.zeros(2, 3) for n in range(3) for part in ("bias", "weight")}
    save_file({**state, "head": torch.zeros(4)}, path)
    assert text(path) == [
        "(",
        "  (head): float32 [4]",
        "  (layers): (",
        "    (0-2): 3 x (",
        "      (bias): float32 [2, 3]",
        "      (weight): float32 [2, 3]",
        "    )",
        "  )",
        ")",
    ]


def test_a_huge_block_is_cut_and_says_so(save: Save) -> None:
    lines = text(save({f"w{n}.{'x' * n}": torch.zeros(1) for n in range(1, 2 * MAX_LINES)}))
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == "…"


def test_hostile_names_are_safe(save: Save) -> None:
    assert "\x1b" not in "".join(text(save({"\x1b[2J": {"a": torch.ones(1)}})))
