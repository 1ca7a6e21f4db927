"""What the tests of searches for equal tensors share: the same tensors in a file and in a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.model_target import ModelOptions
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded

if TYPE_CHECKING:
    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.copies import CopySearch

Tensors = dict[str, torch.Tensor]


class Held(nn.Module):
    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


def live(tensors: Tensors) -> ModuleHost:
    return ModuleHost(Loaded(Held(tensors), None, "", "", called=False), "model", ModelOptions("cpu"))


def saved(folder: Path, tensors: Tensors) -> CheckpointSource:
    torch.save(tensors, folder / "held.pt")
    return open_checkpoint(str(folder / "held.pt"))


def groups_of(source: Any, found: CopySearch) -> set[frozenset[str]]:
    assert all(list(group.members) == sorted(set(group.members)) for group in found.groups)
    return {frozenset(source.listing.names[member] for member in group.members) for group in found.groups}


def raw(tensor: torch.Tensor) -> bytes:
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
    return flat.view(torch.uint8).numpy().tobytes()


def brute_force(tensors: Tensors) -> set[frozenset[str]]:
    """Names by dtype, shape and all bytes in logical order; of the same memory the first alone."""
    alike: dict[Any, dict[Any, str]] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            moving = tuple(s for n, s in zip(tensor.shape, tensor.stride(), strict=True) if n != 1)
            place = tensor.data_ptr(), moving
            key = tensor.dtype, tensor.shape, raw(tensor)
            alike.setdefault(key, {}).setdefault(place, name)
    return {frozenset(places.values()) for places in alike.values() if len(places) > 1}


def assert_found(folder: Path, tensors: Tensors) -> list[CopySearch]:
    """A file and a live model find what brute force finds."""
    expected = brute_force(tensors)
    source, host = saved(folder, tensors), live(tensors)
    out = [source.find_copies(), host.copies(None)]
    assert groups_of(source, out[0]) == expected
    assert groups_of(host, out[1]) == expected
    assert out[0].groups == out[1].groups
    return out


def large(seed: int, count: int = 3_000_000) -> torch.Tensor:
    return torch.randint(0, 256, (count,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
