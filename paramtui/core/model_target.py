"""Which targets are models rather than checkpoints, told from their text and the file system alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class ModelTarget(NamedTuple):
    """Code that builds a model.

    Attributes:
        text: What the person typed.
        file: Path of a Python file; empty where a module is named.
        module: Dotted name of a module; empty where a file is named.
        factory: Dotted name of a callable or module instance in it; empty to look for one.
    """

    text: str
    file: str
    module: str
    factory: str


class ModelOptions(NamedTuple):
    """What a person asks for besides the target.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``meta``.
        seed: For all random numbers.
        inputs: What to run the model with; None for what is known.
        weights: Path of a checkpoint to load into it; None for none.
        fix_weights: Whether to load it in the way that fits best rather than name by name.
        init_files: Python files of custom initialisers.
    """

    device: str = "cpu"
    seed: int = 0
    inputs: str | None = None
    weights: str | None = None
    fix_weights: bool = False
    init_files: Sequence[str] = ()

    def words(self) -> list[str]:
        """The same as words of the command line; what is as usual is left out."""
        out = [] if self.device == "cpu" else ["--device", self.device]
        out += ["--seed", str(self.seed)] if self.seed else []
        out += ["--inputs", self.inputs] if self.inputs is not None else []
        out += ["--weights", self.weights] if self.weights is not None else []
        for path in self.init_files:
            out += ["--init", path]
        return [*out, "--fix-weights"] if self.fix_weights else out


def model_target(text: str) -> ModelTarget | None:
    """The code that a target names: ``net.py``, ``net.py:build``, ``package.module:factory``; else None.

    What exists under the whole text is a checkpoint, unless it is a Python file.
    """
    try:
        exists = os.path.exists(text)  # noqa: PTH110  pathlib costs milliseconds at start
        is_folder = exists and os.path.isdir(text)  # noqa: PTH112
    except ValueError:
        return None
    if exists:
        return ModelTarget(text, text, "", "") if text.endswith(".py") and not is_folder else None
    head, colon, tail = text.rpartition(":")
    if colon and _is_dotted(tail):
        if head.endswith(".py"):
            return ModelTarget(text, head, "", tail)
        if _is_dotted(head):
            return ModelTarget(text, "", head, tail)
    return ModelTarget(text, text, "", "") if text.endswith(".py") else None


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
