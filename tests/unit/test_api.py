"""`paramtui.open_checkpoint`, as a script uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import paramtui
from paramtui.errors import IndexSyntaxError, NameLookupError, ParamtuiError, ValuesError


def saved(tmp_path: Path, what: object) -> Path:
    path = tmp_path / "file.pt"
    torch.save(what, path)
    return path


def test_reads_a_slice_by_name_by_id_and_by_key_path(tmp_path: Path) -> None:
    weight = torch.arange(12.0).view(3, 4)
    checkpoint = paramtui.open_checkpoint(saved(tmp_path, {"model": {"0.weight": weight}}))
    expected = weight[1, ::2].numpy()
    assert np.array_equal(checkpoint.read("model.0.weight", "1, ::2"), expected)
    assert np.array_equal(checkpoint.read(0, (1, slice(None, None, 2))), expected)
    assert np.array_equal(checkpoint.read(["model", "0.weight"], (1, slice(None, None, 2))), expected)


def test_the_listing_is_columnar(tmp_path: Path) -> None:
    checkpoint = paramtui.open_checkpoint(str(saved(tmp_path, {"a": torch.zeros(2, 3), "b": torch.ones(1)})))
    listing = checkpoint.listing
    assert listing.names == ["a", "b"]
    assert listing.shape == [(2, 3), (1,)]
    assert listing.totals().nbytes == 28


def test_two_tensors_of_one_name_need_their_key_paths(tmp_path: Path) -> None:
    what = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)}
    checkpoint = paramtui.open_checkpoint(saved(tmp_path, what))
    with pytest.raises(NameLookupError, match="key path"):
        checkpoint.read("a.b")
    assert checkpoint.read(["a", "b"]).tolist() == [0.0]
    assert checkpoint.read(["a.b"]).tolist() == [1.0]


def test_a_ragged_tensor_is_read_in_parts(tmp_path: Path) -> None:
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(1, 3)])
    checkpoint = paramtui.open_checkpoint(saved(tmp_path, {"n": nested}))
    with pytest.raises(ValuesError, match="read_parts"):
        checkpoint.read("n")
    parts = checkpoint.read_parts("n")
    assert [part.tolist() for part in parts] == [part.tolist() for part in nested.unbind()]


def test_errors_are_of_one_family_and_say_what_is_wrong(tmp_path: Path) -> None:
    checkpoint = paramtui.open_checkpoint(saved(tmp_path, {"weight": torch.zeros(2)}))
    with pytest.raises(NameLookupError, match="did you mean weight"):
        checkpoint.read("wieght")
    with pytest.raises(IndexSyntaxError, match="outside dimension 0"):
        checkpoint.read("weight", "5")
    with pytest.raises(ParamtuiError, match="no such file"):
        paramtui.open_checkpoint(tmp_path / "missing.pt")


def test_the_file_is_not_kept_open(tmp_path: Path) -> None:
    path = saved(tmp_path, {"weight": torch.zeros(2)})
    checkpoint = paramtui.open_checkpoint(path)
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        links = [link.readlink() for link in descriptors.iterdir() if link.is_symlink()]
        assert path not in links
    path.write_bytes(b"another file")
    with pytest.raises(ParamtuiError, match="changed since it was opened"):
        checkpoint.read("weight")
