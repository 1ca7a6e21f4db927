"""Terminals that are closed after the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.terminal.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts the program in terminals that are closed after the test."""
    opened: list[Terminal] = []

    def start(*words: str, **options: object) -> Terminal:
        opened.append(Terminal(*words, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for found in opened:
        found.close()
