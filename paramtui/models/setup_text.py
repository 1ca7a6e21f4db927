"""The lines of Python that build the same model again, for people to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.literals import literal_text

if TYPE_CHECKING:
    from paramtui.core.model_target import ModelOptions, ModelTarget
    from paramtui.models.loading import Loaded


def setup_text(target: ModelTarget, loaded: Loaded, options: ModelOptions) -> str:
    """``import torch; torch.manual_seed(0); from net import build; model = build()``."""
    lines = ["import torch"]
    if target.file:
        lines.append(
            "import importlib.util;"
            f" spec = importlib.util.spec_from_file_location('net', {literal_text(target.file)});"
            " net = importlib.util.module_from_spec(spec)"
        )
        lines.append(f"torch.manual_seed({options.seed}); spec.loader.exec_module(net)")
        name = f"net.{loaded.factory}"
    else:
        head, _, _ = loaded.factory.partition(".")
        lines.append(f"torch.manual_seed({options.seed}); from {target.module} import {head}")
        name = loaded.factory
    if not loaded.called:
        lines.append(f"model = {name}")
    elif options.device == "meta":
        lines.append(f"torch.manual_seed({options.seed})")
        lines.append(f"with torch.device('meta'): model = {name}()")
    else:
        lines.append(f"torch.manual_seed({options.seed}); model = {name}()")
    if options.device not in ("cpu", "meta"):
        lines.append(f"model = model.to({literal_text(options.device)})")
    return "\n".join(lines)
