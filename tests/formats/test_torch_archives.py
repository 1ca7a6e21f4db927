"""Archives that are big-endian, deflated, damaged, hostile, or hold more than a checkpoint."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.errors import FormatError, ParamtuiError, ValuesError
from tests.support import assert_row, assert_rows, assert_same_numbers, opened, random_tensor, rewrite_zip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

# Bytes that are one number: complex numbers are two of half the size.
SWAPPED = {
    torch.float64: 8,
    torch.float32: 4,
    torch.float16: 2,
    torch.bfloat16: 2,
    torch.int64: 8,
    torch.int16: 2,
    torch.uint32: 4,
    torch.int8: 1,
    torch.bool: 1,
    torch.complex64: 4,
    torch.complex128: 8,
    torch.complex32: 2,
}


def swapped(content: bytes, width: int) -> bytes:
    return b"".join(content[at : at + width][::-1] for at in range(0, len(content), width))


@pytest.mark.parametrize("dtype", list(SWAPPED), ids=str)
def test_a_big_endian_archive_reads_as_its_little_endian_twin(
    save: Save, tmp_path: Path, dtype: torch.dtype
) -> None:
    tensor = random_tensor(dtype, (4, 6))

    def change(name: str, content: bytes) -> bytes:
        if name.endswith("/byteorder"):
            return b"big"
        return swapped(content, SWAPPED[dtype]) if "/data/" in name else content

    path = rewrite_zip(save({"w": tensor, "v": tensor.t()[1:]}), tmp_path / "big.pt", change)
    checkpoint = opened(path)
    assert_rows(checkpoint, {"w": tensor, "v": tensor.t()[1:]})
    if dtype in (torch.uint32, torch.complex32):
        return  # torch.load does not swap what it stores untyped
    loaded = torch.load(path, weights_only=True)["w"]
    assert loaded.view(torch.uint8).equal(tensor.view(torch.uint8))  # our own file is what torch takes it for


def test_an_unknown_byte_order_is_warned_of_and_taken_for_little(save: Save, tmp_path: Path) -> None:
    path = rewrite_zip(
        save({"w": torch.arange(3)}),
        tmp_path / "odd.pt",
        lambda name, content: b"middle" if name.endswith("/byteorder") else content,
    )
    checkpoint = opened(path)
    assert any("byteorder" in warning for warning in checkpoint.listing.warnings)
    assert_rows(checkpoint, {"w": torch.arange(3)})


def test_a_deflated_archive_is_read(save: Save, tmp_path: Path) -> None:
    tensors = {"w": torch.randn(50, 3), "v": torch.arange(1000)}
    path = rewrite_zip(save(tensors), tmp_path / "deflated.pt", lambda _, c: c, method=zipfile.ZIP_DEFLATED)
    assert_rows(opened(path), tensors)


def test_an_archive_behind_other_bytes_is_read_and_warned_of(save: Save, tmp_path: Path) -> None:
    path = tmp_path / "prefixed.pt"
    path.write_bytes(b"PK\x03\x04 is how this prefix begins." + save({"w": torch.arange(9)}).read_bytes())
    checkpoint = opened(path)
    assert_rows(checkpoint, {"w": torch.arange(9)})
    assert any("before the archive" in warning for warning in checkpoint.listing.warnings)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_records_of_one_name_are_refused(save: Save, tmp_path: Path) -> None:
    path = rewrite_zip(
        save({"w": torch.ones(3)}), tmp_path / "twice.pt", lambda _, c: c, add={"saved1/data/0": b"\0" * 12}
    )
    assert len(zipfile.ZipFile(path).namelist()) > len(set(zipfile.ZipFile(path).namelist()))
    with pytest.raises(FormatError, match="two records named"):
        opened(path)


def test_two_pickles_at_the_top_are_refused(save: Save, tmp_path: Path) -> None:
    path = rewrite_zip(
        save({"w": torch.ones(3)}), tmp_path / "two.pt", lambda _, c: c, add={"other/data.pkl": b"N."}
    )
    with pytest.raises(FormatError, match=r"2 records data\.pkl"):
        opened(path)


def test_a_zip_without_a_pickle_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FormatError, match=r"readme\.txt"):
        opened(path)


def test_an_archive_cut_anywhere_gives_a_format_error_of_one_line(save: Save, tmp_path: Path) -> None:
    content = save({"w": torch.randn(40)}).read_bytes()
    path = tmp_path / "cut.pt"
    for length in [*range(4, 64), *range(64, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(FormatError) as caught:
            opened(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_a_tensor_past_its_storage_is_flagged_and_the_rest_stays_readable(save: Save, tmp_path: Path) -> None:
    long, short = torch.arange(100.0), torch.arange(10.0)
    tensors = {"tail": long[60:], "head": long[:20], "whole": long, "short": short}
    path = rewrite_zip(
        save(tensors), tmp_path / "short.pt", lambda name, c: c[: 50 * 4] if name.endswith("data/0") else c
    )
    checkpoint = opened(path)
    assert checkpoint.listing.names == list(tensors)
    for tensor_id, name in enumerate(tensors):
        if name in ("tail", "whole"):
            problem = checkpoint.listing.problem(tensor_id)
            assert problem is not None
            assert "200 bytes" in problem
            with pytest.raises(ValuesError, match="200 bytes"):
                checkpoint.read(name)
        else:
            assert_row(checkpoint, tensor_id, name, tensors[name])


def test_a_tensor_without_its_storage_is_flagged_and_the_rest_stays_readable(
    save: Save, tmp_path: Path
) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.arange(4.0)}
    path = rewrite_zip(
        save(tensors), tmp_path / "gone.pt", lambda name, c: None if name.endswith("data/0") else c
    )
    checkpoint = opened(path)
    assert "not in the file" in str(checkpoint.listing.problem(0))
    assert_row(checkpoint, 1, "b", tensors["b"])


def test_a_claim_of_petabytes_with_stride_0_allocates_nothing(save: Save) -> None:
    huge = torch.ones(1).expand(2**25, 2**25)
    path = save({"w": huge})
    tracemalloc.start()
    checkpoint = opened(path)
    totals = checkpoint.listing.totals()
    corner = checkpoint.read("w", "5:8, -2:")
    with pytest.raises(ValuesError):
        checkpoint.read("w")
    with pytest.raises(ValuesError):
        checkpoint.read("w", "0")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    assert totals.elements == 2**50
    assert (totals.unique_elements, totals.unique_nbytes) == (1, 4)
    assert_same_numbers(corner, huge[5:8, -2:].numpy())


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_lists_its_parameters_and_is_not_run(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4)).eval()
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(net), path)
    checkpoint = opened(path)
    assert checkpoint.listing.format == "torchscript"
    state = net.state_dict()
    assert set(state) <= set(checkpoint.listing.names)
    for name, tensor in state.items():
        assert_same_numbers(checkpoint.read(name), tensor.numpy())


def test_deflated_pickles_beside_the_object_are_read_as_far_as_the_file_could_hold_them(
    save: Save, tmp_path: Path
) -> None:
    long = b"\x80\x02X" + struct.pack("<I", 400_000) + b"a" * 400_000 + b"."
    beside = {f"saved1/p{place}.pkl": long for place in range(3)}
    beside = {"saved1/constants.pkl": pickle.dumps([OrderedDict], 2), **beside}
    saved = save({"w": torch.ones(3)})
    path = rewrite_zip(saved, tmp_path / "packed.pt", lambda _, c: c, method=zipfile.ZIP_DEFLATED, add=beside)
    assert path.stat().st_size < 10_000
    source = open_checkpoint(str(path))
    found = {stored.below: stored for stored in source.pickles}
    assert found["(saved1/constants.pkl)",].read().globals == ["collections.OrderedDict"]
    assert found["(saved1/p1.pkl)",].read().root == "a" * 400_000
    with pytest.raises(FormatError, match="its deflated pickles are longer than the file could hold"):
        found["(saved1/p2.pkl)",].read()
    assert source.listing.names == ["w"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_exported_program_lists_its_parameters(tmp_path: Path) -> None:
    net = nn.Linear(3, 4)
    path = tmp_path / "program.pt2"
    torch.export.save(torch.export.export(net, (torch.randn(2, 3),)), path)
    checkpoint = opened(path)
    assert checkpoint.listing.format == "torch-export"
    assert checkpoint.listing.names == list(net.state_dict())
    for name, tensor in net.state_dict().items():
        assert_same_numbers(checkpoint.read(name), tensor.numpy())


def test_bytes_changed_anywhere_give_a_listing_or_a_paramtui_error(save: Save, tmp_path: Path) -> None:
    import random

    content = save({"w": torch.randn(4), "v": torch.arange(5)}).read_bytes()
    path = tmp_path / "mutated.pt"
    chance = random.Random(5)  # noqa: S311
    failures = 0
    for _ in range(1500):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(4, len(changed))] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            checkpoint = opened(path)
            for tensor in range(len(checkpoint.listing)):
                checkpoint.read(tensor)
            checkpoint.listing.totals()
        except ParamtuiError:
            failures += 1
    assert failures > 100
