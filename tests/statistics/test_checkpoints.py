"""Figures of checkpoints, whatever the dtype, layout and format, against torch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints import scanning
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.checkpoints.scan_messages import message_of
from paramtui.core.edits import SetCells
from paramtui.core.levels import spread
from paramtui.core.statistics import QUANTILES, Statistics
from paramtui.editable import EditableCheckpoint
from paramtui.errors import EngineError, ValuesError
from tests.statistics.against_torch import check_against_torch, check_narrow
from tests.statistics.tensors import cases, narrow, odd_floats, pairs


async def figures(path: Path, *, exact: bool = False) -> dict[str, Statistics | ValuesError]:
    """All figures of a checkpoint by name."""
    source = open_checkpoint(str(path))
    found: dict[int, Statistics | ValuesError] = {}
    try:
        await source.scan(range(len(source.listing)), found.__setitem__, exact=exact)
    finally:
        source.close()
    assert len(found) == len(source.listing)
    return {source.listing.names[tensor]: result for tensor, result in found.items()}


def exact_of(found: Statistics | ValuesError) -> Statistics:
    """Figures, where there are some."""
    assert isinstance(found, Statistics), found
    return found


async def test_every_dtype_has_the_figures_that_torch_gives(tmp_path: Path) -> None:
    tensors = cases()
    torch.save(tensors, tmp_path / "all.pt")
    for name, found in (await figures(tmp_path / "all.pt")).items():
        if name == "huge":
            finite = tensors[name]
            result = exact_of(found)
            assert result.std == pytest.approx(float((finite / 1e300).std()) * 1e300, rel=1e-9)
            continue
        check_against_torch(exact_of(found), tensors[name])


async def test_exact_quantiles_are_those_of_a_sort(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in cases().items() if tensor.numel() > 60_000}
    torch.save(tensors, tmp_path / "all.pt")
    for name, found in (await figures(tmp_path / "all.pt", exact=True)).items():
        result, wide = exact_of(found), tensors[name]
        numbers = (wide.to(torch.complex128).abs() if wide.is_complex() else wide.double()).numpy()
        finite = numbers[np.isfinite(numbers)]
        assert result.quantile_error == 0
        if finite.size:
            assert result.quantiles == pytest.approx(
                np.quantile(finite, QUANTILES).tolist(), rel=1e-12, abs=0
            )


async def test_a_tensor_in_many_parts_has_the_figures_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "BATCH", 1 << 16)
    monkeypatch.setattr(scanning, "PART", 1 << 17)
    tensors = {
        "float32": odd_floats(torch.float32, 1_000_003),
        "bfloat16": odd_floats(torch.bfloat16, 1_000_003),
        "float64": odd_floats(torch.float64, 300_007),
        "transposed": torch.randn(700, 900).t(),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "m.safetensors")
    torch.save(tensors, tmp_path / "m.pt")
    for path in ("m.safetensors", "m.pt"):
        for name, found in (await figures(tmp_path / path)).items():
            check_against_torch(exact_of(found), tensors[name])


async def test_views_sparse_and_quantised_tensors_count_by_what_they_stand_for(tmp_path: Path) -> None:
    base = torch.randn(500, 600)
    places, stored = torch.tensor([[0, 0, 3, 3], [1, 1, 2, 4]]), torch.tensor([1.0, 2.0, -4.0, 0.0])
    sparse = torch.sparse_coo_tensor(places, stored, (5, 6))
    tensors = {
        "columns": base[:, ::3],
        "expanded": torch.randn(4, 1).expand(4, 50),
        "sparse": sparse,
        "csr": torch.eye(40).to_sparse_csr(),
        "quantised": torch.quantize_per_tensor(base[:20], 0.1, 3, torch.qint8),
        "conjugate": torch.randn(30, dtype=torch.complex64).conj(),
    }
    torch.save(tensors, tmp_path / "odd.pt")
    found = await figures(tmp_path / "odd.pt")
    for name in ("columns", "expanded", "conjugate"):
        check_against_torch(exact_of(found[name]), tensors[name])
    check_against_torch(exact_of(found["sparse"]), sparse.to_dense())
    check_against_torch(exact_of(found["csr"]), tensors["csr"].to_dense())
    check_against_torch(exact_of(found["quantised"]), tensors["quantised"].dequantize())


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("exact", [True, False])
async def test_numbers_that_lie_close_together_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: bool, exact: bool
) -> None:
    if parts:
        monkeypatch.setattr(scanning, "BATCH", 1 << 16)
        monkeypatch.setattr(scanning, "PART", 1 << 17)
    tensors = narrow()
    torch.save(tensors, tmp_path / "m.pt")
    for name, found in (await figures(tmp_path / "m.pt", exact=exact)).items():
        check_narrow(exact_of(found), tensors[name])
    source = open_checkpoint(str(tmp_path / "m.pt"))
    try:
        for tensor, name in enumerate(source.listing.names):
            check_narrow((await source.measure(tensor, exact=exact)).statistics, tensors[name])
    finally:
        source.close()


async def test_two_numbers_in_a_byte_are_counted_apart(tmp_path: Path) -> None:
    packed, numbers = pairs()
    torch.save({"packed": packed}, tmp_path / "m.pt")
    found = exact_of((await figures(tmp_path / "m.pt"))["packed"])
    check_against_torch(found._replace(subnormal=0), numbers)
    assert found.subnormal == 10_000


async def test_edited_numbers_count_and_an_undo_brings_the_old_ones_back(tmp_path: Path) -> None:
    weight = torch.randn(600, 700)
    torch.save({"weight": weight}, tmp_path / "m.pt")
    source = EditableCheckpoint(open_checkpoint(str(tmp_path / "m.pt")))
    try:
        await source.apply(SetCells("weight", "3, 10:20", "=", float("nan")))
        edited = weight.clone()
        edited[3, 10:20] = float("nan")
        check_against_torch((await source.measure(0, exact=True)).statistics, edited)
        await source.undo()
        check_against_torch((await source.measure(0)).statistics, weight)
    finally:
        source.close()


async def test_a_sample_says_how_many_it_looked_at_and_levels_draw_any_histogram(tmp_path: Path) -> None:
    weight = torch.randn(1000, 1000)
    torch.save({"weight": weight}, tmp_path / "m.pt")
    source = open_checkpoint(str(tmp_path / "m.pt"))
    try:
        sampled = (await source.measure(0, sample=50_000)).statistics
        assert sampled.numel == 1_000_000
        assert 40_000 < sampled.sampled <= 50_000
        assert sampled.std == pytest.approx(1.0, abs=0.05)
        whole = await source.measure(0)
        edges = np.linspace(-1, 1, 9)
        counts, _ = np.histogram(weight.numpy(), edges)
        assert spread(whole.levels, edges) == pytest.approx(counts, rel=0.01)
    finally:
        source.close()


async def test_damage_in_one_tensor_leaves_the_figures_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(10), "b": torch.ones(2_000_000)}, path)
    source = open_checkpoint(str(path))
    found: dict[int, Statistics | ValuesError] = {}
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    try:
        await source.scan(range(2), found.__setitem__)
    finally:
        source.close()
    assert len(found) == 2
    assert all(isinstance(result, ValuesError) for result in found.values())


async def test_cancelling_ends_the_work(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(200 << 20, dtype=torch.uint8)}, tmp_path / "m.pt")
    source = open_checkpoint(str(tmp_path / "m.pt"))
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def progress(done: int, _: int) -> None:
        seen.append(done)
        loop.call_soon_threadsafe(told.set)

    task = asyncio.ensure_future(source.scan([0], lambda *_: None, progress=progress))
    await told.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen[-1] < 200 << 20
    # Another scan is not disturbed by the wish to stop the first.
    found: dict[int, Statistics | ValuesError] = {}
    await source.scan([0], found.__setitem__)
    assert exact_of(found[0]).zero == 200 << 20
    source.close()


async def test_zeros_that_a_sparse_tensor_does_not_store_count_among_exact_quantiles(tmp_path: Path) -> None:
    count = 1000
    places = torch.arange(0, 40_000_000, 40_000)[None, :count]
    values = torch.linspace(-2, 3, count, dtype=torch.float64)
    torch.save({"w": torch.sparse_coo_tensor(places, values, (40_000_000,))}, tmp_path / "m.pt")
    found = exact_of((await figures(tmp_path / "m.pt", exact=True))["w"])
    assert (found.numel, found.zero) == (40_000_000, 40_000_000 - count + int((values == 0).sum()))
    # So few are not zero that all quantiles are zeros.
    assert found.quantiles == (0.0,) * len(QUANTILES)
    assert found.quantile_error == 0
    assert found.l1 == pytest.approx(values.abs().sum().item(), rel=1e-12)


async def test_ranks_are_found_again_where_zeros_lie_between_two_numbers(tmp_path: Path) -> None:
    # Half of all are stored: the median lies at the zeros, other quantiles among wide levels.
    generator = torch.Generator().manual_seed(2)
    places = torch.randperm(400_000, generator=generator)[None, :200_000]
    values = torch.randn(200_000, dtype=torch.float64, generator=generator)
    sparse = torch.sparse_coo_tensor(places, values, (400_000,))
    torch.save({"w": sparse}, tmp_path / "m.pt")
    found = exact_of((await figures(tmp_path / "m.pt", exact=True))["w"])
    assert found.quantiles == pytest.approx(np.quantile(sparse.to_dense().numpy(), QUANTILES), rel=1e-12)


async def test_a_tensor_that_a_process_cannot_make_sense_of_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": torch.ones(100_000), "b": torch.ones(100_000)}, tmp_path / "m.pt")
    told = message_of

    def broken(*arguments: object) -> object:
        message, files = told(*arguments)  # type: ignore[arg-type]
        message["tensors"][0]["shape"] = ["x"]
        return message, files

    monkeypatch.setattr(scanning, "message_of", broken)
    found = await figures(tmp_path / "m.pt")
    assert isinstance(found["a"], ValuesError)
    assert "its numbers cannot be read: TypeError" in str(found["a"])
    check_against_torch(exact_of(found["b"]), torch.ones(100_000))


async def test_a_process_that_dies_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.ones(100_000)}, tmp_path / "m.pt")
    monkeypatch.setattr("paramtui.checkpoints.scan_crew._START", "raise SystemExit(3)")
    with pytest.raises(EngineError, match="a process that counts has ended"):
        await figures(tmp_path / "m.pt")
