"""Opens any PyTorch model or checkpoint as a tree of blocks, in a terminal or from Python.

The public names are loaded when first used: importing this package imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.version import __version__

if TYPE_CHECKING:
    from paramtui.api import Checkpoint, open_checkpoint

__all__ = ["Checkpoint", "__version__", "open_checkpoint"]


def __getattr__(name: str) -> object:
    if name in ("Checkpoint", "open_checkpoint"):
        from paramtui import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
