"""The window of a grid and the text of its cells, against torch's own indexing and Python's floats."""

from __future__ import annotations

import math
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from paramtui.core.indexing import apply_index, parse_index
from paramtui.tui import ramps
from paramtui.tui.cells import TINTS, CellFormat, least_width, write_cells
from paramtui.tui.grid import Grid
from paramtui.tui.plain_letters import plain
from paramtui.tui.widgets.grid_lines import cell_width

shapes = st.lists(st.integers(1, 4), max_size=4).map(tuple)
moves = st.lists(
    st.sampled_from(["rows", "columns", "next", "previous", "dim", "down", "right", "up", "left", "far"]),
    max_size=12,
)


def moved(grid: Grid, move: str, height: int, width: int) -> Grid:
    def at(top: int, left: int) -> Grid:
        return grid.at(top=top, left=left, height=height, width=width)

    return {
        "rows": grid.other_rows,
        "columns": grid.other_columns,
        "next": lambda: grid.stepped(1),
        "previous": lambda: grid.stepped(-1),
        "dim": grid.next_stepped_dim,
        "down": lambda: at(grid.top + 1, grid.left),
        "right": lambda: at(grid.top, grid.left + 1),
        "up": lambda: at(grid.top - 1, grid.left),
        "left": lambda: at(grid.top, grid.left - 1),
        "far": lambda: at(10**9, 10**9),
    }[move]()


@given(shapes, moves, st.integers(1, 5), st.integers(1, 5))
def test_wherever_one_goes_the_window_is_a_slice_of_the_tensor(
    shape: tuple[int, ...], path: list[str], height: int, width: int
) -> None:
    tensor = torch.arange(prod(shape)).reshape(shape)
    grid = Grid.of(0, shape)
    for move in path:
        grid = moved(grid, move, height, width)
    picks = grid.picks(height, width)
    window = tensor[np.ix_(*[list(pick) for pick in picks])] if shape else tensor
    assert all(len(pick) for pick in picks)
    assert 0 <= grid.top < max(grid.rows, 1)
    assert 0 <= grid.left < max(grid.columns, 1)
    # The same slice by its text, as a person would type it.
    rows = f"{grid.top}:{grid.top + height}"
    columns = f"{grid.left}:{grid.left + width}"
    selection = apply_index(parse_index(grid.index_text(rows, columns)), shape)
    assert selection.picks == picks
    assert window.numel() == prod(len(pick) for pick in picks)
    assert grid.slices * grid.rows * grid.columns == tensor.numel()
    assert 0 <= grid.slice < grid.slices
    if len(shape) >= 2:
        assert grid.row_dim != grid.col_dim
        assert min(grid.row_dim, grid.col_dim) >= 0


@given(shapes.filter(lambda shape: len(shape) > 2))
def test_stepping_visits_every_slice_once_in_order(shape: tuple[int, ...]) -> None:
    grid = Grid.of(0, shape)
    seen = [grid.slice]
    while (after := grid.stepped(1)) != grid:
        grid = after
        seen.append(grid.slice)
    assert seen == list(range(grid.slices))
    assert grid.stepped(-grid.slices).slice == 0


@given(shapes.filter(bool), st.data())
def test_going_to_an_index_marks_its_first_cell(shape: tuple[int, ...], data: st.DataObject) -> None:
    place = tuple(data.draw(st.integers(-size, size - 1)) for size in shape)
    grid = Grid.of(0, shape).gone_to(apply_index(place, shape))
    wanted = torch.arange(prod(shape)).reshape(shape)[place]
    picks = grid.picks(1, 1)
    assert torch.arange(prod(shape)).reshape(shape)[np.ix_(*[list(pick) for pick in picks])].item() == wanted
    assert grid.mark == (grid.top, grid.left)


floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(st.lists(floats, min_size=1, max_size=8), st.integers(1, 12), st.booleans())
def test_a_cell_says_its_number_to_the_digits_asked_for(
    numbers: list[float], precision: int, scientific: bool
) -> None:
    cells = np.array(numbers, dtype=np.float64).reshape(1, -1)
    block = write_cells(cells, 1, len(numbers), CellFormat(precision, scientific))
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    for number, cell in zip(numbers, block.rows[0], strict=True):
        shown = float(cell.text)
        if math.isnan(number):
            assert math.isnan(shown)
        elif math.isinf(number):
            assert shown == number
        else:
            # Nothing that is not zero looks like zero, and no sign is lost.
            assert (shown == 0) == (number == 0)
            assert math.copysign(1, shown) == math.copysign(1, number)
            if scientific:
                assert shown == pytest.approx(number, rel=10.0**-precision)
            else:
                assert abs(shown - number) <= max(largest * 10.0 ** -max(precision - 1, 0), abs(number) * 0.1)
        assert len(cell.text) <= block.format.width
        assert 0 <= block.tint(cell) <= TINTS


def test_scrolling_on_never_makes_cells_narrower() -> None:
    wide = write_cells(np.array([[1234567.0, -0.5]]), 1, 2, CellFormat()).format
    after = write_cells(np.array([[0.25, 0.5]]), 1, 2, wide).format
    assert after.width >= wide.width
    assert after.largest == wide.largest


@given(
    st.sampled_from(["float32", "int8", "bool", "complex64"]),
    st.lists(st.integers(0, 1), min_size=1, max_size=4),
    st.integers(1, 12),
)
def test_no_column_is_narrower_than_what_is_read_for(dtype: str, numbers: list[int], precision: int) -> None:
    cells = np.array([numbers], dtype=dtype)
    block = write_cells(cells, 1, len(numbers), CellFormat(precision))
    for columns in (len(numbers), 100, 1_000_000):
        grid = Grid.of(0, (1, columns))
        assert least_width(dtype, columns) <= cell_width(grid, block, heat=False)


@given(
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from([ramps.TRUECOLOR, ramps.EIGHT_BIT, ramps.STANDARD, ramps.MONO]),
)
def test_every_depth_of_colour_tells_sign_and_size(share: float, light: bool, depth: str) -> None:
    base = Style()
    plus = ramps.heat(share, 1.0, depth, base, light=light)
    minus = ramps.heat(-share, 1.0, depth, base, light=light)
    assert len(plus[0]) == len(minus[0]) == ramps.CELL_WIDTH
    if ramps.step_of(share, 1.0):
        assert minus[0][0] == "-"
        assert plus[0][0] == " "
    else:
        assert plus == minus
    assert ramps.heat(float("nan"), 1.0, depth, base)[0] == "NN"


@pytest.mark.parametrize("depth", [ramps.STANDARD, ramps.MONO])
def test_without_many_colours_size_is_told_by_letters(depth: str) -> None:
    letters = "".join(ramps.heat(x / 4, 1.0, depth, Style())[0][1] for x in range(5))
    assert letters == " ░▒▓█"
    assert plain(letters) == " .:+#"


@given(st.text())
def test_plain_letters_are_ascii_and_as_wide_as_before(text: str) -> None:
    assert plain(text).isascii()
    assert cell_len(plain(text)) == cell_len(text) or not text.isprintable()


@pytest.mark.parametrize("depth", [ramps.TRUECOLOR, ramps.EIGHT_BIT, ramps.STANDARD, ramps.MONO])
def test_the_legend_names_its_ends(depth: str) -> None:
    signed = ramps.legend(0.5, depth, Style(), signed=True)
    assert signed[0][0] == "-0.5 "
    assert signed[-1][0].startswith(" 0.5 ")
    assert ramps.legend(0.5, depth, Style(), signed=False)[0][0] == "0 "
