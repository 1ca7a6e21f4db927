"""Axes, bars and figures of distributions, worked out again by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rich.style import Style

from paramtui.core.levels import spread
from paramtui.tui.distribution_lines import (
    Looks,
    Part,
    axis_line,
    bar_columns,
    bar_rows,
    distribution_lines,
    figure_texts,
    flowed,
    most_parts,
)
from paramtui.tui.value_axis import MOST_DECADES, ValueAxis, axis_over, threshold_of
from tests.tui.measuring import measured

PLAIN = Style()
REVERSED = Style(reverse=True)
LOOKS = Looks(PLAIN, PLAIN, REVERSED)
ASCII = Looks(PLAIN, PLAIN, REVERSED, plain=True)
HEIGHTS = {letter: height for height, letter in enumerate(" ▁▂▃▄▅▆▇█")}


def heights(rows: list[str]) -> list[int]:
    """Eighths of a line that each bar is high."""
    return [sum(HEIGHTS[row[column]] for row in rows) for column in range(len(rows[0]))]


def texts(values: object, **options: float) -> list[str]:
    return [text.plain for text in figure_texts(measured(values, **options).statistics, LOOKS)]  # type: ignore[arg-type]


def drawn(values: object, width: int, height: int, looks: Looks = LOOKS) -> list[str]:
    found = measured(values)
    low, high = found.statistics.min, found.statistics.max
    axis = axis_over([] if low is None or high is None else [(low, high)])
    part = Part("weight", found, PLAIN)
    return [line.plain for line in distribution_lines([part], axis, width, height, looks)]


def test_a_bar_is_as_high_as_its_share_of_the_highest() -> None:
    counts = [0, 1, 500, 250, 1000, 3]
    expected = [0 if not n else max(1, round(n / 1000 * 24)) for n in counts]
    assert heights(bar_rows(counts, 3, log=False, plain=False)) == expected


def test_with_logarithms_a_bar_goes_by_the_logarithm_of_its_count() -> None:
    counts = [0, 1, 10, 100, 100_000]
    expected = [round(math.log(n + 1) / math.log(100_001) * 16) for n in counts]
    assert heights(bar_rows(counts, 2, log=True, plain=False)) == expected


def test_bars_without_any_count_are_empty() -> None:
    assert bar_rows([0, 0], 2, log=False, plain=False) == ["  ", "  "]


def test_in_ascii_all_letters_are_ascii() -> None:
    rows = bar_rows([0, 1, 4, 8], 2, log=False, plain=True)
    assert rows == ["  .#".replace(".", " "), " :##"]
    assert "".join(drawn(np.linspace(-1, 1, 99), 70, 6, ASCII)).isascii()


def test_the_edges_of_a_linear_axis_are_equally_far_apart() -> None:
    axis = axis_over([(-1.0, 0.5), (0.0, 3.0)])
    assert axis is not None
    np.testing.assert_allclose(axis.edges(8), np.linspace(-1, 3, 9))


def test_zoom_and_steps_show_a_part_and_stop_at_the_ends() -> None:
    axis = ValueAxis(0.0, 16.0)
    near = axis.zoomed(4)
    np.testing.assert_allclose(near.edges(2), [6, 8, 10])
    np.testing.assert_allclose(near.moved(0.25).edges(1), [7, 11])
    np.testing.assert_allclose(near.moved(100).edges(1), [12, 16])
    np.testing.assert_allclose(near.moved(-100).edges(1), [0, 4])
    assert near.zoomed(1 / 8).whole
    for _ in range(100):
        near = near.zoomed(2)
    assert near.edges(1)[0] < near.edges(1)[1]


def test_a_logarithmic_axis_is_symmetric_about_zero_and_linear_near_it() -> None:
    axis = ValueAxis(-100.0, 100.0, threshold=1.0)
    np.testing.assert_allclose(axis.edges(6), [-100, -10, -1, 0, 1, 10, 100], atol=1e-12)
    np.testing.assert_allclose(axis.edges(12)[6:9], [0, 0.5, 1], atol=1e-12)
    assert axis.place(10.0) == pytest.approx(5 / 6)


def test_the_whole_range_of_float64_has_an_axis() -> None:
    most = float(np.finfo(np.float64).max)
    for threshold in (0.0, 1.0):
        edges = ValueAxis(-most, most, threshold).edges(10)
        assert np.isfinite(edges).all()
        assert (np.diff(edges / 2) > 0).all()
        assert (edges[0], edges[-1]) == (-most, most)
    only = axis_over([(most, most)])
    assert only is not None
    assert only.low < only.high <= most


def test_the_logarithmic_part_begins_at_the_least_number_that_is_not_zero() -> None:
    assert threshold_of([measured([0.0, -0.01, 5.0]).levels, measured([0.5]).levels]) == 0.01
    assert threshold_of([measured([1e-45, 1.0]).levels]) == pytest.approx(10.0**-MOST_DECADES)
    assert threshold_of([measured([0.0]).levels]) == 1.0
    assert threshold_of([measured([math.nan]).levels]) == 1.0


def test_each_bar_stands_for_the_numbers_that_numpy_finds_between_its_edges() -> None:
    numbers = np.random.default_rng(0).normal(size=5000).astype(np.float32).astype(np.float64)
    for threshold in (0.0, 0.01):
        axis = axis_over([(float(numbers.min()), float(numbers.max()))], threshold)
        assert axis is not None
        counts, _ = np.histogram(numbers, axis.edges(24))
        np.testing.assert_array_equal(spread(measured(numbers).levels, axis.edges(24)), counts)
        part = Part("weight", measured(numbers), PLAIN)
        lines = distribution_lines([part], axis, 68, 6, LOOKS)
        columns = bar_columns(68, 6)
        shown = heights([line.plain[:columns] for line in lines[:5]])
        counts, _ = np.histogram(numbers, axis.edges(columns))
        assert shown == [0 if not n else max(1, round(n / counts.max() * 40)) for n in counts]


def test_the_axis_names_its_ends_and_zero_where_it_stands() -> None:
    line = axis_line(ValueAxis(-1.0, 3.0), 41)
    assert line.split() == ["-1", "0", "3"]
    assert line.index("0") == 10
    assert len(line) == 41
    assert axis_line(ValueAxis(1.0, 3.0), 20).split() == ["1", "3"]


def test_every_figure_is_there_with_the_digits_that_numpy_gives() -> None:
    numbers = np.array([0.0, 0.0, 1e-40, -2.0, 3.0, 5.0])
    found = texts(numbers)
    low, high = np.quantile(numbers, [0.01, 0.99])
    expected = [
        "min -2", "max 5", f"mean {numbers.mean():.3g}", f"std {numbers.std(ddof=1):.3g}", "max |x| 5",
        "L1 10", f"L2 {np.linalg.norm(numbers):.3g}", "zero 2 (33.3 %)", "NaN 0", "Inf 0", "subnormal 1",
    ]  # fmt: skip
    assert found[:11] == expected
    assert (found[11], found[-1]) == (f"1% {low:.3g}", f"99% {high:.3g}")
    assert len(found) == 18


def test_nan_and_infinities_come_first_and_in_reverse() -> None:
    found = figure_texts(measured([1.0, math.nan, math.inf, -math.inf, -math.inf, 2.0]).statistics, LOOKS)
    assert [text.plain for text in found[:2]] == ["NaN 1", "Inf 3 (+1 -2)"]
    assert [text.style == REVERSED for text in found[:3]] == [True, True, False]


def test_quantiles_that_may_be_off_say_by_how_much() -> None:
    assert texts([1.0, 2.0], error=0.004)[-1] == "quantiles ±0.4 %"
    plain = figure_texts(measured([1.0, 2.0], error=0.004).statistics, ASCII)[-1].plain
    assert plain == "quantiles +/-0.4 %"


def test_zeros_of_a_sample_are_a_share_of_the_sample() -> None:
    assert "zero 5 (50 %)" in texts([0.0] * 5 + [1.0] * 15, sampled=10)


def test_whole_numbers_are_written_with_all_their_digits() -> None:
    found = measured([1.0, 2.0]).statistics._replace(min=-128, max=123_456_789)
    words = [text.plain for text in figure_texts(found, LOOKS)]
    assert words[:2] == ["min -128", "max 123,456,789"]


def test_a_constant_says_so_and_stands_in_the_middle() -> None:
    lines = drawn([0.5] * 64, 68, 6)
    assert "all 64 are 0.5" in " ".join(lines)
    columns = bar_columns(68, 6)
    (place,) = (at for at, height in enumerate(heights([line[:columns] for line in lines[:5]])) if height)
    assert place == columns // 2


def test_without_finite_numbers_there_are_figures_alone() -> None:
    lines = drawn([math.nan] * 7, 68, 6)
    assert lines[0].startswith("NaN 7  no finite numbers")
    assert not any(set("▁▂▃▄▅▆▇█") & set(line) for line in lines)


def test_a_picture_never_outgrows_its_room() -> None:
    numbers = np.random.default_rng(1).normal(size=300)
    part = Part("a long name of a moment", measured(numbers), PLAIN)
    axis = axis_over([(float(numbers.min()), float(numbers.max()))])
    for width in (1, 5, 18, 55, 56, 78, 140):
        for height in range(1, 40):
            for count in (1, 2, 3, 4):
                if count <= most_parts(width, height):
                    lines = distribution_lines([part] * count, axis, width, height, LOOKS)
                    assert 1 <= len(lines) <= height
                    assert all(line.cell_len <= max(width, 1) for line in lines)


def test_several_share_the_axis_and_each_has_its_name_and_its_own_bars() -> None:
    wide, narrow = measured(np.linspace(-8, 8, 801)), measured(np.linspace(-1, 1, 801))
    axis = axis_over([(-8.0, 8.0), (-1.0, 1.0)])
    parts = [Part("weight", wide, PLAIN), Part("gradient", narrow, PLAIN)]
    assert most_parts(68, 7) >= 2
    lines = [line.plain for line in distribution_lines(parts, axis, 68, 7, LOOKS)]
    columns = bar_columns(68, 7)
    assert [at for at, line in enumerate(lines) if "weight" in line or "gradient" in line] == [0, 3]
    first, second = (heights([line[:columns] for line in lines[at : at + 3]]) for at in (0, 3))
    assert all(first)
    seen = [at for at, height in enumerate(second) if height]
    assert (seen[0], seen[-1]) == (int(columns * 7 / 16), int(columns * 9 / 16))
    assert lines[6].split()[:3] == ["-8", "0", "8"]


def test_figures_flow_into_lines_and_what_does_not_fit_is_left_out() -> None:
    words = figure_texts(measured([1.0, 2.0]).statistics, LOOKS)
    lines = flowed(words, 30, 2)
    assert [line.plain for line in lines] == ["min 1  max 2  mean 1.5", "std 0.707  max |x| 2  L1 3 …"]
