"""Opens any PyTorch model or checkpoint as a tree of blocks, in a terminal or from Python.

The public names are loaded when first used: importing this package imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.version import __version__

if TYPE_CHECKING:
    from paramtui.api import Checkpoint, open_checkpoint
    from paramtui.browsing import browse, browse_async

__all__ = ["Checkpoint", "__version__", "browse", "browse_async", "open_checkpoint"]


def __getattr__(name: str) -> object:
    if name in ("Checkpoint", "open_checkpoint"):
        from paramtui import api

        return getattr(api, name)
    if name in ("browse", "browse_async"):
        from paramtui import browsing

        return getattr(browsing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
