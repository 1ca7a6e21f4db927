"""Whole files made to be endless, huge or dangerous: `ls` ends, soon, and runs nothing."""

from __future__ import annotations

import os
import pickle
import struct
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.commands.ls import Selection, ls_flat, ls_json, ls_tree
from tests.support import opened, run_paramtui, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def archive(path: Path, data: bytes) -> Path:
    """A zip as torch.save makes it, around any pickle."""
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("archive/data.pkl", data)
        target.writestr("archive/byteorder", "little")
        target.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
    return path


def listed(path: Path) -> int:
    """Opens the file and writes it in every form of `ls`; returns the number of characters."""
    listing = opened(path).listing
    selection = Selection(listing, [])
    length = sum(map(len, ls_json(listing, selection)))
    length += sum(map(len, ls_tree(listing, selection, "stored", None)))
    return length + sum(map(len, ls_flat(listing, selection, "name")))


def billion_laughs(levels: int, width: int) -> bytes:
    """A list of the same list `width` times, `levels` deep: width ** levels leaves."""
    data = b"\x80\x02]q\x00K\x01a"
    for level in range(levels):
        data += b"0](" + (b"h" + bytes([level])) * width + b"eq" + bytes([level + 1])
    return data + b"."


def dict_laughs(levels: int) -> bytes:
    data = b"\x80\x02}q\x00X\x01\x00\x00\x00xK\x01s"
    for level in range(levels):
        data += (
            b"0}(X\x01\x00\x00\x00ah"
            + bytes([level])
            + b"X\x01\x00\x00\x00bh"
            + bytes([level])
            + b"uq"
            + bytes([level + 1])
        )
    return data + b"."


DEPTH = 1_000_000
HOSTILE = {
    "lists of lists": b"]" * DEPTH + b"a" * (DEPTH - 1) + b".",
    "tuples of tuples": b")" + b"\x85" * DEPTH + b".",
    "dicts of dicts": b"}" + b"X\x01\x00\x00\x00a}" * (DEPTH // 4) + b"s" * (DEPTH // 4) + b".",
    "calls of calls": b"cm\nf\n" + b")R" * (DEPTH // 4) + b".",
    "open marks": b"(" * DEPTH + b"t" * (DEPTH - 1) + b".",
    "billion laughs": billion_laughs(60, 10),
    "dict laughs": dict_laughs(200),
    "a list of itself": b"]q\x00h\x00a.",
    "a dict of itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "an object of itself": b"cm\nC\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.",
    "two lists of each other": b"]q\x00]q\x01h\x00ah\x00h\x01a0h\x00.",
    "doubling tuples": b"K\x01" + b"2\x86" * 60 + b".",
    "long integer": b"\x8b\x80\x84\x1e\x00" + b"\x7f" * 2_000_000 + b".",
    "long decimal": b"}X\x01\x00\x00\x00aI" + b"7" * 1_000_000 + b"\ns.",
    "colliding keys": b"}("
    + b"".join(b"\x8a\x0a" + ((2**61 - 1) * i).to_bytes(10, "little") + b"N" for i in range(60_000))
    + b"u.",
    "nested key": b"}" + b")" + b"\x85" * 5000 + b"K\x01s.",
    "a key of itself": b"]q\x00h\x00a0}h\x00K\x01s.",
    "memo bomb": b"".join(b"Nr" + struct.pack("<I", 2**32 - 1 - i) + b"0" for i in range(50_000)) + b"N.",
    "memo of a huge number": b"Np99999999999999999999\n.",
    "a deep set": b"\x8f" * 100_000 + b"(" * 0 + b".",
    "an inherited storage": b"(X\x07\x00\x00\x00storageh\x00tQ.",
    "a tensor of a tensor": b"ctorch._utils\n_rebuild_parameter\nq\x00(h\x00\x89Nt" + b"R.",
    "quantised tensors of quantised tensors": b"ctorch._utils\n_rebuild_qtensor\nq\x000Nq\x02"
    + b"0h\x00((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    b"K\x00K\x01\x85K\x01\x85(ctorch\nper_channel_affine\nh\x02h\x02K\x00t\x89NtRq\x02" * 40 + b".",
    "sparse tensors of sparse tensors": b"Nq\x02"
    + b"0ctorch._utils\n_rebuild_sparse_tensor\n(ctorch\nsparse_coo\n(h\x02h\x02K\x01\x85ttRq\x02" * 40
    + b".",
    "deep parameters": b"ctorch._utils\n_rebuild_parameter\nq\x000N"
    + b"q\x010h\x00(h\x01\x89NtR" * 100_000
    + b".",
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_ls_of_a_hostile_pickle_ends_soon_in_bounded_output(tmp_path: Path, name: str) -> None:
    from paramtui.errors import FormatError

    path = archive(tmp_path / "hostile.pt", HOSTILE[name])
    begin = time.process_time()
    try:
        length = listed(path)
    except FormatError as error:
        assert "\n" not in str(error)
        length = 0
    assert time.process_time() - begin < 20
    assert length < 300_000_000


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_that_would_run_a_command_leaves_no_trace(
    save: Save, tmp_path: Path, zipped: bool
) -> None:
    mark = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {mark}",)

    path = save({"w": torch.ones(2), "trap": Trap()}, _use_new_zipfile_serialization=zipped)
    checkpoint = opened(path)
    assert checkpoint.read("w").tolist() == [1, 1]
    assert f"{os.name}.system" in checkpoint.listing.globals
    assert "touch" in str(values(checkpoint)["trap"])
    assert not mark.exists()
    for words in (["ls", str(path)], ["ls", "--json", str(path)], ["show", str(path), "w"]):
        done = run_paramtui(*words)
        assert (done.returncode, done.stderr) == (0, b"")
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert mark.exists()


def test_a_deep_nest_through_the_command_line_ends(tmp_path: Path) -> None:
    path = archive(tmp_path / "deep.pt", HOSTILE["lists of lists"])
    done = run_paramtui("ls", str(path), timeout=60)
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(done.stdout) < 1_000_000


def test_a_plain_pickle_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    done = run_paramtui("ls", str(path))
    assert done.returncode == 2
    assert b"plain pickle" in done.stderr
