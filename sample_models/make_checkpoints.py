"""Writes the sample checkpoints anew, the same numbers each time.

Usage: ``python sample_models/make_checkpoints.py [DIRECTORY]``
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

if TYPE_CHECKING:
    from types import ModuleType

HERE = Path(__file__).parent
SEED = 0


def load(name: str) -> ModuleType:
    """A sample file as a module that whole pickled networks can name."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def training_checkpoint() -> dict[str, object]:
    """The transformer after three steps of AdamW, with what is needed to go on."""
    sample = load("tied_transformer")
    torch.manual_seed(SEED)
    net = sample.build()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    loss = torch.tensor(0.0)
    for _ in range(3):
        optimizer.zero_grad()
        loss = sample.loss(net, *sample.example_inputs())
        loss.backward()
        optimizer.step()
    return {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "loss": loss.item(),
        "config": {"layers": sample.LAYERS, "width": sample.WIDTH, "heads": sample.HEADS},
    }


def main(directory: Path) -> None:
    """Writes all checkpoints into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    perceptron = load("perceptron").build()
    nested = load("nested_blocks").build()
    tied = load("tied_layers").build()
    convnet = load("convnet").build()
    save_file(perceptron.state_dict(), directory / "perceptron.safetensors", {"format": "pt"})
    save_file(convnet.state_dict(), directory / "convnet.safetensors", {"format": "pt"})
    torch.save(nested.state_dict(), directory / "nested_blocks.pt")
    torch.save(tied, directory / "tied_layers.pt")  # the whole module, not only its parameters
    torch.save(training_checkpoint(), directory / "tied_transformer.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "checkpoints")
