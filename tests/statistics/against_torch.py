"""What figures of a tensor are, by torch in float64 and NumPy's sort."""

from __future__ import annotations

from math import isnan

import numpy as np
import torch

from paramtui.core.statistics import QUANTILES, Statistics


def check_narrow(found: Statistics, tensor: torch.Tensor) -> None:
    """Asserts that numbers which lie close together are told apart: a bar of many, and sharp quantiles."""
    check_against_torch(found, tensor)
    numbers = tensor.double()
    numbers = numbers[numbers.isfinite()]
    assert found.histogram is not None and found.quantiles is not None
    assert len(found.histogram.counts) >= min(40, len(numbers.unique()))
    apart = float(numbers.max() - numbers.min())
    for share, ours in zip(QUANTILES, found.quantiles, strict=True):
        assert abs(ours - float(np.quantile(numbers.numpy(), share))) <= 2e-4 * apart


def check_against_torch(found: Statistics, tensor: torch.Tensor) -> None:
    """Asserts that all figures are those of a dense tensor; quantiles within the error that is told."""
    dense = tensor.detach().reshape(-1)
    if dense.is_complex():
        wide = dense.to(torch.complex128)
        numbers = torch.where(wide.isnan(), torch.nan, wide.abs())
    else:
        numbers = dense.double()
    finite = numbers[torch.isfinite(numbers)]
    assert found.numel == dense.numel()
    assert found.nan == int(numbers.isnan().sum())
    assert found.posinf == int((numbers == torch.inf).sum())
    assert found.neginf == int((numbers == -torch.inf).sum())
    assert found.zero == int((numbers == 0).sum())
    if not dense.is_floating_point() and not dense.is_complex():
        assert found.subnormal == 0
    else:
        real = dense.real.dtype if dense.is_complex() else dense.dtype
        tiny = torch.finfo(real).smallest_normal
        assert found.subnormal == int(((finite != 0) & (finite.abs() < tiny)).sum())
    if not finite.numel():
        assert (found.min, found.max, found.mean, found.std, found.l1, found.l2) == (None,) * 6
        assert found.quantiles is None and found.histogram is None
        return
    near = 1e-6
    scale = float(finite.abs().mean())
    pairs = [
        (found.min, finite.min()),
        (found.max, finite.max()),
        (found.l1, finite.abs().sum()),
        (found.l2, torch.linalg.vector_norm(finite)),
        (found.abs_max, finite.abs().max()),
    ]
    for ours, theirs in pairs:
        assert ours is not None
        assert abs(ours - theirs.item()) <= near * abs(theirs.item())
    assert found.mean is not None
    assert abs(found.mean - finite.mean().item()) <= 1e-9 * scale
    if finite.numel() == 1:
        assert found.std is None
    else:
        assert found.std is not None
        assert abs(found.std - finite.std().item()) <= near * finite.std().item() + 1e-9 * scale
    histogram = found.histogram
    assert histogram is not None
    assert sum(histogram.counts) == finite.numel()
    if not dense.is_complex():
        assert (histogram.edges[0], histogram.edges[-1]) == (float(found.min or 0), float(found.max or 0))
        if found.min != found.max:
            counts, _ = np.histogram(finite.numpy(), histogram.edges)
            assert tuple(counts.tolist()) == histogram.counts
    assert found.quantiles is not None
    ordered = np.sort(finite.numpy())
    for share, ours in zip(QUANTILES, found.quantiles, strict=True):
        theirs = float(np.quantile(ordered, share))
        place = share * (len(ordered) - 1)
        above = min(int(place) + 1, len(ordered) - 1)
        around = max(abs(float(ordered[int(place)])), abs(float(ordered[above])))
        assert not isnan(ours)
        assert abs(ours - theirs) <= (found.quantile_error * 1.1 + 1e-12) * around
