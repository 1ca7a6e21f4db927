"""Seeds that PyTorch, safetensors and NumPy write: small files of every kind, to be broken."""

from __future__ import annotations

import argparse
import io
import json
import pathlib
import pickle
import sys
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from tests.fuzz import handmade
from tests.fuzz.cases import Case, write_case

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slotted:
    """An object whose state is a pair."""

    __slots__ = ("one", "two")

    def __init__(self) -> None:
        self.one = torch.ones(2)
        self.two = "two"


class Special(torch.Tensor):
    """A subclass of tensors."""


def _optimizer() -> dict[str, Any]:
    net = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}


def objects() -> dict[str, object]:
    """Objects as people save them, each small."""
    base = torch.arange(6.0).reshape(2, 3)
    parameter = nn.Parameter(torch.ones(2))
    parameter.note = "state"  # type: ignore[attr-defined]
    quantised = torch.quantize_per_channel(
        base, torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8
    )
    lengths = torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(1, 2)])
    jagged = torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(1, 2)], layout=torch.jagged)
    return {
        "state dict": nn.Linear(2, 2).state_dict(),
        "training": _optimizer(),
        "views": {"base": base, "t": base.t(), "part": base[1:, ::2], "none": torch.empty(0, 3)},
        "types": [
            torch.ones(2, dtype=dtype)
            for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.complex32, torch.uint16, torch.bool)
        ],
        "quantised": {"a": torch.quantize_per_tensor(base, 0.1, 3, torch.quint8), "b": quantised},
        "sparse": {"coo": base.to_sparse(), "csr": base.to_sparse_csr()},
        "nested": lengths,
        "jagged": jagged,
        "parameter": parameter,
        "subclass": {"a": base.as_subclass(Special), "p": nn.Parameter(base.as_subclass(Special))},
        "lazy views": {"conj": torch.ones(2, dtype=torch.complex64).conj(), "meta": torch.ones(2,
        device="meta")},
        "module": nn.Sequential(OrderedDict([("a b", nn.Linear(2, 1)), ("n", nn.BatchNorm1d(1))])),
        "tied modules": nn.ModuleList([nn.Linear(1, 1)] * 2),
        "storage": base.untyped_storage(),
        "plain": {
            "none": None, "yes": True, "n": -5, "big": 1 << 90, "f": 1.5, "s": "text", "b": b"\0\xff",
            "array": bytearray(b"x"), "set": {1, 2}, "frozen": frozenset("a"), "c": 1j, ("k", 1): 2, 3: 4,
        },
        "things": {
            "dtype": torch.float16, "device": torch.device("cpu"), "size": torch.Size([1, 2]),
            "space": argparse.Namespace(a=1), "path": pathlib.PurePosixPath("a/b"), "third": Fraction(1, 3),
            "default": defaultdict(list, {"a": [1]}), "slots": Slotted(),
        },
        "numpy": {
            "a": np.arange(4, dtype=np.int16).reshape(2, 2), "f": np.asfortranarray(np.ones((2, 2))),
            "s": np.float32(1.5), "r": np.array(["x"], dtype=object), "d": np.dtype(">f8"),
        },
    }  # fmt: skip


def _saved(obj: object, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(obj, out, **options)
    return out.getvalue()


def _data_pickle(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.read("archive/data.pkl")


def _torch_seeds() -> Iterator[Case]:
    for place, (name, obj) in enumerate(objects().items()):
        archive = _saved(obj)
        yield Case("archive", name, {"model.pt": archive})
        yield Case("pickle", name, {"data.pkl": _data_pickle(archive)})
        protocol = place % 6
        with_protocol = _data_pickle(_saved(obj, pickle_protocol=protocol))
        yield Case("pickle", f"{name}, protocol {protocol}", {"data.pkl": with_protocol})
        try:
            legacy = _saved(obj, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
        except (RuntimeError, AttributeError):
            continue  # the old format has no room for untyped storages and new dtypes
        yield Case("legacy", name, {"model.pt": legacy})
    plain = objects()["plain"]
    for protocol in range(6):
        yield Case("pickle", f"plain, protocol {protocol}", {"data.pkl": pickle.dumps(plain, protocol)})


def _script() -> bytes:
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), out)
    return out.getvalue()


def _tensors() -> dict[str, torch.Tensor]:
    return {
        "model.embed_tokens.weight": torch.ones(4, 2),
        "model.layers.0.norm.weight": torch.ones(2, dtype=torch.float16),
        "layers.1.n": torch.zeros(0, 3, dtype=torch.int64),
        "scalar": torch.tensor(5, dtype=torch.int8),
    }


def _header_seeds() -> Iterator[Case]:
    named = safetensors.torch.save(_tensors(), metadata={"format": "pt", "lm_head.weight": "scalar"})
    yield Case("header", "state dict", {"model.safetensors": named})
    yield Case("header", "one", {"model.safetensors": safetensors.torch.save({"w": torch.ones(3)})})
    yield Case("header", "none", {"model.safetensors": safetensors.torch.save({})})
    kinds = {str(number): torch.ones(1, dtype=dtype) for number, dtype in enumerate(
        (torch.bfloat16, torch.float8_e5m2, torch.bool, torch.uint8, torch.float64, torch.complex64)
    )}  # fmt: skip
    yield Case("header", "types", {"model.safetensors": safetensors.torch.save(kinds)})


def _shards() -> dict[str, bytes]:
    tensors = _tensors()
    names = list(tensors)
    files = {}
    weight_map = {}
    for number, chosen in enumerate((names[:2], names[2:]), 1):
        shard = f"model-{number:05}-of-00002.safetensors"
        files[shard] = safetensors.torch.save({name: tensors[name] for name in chosen})
        weight_map.update(dict.fromkeys(chosen, shard))
    index = {"metadata": {"total_size": 37}, "weight_map": weight_map}
    return {"model.safetensors.index.json": json.dumps(index).encode(), **files}


def _folder_seeds() -> Iterator[Case]:
    shards = _shards()
    yield Case("index", "safetensors", shards)
    state = {"a": torch.ones(2), "b": torch.zeros(1)}
    torch_index = {"weight_map": {"a": "pytorch_model.bin", "b": "pytorch_model.bin"}}
    yield Case(
        "index",
        "torch",
        {"i.index.json": json.dumps(torch_index).encode(), "pytorch_model.bin": _saved(state)},
    )
    model = safetensors.torch.save(_tensors())
    for config in handmade.CONFIGS:
        kind = str(config["model_type"])
        # What is opened comes first; the configuration beside it is what is broken.
        yield Case("config", kind, {"model.safetensors": model, "config.json": json.dumps(config).encode()})
    optimizer = {"optimizer.pt": _saved(_optimizer()["optimizer"])}
    beside = {"config.json": json.dumps(handmade.CONFIGS[0]).encode()}
    yield Case("folder", "index", {**shards, **beside, **optimizer})
    yield Case("folder", "numbered", {name: shard for name, shard in shards.items() if ".index." not in name})
    yield Case("folder", "trainer", {"pytorch_model.bin": _saved(state), **beside, **optimizer})
    yield Case("folder", "single", {"model.safetensors": model, **beside})


def all_seeds() -> list[Case]:
    """Every seed of every unit."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        # Prototypes and deprecations are announced of what is saved on purpose.
        warnings.simplefilter("ignore")
        found = [*_torch_seeds(), *_header_seeds(), *_folder_seeds(), *handmade.journals()]
        found.append(Case("archive", "script", {"model.pt": _script()}))
    found.append(Case("archive", "exported", {"model.pt": handmade.exported()}))
    found.append(Case("archive", "deflated", {"model.pt": handmade.deflated()}))
    found += [Case("pickle", name, {"data.pkl": data}) for name, data in handmade.PICKLES.items()]
    whole = [
        case._replace(unit="file") for case in found if case.unit in ("archive", "legacy", "header", "index")
    ]
    whole += [Case("file", f"plain {case.name}", case.files) for case in found if case.unit == "pickle"][::20]
    whole.append(Case("file", "tar", {"model.tar": handmade.tar()}))
    # Names of seeds name folders.
    return [case._replace(name=case.name.replace(" ", "_").replace(",", "")) for case in found + whole]


if __name__ == "__main__":
    for seed in all_seeds():
        write_case(sys.argv[1], seed)
