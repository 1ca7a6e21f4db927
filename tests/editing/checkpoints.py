"""Checkpoints of every kind that can be edited, and the tensors in them as torch loads them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from paramtui.checkpoints.editing import CheckpointEditor
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.raw_cells import raw_pieces
from paramtui.engine.computing import EngineComputer

if TYPE_CHECKING:
    from paramtui.core.catalogue import Catalogue
    from paramtui.core.computing import Work
    from paramtui.core.edits import Call
    from paramtui.core.geometry import Shape

Tensors = dict[str, torch.Tensor]

ZOO = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.bool,
    torch.complex64,
    torch.complex128,
)


class SharedComputer:
    """One engine for many editors: closing one of them leaves it be."""

    def __init__(self, files: Sequence[str] = ()) -> None:
        self.engine = EngineComputer(files)
        self.editors: list[CheckpointEditor] = []

    @property
    def folder(self) -> str:
        return self.engine.folder

    def catalogue(self) -> Catalogue:
        return self.engine.catalogue()

    def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        return self.engine.trial(asked)

    def compute(self, work: Work) -> list[str]:
        return self.engine.compute(work)

    def interrupt(self) -> bool:
        return self.engine.interrupt()

    def listen(self, told: Callable[[str, str], None]) -> None:
        self.engine.listen(told)

    def close(self) -> None:
        pass

    def end(self) -> None:
        """Closes the editors and ends the engine."""
        for editor in self.editors:
            editor.close()
        self.engine.close()


def opened(path: Path | str, computer: SharedComputer) -> CheckpointEditor:
    """An editor of a file."""
    computer.editors.append(CheckpointEditor(open_checkpoint(str(path)), computer))
    return computer.editors[-1]


# What lies in the files


def zoo(without: Sequence[torch.dtype] = ()) -> Tensors:
    """A small tensor of every type, of plain numbers that arithmetic keeps finite."""
    torch.manual_seed(1)
    return {
        f"as_{str(kind).removeprefix('torch.')}": (torch.randn(4, 5) * 3).to(kind)
        if kind != torch.bool
        else torch.rand(4, 5) > 0.5
        for kind in ZOO
        if kind not in without
    }


class Network(nn.Sequential):
    """Layers by name."""

    embed_tokens: nn.Embedding
    fc1: nn.Linear
    bn: nn.BatchNorm1d
    conv: nn.Conv2d
    lm_head: nn.Linear


def network() -> Network:
    """Layers whose classes a state dict tells, a weight that two of them share, statistics."""
    torch.manual_seed(2)
    net = Network(
        OrderedDict(
            embed_tokens=nn.Embedding(9, 6),
            fc1=nn.Linear(6, 8),
            bn=nn.BatchNorm1d(8),
            conv=nn.Conv2d(2, 3, 3),
            lm_head=nn.Linear(6, 9, bias=False),
        )
    )
    net.lm_head.weight = net.embed_tokens.weight
    return net


def views() -> Tensors:
    """Tensors that lie in others' memory, or in memory in another order."""
    torch.manual_seed(3)
    whole = torch.randn(60)
    return {
        "whole": whole,
        "part": whole[7:31].view(4, 6),
        "every_third": whole[1::3],
        "turned": torch.randn(5, 7).t(),
        "middle": torch.randn(6, 9)[1:5, 2:8],
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "long": torch.randn(3, 700),
        "halves": torch.randn(6, 4).to(torch.bfloat16).t(),
    }


# What the first format of torch.save, and this version of safetensors, have no name for.
NOT_LEGACY = (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16)
NOT_SAFETENSORS = (torch.complex128,)


def training(without: Sequence[torch.dtype] = ()) -> dict[str, Any]:
    """A checkpoint as a training run saves it."""
    net = network()
    optimizer = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "views": views(),
        "zoo": zoo(without),
        "list": [torch.arange(6.0).view(2, 3), {"deep": torch.ones(2)}],
        "step": 3,
    }


def module() -> nn.Module:
    """A whole module, pickled with its classes."""
    net = network()
    net.register_buffer("whole", torch.randn(30))
    net.register_buffer("part", net.get_buffer("whole")[3:21].view(3, 6))
    return net


def plain() -> Tensors:
    """What safetensors can hold: nothing shared, everything contiguous."""
    held = {name: tensor.clone().contiguous() for name, tensor in {**views(), **zoo(NOT_SAFETENSORS)}.items()}
    return held | {name: tensor.clone() for name, tensor in network().state_dict().items()}


# Files


def in_shards(folder: Path) -> Path:
    """A directory of two safetensors files with their index, as Hugging Face writes them."""
    folder.mkdir()
    tensors = plain()
    names = list(tensors)
    index: dict[str, str] = {}
    for place, chosen in enumerate((names[::2], names[1::2]), 1):
        shard = f"model-{place:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in chosen}, folder / shard, metadata={"format": "pt"})
        index |= dict.fromkeys(chosen, shard)
    content = {"metadata": {"total_size": 0}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return folder


KINDS = ("zip", "safetensors", "legacy", "shards", "module")


def written(kind: str, folder: Path) -> Path:
    """A file, or a directory, of a kind."""
    if kind == "shards":
        return in_shards(folder / "shards")
    path = folder / ("x.safetensors" if kind == "safetensors" else "x.pt")
    if kind == "safetensors":
        save_file(plain(), path, metadata={"format": "pt", "note": "kept"})
    elif kind == "module":
        torch.save(module(), path)
    else:
        zipped = kind == "zip"
        torch.save(training(() if zipped else NOT_LEGACY), path, _use_new_zipfile_serialization=zipped)
    return path


def loaded(path: Path) -> Tensors:
    """All tensors of a file by dotted names, as torch or safetensors load them."""
    if path.is_dir():
        return {
            name: t for shard in sorted(path.glob("*.safetensors")) for name, t in load_file(shard).items()
        }
    if path.suffix == ".safetensors":
        return load_file(path)
    return dict(walk(torch.load(path, weights_only=False), ""))


def walk(held: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in an object with its dotted name."""
    if isinstance(held, torch.Tensor):
        yield name, held.detach()
    elif isinstance(held, nn.Module):
        for inner, tensor in (
            *held.named_parameters(remove_duplicate=False),
            *held.named_buffers(remove_duplicate=False),
        ):
            yield inner, tensor.detach()
    elif isinstance(held, dict | list):
        for key, value in held.items() if isinstance(held, dict) else enumerate(held):
            yield from walk(value, f"{name}.{key}" if name else str(key))


# Bits


def bits(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor's elements in row-major order."""
    flat = tensor.detach().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def shown(editor: CheckpointEditor, tensor: int) -> bytes:
    """The bytes of a tensor's elements as an editor has them."""
    return b"".join(piece.tobytes() for piece in raw_pieces(editor.runs, editor.listing.geometry(tensor)))


def all_shown(editor: CheckpointEditor) -> dict[str, bytes]:
    """Those of all tensors that have bytes, by name."""
    listing = editor.listing
    return {
        name: shown(editor, tensor)
        for tensor, name in enumerate(listing.names)
        if not editor.edit_reason(tensor)
    }


def all_bits(tensors: Tensors) -> dict[str, bytes]:
    """Those of all tensors."""
    return {name: bits(tensor) for name, tensor in tensors.items()}
