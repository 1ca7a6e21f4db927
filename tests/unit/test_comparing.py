"""What a comparison of two tensors says is what torch, or Python's exact numbers, say of them."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints.registry import open_checkpoint
from tests.support import PLAIN_DTYPES, random_tensor
from tests.unit.comparisons import bit_counts, check, compared, live, saved


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=str)
async def test_random_bytes_of_every_dtype_differ_as_python_says(dtype: torch.dtype, tmp_path: Path) -> None:
    one = random_tensor(dtype, (6, 5, 7), 1)
    other = one.clone()
    other[1:4, 2] = random_tensor(dtype, (3, 7), 2)
    for source in (saved(tmp_path, {"one": one, "other": other}), live({"one": one, "other": other})):
        found = await compared(source)
        check(
            found,
            one.to(torch.complex64) if dtype == torch.complex32 else one,
            other.to(torch.complex64) if dtype == torch.complex32 else other,
        )
        assert found.verdict == ("different" if found.different else "equal values")
        if dtype != torch.bool:
            assert found.other_bits == bit_counts(one, other) - found.different


@pytest.mark.parametrize("dtype", [each for each in PLAIN_DTYPES if each != torch.bool], ids=str)
async def test_every_pattern_is_told_from_every_other(dtype: torch.dtype, tmp_path: Path) -> None:
    """Equal bits are only claimed of equal bytes: NaN of every pattern, zeros of both signs."""
    one = random_tensor(dtype, (4096,), 3)
    if dtype.itemsize <= 2:
        one = (
            torch.arange(256 ** min(dtype.itemsize, 2))
            .to(torch.int16 if dtype.itemsize == 2 else torch.uint8)
            .view(dtype)
        )
    source = saved(tmp_path, {"one": one, "other": one.clone()})
    assert (await compared(source)).verdict == "equal bits"
    bits = one.contiguous().view(torch.uint8).clone()
    for at in range(0, len(bits), dtype.itemsize):
        bits[at] ^= 1 << (at // dtype.itemsize % 8)
    other = bits.view(dtype)
    found = await compared(live({"one": one, "other": other}))
    assert found.different + found.other_bits == len(one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
async def test_the_largest_difference_is_that_of_torch(dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    one = torch.randn(33, 70, generator=generator).to(dtype)
    other = (one.double() + torch.randn(33, 70, generator=generator) * 1e-3).to(dtype)
    save_file({"one": one, "other": other}, tmp_path / "two.safetensors")
    found = await compared(open_checkpoint(str(tmp_path / "two.safetensors")))
    wide = (one.double() - other.double()).abs()
    assert found.different == int((one != other).sum())
    assert found.largest is not None and found.relative is not None
    assert found.largest.amount == wide.max().item()
    assert found.largest.index == tuple(int(each) for each in torch.unravel_index(wide.argmax(), wide.shape))
    assert found.largest.one == one[found.largest.index].item()
    assert found.largest.other == other[found.largest.index].item()
    share = wide / torch.maximum(one.double().abs(), other.double().abs())
    assert found.relative.amount == share.nan_to_num(0).max().item()
    assert found.relation == ""


EXTREMES: dict[torch.dtype, list[Any]] = {
    torch.int64: [-(2**63), 2**63 - 1, 0, -1, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 513],
    torch.uint64: [0, 2**64 - 1, 2**63, 2**53 + 1, 1, 2**63 - 1, 2**64 - 2048, 2**64 - 1025],
    torch.int8: [-128, 127, 0, 1, -1, 5, 7, 9],
    torch.uint8: [0, 255, 1, 2, 3, 128, 127, 7],
    torch.bool: [True, False, True, True, False, False, True, False],
    torch.float64: [0.5, -0.0, inf, -inf, nan, 2.0**53, 2.0**63, 2.0**64],
    torch.float32: [2.0**63, 2.0**24 + 2, nan, -(2.0**63), 1e-45, inf, 0.25, -(2.0**64)],
    torch.bfloat16: [2.0**63, 1.0, nan, -(2.0**63), 0.0, inf, 128.0, 255.0],
    torch.complex64: [1 + 2j, complex(nan, 1), complex(inf, 2), 0j, 3, 2.0**63, complex(-inf, inf), 255],
    torch.complex128: [1 + 2j, complex(1, nan), complex(inf, 2), -0j, 7, 1e308 + 1e308j, -1e308j, 2.0**53],
}


@pytest.mark.parametrize("other_dtype", EXTREMES, ids=str)
@pytest.mark.parametrize("dtype", EXTREMES, ids=str)
async def test_numbers_of_different_dtypes_are_compared_exactly(
    dtype: torch.dtype, other_dtype: torch.dtype, tmp_path: Path
) -> None:
    # Every number beside every other one.
    one = torch.tensor(EXTREMES[dtype], dtype=dtype)[:, None].expand(8, 8).contiguous()
    other = torch.tensor(EXTREMES[other_dtype], dtype=other_dtype)[None, :].expand(8, 8).contiguous()
    found = await compared(saved(tmp_path, {"one": one, "other": other}))
    check(found, one, other)
    if (
        not dtype.is_floating_point
        and not dtype.is_complex
        and not other_dtype.is_complex
        and not other_dtype.is_floating_point
    ):
        assert found.largest is not None
        assert found.largest.amount == max(
            abs(int(a) - int(b))
            for a, b in zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True)
        )
    assert not found.other_bits or dtype == other_dtype


async def test_whole_numbers_that_float64_cannot_tell_apart_differ(tmp_path: Path) -> None:
    one = torch.tensor([2**53 + 1, 2**63 - 1, 2**62])
    other = torch.tensor([2.0**53, 2.0**63, 2.0**62], dtype=torch.float64)
    found = await compared(saved(tmp_path, {"one": one, "other": other}))
    assert (found.different, found.first, found.verdict) == (2, (0,), "different")
    assert found.largest is not None
    assert found.largest.amount == 1


async def test_numbers_of_two_dtypes_never_have_equal_bits(tmp_path: Path) -> None:
    one = torch.arange(9.0)
    found = await compared(saved(tmp_path, {"one": one, "other": one.to(torch.bfloat16)}))
    assert (found.verdict, found.different) == ("equal values", 0)
    assert found.untold == "one is float32, the other bfloat16"
