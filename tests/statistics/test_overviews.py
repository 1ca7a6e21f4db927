"""Pictures of whole tensors of a checkpoint, whatever the dtype, layout and edits, against torch."""

from __future__ import annotations

import asyncio
import zipfile
from itertools import pairwise, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints import picturing, scanning
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.edits import SetCells
from paramtui.core.overview import OverviewTally
from paramtui.core.overview_reading import draw, overview_tally
from paramtui.core.picture_places import entry_of
from paramtui.editable import EditableCheckpoint
from paramtui.errors import EngineError, ValuesError

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.core.overview import Overview

ROOM = (6, 9)
DTYPES = [
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2,
    torch.float8_e5m2fnuz,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.bool,
    torch.complex64,
    torch.complex128,
]


@pytest.fixture
def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tensors are added up by processes too, and in many parts."""
    monkeypatch.setattr(picturing, "SMALL", 0)
    monkeypatch.setattr(scanning, "BATCH", 1 << 10)
    monkeypatch.setattr(scanning, "PART", 1 << 11)


def odd_numbers(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Normal numbers, some of them NaN and infinite where the type has such."""
    torch.manual_seed(len(shape))
    wide = torch.randn(*shape) * 3
    if dtype.is_floating_point or dtype.is_complex:
        flat = wide.reshape(-1)
        flat[::97] = float("nan")
        flat[5::131] = float("-inf")
    elif dtype == torch.bool:
        wide = (wide > 1).float()
    else:
        wide = wide.abs().round() if dtype in (torch.uint8, torch.uint16) else wide.round()
    return wide.to(dtype)


def numbers_of(tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor by torch, complex ones by their magnitude."""
    if tensor.is_complex():
        wide = tensor.to(torch.complex128).resolve_conj()
        parts = torch.view_as_real(wide)
        return torch.where(parts.isnan().any(-1), torch.nan, wide.abs()).numpy()
    return tensor.double().numpy()


def check(found: Overview, numbers: np.ndarray) -> None:
    """Compares a picture with one that NumPy makes entry by entry."""
    shape, flat = numbers.shape, numbers.reshape(-1)
    entries = [entry_of(shape, found, index) for index in np.ndindex(shape)]
    rows, columns = found.mean.shape
    assert rows <= ROOM[0]
    assert columns <= ROOM[1]
    where = np.array([row * columns + column for row, column in entries], dtype=np.int64)
    assert found.elements.reshape(-1).tolist() == np.bincount(where, minlength=rows * columns).tolist()
    for entry in range(rows * columns):
        places = np.flatnonzero(where == entry)
        here = flat[places]
        at = divmod(entry, columns)
        finite = here[np.isfinite(here)]
        assert found.nan[at] == np.isnan(here).sum()
        assert found.inf[at] == np.isinf(here).sum()
        odd = [*places[np.isnan(here)], *places[np.isinf(here)], -1]
        assert found.odd[at] == odd[0]
        mean, largest = (finite.mean(), np.abs(finite).max()) if finite.size else (np.nan, np.nan)
        assert found.mean[at] == pytest.approx(mean, rel=1e-6, abs=1e-6, nan_ok=True)
        assert found.abs_max[at] == pytest.approx(largest, rel=1e-6, nan_ok=True)


async def pictures(path: Path) -> dict[str, Overview | ValuesError]:
    """All pictures of a checkpoint by name."""
    source = open_checkpoint(str(path))
    out: dict[str, Overview | ValuesError] = {}
    try:
        for tensor in range(len(source.listing)):
            try:
                out[source.listing.names[tensor]] = await source.overview(tensor, *ROOM)
            except ValuesError as error:
                out[source.listing.names[tensor]] = error
    finally:
        source.close()
    return out


def picture_of(found: Overview | ValuesError) -> Overview:
    assert not isinstance(found, ValuesError), found
    return found


def layouts() -> dict[str, tuple[Any, torch.Tensor]]:
    """Tensors whose numbers do not lie one after the other, and the same ones dense."""
    base = odd_numbers(torch.float32, 30, 40)
    pairs = torch.tensor([[0, 1, 1, 29], [3, 0, 0, 39]])
    apart = torch.sparse_coo_tensor(pairs, torch.tensor([1.5, 2.0, 3.0, float("nan")]), (30, 40))
    mixed = torch.sparse_coo_tensor(torch.tensor([[4, 1]]), torch.randn(2, 7), (9, 7))
    blocks = torch.zeros(8, 12)
    blocks[2:4, 3:6] = torch.randn(2, 3)
    scales = torch.rand(20, dtype=torch.float64) + 0.1
    zeros = torch.arange(20)
    turned = odd_numbers(torch.bfloat16, 12, 5, 8)
    plain = {
        "turned": base.t(),
        "turned.cube": turned.permute(2, 0, 1),
        "channels": odd_numbers(torch.float32, 4, 3, 6, 6).contiguous(memory_format=torch.channels_last),
        "slice": base[3:25, 5::3],
        "expanded": torch.randn(1, 40).expand(30, 40),
        "conjugate": torch.randn(30, 8, dtype=torch.complex64).conj(),
        "negative": torch.randn(50, 3, dtype=torch.complex64).conj().imag,
        "scalar": torch.tensor(-2.5),
        "empty": torch.zeros(3, 0, 4),
    }
    out: dict[str, tuple[Any, torch.Tensor]] = {name: (tensor, tensor) for name, tensor in plain.items()}
    out |= {
        "coo": (apart, apart.to_dense()),
        "coo.mixed": (mixed, mixed.to_dense()),
        "csr": (torch.eye(40).to_sparse_csr(), torch.eye(40)),
        "bsr": (blocks.to_sparse_bsr((2, 3)), blocks),
    }
    whole = torch.quantize_per_tensor(torch.randn(20, 30), 0.1, 3, torch.qint8)
    rows = torch.quantize_per_channel(torch.randn(20, 30), scales, zeros, 0, torch.qint8)
    out |= {"quantised": (whole, whole.dequantize()), "quantised.rows": (rows, rows.dequantize())}
    return out


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:Sparse")
@pytest.mark.usefixtures("in_processes")
async def test_every_layout_has_the_picture_of_what_it_stands_for(tmp_path: Path) -> None:
    tensors = layouts()
    torch.save({name: stored for name, (stored, _) in tensors.items()}, tmp_path / "odd.pt")
    found = await pictures(tmp_path / "odd.pt")
    assert len(found) == len(tensors)
    for name, (_, dense) in tensors.items():
        check(picture_of(found[name]), numbers_of(dense))


@pytest.mark.usefixtures("in_processes")
async def test_every_dtype_has_a_picture_in_parts(tmp_path: Path) -> None:
    tensors = {str(dtype)[6:]: odd_numbers(dtype, 37, 101) for dtype in DTYPES}
    torch.save(tensors, tmp_path / "all.pt")
    found = await pictures(tmp_path / "all.pt")
    for name, tensor in tensors.items():
        check(picture_of(found[name]), numbers_of(tensor))


async def test_small_tensors_have_the_same_picture_without_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paramtui.checkpoints.scan_crew._START", "raise SystemExit(3)")
    tensors = {str(dtype)[6:]: odd_numbers(dtype, 64, 3, 2, 2) for dtype in DTYPES}
    torch.save(tensors, tmp_path / "all.pt")
    found = await pictures(tmp_path / "all.pt")
    for name, tensor in tensors.items():
        check(picture_of(found[name]), numbers_of(tensor))


@pytest.mark.parametrize("room", [(6, 9), (40, 3), (2, 200)])
def test_dimensions_in_any_order_and_in_any_parts_make_the_picture_of_the_contiguous_tensor(
    tmp_path: Path, room: tuple[int, int]
) -> None:
    orders = list(permutations(range(4)))
    base = odd_numbers(torch.bfloat16, 6, 1, 7, 12)
    torch.save({str(order): base.permute(order) for order in orders}, tmp_path / "m.pt")
    source = open_checkpoint(str(tmp_path / "m.pt"))
    for tensor, order in enumerate(orders):
        found = overview_tally(source.listing, tensor, *room)
        cuts = [0, 30, 400, 404, 1000, base.nbytes]
        done: list[int] = []
        for part in pairwise(cuts):
            draw(source.listing, source, tensor, found, done.append, part)
        assert sum(done) == base.nbytes
        whole = OverviewTally(base.permute(order).shape, *room)
        whole.add(0, numbers_of(base.permute(order)))
        for one, other in zip(found.finished(), whole.finished(), strict=True):
            assert np.asarray(one) == pytest.approx(np.asarray(other), nan_ok=True, rel=1e-6)
    source.close()


async def test_two_numbers_that_share_a_byte_are_two_columns(tmp_path: Path) -> None:
    raw = torch.randint(0, 256, (12, 7), dtype=torch.uint8)
    packed = raw.view(torch.float4_e2m1fn_x2)
    torch.save({"w": packed, "turned": packed.t()}, tmp_path / "m.pt")
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
    numbers = np.stack([table[raw.numpy() & 15], table[raw.numpy() >> 4]], -1)
    found = await pictures(tmp_path / "m.pt")
    check(picture_of(found["w"]), numbers)
    check(picture_of(found["turned"]), numbers.swapaxes(0, 1))


@pytest.mark.usefixtures("in_processes")
async def test_big_endian_numbers_are_read_as_such(tmp_path: Path) -> None:
    weight = odd_numbers(torch.float32, 50, 60)
    swapped = torch.from_numpy(weight.numpy().byteswap())
    torch.save({"w": swapped, "turned": swapped.t()}, tmp_path / "little.pt")
    with zipfile.ZipFile(tmp_path / "little.pt") as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for entry in old.infolist():
            new.writestr(entry, b"big" if entry.filename.endswith("byteorder") else old.read(entry))
    found = await pictures(tmp_path / "big.pt")
    check(picture_of(found["w"]), numbers_of(weight))
    check(picture_of(found["turned"]), numbers_of(weight.t()))


async def test_a_nested_tensor_makes_no_picture_and_it_is_said_why(tmp_path: Path) -> None:
    parts = [torch.randn(2, 3), torch.randn(4, 3)]
    torch.save(
        {
            "nested": torch.nested.nested_tensor(parts),
            "jagged": torch.nested.nested_tensor(parts, layout=torch.jagged),
            "meta": torch.zeros(2, 3, device="meta"),
        },
        tmp_path / "m.pt",
    )
    found = await pictures(tmp_path / "m.pt")
    for name in ("nested", "jagged"):
        assert "sizes of their own" in str(found[name])
    assert "no values" in str(found["meta"])


async def test_edited_numbers_are_in_the_picture_until_they_are_undone(tmp_path: Path) -> None:
    weight = torch.randn(600, 700)
    torch.save({"weight": weight}, tmp_path / "m.pt")
    source = EditableCheckpoint(open_checkpoint(str(tmp_path / "m.pt")))
    try:
        await source.apply(SetCells("weight", "433, 610", "=", float("nan")))
        found = await source.overview(0, 20, 20)
        assert found.nan.sum() == 1
        entry = entry_of((600, 700), found, (433, 610))
        assert found.nan[entry] == 1
        assert found.odd[entry] == 433 * 700 + 610
        await source.undo()
        assert not (await source.overview(0, 20, 20)).nan.any()
    finally:
        source.close()


async def test_a_checkpoint_has_no_picture_of_a_gradient(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "m.safetensors")
    source = open_checkpoint(str(tmp_path / "m.safetensors"))
    with pytest.raises(ValuesError, match="no gradients"):
        await source.overview(0, 3, 3, gradient=True)
    source.close()


async def test_a_file_that_was_cut_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(5_000_000)}, path)
    source = open_checkpoint(str(path))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    try:
        with pytest.raises(ValuesError, match="cut|changed|gone"):
            await source.overview(0, 3, 3)
    finally:
        source.close()


async def test_a_process_that_dies_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.ones(100_000)}, tmp_path / "m.pt")
    monkeypatch.setattr("paramtui.checkpoints.scan_crew._START", "raise SystemExit(3)")
    with pytest.raises(EngineError, match="a process that counts has ended"):
        await pictures(tmp_path / "m.pt")


async def test_cancelling_ends_the_work_and_how_far_it_was_is_told(tmp_path: Path) -> None:
    total = 200 << 20
    torch.save({"weight": torch.zeros(total, dtype=torch.float8_e5m2)}, tmp_path / "m.pt")
    source = open_checkpoint(str(tmp_path / "m.pt"))
    seen: list[tuple[int, int]] = []
    loop = asyncio.get_running_loop()

    def progress(done: int, of: int) -> None:
        seen.append((done, of))
        if len(seen) == 1:
            loop.call_soon_threadsafe(task.cancel)

    task = asyncio.ensure_future(source.overview(0, 40, 40, progress=progress))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen[-1][0] < total
    assert seen[-1][1] == total
    # Another picture is not disturbed by the wish to stop the first.
    found = await source.overview(0, 40, 40, progress=progress)
    assert found.elements.sum() == total
    assert seen[-1] == (total, total)
    source.close()
