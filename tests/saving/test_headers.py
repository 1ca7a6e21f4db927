"""Headers of safetensors files that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from paramtui.checkpoints import safetensors_writing
from paramtui.checkpoints.safetensors_writing import safetensors_file_job
from paramtui.checkpoints.state_dict import StateEntry
from paramtui.checkpoints.writing import write_files
from paramtui.errors import SavingError
from tests.saving.entries import described, held


def test_a_pair_of_numbers_needs_a_dimension_to_lie_in(tmp_path: Path) -> None:
    entry = StateEntry("pair", "float4_e2m1fn_x2", (), (), 0, 0, False, False)
    with pytest.raises(SavingError, match="pair is a pair of 4-bit numbers without a dimension"):
        safetensors_file_job(str(tmp_path / "x.safetensors"), [entry], [held(b"\x12")])


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    entries, storages = described({"\udcff": torch.ones(1)})
    with pytest.raises(SavingError, match="a name is no text that UTF-8 can hold"):
        safetensors_file_job(str(tmp_path / "x.safetensors"), entries, storages)


def test_the_name_of_the_metadata_is_no_tensors(tmp_path: Path) -> None:
    entries, storages = described({"__metadata__": torch.ones(1)})
    with pytest.raises(SavingError, match="can be named __metadata__"):
        safetensors_file_job(str(tmp_path / "x.safetensors"), entries, storages)


def test_a_header_longer_than_the_format_allows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, storages = described({f"w{number}": torch.ones(1) for number in range(20)})
    path = tmp_path / "x.safetensors"
    job, _ = safetensors_file_job(str(path), entries, storages)
    length = job.nbytes - 8 - 20 * 4
    monkeypatch.setattr(safetensors_writing, "MAX_HEADER", length - 1)
    with pytest.raises(SavingError, match=f"needs a header of {length:,} bytes; the format allows"):
        safetensors_file_job(str(path), entries, storages)
    monkeypatch.setattr(safetensors_writing, "MAX_HEADER", length)
    write_files([safetensors_file_job(str(path), entries, storages)[0]])
    assert len(load_file(path)) == 20
