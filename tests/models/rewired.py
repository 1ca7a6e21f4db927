"""Models with tensors at several places, and what plain PyTorch says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from paramtui.core.model_target import ModelOptions
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded
from tests.models.mischief import told_of

if TYPE_CHECKING:
    from collections.abc import Callable


def hosted(net: nn.Module) -> ModuleHost:
    """A model of the caller's own with its host."""
    return ModuleHost(Loaded(net, None, "", "", called=False), "net", ModelOptions())


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer under every name."""
    return dict([*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False)])


def names_of(host: ModuleHost, tensors: tuple[int, ...]) -> set[str]:
    """Names of the tensors with these ids."""
    return {host.listing.names[tensor] for tensor in tensors}


def partition(net: nn.Module) -> set[frozenset[str]]:
    """Names that stand for one object, of all parameters and buffers."""
    groups: dict[int, set[str]] = {}
    for name, tensor in named(net).items():
        groups.setdefault(id(tensor), set()).add(name)
    return set(map(frozenset, groups.values()))


def assert_is_listed(host: ModuleHost, net: nn.Module) -> None:
    """The host's listing says of each tensor what the model itself says."""
    listing, tensors = host.listing, named(net)
    assert sorted(listing.names) == sorted(tensors)
    assert all(tensors[name] is host.listed.tensors[at] for at, name in enumerate(listing.names))
    assert listing.live is not None
    groups: dict[int, set[str]] = {}
    for name, first in zip(listing.names, listing.live.same, strict=True):
        groups.setdefault(first, set()).add(name)
    assert set(map(frozenset, groups.values())) == partition(net)
    assert all(min(listing.names.index(name) for name in names) == at for at, names in groups.items())


def results(net: nn.Module, *inputs: Any) -> list[torch.Tensor]:
    """What a forward pass gives, and the gradients that a backward pass leaves at each name."""
    net.zero_grad()
    output = net(*inputs)
    output = output[0] if isinstance(output, tuple) else output
    output.square().sum().backward()
    parameters = dict(net.named_parameters(remove_duplicate=False))
    return [output.detach(), *(parameters[name].grad for name in sorted(parameters))]


def assert_same_results(one: nn.Module, other: nn.Module, *inputs: Any) -> None:
    """Both give the same bits, forward and backward."""
    for first, second in zip(results(one, *inputs), results(other, *inputs), strict=True):
        assert torch.equal(first, second)


def put(net: nn.Module, name: str, value: torch.Tensor) -> None:
    """``net.a.b.weight = value`` with plain PyTorch, where no module on the way stands elsewhere."""
    path, _, last = name.rpartition(".")
    setattr(net.get_submodule(path), last, value)


def objects_and_bits(net: nn.Module) -> list[Any]:
    """All that can be told of a model but for the weak references that its RNNs hold."""
    told = told_of(net)[7:]
    for entry in told:
        if isinstance(entry[-1], dict):
            entry[-1].pop("_flat_weight_refs", None)
    return told


def apart(make: Callable[[], nn.Module]) -> nn.Module:
    """The same model with a module of its own at every place, of which the parameters are tied as before."""
    torch.manual_seed(0)
    net = make()
    own = _with_modules_apart(net)
    assert partition(own) == partition(net)
    return own


def _with_modules_apart(module: nn.Module) -> nn.Module:
    new: nn.Module = object.__new__(type(module))
    children = {name: _with_modules_apart(child) for name, child in module._modules.items() if child}
    new.__dict__ = {**vars(module), "_parameters": dict(module._parameters), "_modules": children}
    return new


def made(make: Callable[[], nn.Module]) -> nn.Module:
    """A model that is the same each time."""
    torch.manual_seed(0)
    return make()
