"""Summaries and histograms of numbers in pieces are those of torch over the whole, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from paramtui.core import summary
from paramtui.core.summary import Summary, histogram, summarise
from tests.support import PLAIN_DTYPES, numbers, random_tensor


def by_torch(values: torch.Tensor) -> Summary:
    wide = values.to(torch.complex128).abs() if values.is_complex() else values.to(torch.float64)
    finite = wide[wide.isfinite()]
    nan, inf = int(wide.isnan().sum()), int(wide.isinf().sum())
    if not len(finite):
        return Summary(wide.numel(), None, None, None, None, nan, inf)
    std = finite.std().item() if len(finite) > 1 else None
    return Summary(
        wide.numel(), finite.mean().item(), std, finite.min().item(), finite.max().item(), nan, inf
    )


def assert_close(found: Summary, expected: Summary) -> None:
    assert (found.numel, found.nan, found.inf) == (expected.numel, expected.nan, expected.inf)
    # Two ways to the magnitude of a complex number differ by a rounding.
    for end, wanted in ((found.min, expected.min), (found.max, expected.max)):
        assert end == wanted or end == pytest.approx(wanted, rel=1e-15, abs=0)
    scale = max(abs(expected.min or 0), abs(expected.max or 0))
    for got, want, tolerance in ((found.mean, expected.mean, 1e-12), (found.std, expected.std, 1e-9)):
        assert (got is None) == (want is None)
        assert want is None or got == pytest.approx(want, rel=tolerance, abs=1e-13 * scale)


@pytest.mark.parametrize("dtype", [dtype for dtype in PLAIN_DTYPES if dtype.itemsize < 8], ids=str)
def test_a_summary_of_random_bytes_is_that_of_torch(dtype: torch.dtype) -> None:
    tensor = random_tensor(dtype, (37, 41))
    values = numbers(tensor)
    whole = torch.from_numpy(values) if values.dtype.kind in "fc" else torch.tensor(values.tolist())
    for pieces in ([values], list(values), [values[:, ::2], values[:, 1::2]]):
        assert_close(summarise(pieces), by_torch(whole))


# Squares of smaller numbers are lost, by torch too.
FLOATS = st.floats(-1e6, 1e6).map(lambda number: number if abs(number) > 1e-140 else 0.0)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        arrays(
            np.float64,
            array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5),
            elements=FLOATS | st.sampled_from([np.nan, np.inf, -np.inf]),
        ),
        max_size=6,
    )
)
def test_pieces_of_any_shape_give_the_summary_of_the_whole(pieces: list[np.ndarray[Any, Any]]) -> None:
    whole = torch.from_numpy(np.concatenate([piece.reshape(-1) for piece in pieces] or [np.zeros(0)]))
    assert_close(summarise(iter(pieces)), by_torch(whole))


def test_nothing_finite_has_no_mean_and_one_number_no_spread() -> None:
    assert summarise([]) == Summary(0, None, None, None, None, 0, 0)
    assert summarise([np.array([np.nan, np.inf, -np.inf])]) == Summary(3, None, None, None, None, 1, 2)
    assert summarise([np.array(5.0)]) == Summary(1, 5.0, None, 5.0, 5.0, 0, 0)


def test_a_small_spread_around_a_large_mean_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(5000, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 1e9
    monkeypatch.setattr(summary, "MAX_PIECE", 700)
    assert summarise([values.numpy()]).std == pytest.approx(values.std().item(), rel=1e-9)


def test_numbers_near_the_end_of_float64_have_a_mean() -> None:
    found = summarise([np.full(4, 1.7e308)])
    assert (found.mean, found.std) == (1.7e308, 0.0)


def test_sums_that_float64_cannot_hold_are_left_out() -> None:
    found = summarise([np.array([1.7e308, -1.7e308, 1e308])])
    assert (found.mean, found.std, found.min, found.max) == (None, None, -1.7e308, 1.7e308)


def test_truth_values_and_whole_numbers_count_as_numbers() -> None:
    assert summarise([np.array([True, False, True, True])])[:5] == (4, 0.75, 0.5, 0.0, 1.0)
    assert summarise([np.array([-(2**63), 2**63 - 1])])[3:5] == (-(2.0**63), 2.0**63)


@settings(max_examples=150, deadline=None)
@given(
    arrays(np.float64, st.integers(0, 60), elements=st.floats(-20, 20)),
    st.floats(-15, 5),
    st.floats(0.01, 15),
    st.integers(1, 30),
)
def test_a_histogram_is_that_of_torch(
    values: np.ndarray[Any, Any], low: float, width: float, bins: int
) -> None:
    expected = torch.histc(torch.from_numpy(values), bins, low, low + width)
    assert list(histogram([values[:7], values[7:]], low, low + width, bins)) == expected.tolist()


def test_a_histogram_leaves_out_what_lies_outside() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.1, 0.0, 0.5, 1.0, 1.1])
    assert histogram([values], 0, 1, 2) == (1, 2)
    assert histogram([np.full(3, 2.0), np.array([3.0])], 2, 2, 5) == (0, 0, 3, 0, 0)
    assert histogram([], 0, 1, 3) == (0, 0, 0)


def test_the_whole_of_float64_and_the_smallest_numbers_fit_a_histogram() -> None:
    end = float(np.finfo(np.float64).max)
    assert histogram([np.array([-end, 0.0, end])], -end, end, 2) == (1, 2)
    assert histogram([np.array([0.0, 5e-324])], 0, 5e-324, 2) == (1, 1)


@pytest.mark.parametrize(
    ("low", "high", "bins"), [(1.0, 0.0, 3), (0.0, 1.0, 0), (0.0, np.inf, 3), (np.nan, 1.0, 3)]
)
def test_impossible_bounds_are_refused(low: float, high: float, bins: int) -> None:
    with pytest.raises(ValueError, match="no histogram"):
        histogram([np.zeros(3)], low, high, bins)
