"""Changed bytes over others, against a copy of all bytes for every state."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core import overlay as overlays
from paramtui.core.overlay import EMPTY, Overlay
from paramtui.errors import EditError, NoRoomError, ValuesError

LENGTHS = (0, 1, 90, 20_000)


class Base:
    """Runs of bytes that nothing changes."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.runs = [generator.integers(0, 256, length, np.uint8).tobytes() for length in LENGTHS]

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        found = self.runs[location][begin : begin + nbytes]
        assert len(found) == nbytes, "read past the end"
        return found

    def big_endian(self, location: int) -> bool:
        return False

    def nbytes(self, location: int) -> int:
        return len(self.runs[location])


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that small examples reach."""
    monkeypatch.setattr(overlays, "KEPT_ROWS", 3)
    monkeypatch.setattr(overlays, "MAX_GAP", 40)
    monkeypatch.setattr(overlays, "MAX_GROUP", 600)


def descriptors() -> int:
    """How many open files have no name any more, as all those of an overlay."""
    if not os.path.isdir("/proc/self/fd"):
        return 0
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").endswith("(deleted)")
    return count


@st.composite
def rows_of(draw: st.DrawFn) -> tuple[int, list[int], int]:
    """A run, where pieces begin, and how long each is; they do not overlap and come in any order."""
    location = draw(st.integers(2, 3))
    length = draw(st.sampled_from([1, 2, 4, 8, 13]))
    room = LENGTHS[location] // length
    if draw(st.booleans()):
        step = draw(st.integers(1, 9))
        first = draw(st.integers(0, room - 1))
        count = draw(st.integers(1, min(150, (room - first + step - 1) // step)))
        places = [first + step * place for place in range(count)]
    else:
        places = draw(st.lists(st.integers(0, room - 1), min_size=1, max_size=12, unique=True))
    return location, draw(st.permutations([place * length for place in places])), length


@settings(max_examples=60)
@given(st.data())
def test_every_state_reads_as_the_bytes_that_were_written_into_it(data: st.DataObject) -> None:
    base = Base()
    before = descriptors()
    overlay = Overlay(base)
    states: list[tuple[Mapping[int, Any], list[bytes]]] = [({}, list(base.runs))]
    kept = []
    for place in range(data.draw(st.integers(1, 12))):
        state, runs = states[data.draw(st.integers(0, len(states) - 1))]
        generator = np.random.default_rng(place)
        model = [bytearray(run) for run in runs]
        if data.draw(st.integers(0, 3)):
            location, begins, length = data.draw(rows_of())
            rows = generator.integers(0, 256, (len(begins), length), np.uint8)
            for begin, row in zip(begins, rows, strict=True):
                model[location][begin : begin + length] = row.tobytes()
            after = overlay.write_rows(state, location, np.array(begins, np.int64), rows)
        else:
            # Ranges of a file of its own, as an engine fills it.
            cuts = sorted(data.draw(st.sets(st.integers(0, LENGTHS[3]), min_size=2, max_size=10)))
            ranges = list(zip(cuts[::2], cuts[1::2], strict=False))
            content = generator.integers(0, 256, LENGTHS[3], np.uint8).tobytes()
            descriptor = os.memfd_create("new") if hasattr(os, "memfd_create") else pytest.skip("no memfd")
            os.write(descriptor, content)
            file = overlay.adopt(descriptor)
            for begin, end in ranges:
                model[3][begin:end] = content[begin:end]
            pieces = [(begin, end, file, begin) for begin, end in ranges]
            after = overlay.with_pieces(state, 3, pieces)
        states.append((after, [bytes(run) for run in model]))
        for table in after.values():
            kept.append((overlay.keep(table), table))
    for state, runs in states:
        for location, run in enumerate(runs):
            assert overlay.read(state, location, 0, len(run)) == run
            for _ in range(4):
                begin = data.draw(st.integers(0, len(run)))
                end = data.draw(st.integers(begin, min(len(run), begin + 700)))
                assert overlay.read(state, location, begin, end - begin) == run[begin:end]
        for table in state.values():
            assert (table[:, 0] < table[:, 1]).all()
            assert (table[1:, 0] >= table[:-1, 1]).all(), "sorted, and without overlaps"
    for held, table in kept:
        assert (held.table is None) == (len(table) > 3)
        np.testing.assert_array_equal(overlay.kept(held), table)
    assert overlay.kept(overlay.keep(EMPTY)).shape == (0, 4)
    overlay.close()
    assert descriptors() == before


def test_pieces_close_together_become_one_range_and_distant_ones_do_not() -> None:
    overlay = Overlay(Base())
    near = overlay.write_rows({}, 3, np.arange(0, 400, 40), np.ones((10, 4), np.uint8))
    far = overlay.write_rows({}, 3, np.arange(0, 2000, 200), np.ones((10, 4), np.uint8))
    assert near[3].shape == (1, 4)
    assert far[3].shape == (10, 4)
    # But none grows past the limit.
    long = overlay.write_rows({}, 3, np.arange(0, 19_000, 40), np.ones((475, 4), np.uint8))
    assert (long[3][:, 1] - long[3][:, 0]).max() <= 600
    overlay.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_leaves_the_state_as_it_was_and_gives_the_room_back(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base()
    overlay = Overlay(base)
    state = overlay.write_rows({}, 3, np.array([5]), np.full((1, 8), 7, np.uint8))
    wanted = overlay.read(state, 3, 0, 20_000)
    calls = 0
    real = os.pwrite

    def full(descriptor: int, data: bytes, position: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 4:
            return real(descriptor, bytes(data)[:2], position)
        if calls > 4:
            raise OSError(number, os.strerror(number))
        return real(descriptor, data, position)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(EditError) as caught:
            overlay.write_rows(state, 3, np.arange(0, 20_000, 200), np.full((100, 4), 9, np.uint8))
    assert isinstance(caught.value, NoRoomError) == (number != errno.EIO)
    assert os.fstat(overlay._cells).st_size == overlay.mark() == 8
    assert overlay.read(state, 3, 0, 20_000) == wanted
    again = overlay.write_rows(state, 3, np.array([100]), np.full((1, 4), 9, np.uint8))
    assert overlay.read(again, 3, 100, 4) == b"\t" * 4
    assert overlay.read(again, 3, 0, 100) == wanted[:100]
    overlay.close()


def test_what_was_let_go_of_is_said_to_be_gone() -> None:
    overlay = Overlay(Base())
    descriptor = os.open(os.devnull, os.O_RDONLY)
    file = overlay.adopt(descriptor)
    state = overlay.with_pieces({}, 3, [(0, 10, file, 0)])
    with pytest.raises(ValuesError, match="gone from"):
        overlay.read(state, 3, 0, 10)
    overlay.drop(file)
    overlay.drop(file)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
    with pytest.raises(ValuesError, match="changed while they were read"):
        overlay.read(state, 3, 0, 10)
    assert overlay.read(state, 3, 10, 10) == Base().runs[3][10:20]
    overlay.close()


def test_a_temporary_directory_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with pytest.raises(EditError, match=r"cannot be kept in /nowhere/at/all: No such file"):
        Overlay(Base()).write_rows({}, 3, np.array([0]), np.zeros((1, 4), np.uint8))
