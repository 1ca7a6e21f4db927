"""What the tests of comparisons share: a pair of tensors in a file and a model, and a check by Python."""

from __future__ import annotations

from fractions import Fraction
from math import inf, isinf, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.comparing import Comparison, compare
from paramtui.core.model_target import ModelOptions
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded
from paramtui.models.module_source import ModuleSource

Tensors = dict[str, torch.Tensor]


class Held(nn.Module):
    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


def saved(folder: Path, tensors: Tensors) -> Any:
    torch.save(tensors, folder / "two.pt")
    return open_checkpoint(str(folder / "two.pt"))


def live(tensors: Tensors) -> ModuleSource:
    return ModuleSource(
        ModuleHost(Loaded(Held(tensors), None, "", "", called=False), "model", ModelOptions("cpu"))
    )


async def compared(source: Any, **options: Any) -> Comparison:
    names = source.listing.names
    return await compare(source, names.index("one"), names.index("other"), **options)


def exact(number: Any) -> Any:
    """A number as a fraction, or as it is where none can be told."""
    return Fraction(number) if not isinstance(number, complex) and abs(number) < inf else number


def is_nan(number: Any) -> bool:
    return isnan(number.real) or isnan(number.imag)


def gap(one: Any, other: Any) -> float:
    """``|a - b|`` by exact arithmetic, rounded once."""
    if isinstance(one, complex) or isinstance(other, complex):
        one, other = complex(one), complex(other)
        return float(np.hypot(gap(one.real, other.real), gap(one.imag, other.imag)))
    if one == other:
        return 0.0
    here, there = exact(one), exact(other)
    if isinstance(here, float) or isinstance(there, float):
        return inf
    try:
        return float(abs(here - there))
    except OverflowError:
        return inf


def check(found: Comparison, one: torch.Tensor, other: torch.Tensor) -> None:
    """Against a loop over Python numbers."""
    pairs = list(zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True))
    nans = [(is_nan(a), is_nan(b)) for a, b in pairs]
    differ = [a != b and not all(nan) for (a, b), nan in zip(pairs, nans, strict=True)]
    assert found.elements == len(pairs)
    assert found.different == sum(differ)
    assert found.nan_only == (sum(a and not b for a, b in nans), sum(b and not a for a, b in nans))
    shape = tuple(one.shape)
    first = next((place for place, each in enumerate(differ) if each), None)
    assert found.first == (None if first is None else tuple(map(int, np.unravel_index(first, shape))))
    gaps = [gap(a, b) if d and not any(n) else -1.0 for (a, b), d, n in zip(pairs, differ, nans, strict=True)]
    if max(gaps, default=-1) <= 0:
        assert found.largest is None
        assert found.relative is None
    else:
        assert found.largest is not None
        assert found.largest.amount == pytest.approx(max(gaps), rel=1e-15)
        place = int(np.ravel_multi_index(found.largest.index, shape)) if shape else 0
        assert gaps[place] == pytest.approx(max(gaps), rel=1e-15)
        assert (found.largest.one, found.largest.other) == pairs[place]
        scales = [
            max(abs(a), abs(b)) if d and not any(n) else 1
            for (a, b), d, n in zip(pairs, differ, nans, strict=True)
        ]
        shares = [
            -1.0
            if each < 0
            else inf
            if isinf(scale)
            else float(Fraction(each) / Fraction(scale))
            if not isinf(each)
            else 2.0
            for each, scale in zip(gaps, scales, strict=True)
        ]
        assert found.relative is not None
        assert found.relative.amount == pytest.approx(max(shares), rel=1e-9) or max(shares) == 2.0
    if found.picture is not None:
        assert sum(map(sum, found.picture.counts)) == found.different
        entries = [amount for line in found.picture.largest for amount in line]
        known = [amount for amount in entries if not isnan(amount)]
        # NaN in one alone wins over any amount of the same entry.
        assert (len(known) < len(entries)) == any(found.nan_only)
        if any(found.nan_only):
            assert max(known, default=0.0) <= max(0.0, *gaps) * (1 + 1e-15)
        else:
            assert max(known) == pytest.approx(max(0.0, *gaps), rel=1e-15)


def raw(tensor: torch.Tensor) -> list[int]:
    return tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


def bit_counts(one: torch.Tensor, other: torch.Tensor) -> int:
    """Elements with other bytes."""
    size = one.element_size()
    here, there = raw(one), raw(other)
    return sum(here[at : at + size] != there[at : at + size] for at in range(0, len(here), size))
