"""Reports of errors of this program's own: a few words for the person, the rest in a file."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Final

from paramtui.core.text import safe_text
from paramtui.version import __version__

KEPT: Final = 10
PREFIX: Final = "crash-"


def folder() -> str:
    """Where reports are written: the state directory of the person."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")  # noqa: PTH111, PTH118
    return os.path.join(home, "paramtui")  # noqa: PTH118


def told(error: BaseException, arguments: list[str]) -> str:
    """Writes a report, and says in two lines what happened and where it lies.

    Args:
        error: What was not expected.
        arguments: Of the command line, for the report.
    """
    words = safe_text(f"{type(error).__name__}: {error}".split("\n")[0].rstrip(": "), 200)
    path = written(error, arguments)
    where = (
        f"the report for its developers is {safe_text(path, 1000)}" if path else "no report could be written"
    )
    return f"paramtui: an error of its own: {words}\n{where}"


def written(error: BaseException, arguments: list[str]) -> str:
    """Writes a report, and returns its path; empty where it cannot be written.

    It says versions, the system, the terminal, the command line and the traceback, and no number of a tensor.
    """
    import platform
    import time
    import traceback
    from importlib.metadata import PackageNotFoundError, version

    def of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    terminal = ", ".join(
        f"{name}={os.environ.get(name, '')}" for name in ("TERM", "COLORTERM", "TMUX", "LANG")
    )
    lines = [
        f"paramtui {__version__}",
        f"Python {sys.version.split()[0]}, {platform.platform()}",
        *(f"{name} {of(name)}" for name in ("torch", "textual", "rich", "numpy")),
        f"arguments: {arguments!r}",
        f"terminal: {terminal}",
        "",
        *traceback.format_exception(error),
    ]
    text = safe_lines("\n".join(lines))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for place in (folder(), tempfile.gettempdir()):
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103
            handle, path = tempfile.mkstemp(prefix=f"{PREFIX}{stamp}-", suffix=".txt", dir=place)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        if place == folder():
            _forget_old(place)
        return path
    return ""


def safe_lines(text: str) -> str:
    """A text of several lines without control characters, which a pager would pass on to the terminal."""
    return "".join(f"{safe_text(line, 4000)}\n" for line in text.split("\n"))


def _forget_old(place: str) -> None:
    """Keeps the latest reports alone."""
    try:
        names = sorted(name for name in os.listdir(place) if name.startswith(PREFIX))  # noqa: PTH208
        for name in names[:-KEPT]:
            os.unlink(os.path.join(place, name))  # noqa: PTH108, PTH118
    except OSError:
        return
