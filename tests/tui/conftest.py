"""Keys that a test presses count at once: what they wait for in a real terminal is tested there."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_wait_for_what_is_soon_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paramtui.tui.editing.desk.SOON", 0.0)
    monkeypatch.setattr("paramtui.tui.targets.SOON", 0.0)
