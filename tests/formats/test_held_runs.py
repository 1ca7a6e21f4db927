"""The bytes of a checkpoint by way of descriptors that are held, against those of the file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from paramtui.checkpoints import copies
from paramtui.checkpoints.copies import HeldRuns
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.errors import ValuesError
from tests.support import open_descriptors, rewrite_zip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_held_runs_are_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    # One record is kept at a time.
    monkeypatch.setattr(copies, "MAX_KEPT", 2000)
    held = {name: torch.arange(400.0) * number for number, name in enumerate("abc")}
    torch.save(held, tmp_path / "plain.pt")
    path = rewrite_zip(tmp_path / "plain.pt", tmp_path / "x.pt", lambda _, content: content, method=method)
    source = open_checkpoint(str(path))
    before = open_descriptors()
    with HeldRuns(source) as runs:
        for name in "aabbcc":
            location = source.listing.location[source.listing.names.index(name)]
            raw = held[name].numpy().tobytes()
            assert runs.nbytes(location) == len(raw) == source.nbytes(location)
            assert not runs.big_endian(location)
            for begin, nbytes in ((0, len(raw)), (40, 12), (len(raw), 0)):
                assert runs.read(location, begin, nbytes) == raw[begin : begin + nbytes]
                buffer = bytearray(nbytes)
                runs.read_into(location, begin, buffer)
                assert buffer == raw[begin : begin + nbytes]
            for begin, nbytes in ((-1, 2), (len(raw) - 1, 2)):
                for each in (runs, source):
                    with pytest.raises(ValuesError, match="lie outside the 1,600 bytes stored"):
                        each.read(location, begin, nbytes)
        if method == zipfile.ZIP_DEFLATED:
            # What was let go of for others is not inflated time and again.
            location = source.listing.location[source.listing.names.index("a")]
            with pytest.raises(ValuesError, match="lies compressed"):
                runs.read(location, 0, 4)
    assert open_descriptors() == before


def test_copies_among_compressed_records_are_found_while_all_are_kept_and_else_said_not_to_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {name: torch.arange(400.0) for name in "ab"} | {"c": torch.zeros(400)}
    torch.save(held, tmp_path / "plain.pt")
    path = rewrite_zip(
        tmp_path / "plain.pt", tmp_path / "x.pt", lambda _, content: content, method=zipfile.ZIP_DEFLATED
    )
    source = open_checkpoint(str(path))
    names = source.listing.names
    (group,) = copies.find_copies(source).groups
    assert [names[member] for member in group.members] == ["a", "b"]
    monkeypatch.setattr(copies, "MAX_KEPT", 2000)
    monkeypatch.setattr("paramtui.core.copies.CHUNK", 400)
    search = copies.find_copies(source)
    assert not search.groups
    assert {names[tensor]: why for tensor, why in search.skipped}.keys() >= {"a", "b"}
    assert all("lies compressed" in why for _, why in search.skipped)


async def test_a_window_is_read_off_the_loop_too(tmp_path: Path) -> None:
    torch.save({"w": torch.arange(12.0).view(3, 4)}, tmp_path / "x.pt")
    window = await open_checkpoint(str(tmp_path / "x.pt")).window(0, [range(1, 3), [0, 3]])
    assert window.values is not None
    assert window.values.tolist() == [[4, 7], [8, 11]]


async def test_what_a_checkpoint_names_is_told_off_the_loop_too(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "x.pt")
    source = open_checkpoint(str(tmp_path / "x.pt"))
    uses = await source.uses()
    assert "torch._utils._rebuild_tensor_v2" in [use.name for use in uses.found]
    assert uses == source.find_uses()
    assert source.outdated() == ""


async def test_a_checkpoint_has_no_gradients_to_measure(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2, 2)}, tmp_path / "x.pt")
    source = open_checkpoint(str(tmp_path / "x.pt"))
    for work in (source.measure(0, gradient=True), source.overview(0, 1, 1, gradient=True)):
        with pytest.raises(ValuesError, match="a checkpoint stores no gradients"):
            await work
