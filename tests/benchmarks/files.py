"""The large files that the benchmarks read: sparse, so that they take little disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# In a process of its own, so that the benchmarks never hold torch.
_LARGE = """
import sys, torch
path, hole, optimizer = sys.argv[1:]
width, vocabulary, inner, small = 8192, 128256, 28672, 1024
shapes = {"model.embed_tokens.weight": (vocabulary, width)}
for layer in range(80):
    at = f"model.layers.{layer}."
    shapes |= {
        at + "self_attn.q_proj.weight": (width, width), at + "self_attn.k_proj.weight": (small, width),
        at + "self_attn.v_proj.weight": (small, width), at + "self_attn.o_proj.weight": (width, width),
        at + "mlp.gate_proj.weight": (inner, width), at + "mlp.up_proj.weight": (inner, width),
        at + "mlp.down_proj.weight": (width, inner), at + "input_layernorm.weight": (width,),
        at + "post_attention_layernorm.weight": (width,),
    }
shapes |= {"model.norm.weight": (width,), "lm_head.weight": (vocabulary, width)}
def hollow(shape, dtype):
    nbytes = dtype.itemsize * torch.Size(shape).numel()
    storage = torch.UntypedStorage.from_file(hole, shared=False, nbytes=nbytes)
    return torch.empty(0, dtype=dtype).set_(storage, 0, shape)
saved = {name: hollow(shape, torch.bfloat16) for name, shape in shapes.items()}
if optimizer == "adam":
    moments = {
        place: {"step": torch.tensor(1000.0), "exp_avg": hollow(shape, torch.float32),
                "exp_avg_sq": hollow(shape, torch.float32)}
        for place, shape in enumerate(shapes.values())
    }
    group = {"lr": 1e-4, "betas": (0.9, 0.95), "params": list(range(len(shapes)))}
    saved = {"model": saved, "optimizer": {"state": moments, "param_groups": [group]}, "step": 1000}
with torch.serialization.skip_data():
    torch.save(saved, path)
"""
_MANY = """
import sys, torch
names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
         "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm", "rotary")
state = {f"model.layers.{layer}.{name}.weight": torch.zeros(4, 4) for layer in range(3000) for name in names}
torch.save(state, sys.argv[1])
"""


def _python(code: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


def _hollow(directory: Path, name: str, optimizer: str) -> Path:
    path = directory / name
    if not path.exists():
        hole = directory / "hole"
        with hole.open("wb") as file:
            file.truncate(5 << 30)
        _python(_LARGE, str(path), str(hole), optimizer)
        hole.unlink()
    return path


def large_checkpoint(directory: Path) -> Path:
    """A 141 GB ``.pt`` of a 70-billion-parameter model: 723 tensors of nothing."""
    return _hollow(directory, "llama70b.pt", "none")


def training_checkpoint(directory: Path) -> Path:
    """The same model with the state of Adam: a ``.pt`` of 706 GB, 2,892 tensors."""
    return _hollow(directory, "train706.pt", "adam")


def large_tensor(directory: Path) -> Path:
    """A ``.safetensors`` file of one bfloat16 tensor of 2^30 elements, all zero."""
    path = directory / "billion.safetensors"
    if not path.exists():
        nbytes = 2 << 30
        raw = json.dumps(
            {"w": {"dtype": "BF16", "shape": [1 << 15, 1 << 15], "data_offsets": [0, nbytes]}}
        ).encode()
        raw += b" " * (-len(raw) % 8)
        with path.open("wb") as file:
            file.write(len(raw).to_bytes(8, "little") + raw)
            file.truncate(8 + len(raw) + nbytes)
    return path


def many_tensors(directory: Path) -> Path:
    """A ``.pt`` of 30,000 small tensors."""
    path = directory / "many.pt"
    if not path.exists():
        _python(_MANY, str(path))
    return path


def many_shards(directory: Path) -> Path:
    """92,110 tensors in 164 safetensors shards, named as in a large mixture of experts."""
    folder = directory / "shards"
    if folder.exists():
        return folder
    folder.mkdir()
    tensors: list[tuple[str, str, list[int], int]] = []
    for layer in range(61):
        at = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors.append((f"{at}{norm}.weight", "BF16", [7168], 2 * 7168))
        parts = [f"self_attn.{name}" for name in ("q_a_proj", "q_b_proj", "kv_a_proj", "o_proj")]
        parts += [
            f"mlp.experts.{expert}.{name}"
            for expert in range(250)
            for name in ("gate_proj", "up_proj", "down_proj")
        ]
        for part in parts:
            tensors.append((f"{at}{part}.weight", "F8_E4M3", [2048, 7168], 2048 * 7168))
            tensors.append((f"{at}{part}.weight_scale_inv", "F32", [16, 56], 4 * 16 * 56))
    per_shard = -(-len(tensors) // 164)
    weight_map: dict[str, str] = {}
    for number in range(164):
        shard = f"model-{number + 1:05d}-of-00164.safetensors"
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, dtype, shape, nbytes in sorted(tensors[number * per_shard : (number + 1) * per_shard]):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + nbytes]}
            end += nbytes
            weight_map[name] = shard
        raw = json.dumps(header, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8)
        with (folder / shard).open("wb") as file:
            file.write(len(raw).to_bytes(8, "little") + raw)
            file.truncate(8 + len(raw) + end)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return folder
