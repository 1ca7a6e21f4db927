"""What the terminal can show."""

from __future__ import annotations

import os
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


def job_control() -> bool:
    """Whether a shell would notice that this process is stopped, and could let it go on.

    That is one outside of its process group and in its session, as POSIX has it; a program in
    between (``uv run``) is stopped with it.
    """
    group, session = os.getpgrp(), os.getsid(0)
    pid = os.getppid()
    while pid > 1:
        try:
            if os.getsid(pid) != session:
                return False
            if os.getpgid(pid) != group:
                return True
            with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
                pid = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False
