"""What a comparison says of odd numbers and layouts, in pieces and in a picture."""

from __future__ import annotations

import asyncio
import threading
from math import inf, nan, prod
from pathlib import Path
from typing import Any

import pytest
import torch

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core import comparing
from paramtui.core.comparing import compare
from paramtui.core.raw_cells import PIECE, split_picks
from paramtui.errors import ValuesError
from tests.unit.comparisons import compared, live, saved


async def test_nan_zeros_and_infinities_are_told_apart(tmp_path: Path) -> None:
    one = torch.tensor([nan, nan, 1.0, 0.0, inf, inf, -inf])
    other = torch.tensor([nan, 1.0, nan, -0.0, inf, 1.0, inf])
    found = await compared(saved(tmp_path, {"one": one, "other": other}))
    assert (found.different, found.nan_only, found.other_bits) == (4, (1, 1), 1)
    assert found.largest == (inf, (5,), inf, 1.0)
    assert found.relative == (inf, (5,), inf, 1.0)
    assert found.words == (
        "4 of 7 elements differ (57.1 %). The largest difference is inf at [5]: inf and 1."
        " The largest relative difference is inf at [5]: inf and 1."
        " 1 equal number has other bits: zeros of two signs, or NaN of two patterns."
        " 1 are NaN in the first alone, 1 in the second alone."
    )


async def test_differences_that_float64_cannot_hold_are_infinite_and_have_a_share(tmp_path: Path) -> None:
    one = torch.tensor([1.7e308, 1.0], dtype=torch.float64)
    found = await compared(
        saved(tmp_path, {"one": one, "other": torch.tensor([-1.7e308, 1.0], dtype=torch.float64)})
    )
    assert found.largest is not None and found.relative is not None
    assert (found.largest.amount, found.relative.amount) == (inf, 2.0)


async def test_one_scalar_and_no_elements_can_be_compared(tmp_path: Path) -> None:
    found = await compared(live({"one": torch.tensor(3.0), "other": torch.tensor(2.5)}))
    assert (found.largest, found.first) == ((0.5, (), 3.0, 2.5), ())
    assert found.picture is not None
    assert found.picture[:5] == (1, 1, (1, 1), ((1,),), ((0.5,),))
    found = await compared(saved(tmp_path, {"one": torch.empty(3, 0), "other": torch.empty(3, 0)}))
    assert (found.verdict, found.elements, found.picture) == ("equal bits", 0, None)


async def test_strides_do_not_count(tmp_path: Path) -> None:
    one = torch.randn(20, 30)
    for source in (
        saved(tmp_path, {"one": one, "other": one.t().contiguous().t()}),
        live({"one": one, "other": one.t().clone().t()}),
    ):
        found = await compared(source)
        assert (found.verdict, found.relation) == ("equal bits", "")
        assert found.words == (
            "All 600 elements have equal bits. They lie in memory of their own: copies, not shared."
        )


async def test_what_is_the_same_memory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    one = torch.randn(6, 8)
    source = live({"one": one, "other": one, "part": one[:3], "rest": one[3:], "turned": one.t()})

    async def never(*_: Any) -> Any:
        raise AssertionError

    names = source.listing.names
    for left, right, relation in (("part", "rest", "storage"), ("part", "part", "alias")):
        found = await compare(source, names.index(left), names.index(right))
        assert found.relation == relation
    with pytest.raises(ValuesError, match=r"shapes differ: \[6, 8\] and \[8, 6\]"):
        await compare(source, names.index("one"), names.index("turned"))
    monkeypatch.setattr(source, "window", never)
    found = await compared(source)
    assert (found.verdict, found.different) == ("same memory", 0)
    assert found.picture is not None
    assert found.picture[:4] == (6, 8, (1, 1), ((0,) * 8,) * 6)


async def test_overlapping_tensors_are_compared_and_said_to_overlap() -> None:
    base = torch.arange(10.0)
    found = await compared(live({"one": base[:8], "other": base[2:]}))
    assert (found.relation, found.different) == ("overlap", 8)
    assert found.words.endswith("They have bytes in common, but are not the same elements.")


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((100, 130), 32, 64),
        ((3, 50, 7), 8, 4),
        ((1000,), 32, 64),
        ((65,), 2, 64),
        ((1, 5000), 5, 9),
        ((40, 1), 7, 3),
    ],
)
async def test_the_picture_counts_what_differs_where(
    shape: tuple[int, ...], rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "split_picks", lambda picks: split_picks(picks, 37))
    generator = torch.Generator().manual_seed(7)
    one = torch.randn(shape, generator=generator, dtype=torch.float64)
    other = one + torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) > 0.8)
    picture = (await compared(live({"one": one, "other": other}), rows=rows, columns=columns)).picture
    assert picture is not None
    assert picture.rows <= rows and picture.columns <= columns
    assert (len(picture.counts), len(picture.counts[0])) == (picture.rows, picture.columns)
    gaps = (one - other).abs().reshape(-1)
    counts = [[0] * picture.columns for _ in range(picture.rows)]
    largest = [[0.0] * picture.columns for _ in range(picture.rows)]
    for place, each in enumerate(gaps.tolist()):
        row, column = place // picture.width // picture.cell[0], place % picture.width // picture.cell[1]
        counts[row][column] += each != 0
        largest[row][column] = max(largest[row][column], each)
    assert picture.counts == tuple(map(tuple, counts))
    assert picture.largest == tuple(map(tuple, largest))
    # Rows that are narrow beside the room stand side by side.
    plain = prod(shape[:-1]) > 1 and 2 * shape[-1] > columns
    assert picture.width == shape[-1] if plain else picture.width & (picture.width - 1) == 0


async def test_pieces_are_bounded_and_progress_only_grows(tmp_path: Path) -> None:
    one = torch.zeros(1500, 1100)
    other = one.clone()
    other[1499, 1099] = 2
    source = live({"one": one, "other": other})
    sizes: list[int] = []
    whole = source.window

    async def window(tensor: int, picks: Any) -> Any:
        sizes.append(prod(map(len, picks)))
        return await whole(tensor, picks)

    source.window = window  # type: ignore[method-assign]
    told: list[tuple[int, int]] = []
    found = await compared(source, progress=lambda done, total: told.append((done, total)))
    assert max(sizes) <= PIECE
    assert sum(sizes) == 2 * 1500 * 1100
    assert told == sorted(told) and told[-1] == (1500 * 1100, 1500 * 1100) and len(told) > 3
    assert found.largest == (2.0, (1499, 1099), 0.0, 2.0)


async def test_a_comparison_can_be_cancelled() -> None:
    source = live({"one": torch.zeros(3000, 1000), "other": torch.zeros(3000, 1000)})
    begun = asyncio.Event()
    comparison = asyncio.create_task(compared(source, progress=lambda *_: begun.set()))
    await begun.wait()
    comparison.cancel()
    with pytest.raises(asyncio.CancelledError):
        await comparison
    assert threading.active_count() < 40
    assert (await compared(source)).verdict == "equal bits"


async def test_truth_values_and_sparse_numbers_say_that_bits_are_not_told(tmp_path: Path) -> None:
    truth = torch.tensor([True, False])
    found = await compared(saved(tmp_path, {"one": truth, "other": truth.clone()}))
    assert found.verdict == "equal values"
    assert "Bits were not compared: any byte but 0 stands for True." in found.words
    dense = torch.eye(5)
    for source in (
        saved(tmp_path, {"one": dense.to_sparse(), "other": dense}),
        live({"one": dense.to_sparse(), "other": dense}),
    ):
        assert (await compared(source)).verdict == "equal values"
        source.listing.names.index("one")


async def test_quantised_numbers_are_compared_by_what_they_stand_for(tmp_path: Path) -> None:
    numbers = torch.tensor([0.0, 1.0, 2.0])
    one = torch.quantize_per_tensor(numbers, 0.5, 0, torch.qint8)
    other = torch.quantize_per_tensor(numbers, 0.25, 10, torch.qint8)
    found = await compared(saved(tmp_path, {"one": one, "other": other}))
    assert (found.verdict, found.different) == ("equal values", 0)


async def test_ragged_tensors_and_those_without_numbers_are_refused(tmp_path: Path) -> None:
    ragged = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    with pytest.raises(ValuesError, match="ragged"):
        await compared(saved(tmp_path, {"one": ragged, "other": ragged.clone()}))
    meta = torch.empty(3, device="meta")
    with pytest.raises(ValuesError, match="meta"):
        await compared(live({"one": meta, "other": torch.zeros(3)}))


async def test_two_numbers_of_one_byte_are_compared_each(tmp_path: Path) -> None:
    codes = torch.arange(16, dtype=torch.uint8)
    one = (codes | codes << 4).view(torch.float4_e2m1fn_x2)
    other = (codes | (codes ^ 1) << 4).view(torch.float4_e2m1fn_x2)
    torch.save({"one": one, "other": other}, tmp_path / "two.pt")
    found = await compared(open_checkpoint(str(tmp_path / "two.pt")))
    assert (found.elements, found.different) == (32, 16)
    assert found.first == (0, 1)
    assert found.largest is not None
    assert (found.largest.amount, found.largest.index[1]) == (2.0, 1)
