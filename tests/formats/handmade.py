"""Archives around pickles that are written opcode by opcode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile.opcodes import STOP, archive
from tests.support import opened

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.api import Checkpoint


def written(folder: Path, body: bytes, **records: bytes) -> Path:
    """An archive around the pickle of some opcodes and STOP."""
    path = folder / "handmade.pt"
    path.write_bytes(archive(body + STOP, deflated=False, **records))
    return path


def listed(folder: Path, body: bytes, **records: bytes) -> Checkpoint:
    """What is read of such an archive."""
    return opened(written(folder, body, **records))
