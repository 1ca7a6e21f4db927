"""The lines of Python that build the same model again, for people to copy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from paramtui.core.literals import literal_text

if TYPE_CHECKING:
    from paramtui.core.model_target import ModelOptions, ModelTarget
    from paramtui.models.loading import Loaded


def setup_text(target: ModelTarget, loaded: Loaded, options: ModelOptions) -> str:
    """Import, seed and call, one statement a line."""
    seed = f"torch.manual_seed({options.seed})"
    module = getattr(loaded.code, "__name__", target.module)
    lines = ["import torch"]
    if target.file:
        path = os.path.realpath(target.file)
        # The directory that the module's dotted name begins in.
        folder = path
        for _ in range(module.count(".") + 1):
            folder = os.path.dirname(folder)  # noqa: PTH120
        if module.startswith("paramtui_target_") or not module.replace(".", "").isidentifier():
            lines += [
                "import importlib.util",
                f"spec = importlib.util.spec_from_file_location('net', {literal_text(path)})",
                "net = importlib.util.module_from_spec(spec)",
                seed,
                "spec.loader.exec_module(net)",
            ]
            made = f"net.{loaded.factory}"
            return "\n".join([*lines, *_made(made, loaded, options, seed)])
        lines += ["import sys", f"sys.path.insert(0, {literal_text(folder)})"]
    head, _, _ = loaded.factory.partition(".")
    lines += [seed, f"from {module} import {head}"]
    return "\n".join([*lines, *_made(loaded.factory, loaded, options, seed)])


def _made(name: str, loaded: Loaded, options: ModelOptions, seed: str) -> list[str]:
    if not loaded.called:
        lines = [f"model = {name}"]
    elif options.device == "meta":
        lines = [seed, "with torch.device('meta'):", f"    model = {name}()"]
    else:
        lines = [seed, f"model = {name}()"]
    if options.device != "cpu" and not (loaded.called and options.device == "meta"):
        lines.append(f"model = model.to({literal_text(options.device)})")
    return lines
