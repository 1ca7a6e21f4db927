"""What the terminal can show."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from paramtui.tui.ramps import EIGHT_BIT, MONO, STANDARD, TRUECOLOR

if TYPE_CHECKING:
    from textual.app import App


def colour_depth(app: App[None]) -> str:
    """`TRUECOLOR`, `EIGHT_BIT`, `STANDARD` or `MONO`; NO_COLOR wins over all."""
    if app.no_color:
        return MONO
    return {"truecolor": TRUECOLOR, "256": EIGHT_BIT, "standard": STANDARD}.get(
        app.console.color_system or "", MONO
    )


def ascii_only(app: App[None]) -> bool:
    """Whether letters beyond ASCII would arrive as something else."""
    encoding = getattr(sys.__stderr__, "encoding", None) or app.console.encoding
    return "utf" not in encoding.lower()
