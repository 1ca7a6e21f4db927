"""The same tensors as a file, a model in this process and a model in an engine, to be changed."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.catalogue import Catalogue, bind
from paramtui.core.digest import digest
from paramtui.core.edits import Call, Initialise, SetCells, Step, parse_call
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.editable import EditableCheckpoint
from paramtui.engine.client import EngineSource
from paramtui.models.host import ModuleHost
from paramtui.models.module_source import ModuleSource
from tests.conformance.sources import network
from tests.support import assert_same_numbers, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from paramtui.core.edits import Edit

NETWORK = '''
import torch
from torch import nn

KINDS = (torch.float64, torch.float16, torch.bfloat16, torch.complex64)
OTHERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32,
          torch.uint64, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex128, torch.complex32)


class Net(nn.Module):
    """Parameters of every type and stride, tied and overlapping ones, and layers."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.conv = nn.Conv2d(3, 8, 3)
        self.layers = nn.ModuleDict({"layer_norm": nn.LayerNorm(4), "linear": nn.Linear(4, 6)})
        for kind in KINDS:
            name = str(kind).removeprefix("torch.")
            self.register_parameter("p_" + name, nn.Parameter(torch.rand(4, 6).mul(3).to(kind)))
        self.turned = nn.Parameter(torch.rand(3, 5).t())
        self.spread = nn.Parameter(torch.rand(6, 8)[::2, 1::3])
        self.halves = nn.Parameter(torch.rand(5, 4).to(torch.bfloat16).t())
        self.vector = nn.Parameter(torch.rand(7))
        self.scalar = nn.Parameter(torch.tensor(2.5))
        for kind in OTHERS:
            name = str(kind).removeprefix("torch.")
            self.register_buffer("b_" + name, torch.rand(3, 4).mul(3).to(kind))
        base = torch.arange(12.0)
        self.register_buffer("whole", base)
        self.register_buffer("part", base[3:9].view(2, 3))
        self.register_buffer("even", base[::2])
        self.register_buffer("odd", base[1::2])

def build():
    return Net()
'''


@contextmanager
def editable(kind: str, device: str, folder: Path, text: str = NETWORK) -> Iterator[tuple[Any, nn.Module]]:
    """An editor, and a copy of the model that it must agree with."""
    path = folder / "editable.py"
    path.write_text(text)
    loaded = network(path, device)
    model = loaded.model
    mirror = copy.deepcopy(model)
    options = ModelOptions(device)
    if kind == "file":
        saved = folder / "editable.pt"
        torch.save(model.state_dict(), saved)
        source: Any = EditableCheckpoint(open_checkpoint(str(saved)))
    elif kind == "in this process":
        source = ModuleSource(ModuleHost(loaded, "model", options))
    else:
        target = ModelTarget(str(path), str(path), "", "")
        source = EngineSource(target, options, lambda *_: None).wait_open()
    try:
        yield source, mirror
    finally:
        source.close()


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, aliases included, without gradients."""
    return {name: tensor.detach() for name, tensor in model.state_dict(keep_vars=True).items()}


def call(catalogue: Catalogue, text: str) -> Call:
    """A call as a person writes it."""
    written = parse_call(text)
    return bind(catalogue.named(written.name, ""), written)


def unique_parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Each parameter once, in the order in which a loop over a model would come by."""
    return dict(model.named_parameters())


def initialise(call_: Call, names: list[str], seed: int) -> Initialise:
    """One call on some tensors."""
    return Initialise(tuple(Step(name, call_) for name in names), seed)


def fitting(model: nn.Module, call_: Call) -> list[str]:
    """Names of the parameters that torch itself can do a call with."""
    out = []
    for name, parameter in copy.deepcopy(model).named_parameters():
        try:
            getattr(nn.init, call_.name)(parameter.data, **dict(call_.arguments))
        except Exception:
            continue
        out.append(name)
    return out


def run(model: nn.Module, edit: Initialise) -> None:
    """Does with torch alone what the edit says."""
    torch.manual_seed(edit.seed)
    parameters = unique_parameters(model)
    for name, step in edit.steps:
        getattr(nn.init, step.name)(parameters[name], **dict(step.arguments))


def places(tensor: torch.Tensor) -> set[int]:
    """Addresses of all bytes of all elements, one by one."""
    begins = {tensor.data_ptr()}
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        begins = {at + i * stride * tensor.element_size() for at in begins for i in range(size)}
    return {at + byte for at in begins for byte in range(tensor.element_size())} if tensor.numel() else set()


INDEX: dict[str, Any] = {
    "": ...,
    "...": ...,
    "0": 0,
    "-1": -1,
    "1:": slice(1, None),
    "1:3": slice(1, 3),
    "::2": slice(None, None, 2),
}


def touched(model: nn.Module, *cells: torch.Tensor) -> set[str]:
    """Names of the tensors that have bytes in common with some others."""
    wanted = set().union(*map(places, cells))
    return {name for name, tensor in tensors(model).items() if places(tensor) & wanted}


def expected_digest(source: Any, model: nn.Module, edit: Edit, changed: tuple[int, ...]) -> str:
    """Digest of the cells that were set, or of the tensors that changed, the same elements taken once."""
    wanted, seen, raws = tensors(model), set(), []
    if isinstance(edit, SetCells):
        cells = wanted[edit.tensor][INDEX[edit.cells]]
        flat = torch.empty(cells.numel(), dtype=cells.dtype).copy_(cells.reshape(-1))
        return digest([flat.view(torch.uint8).numpy()])
    for tensor in changed:
        held = wanted[source.listing.names[tensor]]
        key = (held.data_ptr(), held.shape, held.stride(), held.dtype)
        if key not in seen:
            seen.add(key)
            raws.append(held.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest(raws)


async def assert_shows(source: Any, model: nn.Module, names: set[str] | None = None) -> None:
    """Every number of some tensors, by default all, is that of the model."""
    for tensor, name in enumerate(source.listing.names):
        if names is None or name in names:
            window = await source.window(tensor, [range(size) for size in source.listing.shape[tensor]])
            assert_same_numbers(window.values, numbers(tensors(model)[name].cpu()))
