"""Storages that give fewer bytes than they said: nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.checkpoints.safetensors_writing import safetensors_file_job
from paramtui.checkpoints.torch_zip_writing import torch_file_job
from paramtui.checkpoints.writing import FileJob, write_files
from paramtui.errors import SavingError
from tests.saving.entries import described

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paramtui.checkpoints.state_dict import StateEntry, StateStorage


def safetensors_job(path: str, entries: Sequence[StateEntry], storages: Sequence[StateStorage]) -> FileJob:
    return safetensors_file_job(path, entries, storages)[0]


@pytest.mark.parametrize("job", [torch_file_job, safetensors_job])
def test_a_storage_that_gives_too_few_bytes_leaves_no_file(tmp_path: Path, job: object) -> None:
    assert callable(job)
    entries, storages = described({"w": torch.arange(10.0)})
    short = storages[0]._replace(read=lambda begin, nbytes: bytes(nbytes - 1))  # noqa: ARG005
    with pytest.raises(SavingError, match="a storage gave 39 of 40 bytes"):
        write_files([job(str(tmp_path / "new"), entries, [short])])
    assert list(tmp_path.iterdir()) == []
