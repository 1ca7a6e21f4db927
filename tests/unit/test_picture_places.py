"""Which elements an entry of a picture stands for, against numpy and the comparison itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.comparing import Picture, compare
from paramtui.core.picture_places import entry_of, extent, line_label, ravel, unravel

SHAPES = [(), (1,), (7,), (100,), (1, 100), (3, 4), (9, 10), (1, 1, 37), (2, 3, 5), (5, 1, 3), (2, 3, 2, 4)]


async def picture_of(shape: tuple[int, ...], folder: Path, rows: int, columns: int) -> Picture:
    path = folder / "two.pt"
    torch.save(
        {
            "one": torch.zeros(shape),
            "other": torch.arange(1.0, 1 + torch.zeros(shape).numel()).reshape(shape),
        },
        path,
    )
    found = (await compare(open_checkpoint(str(path)), 0, 1, rows=rows, columns=columns)).picture
    assert found is not None
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (4, 8), (50, 64)])
async def test_every_element_is_in_the_entry_that_says_so(
    shape: tuple[int, ...], rows: int, columns: int, tmp_path: Path
) -> None:
    picture = await picture_of(shape, tmp_path, rows, columns)
    members: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for index in np.ndindex(shape):
        members.setdefault(entry_of(shape, picture, index), []).append(index)
    for row in range(picture.rows):
        for column in range(picture.columns):
            found, there = extent(shape, picture, row, column), members.get((row, column))
            if there is None:
                assert found is None
                continue
            # All elements of these tensors differ: the comparison has counted them by itself.
            assert found is not None
            assert found.elements == len(there) == picture.counts[row][column]
            assert (found.first, found.last) == (there[0], there[-1])


@pytest.mark.parametrize("shape", SHAPES[1:])
async def test_the_index_of_an_entry_selects_its_elements(shape: tuple[int, ...], tmp_path: Path) -> None:
    picture = await picture_of(shape, tmp_path, 3, 4)
    places = np.arange(np.prod(shape)).reshape(shape)
    for row in range(picture.rows):
        for column in range(picture.columns):
            found = extent(shape, picture, row, column)
            if found is None or " to " in found.text:
                continue
            assert re.fullmatch(r"\[[0-9:, ]+\]", found.text)
            parts = [part.split(":") for part in found.text[1:-1].split(", ")]
            picked = places[tuple(slice(int(part[0]), int(part[-1]) + (len(part) == 1)) for part in parts)]
            expected = [
                ravel(index, shape)
                for index in np.ndindex(shape)
                if entry_of(shape, picture, index) == (row, column)
            ]
            assert picked.reshape(-1).tolist() == expected


def test_lines_of_several_slices_are_told_by_the_first_and_the_last() -> None:
    picture = Picture(2, 1, (4, 3), ((0,), (0,)), ((0.0,), (0.0,)), 3)
    found = extent((2, 3, 3), picture, 0, 0)
    assert found is not None
    assert found.text == "[0, 0, 0:3] to [1, 0, 0:3]"


def test_lines_are_numbered_by_all_dimensions_but_the_last() -> None:
    picture = Picture(3, 1, (2, 3), ((0,),) * 3, ((0.0,),) * 3, 3)
    assert [line_label((2, 3, 3), picture, row) for row in range(3)] == ["0,0", "0,2", "1,1"]
    folded = Picture(3, 4, (1, 1), ((0,) * 4,) * 3, ((0.0,) * 4,) * 3, 4)
    assert [line_label((10,), folded, row) for row in range(3)] == ["0", "4", "8"]


@pytest.mark.parametrize("shape", SHAPES)
def test_places_and_indices_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    for place, index in enumerate(np.ndindex(shape)):
        assert ravel(index, shape) == place
        assert unravel(place, shape) == index
