"""Functions of a module that do what an initialiser must not, and all that can be told of a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paramtui.core.edits import ApplyFunction, Call
from paramtui.core.model_target import ModelOptions
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded

# Each is done to the layers up to the one of number `at`, and then something goes wrong.
DEEDS = {
    "numbers": "m.weight.data.fill_(1)",
    "replaced data": "m.weight.data = torch.ones(m.weight.shape)",
    "other data": "m.weight.data = torch.ones(2, 2)",
    "other type": "m.half()",
    "set_": "with torch.no_grad(): m.weight.set_(torch.ones(3))",
    "resized": "m.weight.data.resize_(1000).fill_(9)",
    "shrunk": "m.weight.data.untyped_storage().resize_(0)",
    "storage": "m.weight.untyped_storage().fill_(3)",
    "gradient": "m.weight.grad = torch.ones_like(m.weight)\n    m.bias.grad.fill_(8)",
    "no gradient": "m.bias.grad = None",
    "frozen": "m.weight.requires_grad_(False)",
    "deleted": "del m.weight",
    "added": "m.register_parameter('extra', nn.Parameter(torch.ones(2)))",
    "other parameter": "m.weight = nn.Parameter(torch.ones(m.weight.shape))",
    "tied": "m.weight = NET[0].weight if m is not NET[0] else NET[2][0].weight",
    "untied": "m.weight = nn.Parameter(m.weight.detach().clone())",
    "layer": "NET[0] = nn.Linear(5, 5)\n    NET[2][0] = nn.ReLU()",
    "attribute": "m.in_features = 77\n    m.extra = {}\n    m.__dict__.pop('out_features')",
    "container": "m.notes.append(1)\n    m.notes[0] = 'x'\n    m.table['b'] = 2\n    m.names.add('z')",
    "mode": "m.eval()\n    NET.train(not NET.training)",
    "buffer": "m.seen.add_(5)\n    m.register_buffer('more', torch.ones(3))\n    m.seen = torch.zeros(9)",
    "numpy": "m.weight.detach().numpy()[:] = 1",
    "numpy storage": "m.weight.data = torch.from_numpy(m.weight.detach().numpy()).fill_(2)",
    "others": "NET[0].weight.data.fill_(2)\n    NET[2][1].bias.data.fill_(2)\n    NET.seen.fill_(2)",
    "hooks": "m.register_forward_hook(print)\n    m.weight.register_hook(print)",
    "parametrized": "torch.nn.utils.parametrizations.spectral_norm(m)",
    "tagged": "m.weight.tag = 1\n    m.weight.mark = 2",
    "settings": "torch.set_default_dtype(torch.float64)\n    torch.set_grad_enabled(False)",
    "threads": "torch.set_num_threads(1)\n    torch.use_deterministic_algorithms(True)",
    "random": "torch.manual_seed(1)\n    import random, numpy\n    random.seed(1); numpy.random.seed(1)",
    "exchanged": "a, b = NET[0].weight, NET[2][0].weight\n    a.data, b.data = b.data, a.data",
}


def file_of(folder: Path) -> Path:
    """A file with a function for each deed, and good ones."""
    text = "import os, sys, time\nimport torch\nfrom torch import nn\nNET = None\nCOUNT = 0\n"
    for place, (name, body) in enumerate(DEEDS.items()):
        text += (
            f"def deed_{place}(m, at=0, end='raise'):\n    '''{name}'''\n    if step(m, at, end): return\n"
        )
        text += f"    {body}\n"
    text += """
def step(m, at, end):
    global COUNT
    COUNT += 1
    if COUNT > at:
        COUNT = 0
        if end == 'exit': sys.exit(3)
        if end == 'die': os._exit(3)
        if end == 'stop': raise KeyboardInterrupt
        raise ValueError('half-way')
    return not isinstance(m, nn.Linear)
def good(m):
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight)
        m.bias.data.uniform_()
HALT = print
def halt(m):
    HALT(m)
def slow(m):
    for _ in range(60):
        good(m)
        if isinstance(m, nn.Linear):
            own = m.weight
            m.weight = nn.Parameter(torch.ones(m.weight.shape))
            own.data = torch.ones(m.weight.shape)
            m.note = 1
            m.weight = own
"""
    path = folder / "mischief_of_tests.py"
    path.write_text(text)
    return path


def build() -> Any:
    """A small model with a tie, gradients, hooks, buffers and attributes of every kind."""
    torch.manual_seed(3)
    net: Any = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    net[2][1].weight = net[0].weight
    net.register_buffer("seen", torch.arange(6.0))
    net.register_buffer("part", net.seen[2:4])
    layers: list[Any] = [module for module in net.modules() if isinstance(module, nn.Linear)]
    for number, layer in enumerate(layers):
        layer.register_buffer("seen", torch.full((3,), float(number)))
        layer.notes, layer.table, layer.names = [1, "two"], {"a": 1}, {"x"}
        layer.plain = torch.rand(3)  # no parameter and no buffer: an attribute
        layer.bias.grad = torch.rand(4)
        layer.weight.tag = number
    net[0].register_forward_hook(lambda *_: None)
    net[0].weight.register_hook(lambda gradient: gradient)
    net[2][0].bias.requires_grad_(False)
    net[2].eval()
    return net


def hosted(folder: Path) -> tuple[ModuleHost, Any, Any]:
    """A model with its host, and the imported file, whose functions know the model."""
    import sys

    net = build()
    host = ModuleHost(
        Loaded(net, None, "", "", called=False), "net", ModelOptions(init_files=[str(file_of(folder))])
    )
    sys.modules.pop("mischief_of_tests", None)
    assert not host.editor.catalogue().problems
    code: Any = sys.modules["mischief_of_tests"]
    code.NET = net
    return host, net, code


def function(host: ModuleHost, name: str, block: str = "", **arguments: object) -> ApplyFunction:
    """``block.apply(function)``."""
    return ApplyFunction(
        block, Call(name, tuple(arguments.items()), host.editor.catalogue().named(name).source), 5
    )


def all_tensors(net: nn.Module) -> Iterator[torch.Tensor]:
    """Parameters, buffers, attributes and gradients, each once."""
    seen = set()
    for module in net.modules():
        for table in (module._parameters, module._buffers, vars(module)):
            for value in list(table.values()):
                if isinstance(value, torch.Tensor) and id(value) not in seen:
                    seen.add(id(value))
                    yield value
                    if value.is_leaf and value.grad is not None:
                        yield value.grad


def told_of(net: nn.Module) -> list[Any]:
    """All that can be told of a model: which objects stand where, and every bit."""
    import random

    import numpy as np

    out: list[Any] = [
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),
    ]
    for name, module in net.named_modules():
        own = {}
        for key, value in vars(module).items():
            content = list(value.items()) if isinstance(value, dict) else value
            own[key] = id(value), str(content) if isinstance(value, list | set) else _ids(content)
        out.append((name, id(module), type(module), own))
    for tensor in all_tensors(net):
        storage = tensor.untyped_storage()
        out.append(
            (
                id(tensor),
                type(tensor),
                storage._cdata,
                storage.nbytes(),
                tensor.storage_offset(),
                tuple(tensor.shape),
                tensor.stride(),
                tensor.dtype,
                tensor.requires_grad,
                tensor.is_leaf and id(tensor.grad),
                str(tensor.__dict__) if hasattr(tensor, "__dict__") else "",
                len(tensor._backward_hooks or ()),
                bits(tensor),
            )
        )
    return out


def _ids(content: object) -> object:
    if isinstance(content, list):
        return [(key, id(value)) for key, value in content]
    return None


def bits(tensor: torch.Tensor) -> bytes:
    """Of all elements in order."""
    return tensor.detach().clone(memory_format=torch.contiguous_format).view(torch.uint8).numpy().tobytes()


def numbers_of(net: nn.Module) -> list[bytes]:
    """The bits of all tensors."""
    return [bits(tensor) for tensor in all_tensors(net)]
