"""The sample models and checkpoints that travel with the program."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from paramtui.errors import TargetError

DEFAULT_SAMPLE = "tied_transformer.pt"

_CHECKPOINTS = {
    "perceptron.safetensors": "the parameters of two linear layers",
    "nested_blocks.pt": "nested blocks, and the names that lead into them",
    "tied_layers.pt": "one layer at two places; a whole pickled module",
    "tied_transformer.pt": "training: tied embeddings, Adam's moments",
    "convnet.safetensors": "buffers beside parameters, in four dimensions",
}


_MODELS = {
    "perceptron.py": "what parameters are: weight and bias of two linear layers",
    "nested_blocks.py": "how names lead to parameters in nested blocks",
    "tied_layers.py": "tied parameters: one layer at two places",
    "tied_transformer.py": "a transformer: attention, a buffer, tied embeddings",
    "convnet.py": "buffers beside parameters, in a convolutional net",
    "exploding.py": "a gradient that is NaN in one layer",
    "branches.py": "frozen, unreached and zero gradients, side by side",
}


class Sample(NamedTuple):
    """One bundled checkpoint or model.

    Attributes:
        name: File name.
        path: Where it lies.
        teaches: What it shows, in a line.
    """

    name: str
    path: Path
    teaches: str


def samples_directory() -> Path:
    """The directory of the sample models, in a wheel, an editable install or a checkout.

    Raises:
        TargetError: This copy of the program came without them.
    """
    package = Path(__file__).parent
    for found in (package / "sample_models", package.parent / "sample_models"):
        if (found / "checkpoints").is_dir():
            return found
    raise TargetError("the bundled samples are missing from this installation", hint="name a TARGET")


def sample_models() -> list[Sample]:
    """The bundled models, as Python files, simplest first."""
    directory = samples_directory()
    return [Sample(name, directory / name, teaches) for name, teaches in _MODELS.items()]


def sample_checkpoints() -> list[Sample]:
    """The bundled checkpoints, simplest first."""
    directory = samples_directory() / "checkpoints"
    return [Sample(name, directory / name, teaches) for name, teaches in _CHECKPOINTS.items()]
