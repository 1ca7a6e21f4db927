"""New names for files."""

from __future__ import annotations

import os


def free_name(path: str) -> str:
    """`path`, or with ``-2``, ``-3`` ... before its suffix, whichever is not there yet."""
    head, tail = os.path.split(path)
    stem, dot, suffix = tail.rpartition(".") if "." in tail.lstrip(".") else (tail, "", "")
    found, count = path, 1
    while os.path.lexists(found) and count < 1000:
        count += 1
        found = os.path.join(head, f"{stem}-{count}{dot}{suffix}")  # noqa: PTH118
    return found
