"""What pickles name, how it is judged and where it is used; nothing of it is ever run."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import io
import json
import os
import pathlib
import pickle
import sys
import time
import types
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.trust import LIBRARY, RUNS, UNUSUAL, USUAL, nodes_at, verdict
from tests.formats.test_hostile_pickles import HOSTILE, archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from paramtui.core.trust import GlobalUse, Uses
    from tests.conftest import Save

WATCHED = ("exec", "compile", "import", "os.", "subprocess.", "pickle.", "marshal.", "ctypes.", "shutil.")
# Listing a directory is no running of anything.
HARMLESS = ("os.listdir", "os.scandir")
events: list[str] = []
watching = False


def watch(event: str, _: object) -> None:
    if watching and event.startswith(WATCHED) and event not in HARMLESS:
        events.append(event)


sys.addaudithook(watch)


@pytest.fixture
def quietly(tmp_path: Path) -> Iterator[list[str]]:
    """Records what the interpreter is asked to do while a test reads; all is imported before."""
    global watching
    open_checkpoint(str(archive(tmp_path / "warm.pt", b"\x80\x02}."))).find_uses()
    events.clear()
    watching = True
    yield events
    watching = False


def uses_of(path: Path) -> Uses:
    return open_checkpoint(str(path)).find_uses()


def by_name(path: Path) -> dict[str, GlobalUse]:
    return {use.name: use for use in uses_of(path).found}


class Custom:
    """A class of a person's own."""

    def __init__(self) -> None:
        self.scale = torch.ones(2)


# Hostile

COMMAND = b"X\x0b\x00\x00\x00touch /nope"
CALL = b"cos\nsystem\n" + COMMAND + b"\x85R"
KEY = b"X\x01\x00\x00\x00x"
STORAGE = b"X\x07\x00\x00\x00storage"
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((" + STORAGE + b"ctorch\nFloatStorage\nX\x01\x00\x00\x000"
    b"X\x03\x00\x00\x00cpuK\x04tQK\x00K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
)
PLACED: dict[str, tuple[bytes, tuple[object, ...]]] = {
    "REDUCE": (CALL, ()),
    "INST": (b"(" + COMMAND + b"ios\nsystem\n", ()),
    "OBJ": (b"(cos\nsystem\n" + COMMAND + b"o", ()),
    "NEWOBJ": (b"cos\nsystem\n" + COMMAND + b"\x85\x81", ()),
    "NEWOBJ_EX": (b"cos\nsystem\n" + COMMAND + b"\x85}\x92", ()),
    "STACK_GLOBAL": (b"\x8c\x02os\x8c\x06system\x93" + COMMAND + b"\x85R", ()),
    "argument of a call": (b"cm\nf\n" + CALL + b"\x85R", ("args[0]",)),
    "a named class as an argument": (b"cfunctools\npartial\ncos\nsystem\n\x85R", ()),
    "state of an object": (b"cm\nC\n)\x81}" + KEY + CALL + b"sb", ("x",)),
    "slots of an object": (b"cm\nC\n)\x81N}" + KEY + CALL + b"s\x86b", ("x",)),
    "state that is no dict": (b"cm\nC\n)\x81" + CALL + b"b", ("state",)),
    "state of a dict subclass": (b"ccollections\nOrderedDict\n)R}" + KEY + CALL + b"sb", ("x",)),
    "item of a dict subclass": (b"cm\nD\n)\x81" + KEY + CALL + b"s", ("x",)),
    "append to a list subclass": (b"cm\nL\n)\x81" + CALL + b"a", (0,)),
    "appends to a list": (b"](" + CALL + b"e", (0,)),
    "member of a set": (b"\x8f(" + CALL + b"\x90", (0,)),
    "key of a dict": (b"}" + CALL + b"K\x01s", ("(a key)",)),
    "inside a key": (b"}" + CALL + b"\x85K\x01s", ("(a key)", 0)),
    "keyword argument": (b"cm\nC\n)}" + KEY + CALL + b"s\x92", ("kwargs", "x")),
    "persistent id": (CALL + b"Q", ()),
    "inside a persistent id": (b"(" + STORAGE + CALL + b"tQ", ()),
    "state of a tensor": (TENSOR + b"}" + KEY + CALL + b"sb", ("x",)),
    "hooks of a tensor": (TENSOR.removesuffix(b"ccollections\nOrderedDict\n)RtR") + CALL + b"tR", ()),
    "what is called": (CALL + b")R", ()),
    "a slot of a module": (b"cm\nM\n)\x81}X\x08\x00\x00\x00_modules}" + KEY + CALL + b"ssb", ("x",)),
}


@pytest.mark.parametrize("name", list(PLACED))
def test_a_command_is_found_wherever_a_pickle_hides_it_and_is_not_run(
    tmp_path: Path, quietly: list[str], name: str
) -> None:
    body, below = PLACED[name]
    path = archive(tmp_path / "x.pt", b"\x80\x04}X\x04\x00\x00\x00hook" + body + b"s.")
    events.clear()
    source = open_checkpoint(str(path))
    uses = source.find_uses()
    assert quietly == []
    (found,) = [use for use in uses.found if use.name == "os.system"]
    assert (found.verdict, found.known, found.times) == (RUNS, False, 1)
    assert found.paths == (("hook", *below),)
    assert uses.found[0] == found
    assert found.name in source.listing.globals


def test_a_call_whose_result_is_thrown_away_is_named_without_a_place(tmp_path: Path) -> None:
    found = by_name(archive(tmp_path / "x.pt", b"\x80\x02" + CALL + b"0}" + KEY + b"K\x01s."))["os.system"]
    assert (found.verdict, found.times, found.paths) == (RUNS, 0, ())


def test_the_traps_are_real_ones(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    command = f"touch {mark}".encode()
    body, _ = PLACED["state of a dict subclass"]
    data = body.replace(COMMAND, b"X" + len(command).to_bytes(4, "little") + command)
    uses_of(archive(tmp_path / "x.pt", b"\x80\x02" + data + b"."))
    assert not mark.exists()
    pickle.loads(b"\x80\x02" + data + b".")
    assert mark.exists()


@pytest.mark.parametrize("place", range(5))
def test_every_pickle_of_a_legacy_file_is_looked_at(tmp_path: Path, place: int) -> None:
    # torch.load unpickles all five of them.
    objects: list[object] = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {}, []]
    parts = [pickle.dumps(each, 2) for each in objects]
    trap = b"\x80\x02" + CALL + b"0"
    parts[place] = trap + parts[place].removeprefix(b"\x80\x02")
    if place == 0:
        # The file is told by what it begins with.
        parts[0] = pickle.dumps(0x1950A86A20F9469CFC6C, 2)[:-1] + CALL + b"0."
    path = tmp_path / "legacy.pt"
    path.write_bytes(b"".join(parts))
    assert by_name(path)["os.system"].verdict == RUNS
    assert "os.system" in open_checkpoint(str(path)).listing.globals


def test_an_extension_code_is_a_number_that_only_the_loading_program_knows(tmp_path: Path) -> None:
    (found,) = uses_of(archive(tmp_path / "x.pt", b"\x80\x02}" + KEY + b"\x82\x05)Rs.")).found
    assert (found.name, found.verdict, found.paths) == ("copyreg.extension 5", UNUSUAL, (("x",),))


def test_the_other_pickles_of_an_archive_are_looked_at_too(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", b"\x80\x02}.")
    with zipfile.ZipFile(path, "a") as target:
        target.writestr("archive/extra.pkl", b"\x80\x02}" + KEY + CALL + b"s.")
        target.writestr("archive/torn.pkl", b"\x80\x02}")
    uses = uses_of(path)
    assert [use.paths for use in uses.found] == [(("(archive/extra.pkl)", "x"),)]
    assert len(uses.unread) == 1
    assert "archive/torn.pkl" in uses.unread[0]


# Bounds


@pytest.mark.parametrize(
    "name",
    [
        "calls of calls",
        "billion laughs",
        "dict laughs",
        "an object of itself",
        "doubling tuples",
        "colliding keys",
        "deep parameters",
        "sparse tensors of sparse tensors",
    ],
)
def test_looking_for_uses_in_a_hostile_pickle_ends_soon(tmp_path: Path, name: str) -> None:
    from paramtui.errors import FormatError

    path = archive(tmp_path / "hostile.pt", HOSTILE[name])
    begin = time.process_time()
    try:
        uses = uses_of(path)
    except FormatError:
        uses = None
    assert time.process_time() - begin < 20
    assert uses is None or all(len(keys) <= 250 for use in uses.found for keys in use.paths)


def test_one_long_tuple_that_many_calls_take_is_looked_at_once(tmp_path: Path) -> None:
    count = 30_000
    data = b"\x80\x02(" + b"]" * count + b"tq\x00cm\nf\nq\x010](" + b"h\x01h\x00R" * count + b"e."
    begin = time.process_time()
    found = by_name(archive(tmp_path / "x.pt", data))["m.f"]
    assert found.times == count
    assert len(found.paths) == 10
    assert time.process_time() - begin < 5


# Benign


def read_names(path: Path) -> set[str]:
    """The globals that pickle itself looks up when torch loads a file."""
    names = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = super().find_class(module, name)
            names.add(f"{module}.{name}".replace("__builtin__", "builtins"))
            return found

    module = types.ModuleType("recording")
    module.Unpickler = Unpickler  # type: ignore[attr-defined]
    torch.load(path, pickle_module=module, weights_only=False)
    return names


def training_state() -> dict[str, Any]:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("out")),
        "rng": [torch.get_rng_state(), np.random.get_state()],
        "loss": np.float64(0.5),
        "history": collections.defaultdict(list, loss=[1.0]),
        "when": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "tags": {"a", "b"},
        "span": slice(1, 2),
        "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
        "shape": torch.Size([2, 3]),
        "sparse": torch.eye(3).to_sparse(),
        "bytes": bytearray(b"x"),
        "complex": 1j,
        "parameter": nn.Parameter(torch.zeros(2)),
    }


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_training_saves_is_known_through_and_through(save: Save, protocol: int) -> None:
    path = save(training_state(), pickle_protocol=protocol)
    found = by_name(path)
    # Storages are torch's own affair: it never asks pickle for them.
    assert {name for name in found if not name.endswith("Storage")} == read_names(path)
    assert "torch.FloatStorage" in found
    assert {name: use.verdict for name, use in found.items() if use.verdict != USUAL} == {}


def test_the_places_of_the_calls_are_those_of_the_tensors(save: Save) -> None:
    state = {"model": {f"layers.{place}.weight": torch.randn(2) for place in range(4)}, "step": 3}
    path = save(state)
    listing = open_checkpoint(str(path)).listing
    found = by_name(path)["torch._utils._rebuild_tensor_v2"]
    assert found.times == len(listing)
    assert [list(path) for path in found.paths] == [listing.path(node) for node in listing.node]
    assert nodes_at(listing, found.paths) == listing.node
    assert nodes_at(listing, [("model", "gone", 3), ("(constants.pkl)",), ()]) == [
        listing.node_parent[listing.node[0]],
        -1,
        0,
    ]


def test_a_whole_module_names_its_classes_where_they_stand(save: Save) -> None:
    found = by_name(save(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))))
    linear = found["torch.nn.modules.linear.Linear"]
    assert (linear.verdict, linear.times, linear.paths) == (USUAL, 2, (("0",), ("1", "0")))
    assert found["torch.nn.modules.container.Sequential"].paths == ((), ("1",))


def test_a_class_of_ones_own_is_unusual(save: Save) -> None:
    found = by_name(save({"thing": Custom(), "things": [Custom(), Custom()]}))[f"{__name__}.Custom"]
    assert (found.verdict, found.times) == (UNUSUAL, 3)
    assert found.paths == (("thing",), ("things", 0), ("things", 1))


def test_no_more_than_ten_places_are_told_and_all_are_counted(save: Save) -> None:
    found = by_name(save([Custom() for _ in range(25)]))[f"{__name__}.Custom"]
    assert found.times == 25
    assert found.paths == tuple((place,) for place in range(10))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_classes_of_a_torchscript_archive_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(str(path))
    uses = uses_of(path)
    assert any(use.name.startswith("__torch__.") for use in uses.found)
    assert {use.verdict for use in uses.found} == {USUAL}
    assert uses.unread == []


def test_shards_and_an_optimizer_beside_them_have_their_places(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": Custom()}, tmp_path / "pytorch_model-00002-of-00002.bin")
    torch.save({"state": {0: Custom()}}, tmp_path / "optimizer.pt")
    index = {"weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    found = by_name(tmp_path)[f"{__name__}.Custom"]
    assert found.paths == (("b",), ("optimizer.pt", "state", 0))


def test_a_safetensors_file_names_nothing(tmp_path: Path) -> None:
    import safetensors.torch

    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    assert list(uses_of(path).found) == []


def test_a_file_that_changed_meanwhile_is_refused(save: Save) -> None:
    from paramtui.errors import ParamtuiError

    path = save({"a": torch.zeros(2)})
    source = open_checkpoint(str(path))
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(20)}, buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ParamtuiError, match="changed since"):
        source.find_uses()


# Verdicts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("posix.system", RUNS),
        ("nt.system", RUNS),
        ("subprocess.Popen", RUNS),
        ("builtins.eval", RUNS),
        ("builtins.exec", RUNS),
        ("builtins.getattr", RUNS),
        ("builtins.__import__", RUNS),
        ("importlib.import_module", RUNS),
        ("runpy.run_path", RUNS),
        ("pickle.loads", RUNS),
        ("operator.attrgetter", RUNS),
        ("webbrowser.open", RUNS),
        ("timeit.timeit", RUNS),
        ("pip._internal.main", RUNS),
        ("torch.hub.load", RUNS),
        ("torch.load", RUNS),
        ("torch.serialization.load", RUNS),
        ("torch.storage._load_from_bytes", RUNS),
        ("torch.fx.graph_module.reduce_graph_module", RUNS),
        ("numpy.f2py.crackfortran.getlincoef", RUNS),
        ("asyncio.subprocess.create_subprocess_shell", RUNS),
        # Names with dots are looked up step by step.
        ("torch.serialization.os.system", RUNS),
        ("collections.sys.modules", RUNS),
        ("torch.nn.modules.module.os", RUNS),
        ("builtins.set", USUAL),
        ("collections.OrderedDict", USUAL),
        ("numpy.core.multiarray._reconstruct", USUAL),
        ("numpy._core.multiarray.scalar", USUAL),
        ("torch.cuda.HalfStorage", USUAL),
        ("torch.nn.modules.linear.Linear", USUAL),
        ("torch.float8_e4m3fn", USUAL),
        ("pytorch_lightning.utilities.parsing.AttributeDict", LIBRARY),
        ("transformers.training_args.TrainingArguments", LIBRARY),
        ("omegaconf.dictconfig.DictConfig", LIBRARY),
        ("torch.optim.adamw.AdamW", LIBRARY),
        # A function of a library is no class.
        ("transformers.utils.some_function", UNUSUAL),
        ("torch.nn.modules.utils._pair", UNUSUAL),
        ("functools.partial", UNUSUAL),
        ("__main__.Net", UNUSUAL),
        ("mylib.Thing", UNUSUAL),
        ("", UNUSUAL),
        ("....", UNUSUAL),
    ],
)
def test_a_name_is_judged_by_tables(name: str, expected: str) -> None:
    assert verdict(name) == expected


def test_every_name_of_the_running_system_that_is_called_system_runs_code() -> None:
    assert verdict(f"{os.name}.system") == RUNS
    for func in (eval, exec, compile, open, getattr, os.system, os.popen, os.execv, os.spawnl):
        assert verdict(f"{func.__module__}.{func.__qualname__}") == RUNS
