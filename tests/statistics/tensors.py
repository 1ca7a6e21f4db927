"""Tensors of which figures are known from torch: every dtype, and what is odd about each."""

from __future__ import annotations

import torch

FLOATS = [
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
]
INTEGERS = [
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
]


def odd_floats(dtype: torch.dtype, count: int) -> torch.Tensor:
    """Normal numbers with zeros of both signs, subnormals, and where there are any NaN and infinities."""
    numbers = torch.randn(count, generator=torch.Generator().manual_seed(count)).to(dtype)
    if dtype == torch.float8_e8m0fnu:
        # It has neither zero, sign nor infinity: all its patterns, of which one is NaN.
        return torch.arange(count).to(torch.uint8).view(dtype)
    tiny = torch.finfo(dtype).smallest_normal
    odd = torch.tensor([0.0, -0.0, tiny / 2, -tiny / 4, tiny, float("nan"), float("inf"), -float("inf")])
    numbers[: len(odd)] = odd.double().to(dtype)
    return numbers


def cases() -> dict[str, torch.Tensor]:
    """Tensors by name; some so large that they are counted by their upper bits."""
    torch.manual_seed(1)
    out: dict[str, torch.Tensor] = {}
    for dtype in FLOATS:
        name = str(dtype)[6:]
        out[f"{name}.large"] = odd_floats(dtype, 200_003)
        out[f"{name}.small"] = odd_floats(dtype, 501)
        out[f"{name}.empty"] = torch.zeros(0, dtype=dtype)
        out[f"{name}.scalar"] = torch.tensor(1.5).to(dtype)
        out[f"{name}.nan"] = torch.full((70_000,), float("nan")).to(dtype)
        if dtype != torch.float8_e8m0fnu:
            out[f"{name}.constant"] = torch.full((300, 400), -0.75).to(dtype)
            out[f"{name}.zeros"] = torch.zeros(300, 400).to(dtype)
    for dtype in INTEGERS:
        name, info = str(dtype)[6:], torch.iinfo(dtype)
        out[f"{name}.large"] = torch.randint(0, 100, (90_001,)).to(dtype)
        out[f"{name}.limits"] = torch.tensor([info.min, info.max, 0, 1], dtype=dtype)
    out["bool"] = torch.rand(100_000) > 0.3
    out["complex64"] = torch.randn(80_000, dtype=torch.complex64)
    odd = [3 + 4j, complex("nan"), complex(1, float("inf"))]
    out["complex128"] = torch.tensor(odd, dtype=torch.complex128)
    out["huge"] = torch.randn(100_000, dtype=torch.float64) * 1e300
    return out


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Bytes of two float4 numbers each, 80,000 in all of which 10,000 are subnormal; and these as floats."""
    codes = torch.arange(16, dtype=torch.uint8).repeat(5_000)
    magnitudes = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    packed = (codes[::2] | codes[1::2] << 4).view(torch.float4_e2m1fn_x2)
    return packed, torch.cat([magnitudes, -magnitudes]).repeat(5_000)


def narrow() -> dict[str, torch.Tensor]:
    """Large tensors whose numbers lie close together, far from zero."""
    torch.manual_seed(3)
    wide = torch.randn(100_003, dtype=torch.float64)
    signs = torch.where(wide > 0, 1.0, -1.0)
    return {
        "norm": (1 + 1e-3 * wide).float(),
        "offset": 1000 + 1e-3 * wide,
        "below": -(5 + 1e-2 * wide).float(),
        "two": torch.where(wide > 0.3, 1.0, 1.0009),
        "around": ((1 + 1e-3 * wide.abs()) * signs).float(),
        "whole": (1_000_000 + 100 * wide).long(),
        "odd": torch.where(wide > 2, torch.nan, 1 + 1e-4 * wide).float(),
    }
