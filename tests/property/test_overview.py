"""Pictures of whole tensors: sums by entry against a loop over elements, for any shape, order and type."""

from __future__ import annotations

import math
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.overview import PIECE, OverviewTally
from paramtui.core.picture_places import entry_of, extent

shapes = st.one_of(
    st.sampled_from([(), (1,), (0,), (3, 0), (1, 1), (7, 1, 1, 1), (64, 3, 3, 3), (1, 300), (2, 3, 5)]),
    st.lists(st.integers(1, 9), max_size=4).map(tuple),
    st.tuples(st.integers(1, 700)),
)
rooms = st.tuples(st.integers(1, 9), st.integers(1, 17))
odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1.7e308, -1.7e308])
DTYPES = ["float64", "float32", "float16", "int8", "uint64", "int64", "bool", "complex64", "complex128"]


def numbers_of(shape: tuple[int, ...], dtype: str, seed: int, special: list[float]) -> np.ndarray:
    """Numbers of a type, some of them special."""
    generator = np.random.default_rng(seed)
    count = prod(shape)
    if dtype == "bool":
        return generator.random(count) < 0.5
    if dtype.startswith(("int", "uint")):
        info = np.iinfo(dtype)
        return generator.integers(info.min, info.max, count, dtype, endpoint=True)
    wide = generator.standard_normal(count).astype(np.complex128 if "complex" in dtype else np.float64)
    if "complex" in dtype:
        wide = wide + 1j * generator.standard_normal(count)
    for number in special:
        if count:
            at = generator.integers(count)
            wide[at] = complex(wide[at].real, number) if "complex" in dtype else number
    with np.errstate(over="ignore"):
        return wide.astype(dtype)


def real_of(number: object) -> float:
    """What an element counts as."""
    if isinstance(number, complex | np.complexfloating):
        parts = float(number.real), float(number.imag)
        try:
            return math.nan if any(map(math.isnan, parts)) else math.hypot(*parts)
        except OverflowError:
            return math.inf
    return float(number)  # type: ignore[arg-type]


def check(shape: tuple[int, ...], tally: OverviewTally, numbers: np.ndarray) -> None:
    """Compares a picture with one made element by element."""
    found = tally.finished()
    members: dict[tuple[int, int], list[float]] = {}
    first: dict[tuple[int, int], tuple[bool, int]] = {}
    for place, index in enumerate(np.ndindex(shape)):
        entry, number = entry_of(shape, found, index), real_of(numbers[place])
        members.setdefault(entry, []).append(number)
        if not math.isfinite(number):
            first[entry] = min(first.get(entry, (True, place)), (math.isinf(number), place))
    for row, column in np.ndindex(found.mean.shape):
        here = members.pop((row, column), [])
        finite = [number for number in here if math.isfinite(number)]
        assert found.elements[row, column] == len(here)
        assert found.nan[row, column] == sum(map(math.isnan, here))
        assert found.inf[row, column] == sum(map(math.isinf, here))
        assert found.odd[row, column] == first.get((row, column), (False, -1))[1]
        told = extent(shape, found, row, column)
        assert (told.elements if told is not None else 0) == len(here)
        if not finite:
            assert math.isnan(found.mean[row, column])
            assert math.isnan(found.abs_max[row, column])
            continue
        largest = max(map(abs, finite))
        # Two ways to the magnitude of a complex number may differ in the last digit.
        assert found.abs_max[row, column] == pytest.approx(largest, rel=1e-14)
        mean = math.fsum(number / len(finite) for number in finite)
        assert found.mean[row, column] == pytest.approx(mean, rel=1e-9, abs=1e-12 * largest)
    assert not members


@settings(max_examples=300, deadline=None)
@given(
    shapes,
    rooms,
    st.sampled_from(DTYPES),
    st.integers(0, 99),
    st.lists(odd, max_size=5),
    st.lists(st.integers(0, 700), max_size=4),
    st.randoms(),
)
def test_a_picture_is_that_of_a_loop_over_the_elements_whatever_the_pieces(
    shape: tuple[int, ...],
    room: tuple[int, int],
    dtype: str,
    seed: int,
    special: list[float],
    cuts: list[int],
    shuffle: object,
) -> None:
    numbers = numbers_of(shape, dtype, seed, special)
    ends = sorted({0, *(min(cut, numbers.size) for cut in cuts), numbers.size})
    pieces = list(zip(ends, ends[1:], strict=False))
    shuffle.shuffle(pieces)  # type: ignore[attr-defined]
    one, other = OverviewTally(shape, *room), OverviewTally(shape, *room)
    for number, (begin, end) in enumerate(pieces):
        (one, other)[number % 2].add(begin, numbers[begin:end])
    one.merge(OverviewTally.from_plain(other.plain()))
    check(shape, one, numbers)


@settings(max_examples=150, deadline=None)
@given(shapes, rooms, st.sampled_from(DTYPES), st.integers(0, 99), st.lists(odd, max_size=5), st.booleans())
def test_elements_that_come_in_any_order_make_the_same_picture_and_the_rest_can_be_zeros(
    shape: tuple[int, ...],
    room: tuple[int, int],
    dtype: str,
    seed: int,
    special: list[float],
    sparse: bool,  # noqa: FBT001  drawn
) -> None:
    numbers = numbers_of(shape, dtype, seed, special)
    places = np.random.default_rng(seed).permutation(numbers.size)
    tally = OverviewTally(shape, *room)
    if sparse:
        numbers[places[: len(places) // 2]] = 0
        places = places[len(places) // 2 :]
    for at in range(0, len(places), 100):
        tally.add_at(places[at : at + 100], numbers[places[at : at + 100]])
    if sparse:
        tally.fill()
    check(shape, tally, numbers)


@settings(max_examples=150, deadline=None)
@given(shapes, rooms, st.sampled_from(DTYPES), st.integers(0, 99), st.lists(odd, max_size=5), st.data())
def test_blocks_of_the_matrix_make_the_same_picture(
    shape: tuple[int, ...],
    room: tuple[int, int],
    dtype: str,
    seed: int,
    special: list[float],
    data: st.DataObject,
) -> None:
    numbers = numbers_of(shape, dtype, seed, special)
    tally = OverviewTally(shape, *room)
    lines, left = divmod(numbers.size, tally.width)
    whole = numbers[: lines * tally.width].reshape(lines, tally.width)
    down, across = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    for line in range(0, lines, down):
        for column in range(0, tally.width, across):
            tally.add_block(line, column, whole[line : line + down, column : column + across])
    if left:
        tally.add_block(lines, 0, numbers[None, lines * tally.width :])
    check(shape, tally, numbers)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "float16"])
@pytest.mark.parametrize("shape", [(PIECE + 7,), (3, PIECE - 1), (2000, 300), (5000, 8, 3, 3), (70_000, 4)])
def test_a_tensor_of_several_blocks_is_added_up_as_numpy_does(shape: tuple[int, ...], dtype: str) -> None:
    numbers = np.random.default_rng(5).normal(0, 30, prod(shape)).astype(dtype)
    tally = OverviewTally(shape, 20, 30)
    for begin in range(0, numbers.size, 100_003):
        tally.add(begin, numbers[begin : begin + 100_003])
    found = tally.finished()
    lines = -(-numbers.size // found.width)
    padded = np.full((-(-lines // found.cell[0]) * found.cell[0], found.width), np.nan)
    padded.reshape(-1)[: numbers.size] = numbers
    for row in range(found.mean.shape[0]):
        for column in range(found.mean.shape[1]):
            (down, across), top, left = found.cell, row * found.cell[0], column * found.cell[1]
            part = padded[top : top + down, left : left + across]
            part = part[~np.isnan(part)]
            assert found.elements[row, column] == part.size
            if part.size:
                assert found.abs_max[row, column] == np.abs(part).max()
                assert found.mean[row, column] == pytest.approx(part.mean(), rel=1e-9, abs=1e-12)


def test_one_nan_among_sixteen_million_is_counted_where_it_stands() -> None:
    numbers = np.zeros((4096, 4096), np.float32)
    numbers[1234, 3210] = np.nan
    tally = OverviewTally(numbers.shape, 30, 40)
    tally.add(0, numbers)
    found = tally.finished()
    assert found.nan.sum() == 1
    entry = entry_of(numbers.shape, found, (1234, 3210))
    assert found.nan[entry] == 1
    assert found.odd[entry] == 1234 * 4096 + 3210
    assert not np.isnan(found.mean).any()


def test_means_near_the_largest_float64_do_not_overflow() -> None:
    tally = OverviewTally((4,), 1, 1)
    tally.add(0, np.array([1.7e308, 1.7e308, 1.7e308, 1.0]))
    assert tally.finished().mean[0, 0] == pytest.approx(1.275e308)


def test_pieces_outside_the_tensor_and_pictures_of_others_are_refused() -> None:
    tally = OverviewTally((2, 3), 4, 4)
    with pytest.raises(ValueError, match="not among"):
        tally.add(4, np.zeros(3))
    with pytest.raises(ValueError, match="not among"):
        tally.add_at(np.array([0, 6]), np.zeros(2))
    for line, column in ((1, 0), (0, 2), (-1, 0)):
        with pytest.raises(ValueError, match="no block"):
            tally.add_block(line, column, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="merged"):
        tally.merge(OverviewTally((3, 2), 4, 4))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_bytes_that_are_no_picture_are_refused(noise: bytes, cut: int) -> None:
    plain = OverviewTally((2, 3), 4, 4).plain()
    for bad in (noise, plain[: min(cut, len(plain) - 1)], plain + b"\0"):
        with pytest.raises(ValueError, match="."):
            OverviewTally.from_plain(bad)
