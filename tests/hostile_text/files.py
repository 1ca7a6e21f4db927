"""Checkpoints that name everything with control characters, bidi marks and markup."""

from __future__ import annotations

import json
import struct
import zipfile
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Sets the title, clears the screen, colours by C1, turns direction, ends lines, and is markup.
POISON = (
    "\x1b]0;pwned\x07\x1b[2J\x9b31m\x90q\u202epoison\u2066\u200b\u2028\x85\x00\x7f\r\n\t\x08"
    "[/nope][bold red]{0}%s%n$(x)\U000e0041\ufeff"
)
# No text of a file may reach a terminal with one of these in it.
FORBIDDEN = (*map(chr, range(9)), *"\x0b\x0c\r\x0e\x0f\x1b\x7f", *map(chr, range(0x80, 0xA0)),
             *"\u202e\u2066\u200b\u2028\U000e0041\ufeff")  # fmt: skip


def opcode_text(text: str) -> bytes:
    """BINUNICODE of a text, lone surrogates and all."""
    raw = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def reference(module: str, name: str) -> bytes:
    """A global by STACK_GLOBAL, whose names may be any text."""
    return opcode_text(module) + opcode_text(name) + b"\x93"


def tensor(key: str, shape: tuple[int, ...], storage: bytes, offset: int = 0) -> bytes:
    """A call of _rebuild_tensor_v2 on a storage with this key."""
    pid = b"(" + opcode_text("storage") + storage + opcode_text(key) + opcode_text(POISON) + b"K\x64t" + b"Q"
    sizes = b"(" + b"".join(b"J" + struct.pack("<i", size) for size in shape) + b"t"
    strides = b"(" + b"K\x01" * len(shape) + b"t"
    numbers = pid + b"J" + struct.pack("<i", offset) + sizes + strides
    return reference("torch._utils", "_rebuild_tensor_v2") + b"(" + numbers + b"\x89" + b"Nt" + b"R"


def poisoned_zip(path: Path) -> None:
    """Names, classes, values, devices, storages and records of a .pt."""
    good = reference("torch", "FloatStorage")
    entries = [
        (opcode_text(POISON), tensor("0", (4,), good)),
        (opcode_text("layer." + POISON + "\ud800"), tensor("0", (4,), good, 1)),
        (opcode_text("plain"), tensor("0", (5,), good)),
        (opcode_text("torn"), tensor("0", (400,), good)),
        (opcode_text("stranger"), tensor("0", (4,), reference(POISON, POISON))),
        (opcode_text("absent"), tensor(POISON, (4,), good)),
        (opcode_text("text"), opcode_text(POISON)),
        (opcode_text("bytes"), b"C" + bytes([len(POISON.encode())]) + POISON.encode()),
        (opcode_text("list"), b"](" + opcode_text(POISON) + b"K\x01e"),
        (b"(" + opcode_text(POISON) + b"K\x02t", b"K\x03"),
        (
            opcode_text("object"),
            reference(POISON, POISON) + b"(" + opcode_text(POISON) + b"t\x81}" + opcode_text(POISON)
            + opcode_text(POISON) + b"sb",
        ),
        (opcode_text("global"), reference("os" + POISON, "system" + POISON)),
        (opcode_text("odd id"), opcode_text(POISON) + b"Q"),
        (opcode_text("set"), b"\x8f(" + opcode_text(POISON) + b"\x90"),
    ]  # fmt: skip
    pickle = b"\x80\x04}(" + b"".join(key + value for key, value in entries) + b"u."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{POISON[-20:-12]}/data.pkl", pickle)
        archive.writestr(f"{POISON[-20:-12]}/data/0", bytes(400))
        archive.writestr(f"{POISON[-20:-12]}/version", f"3{POISON}")
        archive.writestr(f"{POISON[-20:-12]}/{POISON.replace(chr(0), '')}", b"x")


def poisoned_safetensors(path: Path) -> None:
    """Names and metadata of a .safetensors."""
    header = {
        "__metadata__": {POISON: POISON, "format": POISON, "again": "\ud800" + POISON},
        POISON: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        f"layers.0.{POISON}.weight": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]},
        "nan": {"dtype": "F32", "shape": [1], "data_offsets": [24, 28]},
    }
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(24) + struct.pack("<f", float("nan")))


def poisoned_folder(path: Path) -> None:
    """An index that names poisoned shards, and a configuration that says poison everywhere."""
    path.mkdir()
    name = f"model-{POISON.replace('/', '').replace(chr(0), '')}.safetensors"
    poisoned_safetensors(path / name)
    weights = {POISON: name, "nan": name, f"missing {POISON}": name, "x": name}
    index = {"metadata": {"total_size": 1, POISON: POISON}, "weight_map": weights}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {"architectures": [POISON], "model_type": POISON, "tie_word_embeddings": True, POISON: POISON}
    (path / "config.json").write_text(json.dumps(config))


def poisoned_archive(path: Path) -> None:
    """A TorchScript program whose names are poison."""
    module = reference("__torch__." + POISON, "Net" + POISON)
    good = reference("torch", "FloatStorage")
    state = (
        b"}(" + opcode_text(POISON) + tensor("0", (4,), good) + opcode_text("w") + opcode_text(POISON) + b"u"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x04" + module + b")\x81" + state + b"b.")
        archive.writestr("net/constants.pkl", b"\x80\x02).")
        archive.writestr(f"net/code/__torch__/{POISON.replace(chr(0), '')}.py", POISON)
        archive.writestr("net/data/0", bytes(400))
        archive.writestr("net/version", "3\n")


def poisoned_legacy(path: Path) -> None:
    """The format before zip, with a poisoned name; torch itself writes it."""
    torch.save(
        {POISON: torch.zeros(2), "text": POISON, POISON + "2": {POISON: torch.ones(2)}},
        path,
        _use_new_zipfile_serialization=False,
    )


def unreadable(path: Path) -> None:
    """A header that quotes poison in its error."""
    raw = json.dumps({POISON: {"dtype": POISON, "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(4))


MADE: dict[str, Callable[[Path], None]] = {
    "zip.pt": poisoned_zip,
    "tensors.safetensors": poisoned_safetensors,
    "folder": poisoned_folder,
    "program.pt": poisoned_archive,
    "legacy.pt": poisoned_legacy,
    "unreadable.safetensors": unreadable,
}
