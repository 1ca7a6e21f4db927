"""Targets opened lately, kept in a small file of the user's state directory."""

from __future__ import annotations

import os
from typing import Final

KEPT: Final = 50
MAX_BYTES: Final = 1_000_000


def _path() -> str:
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")  # noqa: PTH111, PTH118
    return os.path.join(home, "paramtui", "recent.json")  # noqa: PTH118


def recent_targets(limit: int = 20) -> list[str]:
    """The latest targets, newest first; none where the file is missing or damaged."""
    import json

    try:
        with open(_path(), "rb") as file:  # noqa: PTH123
            data = file.read(MAX_BYTES + 1)
        found = json.loads(data) if len(data) <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(found, list):
        return []
    return [target for target in found if isinstance(target, str)][:limit]


def note_recent(target: str) -> None:
    """Puts a target first. What cannot be written is forgotten: opening a file must not fail for it."""
    import contextlib
    import json
    import tempfile

    wanted = target
    # The working directory may be gone.
    with contextlib.suppress(OSError, ValueError):
        path, colon, factory = target.rpartition(":")
        if os.path.exists(target):  # noqa: PTH110
            wanted = os.path.abspath(target)  # noqa: PTH100
        elif path.endswith(".py") and os.path.exists(path):  # noqa: PTH110
            wanted = f"{os.path.abspath(path)}{colon}{factory}"  # noqa: PTH100
    targets = [wanted, *(other for other in recent_targets(KEPT) if other != wanted)][:KEPT]
    path = _path()
    folder = os.path.dirname(path)  # noqa: PTH120
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".recent-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
            json.dump(targets, file, indent=1)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
