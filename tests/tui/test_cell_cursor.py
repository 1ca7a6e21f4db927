"""A cursor on the cells of a grid: it stays inside, in sight, and on the number that it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paramtui.tui.cell_cursor import CellCursor, first_cell, on_index
from paramtui.tui.grid import Grid

SHAPES = st.lists(st.integers(1, 40), max_size=4).map(tuple)
STEPS = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), max_size=8)
ROOM = st.tuples(st.integers(1, 30), st.integers(1, 12))


@given(SHAPES, STEPS, ROOM)
def test_after_any_moves_the_cell_is_inside_and_in_sight(
    shape: tuple[int, ...], steps: list[tuple[int, int]], room: tuple[int, int]
) -> None:
    grid = Grid.of(0, shape)
    cell = first_cell(grid, *room)
    for rows, columns in steps:
        cell = cell.moved(grid, rows, columns)
        grid = cell.shown_in(grid, *room)
        assert 0 <= cell.row < grid.rows
        assert 0 <= cell.column < grid.columns
        assert grid.top <= cell.row < grid.top + room[0]
        assert grid.left <= cell.column < grid.left + room[1]
        assert grid.top >= 0 and grid.left >= 0
        picks = grid.picks(*room)
        assert all(at in pick for at, pick in zip(cell.place(grid), picks, strict=True))


@given(SHAPES.filter(bool), st.data())
def test_turning_the_grid_keeps_the_cursor_on_its_number(shape: tuple[int, ...], data: st.DataObject) -> None:
    grid = Grid.of(0, shape)
    cell = CellCursor(data.draw(st.integers(0, grid.rows - 1)), data.draw(st.integers(0, grid.columns - 1)))
    index = cell.place(grid)
    for turn in data.draw(st.lists(st.sampled_from([Grid.other_rows, Grid.other_columns]), max_size=6)):
        grid, cell = on_index(turn(grid), index)
        assert cell.place(grid) == index
