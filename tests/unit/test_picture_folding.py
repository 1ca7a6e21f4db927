"""Tensors are seen as matrices that fill the room of a picture; compared with counting entry by entry."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from paramtui.core.comparing import Picture
from paramtui.core.picture_folding import Layout, layout_of, layout_words, matrix_width
from paramtui.core.picture_places import entry_of, extent, line_label

SHAPES = [
    (64, 3, 7, 7),
    (1000, 4),
    (40, 1),
    (13, 2),
    (9, 3, 2),
    (8, 3, 2, 2),
    (5, 1, 3),
    (1, 6, 2),
    (100, 130),
]


def picture_of(shape: tuple[int, ...], rows: int, columns: int) -> Picture:
    """A picture of a room, without numbers."""
    width = matrix_width(shape, rows, columns)
    lines = -(-prod(shape) // width)
    cell = -(-lines // rows), -(-width // columns)
    return Picture(-(-lines // cell[0]), -(-width // cell[1]), cell, (), (), width)


def shown(shape: tuple[int, ...], width: int, rows: int, columns: int) -> int:
    """How many entries a picture with so wide lines has, counted."""
    places = np.arange(prod(shape))
    lines = places // width
    cell = -(-(int(lines.max()) + 1) // rows), -(-width // columns)
    return len(
        {(line, column) for line, column in zip(lines // cell[0], places % width // cell[1], strict=True)}
    )


def test_the_kernels_of_a_convolution_fill_the_room() -> None:
    assert matrix_width((64, 3, 7, 7), 32, 64) in (49, 147)
    # Seen by its last dimension alone it would be seven entries wide.
    assert shown((64, 3, 7, 7), 7, 32, 64) < 300
    assert shown((64, 3, 7, 7), matrix_width((64, 3, 7, 7), 32, 64), 32, 64) > 1500


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (9, 30), (27, 54), (50, 200)])
def test_no_other_split_of_the_dimensions_shows_more(shape: tuple[int, ...], rows: int, columns: int) -> None:
    width = matrix_width(shape, rows, columns)
    for lead in range(1, len(shape)):
        if prod(shape[:lead]) > 1:
            assert shown(shape, width, rows, columns) >= shown(shape, prod(shape[lead:]), rows, columns)


def test_what_is_shown_whole_stays_as_it_is() -> None:
    assert matrix_width((8, 4), 20, 60) == 4
    assert matrix_width((2, 3, 5), 20, 60) == 5
    assert matrix_width((100, 130), 27, 54) == 130
    assert matrix_width((), 27, 54) == 1
    assert matrix_width((3, 0), 27, 54) == 1


def test_narrow_rows_stand_side_by_side() -> None:
    width = matrix_width((1000, 4), 9, 34)
    assert width == 32
    assert layout_of((1000, 4), width) == Layout(1, 8)
    assert layout_words((1000, 4), width) == "rows: dim 0, 8 side by side; columns: dim 1"


@pytest.mark.parametrize(
    ("shape", "width", "words"),
    [
        ((64, 3, 7, 7), 147, "rows: dim 0; columns: dims 1-3"),
        ((64, 3, 7, 7), 49, "rows: dims 0-1; columns: dims 2-3"),
        ((64, 3, 7, 7), 7, "rows: dims 0-2; columns: dim 3"),
        ((64, 3, 7, 7), 14, "rows: dims 0-2, 2 side by side; columns: dim 3"),
        ((8, 4), 4, ""),
        ((100,), 32, "lines of 32 elements"),
        ((100,), 100, ""),
        ((), 1, ""),
    ],
)
def test_rows_and_columns_are_named(shape: tuple[int, ...], width: int, words: str) -> None:
    assert layout_words(shape, width) == words


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (4, 9), (9, 34)])
def test_entries_of_any_layout_are_the_elements_that_lie_there(
    shape: tuple[int, ...], rows: int, columns: int
) -> None:
    picture = picture_of(shape, rows, columns)
    places = np.arange(prod(shape))
    down, across = places // picture.width // picture.cell[0], places % picture.width // picture.cell[1]
    for row in range(picture.rows):
        for column in range(picture.columns):
            mine = places[(down == row) & (across == column)]
            found = extent(shape, picture, row, column)
            if not len(mine):
                assert found is None
                continue
            assert found is not None
            assert found.elements == len(mine)
            assert found.first == np.unravel_index(mine[0], shape)
            assert found.last == np.unravel_index(mine[-1], shape)
            assert entry_of(shape, picture, found.first) == (row, column)
            if " to " not in found.text:
                picked = eval(f"numbers{found.text}", {"numbers": places.reshape(shape)})
                assert np.array_equal(np.sort(np.ravel(picked)), mine)


def test_lines_are_labelled_by_the_dimensions_of_the_rows() -> None:
    by_channel = Picture(8, 49, (8, 3), (), (), 147)
    assert [line_label((64, 3, 7, 7), by_channel, row) for row in (0, 1, 7)] == ["0", "8", "56"]
    by_kernel = Picture(24, 49, (8, 1), (), (), 49)
    assert [line_label((64, 3, 7, 7), by_kernel, row) for row in (0, 1, 2)] == ["0,0", "2,2", "5,1"]
    side = Picture(9, 32, (14, 1), (), (), 32)
    assert [line_label((1000, 4), side, row) for row in (0, 1, 8)] == ["0", "112", "896"]
