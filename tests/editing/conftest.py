"""What the tests of edited checkpoints share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.editing.checkpoints import SharedComputer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def computer() -> Iterator[SharedComputer]:
    """An engine for all tests of a file: starting one takes longer than most of them."""
    shared = SharedComputer()
    yield shared
    shared.end()
