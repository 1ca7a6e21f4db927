"""Records of archives that are pickles themselves, or files of torch.save with one inside."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from paramtui.checkpoints import zip_pickles
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.trust import RUNS
from paramtui.errors import FormatError
from tests.formats.test_broken_off import HEAD, SYSTEM, run, zipped
from tests.formats.test_exported_programs import entry, program
from tests.hostile.opcodes import NONE, POP, PROTO, STOP, integer
from tests.support import run_paramtui

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVIL = PROTO + run("true") + STOP
PLAIN = run("true") + STOP
LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
try:
    torch.export.load(sys.argv[1])
except Exception:
    pass
"""


class Adder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that torch.export saved."""
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    torch.export.save(torch.export.export(Adder(), (torch.ones(2),)), path)
    return path


def replaced(source: Path, target: Path, ending: str, content: bytes) -> str:
    """Copies an archive but for one record, whose name is returned."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        (name,) = [each for each in old.namelist() if each.endswith(ending)]
        for each in old.namelist():
            new.writestr(each, content if each == name else old.read(each))
    return name


def findings(path: Path) -> list[tuple[str, str]]:
    found = json.loads(run_paramtui("check", str(path), "--json").stdout)["findings"]
    return [(each["rule"], each["where"]) for each in found]


# Exported programs


@pytest.mark.parametrize("make", [zipped, bytes], ids=["an archive", "a bare pickle"])
def test_the_inputs_of_an_exported_program_that_run_code_are_judged(
    sound: Path, tmp_path: Path, make: Callable[[bytes], bytes]
) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / "evil.pt2"
    # A protocol whose pickles begin with nothing of their own.
    body = make(run(f"touch {mark}") + STOP)
    record = replaced(sound, path, "sample_inputs/model.pt", body)
    source = open_checkpoint(str(path))
    assert source.listing.globals == [SYSTEM]
    (use,) = source.find_uses().found
    assert (use.verdict, use.paths) == (RUNS, ((f"({record})",),))
    assert findings(path) == [("runs-code", f"({record})"), ("not-shown", str(path))]
    assert not mark.exists()
    subprocess.run([sys.executable, "-c", LOAD, str(path)], check=True, timeout=120)
    assert mark.exists()


def test_what_torch_export_saves_names_only_what_is_known(sound: Path) -> None:
    source = open_checkpoint(str(sound))
    assert source.listing.names == ["weight"]
    uses = source.find_uses()
    assert {use.verdict for use in uses.found} == {"known"}
    assert "torch._utils._rebuild_tensor_v2" in source.listing.globals
    assert (uses.whole, uses.unread) == (True, [])
    assert findings(sound) == [("not-shown", str(sound))]


def test_inputs_that_are_no_pickle_are_warned_of(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.pt2"
    record = replaced(sound, path, "sample_inputs/model.pt", b"\xff")
    uses = open_checkpoint(str(path)).find_uses()
    assert uses.unread == [
        f"{path}, {record}: byte 0xff at 0 is no pickle opcode; it may name more than is told"
    ]
    assert not uses.whole
    assert findings(path) == [("unreadable-pickle", str(path)), ("not-shown", str(path))]


PICKLED: dict[str, tuple[str, dict[str, object]]] = {
    "a tensor of its own": ("weight_1", {"p": {**entry(path="weight_1"), "use_pickle": True}}),
    "also said to be numbers": (
        "weight_1",
        {"p": {**entry(path="weight_1"), "use_pickle": True}, "q": entry((1,), (1,), path="weight_1")},
    ),
    "an opaque object": ("opaque_obj_0", {"q": entry((1,), (1,), path="opaque_obj_0")}),
    "an object named as JSON": ("opaque_obj_0.json", {}),
    "weights as a whole": ("m.pt", {"q": entry((1,), (1,), path="m.pt")}),
    "not in the configuration": ("weight_7", {}),
}


@pytest.mark.parametrize("what", PICKLED)
def test_whatever_torch_export_may_unpickle_is_judged(tmp_path: Path, what: str) -> None:
    name, config = PICKLED[what]
    path = program(tmp_path / "m.pt2", {"w": entry(), **config})
    with zipfile.ZipFile(path, "a") as target:
        target.writestr(f"m/data/weights/{name}", PLAIN)
    assert open_checkpoint(str(path)).listing.globals == [SYSTEM]


def test_a_configuration_that_is_refused_does_not_hide_what_the_pickles_name(tmp_path: Path) -> None:
    # Other readers of JSON take the last of two entries.
    path = program(tmp_path / "m.pt2", None, '{"config": {}, "config": {}}')
    with zipfile.ZipFile(path, "a") as target:
        target.writestr("m/data/sample_inputs/m.pt", PLAIN)
    with pytest.raises(FormatError, match="twice") as caught:
        open_checkpoint(str(path))
    assert caught.value.named == [SYSTEM]


def test_numbers_that_begin_as_a_pickle_does_are_numbers(tmp_path: Path) -> None:
    path = program(tmp_path / "m.pt2", {"w": entry((2, 3), path="weight_1")})
    with zipfile.ZipFile(path, "a") as target:
        target.writestr("m/data/weights/weight_1", EVIL.ljust(24 + len(EVIL), b"\0"))
    assert open_checkpoint(str(path)).listing.globals == []


@pytest.mark.parametrize("name", ["serialized_example_inputs.pt", "anything"])
def test_what_a_program_of_before_2_8_names_comes_with_the_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("serialized_state_dict.pt", zipped(PROTO + NONE + STOP))
        target.writestr(name, zipped(EVIL))
    with pytest.raises(FormatError) as caught:
        open_checkpoint(str(path))
    assert caught.value.named == [SYSTEM]


# Archives of torch.save


def held(folder: Path, name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    """An archive of torch.save with one record more."""
    path = folder / "x.pt"
    path.write_bytes(zipped(PROTO + NONE + STOP))
    with zipfile.ZipFile(path, "a", method) as target:
        target.writestr(f"archive/{name}", content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("name", "content"),
    [("extra/x", EVIL), ("extra/x", zipped(EVIL)), ("extra/x.pt", PLAIN), ("extra/x", zipped(PLAIN))],
)
def test_every_record_that_is_a_pickle_or_holds_one_is_judged(
    tmp_path: Path, name: str, content: bytes, method: int
) -> None:
    uses = open_checkpoint(str(held(tmp_path, name, content, method))).find_uses()
    assert [(use.name, use.paths) for use in uses.found] == [(SYSTEM, ((f"(archive/{name})",),))]
    assert uses.whole


@pytest.mark.parametrize("name", ["data/1", "constants/0", "code/x.py"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_storages_and_code_are_not_taken_for_pickles(tmp_path: Path, name: str, method: int) -> None:
    content = b"class A:\n  x\n" if name.startswith("code") else EVIL
    uses = open_checkpoint(str(held(tmp_path, name, content, method))).find_uses()
    assert (uses.found, uses.unread, uses.whole) == ([], [], True)


def two_objects() -> bytes:
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for folder in "ab":
            target.writestr(f"{folder}/data.pkl", EVIL)
    return out.getvalue()


UNREAD: dict[str, tuple[bytes, str, list[str]]] = {
    "no archive": (b"PK\x03\x04", "has no directory at its end", []),
    "two objects": (two_objects(), "is an archive of 2 records data.pkl, which is not looked into", []),
    "broken off": (EVIL[:-1] + b"0\xff", "is no pickle opcode", [SYSTEM]),
    "an object that breaks off": (zipped(EVIL[:-1] + b"0\xff"), "is no pickle opcode", [SYSTEM]),
    "the older format": (
        HEAD + PROTO + run("true") + POP + integer(1) + STOP,
        f"more follows its first pickle, which ends at byte {len(pickle.dumps(0x1950A86A20F9469CFC6C, 2))}",
        [SYSTEM],
    ),
}


@pytest.mark.parametrize("what", UNREAD)
def test_what_cannot_be_looked_at_is_warned_of_with_what_it_names(tmp_path: Path, what: str) -> None:
    content, words, names = UNREAD[what]
    path = held(tmp_path, "extra/x", content)
    uses = open_checkpoint(str(path)).find_uses()
    assert [use.name for use in uses.found] == names
    assert len(uses.unread) == 1
    assert words in uses.unread[0]
    assert "archive/extra/x" in uses.unread[0]
    assert not uses.whole


def test_a_deflated_record_that_is_damaged_is_warned_of(tmp_path: Path) -> None:
    path = held(tmp_path, "extra/x", b"abc" * 100, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("archive/extra/x").header_offset
    data = bytearray(path.read_bytes())
    begin = data.index(b"archive/extra/x", at) + len(b"archive/extra/x")
    data[begin : begin + 2] = b"\xff\xff"
    path.write_bytes(data)
    (words,) = open_checkpoint(str(path)).find_uses().unread
    assert "cannot be inflated" in words


def test_a_pickle_longer_than_is_read_is_warned_of(tmp_path: Path, monkeypatch: Any) -> None:
    path = held(tmp_path, "extra/x", EVIL)
    source = open_checkpoint(str(path))
    monkeypatch.setattr(zip_pickles, "MAX_PICKLE", 20)
    (stored,) = [each for each in source.pickles if each.below == ("(archive/extra/x)",)]
    with pytest.raises(FormatError, match="archive/extra/x: .* more than 20"):
        stored.read()
