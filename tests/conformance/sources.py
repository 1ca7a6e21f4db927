"""The same tensors as a file, as a model in this process, and as a model in an engine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.engine.client import EngineSource
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded, load_model
from paramtui.models.module_source import ModuleSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NETWORK = '''
import torch
from torch import nn


class Net(nn.Module):
    """Dtypes, strides, views, sparse and quantised tensors, buffers, ties."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Parameter(torch.randn(3, 2), requires_grad=False)
        self.turned = nn.Parameter(torch.randn(3, 5).t())
        self.scalar = nn.Parameter(torch.tensor(2.5))
        self.empty = nn.Parameter(torch.empty(0, 3))
        kinds = (torch.bfloat16, torch.float16, torch.float64, torch.complex64, torch.int64, torch.uint8)
        for kind in kinds + (torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16):
            name = str(kind).removeprefix("torch.")
            self.register_buffer("as_" + name, (torch.rand(3, 4) * 3).to(kind))
        base = torch.arange(12.0)
        self.register_buffer("whole", base)
        self.register_buffer("part", base[3:9].view(2, 3))
        self.register_buffer("cube", torch.randn(2, 3, 4))
        self.register_buffer("sparse", torch.eye(4).to_sparse())
        self.register_buffer("unsaved", torch.ones(2), persistent=False)

    def forward(self, tokens):
        x = self.norm(self.embed(tokens).flatten(0, -2))
        return self.head(x) * self.scalar + self.turned.sum()


def build():
    return Net()


def example_inputs():
    return (torch.randint(0, 6, (2, 5)),)
'''
KINDS = ("file", "in this process", "through the pipe")


def devices() -> list[str]:
    """What this machine has."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def network(path: Path, device: str) -> Loaded:
    """The network, built here as the engine builds it."""
    return load_model(ModelTarget(str(path), str(path), "", ""), device, 0)


@contextmanager
def opened(kind: str, device: str, folder: Path) -> Iterator[tuple[Any, nn.Module]]:
    """A source, and the very tensors that it must show."""
    path = folder / "conforming.py"
    path.write_text(NETWORK)
    loaded = network(path, device)
    model = loaded.model
    options = ModelOptions(device)
    if kind == "file":
        saved = folder / "conforming.pt"
        torch.save(model.state_dict(), saved)
        yield open_checkpoint(str(saved)), model
    elif kind == "in this process":
        yield ModuleSource(ModuleHost(loaded, "model", options)), model
    else:
        target = ModelTarget(str(path), str(path), "", "")
        source = EngineSource(target, options, lambda *_: None).wait_open()
        try:
            yield source, model
        finally:
            source.close()
