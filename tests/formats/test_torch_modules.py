"""Whole pickled modules and tensor subclasses, read without the classes that they are of."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from tests.support import assert_row, assert_same_numbers, opened, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramtui.api import Checkpoint
    from tests.conftest import Save

SOURCE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.lin = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.act = nn.GELU()
        self.width = width

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.blocks = nn.ModuleList([Block(4) for _ in range(3)])
        self.shared = self.blocks[0].lin
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_parameter("absent", None)
        self.register_buffer("steps", torch.arange(5))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)
        tail = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3))
        self.named = nn.ModuleDict({"a b": nn.Linear(2, 2), "c": tail})
        self.weights = nn.ParameterList([torch.randn(2), torch.randn(3)])
        self.plain = torch.full((2,), 7.0)

class Tagged(torch.Tensor):
    pass

class Named(nn.Parameter):
    pass
"""


@pytest.fixture
def lost() -> Iterator[types.ModuleType]:
    """A module whose classes can be pickled, and not imported once the test has saved."""
    module = types.ModuleType("lost_project")
    sys.modules["lost_project"] = module
    exec(SOURCE, module.__dict__)
    yield module
    sys.modules.pop("lost_project", None)


def check_module(checkpoint: Checkpoint, net: nn.Module) -> None:
    """The rows are those of named_parameters and named_buffers, aliases included."""
    listing = checkpoint.listing
    rows = {name: tensor_id for tensor_id, name in enumerate(listing.names)}
    parameters = dict(net.named_parameters(remove_duplicate=False))
    buffers = dict(net.named_buffers(remove_duplicate=False))
    kinds = {name: listing.kind[tensor_id] for name, tensor_id in rows.items()}
    assert [name for name in listing.names if kinds[name] == "parameter"] == list(parameters)
    assert [name for name in listing.names if kinds[name] == "buffer"] == list(buffers)
    for name, tensor in {**parameters, **buffers}.items():
        assert_row(checkpoint, rows[name], name, tensor)
    classes = {listing.node_name(node): name for node, name in listing.node_class.items()}
    for name, module in net.named_modules(remove_duplicate=False):
        assert classes[name] == f"{type(module).__module__}.{type(module).__qualname__}"
    assert [listing.node_name(node) for node in listing.modules] == [
        name for name, _ in net.named_modules(remove_duplicate=False)
    ]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_whole_module_is_listed_as_named_parameters_and_buffers(
    save: Save, lost: types.ModuleType, protocol: int, zipped: bool
) -> None:
    net: nn.Module = lost.Net()
    path = save(net, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    del sys.modules["lost_project"]
    checkpoint = opened(path)
    check_module(checkpoint, net)
    assert "lost_project.Net" in checkpoint.listing.globals
    assert "lost_project" not in sys.modules
    names = checkpoint.listing.names
    groups = [[names[member] for member in group.members] for group in checkpoint.listing.sharing.groups]
    assert sorted(map(sorted, groups)) == [
        ["blocks.0.lin.weight", "shared.weight"],
        ["embed.weight", "head.weight"],
    ]
    assert "plain" in names
    assert values(checkpoint)["blocks.1.width"] == 4


@pytest.mark.parametrize(
    "net",
    [
        nn.Transformer(16, 2, 1, 1, 32),
        nn.LSTM(3, 4, num_layers=2, bidirectional=True),
        nn.MultiheadAttention(8, 2),
        nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Sequential()),
        nn.ReLU(),
    ],
    ids=lambda net: type(net).__name__,
)
def test_modules_of_torch_are_listed_whole(save: Save, net: nn.Module) -> None:
    check_module(opened(save(net)), net)


def test_a_parametrised_weight_is_listed_under_its_parametrisation(save: Save) -> None:
    net = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    path = save(net.state_dict())
    checkpoint = opened(path)
    assert checkpoint.listing.names == list(net.state_dict())


def test_a_tensor_subclass_is_listed_with_its_class_and_attributes(
    save: Save, lost: types.ModuleType
) -> None:
    tensor: Any = torch.randn(3, 4).as_subclass(lost.Tagged)
    tensor.note = "kept"
    tensor.mask = torch.tensor([True, False])
    parameter: Any = lost.Named(torch.randn(2))
    path = save({"t": tensor, "p": parameter})
    del sys.modules["lost_project"]
    checkpoint = opened(path)
    listing = checkpoint.listing
    assert listing.names == ["t", "t.mask", "p"]
    assert listing.extras[0].class_name == "lost_project.Tagged"
    assert listing.kind[2] == "parameter"  # torch saves subclasses of Parameter as plain parameters
    assert values(checkpoint)["t.note"] == "kept"
    assert_same_numbers(checkpoint.read("t"), tensor.as_subclass(torch.Tensor).numpy())
    assert_same_numbers(checkpoint.read("p"), parameter.detach().as_subclass(torch.Tensor).numpy())


def test_attributes_of_tensors_and_parameters_are_listed_below_them(save: Save) -> None:
    tensor: Any = torch.ones(2)
    tensor.origin = "elsewhere"
    parameter: Any = nn.Parameter(torch.zeros(3))
    parameter.tag = 5
    checkpoint = opened(save({"t": tensor, "p": parameter}))
    assert checkpoint.listing.kind == ["tensor", "parameter"]
    assert values(checkpoint).get("p.tag") == 5
    assert_row(checkpoint, 0, "t", tensor)
    assert_row(checkpoint, 1, "p", parameter)


def test_a_module_that_contains_itself_is_listed_once_and_ends(save: Save) -> None:
    net = nn.Linear(2, 2)
    net.__dict__["_modules"]["again"] = net
    checkpoint = opened(save(net))
    assert checkpoint.listing.names == ["weight", "bias"]


def test_a_wrapper_subclass_lists_the_tensors_that_hold_its_numbers(save: Save) -> None:
    from torch.testing._internal.two_tensor import TwoTensor

    first, second = torch.randn(2, 3), torch.randn(2, 3)
    checkpoint = opened(save({"w": TwoTensor(first, second)}))
    listing = checkpoint.listing
    assert listing.names == ["w", "w.a", "w.b"]
    assert listing.extras[0].layout == "wrapper"
    assert listing.shape[0] == (2, 3)
    assert_same_numbers(checkpoint.read("w.a"), first.numpy())
    assert_same_numbers(checkpoint.read("w.b"), second.numpy())
    assert listing.totals().nbytes == 48
