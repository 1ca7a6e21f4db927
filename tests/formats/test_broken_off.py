"""Pickles that run code and then break off: what they named before is told, as loading them has called it."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import torch

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.trust import COMPUTED, RUNS
from paramtui.errors import FormatError
from tests.hostile.opcodes import (
    NONE,
    POP,
    PROTO,
    STOP,
    archive,
    call,
    dict_of,
    integer,
    raw_bytes,
    tensor,
    text,
    tuple_of,
)
from tests.support import run_paramtui

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYSTEM = f"{os.name}.system"
COMPUTED_SYSTEM = f"{COMPUTED}.system"
SOUND = PROTO + dict_of(text("w"), tensor()) + STOP
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
HEAD = MAGIC + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
for path in sys.argv[1:]:
    try:
        torch.load(path, weights_only=False)
    except Exception:
        pass
"""


def run(command: str) -> bytes:
    """The call that runs a command."""
    return call(os.name, "system", text(command))


def after(rest: bytes) -> Callable[[str], bytes]:
    """A pickle that runs a command, and then has the rest."""
    return lambda command: PROTO + run(command) + POP + rest


def computed(command: str) -> bytes:
    """A pickle whose command is found in a module whose name is computed."""
    module = call("builtins", "str", raw_bytes(os.name.encode()), text("ascii"))
    return b"\x80\x04" + module + text("system") + b"\x93" + tuple_of(text(command)) + b"R" + STOP


def zipped(pickled: bytes) -> bytes:
    """An archive that torch.load reads."""
    return archive(pickled, version=b"3\n")


def legacy(object_pickle: bytes, keys: bytes = b"") -> bytes:
    return HEAD + object_pickle + keys


BROKEN: dict[str, Callable[[str], bytes]] = {
    "no opcode": after(b"\xff"),
    "an entry of the memo that was never stored": after(b"h\x77" + STOP),
    "a text entry of the memo that was never stored": after(b"g77\n" + STOP),
    "no STOP": after(b""),
    "a frame too large": after(b"\x95" + struct.pack("<Q", 1 << 40) + NONE + STOP),
    "a stack that runs empty": after(b"0" + STOP),
    "an item of None": after(NONE + integer(0) + NONE + b"s" + STOP),
    "a number that is none": after(b"Ix\n" + STOP),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of each kind that left a mark when torch loaded them in a process of its own."""
    folder = tmp_path_factory.mktemp("broken")
    made: dict[str, bytes] = {}

    def mark(name: str) -> str:
        return f"touch '{folder / name}.ran'"

    for name, body in BROKEN.items():
        made[f"archive, {name}"] = zipped(body(mark(f"archive, {name}")))
        made[f"legacy, {name}"] = legacy(body(mark(f"legacy, {name}")))
        made[f"bare, {name}"] = body(mark(f"bare, {name}"))
        made[f"list of storages, {name}"] = legacy(
            pickle.dumps({}, 2), body(mark(f"list of storages, {name}"))
        )
    made["computed"] = zipped(computed(mark("computed")))
    paths = {name: folder / name for name in made}
    for name, content in made.items():
        paths[name].write_bytes(content)
    done = subprocess.run([sys.executable, "-c", LOAD, *map(str, paths.values())], check=False, timeout=120)
    assert done.returncode == 0
    assert [name for name in paths if not (folder / f"{name}.ran").exists()] == []
    return paths


def named(path: Path) -> list[str]:
    """What the error about a file that cannot be opened says that its pickles name."""
    with pytest.raises(FormatError) as caught:
        open_checkpoint(str(path))
    assert caught.value.named is not None
    return caught.value.named


@pytest.mark.parametrize("name", list(BROKEN))
@pytest.mark.parametrize("kind", ["archive", "legacy", "bare"])
def test_what_a_pickle_runs_before_it_breaks_off_comes_with_the_error(
    ran: dict[str, Path], kind: str, name: str
) -> None:
    assert named(ran[f"{kind}, {name}"]) == [SYSTEM]


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_list_of_storages_that_runs_code_and_breaks_off_is_judged(ran: dict[str, Path], name: str) -> None:
    source = open_checkpoint(str(ran[f"list of storages, {name}"]))
    assert source.listing.globals == [SYSTEM]
    uses = source.find_uses()
    assert [(use.name, use.verdict, use.times, use.paths) for use in uses.found] == [
        (SYSTEM, RUNS, 1, (("(pickle 5 of the file)",),))
    ]
    assert not uses.whole
    assert uses.unread[0].endswith("it may name more than is told")


def test_a_pickle_that_runs_code_in_the_middle_of_a_legacy_file_does_too(tmp_path: Path) -> None:
    # Each is unpickled before the next one is looked at.
    path = tmp_path / "x.pt"
    path.write_bytes(MAGIC + PROTO + run("true") + POP + integer(1) + STOP + PROTO + b"\xff")
    assert named(path) == [SYSTEM]


def test_a_large_legacy_pickle_that_breaks_off_names_what_it_ran(tmp_path: Path) -> None:
    # It is read in steps.
    path = tmp_path / "x.pt"
    path.write_bytes(legacy(PROTO + run("true") + POP + raw_bytes(bytes(3_000_000)) + POP))
    assert named(path) == [SYSTEM]


def test_a_module_whose_name_is_computed_runs_code(ran: dict[str, Path]) -> None:
    source = open_checkpoint(str(ran["computed"]))
    assert source.listing.globals == [COMPUTED_SYSTEM, "builtins.str"]
    uses = source.find_uses()
    assert [(use.name, use.verdict) for use in uses.found] == [
        (COMPUTED_SYSTEM, RUNS),
        ("builtins.str", "known"),
    ]
    assert uses.whole


def test_a_name_that_is_computed_runs_code_too(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    body = text(os.name) + call("builtins", "str", text("system")) + b"\x93" + tuple_of(text("true")) + b"R"
    path.write_bytes(zipped(b"\x80\x04" + body + STOP))
    (worst, _) = open_checkpoint(str(path)).find_uses().found
    assert (worst.name, worst.verdict) == (f"{os.name}.{COMPUTED}", RUNS)


def test_a_name_made_long_by_dots_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    long = "os.path." * 300 + "os.system"
    path.write_bytes(zipped(b"\x80\x04" + text("posixpath") + text(long) + b"\x93" + STOP))
    assert named(path) == [f"{COMPUTED}.{COMPUTED}"]


# Shards, and an optimizer beside


def sharded(folder: Path, second: bytes) -> None:
    index = {"weight_map": {"w": "a.bin", "v": "b.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "a.bin").write_bytes(zipped(SOUND))
    (folder / "b.bin").write_bytes(second)


@pytest.mark.parametrize("make", [zipped, legacy, bytes], ids=["archive", "legacy", "bare"])
def test_a_shard_that_breaks_off_is_judged_all_the_same(
    tmp_path: Path, make: Callable[[bytes], bytes]
) -> None:
    sharded(tmp_path, make(PROTO + run("true") + POP + b"\xff"))
    source = open_checkpoint(str(tmp_path))
    assert source.listing.names == ["w"]
    assert SYSTEM in source.listing.globals
    uses = source.find_uses()
    assert (uses.found[0].name, uses.found[0].verdict, uses.found[0].paths) == (SYSTEM, RUNS, (("(b.bin)",),))
    assert not uses.whole


def test_a_set_of_shards_none_of_which_can_be_read_is_judged(tmp_path: Path) -> None:
    sharded(tmp_path, zipped(PROTO + run("true") + POP + b"\xff"))
    (tmp_path / "a.bin").write_bytes(b"<html>")
    assert named(tmp_path) == [SYSTEM]


def test_an_optimizer_beside_the_weights_that_breaks_off_is_judged(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "optimizer.pt").write_bytes(zipped(PROTO + run("true") + POP + b"\xff"))
    source = open_checkpoint(str(tmp_path))
    assert source.listing.globals == [SYSTEM]
    assert [use.paths for use in source.find_uses().found] == [(("(optimizer.pt)",),)]


def test_a_shard_that_is_missing_names_nothing(tmp_path: Path) -> None:
    sharded(tmp_path, b"")
    (tmp_path / "b.bin").unlink()
    uses = open_checkpoint(str(tmp_path)).find_uses()
    assert uses.whole
    assert SYSTEM not in [use.name for use in uses.found]


# What is said


def test_the_report_never_says_that_a_broken_file_names_nothing(ran: dict[str, Path], tmp_path: Path) -> None:
    silent = tmp_path / "silent.pt"
    silent.write_bytes(zipped(PROTO + NONE + b"\xff"))
    for path, findings in ((ran["archive, no STOP"], 2), (silent, 1)):
        done = run_paramtui("check", str(path))
        assert done.returncode == 1
        lines = done.stdout.decode().splitlines()
        assert lines[1] == (
            "nothing was executed: the file was read as data; it could not be read to its end, so it may name"
            " more than is told"
        )
        assert sum(line.startswith("error") for line in lines) == findings
    found = json.loads(run_paramtui("check", str(ran["archive, no STOP"]), "--json").stdout)
    assert [each["rule"] for each in found["findings"]] == ["runs-code", "unreadable-file"]


def test_no_more_than_ten_broken_pickles_are_told_as_places_and_all_are_counted(tmp_path: Path) -> None:
    broken = PROTO + run("true") + POP + b"\xff"
    path = tmp_path / "x.pt"
    records = {f"{place}.pkl": broken for place in range(12)}
    path.write_bytes(archive(SOUND, deflated=False, version=b"3\n", **records))
    uses = open_checkpoint(str(path)).find_uses()
    assert (uses.found[0].name, uses.found[0].times) == (SYSTEM, 12)
    assert uses.found[0].paths == tuple((f"(archive/{place}.pkl)",) for place in range(10))
    assert len(uses.unread) == 12
