"""``python -m paramtui``."""

from __future__ import annotations

from paramtui.cli import run

if __name__ == "__main__":
    run()
