"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

# Times vary on a busy machine, and examples that write files are slow to generate.
# A gate says the same of the same code each time; elsewhere other examples are tried each time.
settings.register_profile(
    "readers",
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("readers")


class Save(Protocol):
    """`torch.save` to a new file of the test."""

    def __call__(self, obj: object, **options: Any) -> Path:  # noqa: ANN401  whatever torch.save takes
        """Writes `obj` and returns the path."""


@pytest.fixture(autouse=True)
def _own_directories(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the settings and the recent targets of whoever runs the tests out of them."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / name.lower()))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves an object with ``torch.save`` and returns the file."""
    count = 0

    def write(obj: object, **options: Any) -> Path:  # noqa: ANN401
        nonlocal count
        count += 1
        path = tmp_path / f"saved{count}.pt"
        torch.save(obj, path, **options)
        return path

    return write


@pytest.fixture
def example(save: Save) -> Path:
    """The file of the design's example."""
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    return save({"model": net.state_dict(), "epoch": 7})
