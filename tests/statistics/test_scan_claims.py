"""What claims far more than is stored is told and not gone through; what merely shares is counted wholly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core import claims
from paramtui.core.countable import alike
from paramtui.core.health import values
from paramtui.errors import ValuesError
from tests.statistics.against_torch import check_against_torch
from tests.statistics.test_checkpoints import exact_of, figures
from tests.unit.copying import Tensors, groups_of, saved


def refused(found: Mapping[str, object]) -> set[str]:
    return {name for name, each in found.items() if isinstance(each, ValuesError)}


@pytest.fixture
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond their own bytes all locations together have room for three small tensors."""
    monkeypatch.setattr(claims, "POOL", 3 * claims.PART)


def windows(count: int) -> Tensors:
    held = torch.arange(2000, dtype=torch.float32)
    return {f"w{at}": held[at : at + 1500] for at in range(count)}


@pytest.mark.usefixtures("small_pool")
async def test_windows_of_one_storage_beyond_all_measure_are_not_counted_and_the_rest_is(
    tmp_path: Path,
) -> None:
    tensors = {**windows(400), "own": torch.randn(300)}
    torch.save(tensors, tmp_path / "m.pt")
    found = await figures(tmp_path / "m.pt")
    left_out = refused(found)
    # Each lot of bytes may be gone through 64 times, and a tensor costs 64 KiB besides.
    own = 64 * (2000 * 4 + 1024)
    room = own + 3 * 65536 + 4 * (2000 + 300)
    assert len(left_out) == 400 - room // (65536 + 1500 * 4)
    # 400 windows of 1,500 numbers are 300 times what 2,000 are.
    words = "is not counted: the tensors claim 300 times what the file holds"
    assert {str(found[name]) for name in left_out} == {words}
    for name in set(tensors) - left_out:
        check_against_torch(exact_of(found[name]), tensors[name])
    source = open_checkpoint(str(tmp_path / "m.pt"))
    names = source.listing.names
    findings = list(values(source.listing, {names.index(name): found[name] for name in left_out}))
    assert {(each.rule, each.message) for each in findings} == {("unreadable-tensor", words)}
    assert len(findings) == len(left_out)
    # One by itself is measured whatever the others claim.
    last = names.index("w399")
    assert "w399" in left_out
    check_against_torch((await source.measure(last, exact=True)).statistics, tensors["w399"])


@pytest.mark.usefixtures("small_pool")
async def test_many_tiny_tensors_in_the_same_bytes_are_told(tmp_path: Path) -> None:
    held = torch.arange(600, dtype=torch.float32)
    torch.save({f"w{at}": held[at : at + 2] for at in range(500)}, tmp_path / "m.pt")
    found = await figures(tmp_path / "m.pt")
    words = {str(each) for each in found.values() if isinstance(each, ValuesError)}
    assert words == {"is not counted: too many tensors lie in the same bytes"}


@pytest.mark.usefixtures("small_pool")
async def test_sparse_and_expanded_tensors_are_charged_for_what_they_take(tmp_path: Path) -> None:
    places, stored = torch.tensor([[0, 2]]), torch.tensor([1.0, 2.0])
    tensors = {f"s{size}": torch.sparse_coo_tensor(places, stored, (size,)) for size in range(10, 60)}
    mask = torch.ones(1)
    tensors["mask"] = mask.expand(100_000)
    torch.save({**tensors, "own": torch.eye(3).to_sparse()}, tmp_path / "m.pt")
    found = await figures(tmp_path / "m.pt")
    left_out = refused(found)
    assert "mask" in left_out
    assert str(found["mask"]).endswith("claim 100,000 times what the file holds")
    assert len([name for name in left_out if name.startswith("s")]) > 40
    check_against_torch(exact_of(found["own"]), torch.eye(3))


@pytest.mark.usefixtures("small_pool")
async def test_a_model_with_every_tensor_listed_ten_times_is_counted_wholly(tmp_path: Path) -> None:
    own: Tensors = {f"t{seed}": torch.randn(40, 30) for seed in range(20)}
    own |= {f"n{seed}": torch.tensor(float(seed)) for seed in range(20)}
    fused = torch.randn(3 * 64, 64)
    own |= dict(zip("qkv", fused.chunk(3), strict=True)) | {"fused": fused, "turned": fused.t()}
    own |= {
        "sparse": torch.eye(9).to_sparse(),
        "csr": torch.eye(9).to_sparse_csr(),
        "quantised": torch.quantize_per_tensor(torch.randn(50), 0.1, 3, torch.qint8),
        "channels": torch.quantize_per_channel(
            torch.randn(40, 4), torch.rand(40) + 0.1, torch.zeros(40, dtype=torch.int64), 0, torch.qint8
        ),
        "conjugate": torch.randn(7, dtype=torch.complex64).conj(),
    }
    torch.save(
        {f"{name}.{time}": each for name, each in own.items() for time in range(10)}, tmp_path / "m.pt"
    )
    found = await figures(tmp_path / "m.pt")
    assert len(found) == 10 * len(own)
    assert refused(found) == set()
    for name, each in own.items():
        dense = each.dequantize() if each.is_quantized else each.to_dense() if each.is_sparse else each
        if not dense.is_complex() and dense.layout == torch.strided:
            check_against_torch(exact_of(found[f"{name}.7"]), dense)


@pytest.mark.usefixtures("small_pool")
async def test_thousands_of_single_numbers_in_one_file_are_counted(tmp_path: Path) -> None:
    save_file({f"n{at}": torch.tensor(float(at)) for at in range(1000)}, tmp_path / "m.safetensors")
    found = await figures(tmp_path / "m.safetensors")
    assert refused(found) == set()
    assert exact_of(found["n77"]).max == 77


def test_unusual_tensors_are_alike_only_where_all_that_makes_them_is(tmp_path: Path) -> None:
    places, stored = torch.tensor([[0, 2]]), torch.tensor([1.0, 2.0])
    complex_ones = torch.randn(4, dtype=torch.complex64)
    integers = torch.quantize_per_tensor(torch.randn(50), 0.1, 3, torch.qint8)
    source = saved(
        tmp_path,
        {
            "s": torch.sparse_coo_tensor(places, stored, (5,)),
            "same_s": torch.sparse_coo_tensor(places, stored, (5,)),
            "longer_s": torch.sparse_coo_tensor(places, stored, (6,)),
            "c": complex_ones,
            "conj": complex_ones.conj(),
            "same_conj": complex_ones.conj(),
            "q": integers,
            "same_q": integers,
            "meta": torch.empty(3, device="meta"),
            "same_meta": torch.empty(3, device="meta"),
        },
    )
    names = source.listing.names
    lots = [{names[each] for each in lot} for lot in alike(source.listing, range(len(names)))]
    assert [lot for lot in lots if len(lot) > 1] == [{"s", "same_s"}, {"conj", "same_conj"}, {"q", "same_q"}]


@pytest.mark.usefixtures("small_pool")
def test_windows_of_one_storage_beyond_all_measure_are_not_compared_and_the_rest_is(tmp_path: Path) -> None:
    source = saved(tmp_path, {**windows(400), "one": torch.ones(1500), "copy": torch.ones(1500)})
    found = source.find_copies()
    assert groups_of(source, found) == {frozenset({"one", "copy"})}
    left_out = dict(found.skipped)
    words = "is not compared: the tensors claim 300 times what the file holds"
    assert set(left_out.values()) == {words}
    assert found.compared == 402 - len(left_out)
    assert found.nbytes_read < 400 * 1500 * 4 // 10


async def test_ragged_tensors_that_share_their_tables_are_counted_while_components_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = torch.randn(40, 2)
    offsets = torch.arange(0, 41, 4)
    tensors = {
        f"j{at}": torch.nested.nested_tensor_from_jagged(values[:, at : at + 1], offsets) for at in (0, 1)
    }
    torch.save(tensors, tmp_path / "m.pt")
    assert refused(await figures(tmp_path / "m.pt")) == set()
    # Ten components each, and room for fifteen besides those that the bytes of the file stand for.
    monkeypatch.setattr(claims, "MIN_ROWS", 15)
    monkeypatch.setattr(claims, "ROW", 1 << 20)
    found = await figures(tmp_path / "m.pt")
    assert refused(found) == {"j1"}
    assert str(found["j1"]) == "is not counted: too many tensors lie in the same bytes"
    check_against_torch(exact_of(found["j0"]), values[:, :1])
