"""``python -m paramtui``."""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
    # A checkpoint's directory may hold a json.py: what is imported later is not looked for there.
    del sys.path[0]

from paramtui.cli import run

if __name__ == "__main__":
    run()
