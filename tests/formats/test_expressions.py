"""The line of Python of each row finds the very thing that the row stands for."""

from __future__ import annotations

import argparse
import builtins
import collections
import enum
import importlib.util
import os
import pathlib
import string
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from paramtui.core.expressions import expression, imports, with_index
from paramtui.core.listing import ARGUMENT, ITEM, ROOT, Listing
from paramtui.core.tree import Tree
from paramtui.samples import sample_checkpoints, samples_directory
from tests.support import numbers, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Save


def lines(path: Path) -> tuple[Listing, Tree, list[str]]:
    listing = opened(path).listing
    tree = Tree(listing)
    return listing, tree, [expression(listing, tree, row) for row in range(len(tree))]


def by_name(path: Path) -> dict[str, str]:
    """Expressions by dotted name, the path of the file written as P."""
    _, tree, texts = lines(path)
    return {name: text.replace(str(path), "P") for name, text in zip(tree.names(), texts, strict=True)}


def run(text: str) -> Any:
    """What a line gives in a fresh scope that has no more than its import."""
    scope: dict[str, Any] = {}
    exec(imports(text), scope)
    return eval(text, scope)


def same(found: Any, wanted: Any) -> bool:
    """Whether two loads of a file gave the same thing."""
    if isinstance(wanted, torch.Tensor):
        if type(found) is not type(wanted) or found.dtype != wanted.dtype:
            return False
        if wanted.is_nested:
            return len(found.unbind()) == len(wanted.unbind()) and all(
                map(same, found.unbind(), wanted.unbind())
            )
        if wanted.is_meta or type(wanted) not in (torch.Tensor, nn.Parameter):
            return found.shape == wanted.shape and str(found) == str(wanted)
        return bool(np.array_equal(numbers(found), numbers(wanted), equal_nan=wanted.dtype != torch.bool))
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, dict):
        return list(map(str, found)) == list(map(str, wanted)) and all(
            same(a, b) for a, b in zip(found.values(), wanted.values(), strict=True)
        )
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, torch.TypedStorage):
        return bool(found.tolist() == wanted.tolist())
    if isinstance(wanted, np.ndarray):
        return bool(np.array_equal(found, wanted))
    if isinstance(wanted, nn.Module):
        return same(found.state_dict(), wanted.state_dict())
    equal: Any = type(wanted).__eq__
    if equal is object.__eq__:
        return same(vars(found), vars(wanted)) if hasattr(wanted, "__dict__") else True
    return bool(found == wanted)


def walk(root: Any, listing: Listing, node: int) -> Any:
    """The thing at a node of a loaded file, found by its keys alone."""
    steps: list[tuple[Any, int]] = []
    while node > ROOT:
        steps.append((listing.node_key[node], listing.node_step[node]))
        node = listing.node_parent[node]
    for key, step in reversed(steps):
        if step == ITEM:
            root = root[key]
        elif isinstance(root, nn.Module):
            tables = (root._parameters, root._buffers, root._modules, root.__dict__)
            root = next(table[key] for table in tables if key in table)
        else:
            root = getattr(root, key)
    return root


def argument(listing: Listing, node: int) -> bool:
    while node > ROOT and listing.node_step[node] != ARGUMENT:
        node = listing.node_parent[node]
    return node > ROOT


def check(path: Path, whole: Any = None, lost: str = "") -> list[str]:
    """Every row has a line that finds its thing, but for arguments of calls and those below `lost`."""
    if whole is None:
        whole = torch.load(path, weights_only=False)
    listing, tree, texts = lines(path)
    for row, text in enumerate(texts):
        node = tree.node[row]
        if node >= 0 and argument(listing, node):
            assert text == ""
            continue
        if lost and tree.name(row).startswith(lost):
            assert text == ""
            continue
        assert text, tree.name(row)
        assert text.isprintable()
        if node >= 0:
            assert same(run(text), walk(whole, listing, node)), text
            continue
        above = next(at for at in tree.ancestors(row) if tree.node[at] >= 0)
        prefix = tree.name(row)[len(tree.name(above)) :].lstrip(".") + "."
        holder = walk(whole, listing, tree.node[above])
        wanted = {k: v for k, v in holder.items() if isinstance(k, str) and k.startswith(prefix)}
        assert wanted
        assert same(run(text), wanted), text
    return texts


def refused(path: Path) -> bool:
    """Whether the default load fails, with no more than torch imported."""
    with pytest.MonkeyPatch.context() as patch:
        # Other tests import torch._dynamo, which allows its own classes.
        early = {f for f in torch.serialization.get_safe_globals() if "_dynamo" not in f.__module__}
        patch.setattr(torch._weights_only_unpickler, "_marked_safe_globals_set", early)
        try:
            torch.load(path)
        except Exception:
            return True
    return False


@pytest.fixture
def models() -> Iterator[None]:
    names = []
    for file in samples_directory().glob("*.py"):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        names.append(file.stem)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
    yield
    for name in names:
        sys.modules.pop(name)


@pytest.mark.parametrize("sample", sample_checkpoints(), ids=lambda sample: str(sample.name))
def test_every_row_of_a_sample_is_found(sample: Any, models: None) -> None:
    if sample.name.endswith(".safetensors"):
        listing, tree, texts = lines(sample.path)
        whole: Any = safetensors.torch.load_file(sample.path)
        with safetensors.safe_open(sample.path, "pt") as file:
            metadata = file.metadata()
        for row, text in enumerate(texts):
            name = tree.name(row)
            if name.startswith("__metadata__"):
                wanted = metadata if name == "__metadata__" else metadata[listing.node_key[tree.node[row]]]
            elif tree.is_block(row):
                wanted = {k: v for k, v in whole.items() if not row or k.startswith(name + ".")}
            else:
                wanted = whole[name]
            assert same(run(text), wanted), text
    else:
        texts = check(sample.path)
    assert ("weights_only=False" in texts[0]) == (sample.name == "tied_layers.pt")


def test_lines_read_as_a_person_would_write_them(save: Save, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    found = by_name(save({"model": net.state_dict(), "epoch": 7, "sizes": [torch.zeros(1), "x"]}))
    assert found[""] == 'torch.load("P")'
    assert found["epoch"] == 'torch.load("P")["epoch"]'
    assert found["model.0.weight"] == 'torch.load("P")["model"]["0.weight"]'
    assert found["sizes.0"] == 'torch.load("P")["sizes"][0]'
    assert found["model.0"] == ('{k: v for k, v in torch.load("P")["model"].items() if k.startswith("0.")}')
    found = by_name(save(net))
    assert found["0.weight"] == 'torch.load("P", weights_only=False)[0].weight'
    path = tmp_path / "x.safetensors"
    save_file({"a.b": torch.ones(2)}, path, {"made by": "us"})
    found = by_name(path)
    assert found["a.b"] == 'safetensors.torch.load_file("P")["a.b"]'
    assert found["__metadata__.made by"] == 'safetensors.safe_open("P", "pt").metadata()["made by"]'
    assert run(lines(path)[2][-1]) == "us"
    assert with_index(found["a.b"], "[0]") == 'safetensors.torch.load_file("P")["a.b"][0]'
    assert with_index("", "[0]") == ""


def test_the_import_is_the_one_that_the_line_needs() -> None:
    assert imports('torch.load("safetensors.torch.load_file(")') == "import torch"
    assert imports('safetensors.torch.load_file("a\\"b")["c"]') == "import safetensors.torch"
    assert imports('safetensors.safe_open("a", "pt").metadata()') == "import safetensors"
    assert imports("") == ""


def test_a_lone_tensor_is_the_whole_file(save: Save) -> None:
    path = save(torch.arange(3))
    assert lines(path)[2] == [f'torch.load("{path}")']
    check(path)


KEYS: list[Any] = [
    "", "a'b", 'a"b', "a\\b", "a\nb\t\x1b[0m", "é中🙂", "\u202eright", "e\u0301", "\ud800", "a..b", ".a",
    "a.", "x.y", "class", "{k}", "%s", 0, -7, 1 << 70, True + 1.5, float("inf"), float("-inf"), None, False,
    (1, "a", None, -2.5, ("b")), (3,), (),
]  # fmt: skip


def test_strange_keys_are_found(save: Save) -> None:
    check(save({key: torch.full((1,), place) for place, key in enumerate(KEYS)}))
    check(save({"in": {key: place for place, key in enumerate(KEYS)}}))


def test_a_key_that_has_no_literal_has_no_line(save: Save) -> None:
    odd = [float("nan"), b"bytes", (1, (2, 3)), torch.float32, (torch.float32,), frozenset({1}), 1 << 13_000]
    for key in odd:
        texts = by_name(save({key: torch.ones(1), "plain": 1}))
        assert {name for name, text in texts.items() if text} == {"", "plain"}, key


@pytest.mark.parametrize(
    "name", ["plain.pt", "a'b.pt", 'a"b.pt', "a\\b.pt", "new\nline.pt", "é中🙂.pt", "{x} %s.pt", "\udc80.pt"]
)
def test_strange_paths_are_found(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with open(path, "wb") as file:
        torch.save({"a.b": torch.ones(2), "c": 1}, file)
    for text in lines(path)[2]:
        # torch's own reader takes no path that is no UTF-8; Python's open does.
        assert text.isprintable()
        literal = text[text.index("(") + 1 : text.index(")")]
        assert eval(literal) == str(path)
        if "\udc80" not in name:
            run(text)


@given(st.dictionaries(st.text(string.printable + "é\x00\u2028\ud801.", max_size=6), st.integers(0, 9)))
def test_any_text_keys_are_found_and_blocks_hold_what_is_below(tmp_path_factory: Any, keys: Any) -> None:
    path = tmp_path_factory.mktemp("keys") / "x.pt"
    torch.save(keys, path)
    _, tree, texts = lines(path)
    for row, text in enumerate(texts):
        node = tree.node[row]
        if node > ROOT:
            assert run(text) == keys[tree.listing.node_key[node]]
        elif node < 0 and text:
            below = {tree.listing.node_key[at] for at in tree.node[row : tree.end[row]] if at >= 0}
            assert set(run(text)) == below


def test_a_block_of_two_dicts_has_no_line(save: Save) -> None:
    path = save({"a": {"b.x": torch.ones(1)}, "a.b.y": torch.ones(2), "c.d": 1, 5: 2, "c..e": 3})
    found = by_name(path)
    assert found["a.b"] == ""
    assert found["a"] == 'torch.load("P")["a"]'
    assert found["c"] == ""
    assert found["a.b.y"] == 'torch.load("P")["a.b.y"]'
    path = save({5: 1, "c.d": 2})
    assert run(lines(path)[2][2]) == {"c.d": 2}


class Holder:
    def __init__(self) -> None:
        self.plain = torch.ones(2)
        self.__dict__["not a name"] = torch.zeros(1)
        self.__dict__["class"] = 3
        self.__dict__["ﬁ"] = 4
        self.inner = argparse.Namespace(rate=0.1, names=["a", "b"])


class Slots:
    __slots__ = ("weight",)

    def __init__(self) -> None:
        self.weight = torch.ones(3)


class Colour(enum.Enum):
    RED = 1


class Tagged(torch.Tensor):
    pass


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(3, 2)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(3)])
        self.named = nn.ModuleDict({"a b": nn.Linear(2, 2), "c": nn.BatchNorm1d(2), "ﬁ": nn.Linear(1, 1)})
        self.weights = nn.ParameterList([torch.ones(2), torch.ones(3)])
        self.table = nn.ParameterDict({"w": torch.ones(1), "x y": torch.ones(2)})
        self.add_module("block 1", nn.Linear(1, 1))
        self.add_module("class", nn.Linear(1, 1))
        self.register_parameter("my weight", nn.Parameter(torch.ones(2)))
        self.register_buffer("my buffer", torch.ones(2))
        self.register_buffer("mask", torch.ones(2))
        self.register_parameter("absent", None)
        self.tied = self.embed
        self.rnn = nn.LSTM(2, 2)
        self.plain = torch.ones(2)
        self._modules["train"] = nn.Linear(1, 1)
        self._modules["dot.ted"] = nn.Linear(1, 1)
        self._buffers["float"] = torch.ones(1)
        self.front = nn.Sequential(collections.OrderedDict(first=nn.Linear(1, 1), second=nn.ReLU()))
        self.gap = nn.Sequential(nn.ReLU(), nn.Linear(1, 1), nn.Linear(1, 1))
        del self.gap._modules["0"]


def test_names_of_modules_children_are_found(save: Save) -> None:
    path = save(Net())
    check(path)
    found = by_name(path)
    head = 'torch.load("P", weights_only=False)'
    assert found["blocks.1.0.weight"] == head + ".blocks[1][0].weight"
    assert found["named.a b.weight"] == head + '.named["a b"].weight'
    assert found["weights.1"] == head + ".weights[1]"
    assert found["block 1"] == head + '.get_submodule("block 1")'
    assert found["my weight"] == head + '.get_parameter("my weight")'
    assert found["my buffer"] == head + '.get_buffer("my buffer")'
    assert found["train"] == head + '._modules["train"]'
    assert found["gap.1"] == head + '.gap.get_submodule("1")'


def test_the_names_of_a_module_are_those_of_torch() -> None:
    from paramtui.core.expressions import MODULE_NAMES

    assert {name for name in dir(nn.Module()) if name[0] != "_"} <= set(MODULE_NAMES.split())


def saved_things() -> dict[str, Any]:
    torch.manual_seed(0)
    linear = nn.Linear(2, 3)
    optimizer = torch.optim.Adam(linear.parameters())
    linear(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    tagged = torch.ones(2).as_subclass(Tagged)
    noted = torch.ones(2)
    noted.note = torch.zeros(1)  # type: ignore[attr-defined]
    swapped = collections.OrderedDict(linear.state_dict())
    swapped.hint = 3  # type: ignore[attr-defined]
    sparse = torch.eye(3)
    return {
        "state dict": linear.state_dict(),
        "parameters": list(linear.parameters()),
        "parameter": {"w": linear.weight, "frozen": nn.Parameter(torch.ones(1), requires_grad=False)},
        "module": linear,
        "optimizer state": optimizer.state_dict(),
        "optimizer": optimizer,
        "ordered": swapped,
        "counter": {"c": collections.Counter("aab"), "w": torch.ones(1)},
        "default dict": collections.defaultdict(list, {"a.b": [torch.ones(1)], "c": 2}),
        "deque": {"d": collections.deque([torch.ones(1), 2])},
        "namespace": {"args": argparse.Namespace(lr=0.1, sizes=[1, 2]), "w": torch.ones(1)},
        "object": Holder(),
        "slots": {"s": Slots()},
        "enum": {"e": Colour.RED, "w": torch.ones(1)},
        "path": {"p": pathlib.PurePosixPath("a/b"), "w": torch.ones(1)},
        "numpy scalar": {"n": np.float64(2.5), "w": torch.ones(1)},
        "numpy array": {"n": np.arange(6).reshape(2, 3), "o": np.array(["a", "b"])},
        "size": {"s": torch.Size([1, 2]), "d": torch.float16, "v": torch.device("cpu"), "l": torch.strided},
        "set": {"s": {1, 2}, "w": torch.ones(1)},
        "frozen set": {"s": frozenset({1, 2})},
        "bytes": {"b": b"\x00\xff", "a": bytearray(b"x")},
        "complex": {"c": 1 + 2j, "t": torch.ones(2, dtype=torch.complex64).conj()},
        "big": {"n": 1 << 2030, "m": -(1 << 64)},
        "too big": {"n": 1 << 2100},
        "global": {"f": torch.relu, "c": collections.OrderedDict},
        "type": {"f": int},
        "sparse": {"coo": sparse.to_sparse(), "csr": sparse.to_sparse_csr()},
        "quantized": {
            "t": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            "c": torch.quantize_per_channel(torch.eye(2), torch.ones(2), torch.zeros(2), 0, torch.quint8),
        },
        "nested": {"n": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])},
        "jagged": {"n": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged)},
        "meta": {"m": torch.empty(3, device="meta")},
        "tagged": {"t": tagged},
        "noted": {"t": noted},
        "dtypes": {
            str(d)[6:]: torch.zeros(2, dtype=d) for d in (torch.float8_e5m2, torch.uint16, torch.bool)
        },
        "scalars": {"a": [1, 2.5, None, True, "x"], "b": (), "c": {}, "d": [[torch.ones(1)], ({"e": 1},)]},
        "storage": {"s": torch.FloatStorage([1.0, 2.0])},
        "empty": {},
        "none": None,
        "text": "only text",
    }


# torch writes or reads these wrongly in its old format.
NOT_LEGACY = ("nested", "dtypes")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in saved_things()
        for form in ("zip", "legacy")
        if form == "zip" or name not in NOT_LEGACY
    ],
)
def test_torch_files_are_found_and_loaded_freely_only_where_torch_asks_for_it(
    name: str, form: str, save: Save
) -> None:
    path = save(saved_things()[name], _use_new_zipfile_serialization=form == "zip")
    whole = torch.load(path, weights_only=False)
    texts = lines(path)[2]
    if name == "global":
        # torch.relu is stored as a call of getattr, which can lead anywhere: no line is handed out.
        assert not any(texts)
        return
    assert [("weights_only=False" in text) for text in texts if text] == [refused(path)] * len(
        [text for text in texts if text]
    )
    if whole is not None:
        # An optimizer's state has tensors as keys.
        check(path, whole, lost="state.torch" if name == "optimizer" else "")
    else:
        assert run(texts[0]) is None


class Runner:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("exit 7",)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_nobody_is_handed_the_line_that_runs_what_is_in_a_file(save: Save, form: str) -> None:
    zipped = form == "zip"
    harmless = save(
        {"model": {"w": torch.ones(2)}, "n": argparse.Namespace(a=1)}, _use_new_zipfile_serialization=zipped
    )
    assert any("weights_only=False" in text for text in lines(harmless)[2])
    found = {"model": {"w": torch.ones(2)}, "hook": Runner()}
    assert not any(lines(save(found, _use_new_zipfile_serialization=zipped))[2])


@pytest.mark.parametrize("protocol", [1, 3, 4, 5])
@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize(
    "thing",
    [
        {"w": torch.ones(2), "n": 3},
        {"a": "text", "n": [1, 2]},
        {"b": b"bytes"},
        {"t": True},
        {"s": {1, 2}},
        collections.OrderedDict(a=1),
    ],
    ids=str,
)
def test_other_pickle_protocols_are_loaded_as_torch_can(
    protocol: int, form: str, thing: Any, save: Save
) -> None:
    path = save(thing, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    texts = check(path)
    assert ["weights_only=False" in text for text in texts] == [refused(path)] * len(texts)


def test_protocol_0_has_no_line_since_torch_cannot_load_its_storages(save: Save) -> None:
    path = save({"w": torch.ones(2)}, pickle_protocol=0)
    with pytest.raises((RuntimeError, AssertionError, ValueError)):
        torch.load(path, weights_only=False)
    assert lines(path)[2] == ["", ""]


def test_the_globals_that_load_by_default_are_those_of_torch() -> None:
    from torch import _weights_only_unpickler as restricted

    from paramtui.core.torch_loading import _allowed

    names = set(restricted._get_allowed_globals())
    assert [name for name in names if not _allowed([name])] == []
    others = {f"torch.{name}" for name in dir(torch)} | {f"torch._utils.{name}" for name in dir(torch._utils)}
    others |= {f"builtins.{name}" for name in dir(builtins)}
    others |= {f"collections.{name}" for name in dir(collections)} | {"os.system", "builtins.getattr"}
    allowed = {name for name in others if _allowed([name])}
    # Aliases of storages that torch does not pickle under that name.
    assert {name for name in allowed - names if not name.endswith(("Storage", "Tensor"))} == set()


def write_shards(folder: Path, torch_files: bool, count: int) -> dict[str, torch.Tensor]:
    state = {f"layers.{i}.weight": torch.full((3,), i) for i in range(count)} | {"tail": torch.ones(1)}
    for i in range(count):
        part = {key: tensor for key, tensor in state.items() if key.startswith(f"layers.{i}.")}
        if i == count - 1:
            part["tail"] = state["tail"]
            part["layers.0.bias"] = state["layers.0.bias"] = torch.zeros(2)
        stem = folder / f"model-{i + 1:05}-of-{count:05}"
        if torch_files:
            torch.save(part, f"{stem}.bin")
        else:
            save_file(part, f"{stem}.safetensors", {"shard": str(i)})
    return state


@pytest.mark.parametrize("torch_files", [True, False])
@pytest.mark.parametrize("count", [2, 5])
def test_shards_are_loaded_from_the_file_that_holds_them(
    torch_files: bool, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = write_shards(tmp_path, torch_files, count)
    monkeypatch.chdir(tmp_path)
    listing, tree, texts = lines(Path(os.curdir))
    assert listing.format == ("torch-sharded" if torch_files else "safetensors-sharded")
    for row, text in enumerate(texts):
        name = tree.name(row)
        if name.startswith("__metadata__"):
            assert text == ""
        elif not tree.is_block(row):
            assert same(run(text), state[name])
        elif name in ("", "layers") and count > 3:
            assert text == ""
        else:
            wanted = {key: value for key, value in state.items() if not row or key.startswith(name + ".")}
            found = run(text)
            assert found.keys() == wanted.keys()
            assert all(same(found[key], wanted[key]) for key in wanted)


def test_whole_modules_in_one_shard_do_not_change_how_the_others_are_loaded(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1), "m": {"x": 1}}, tmp_path / "w-1-of-2.bin")
    torch.save({"b": argparse.Namespace(x=1), "m": {"y": 2}}, tmp_path / "w-2-of-2.bin")
    _, tree, texts = lines(tmp_path)
    found = dict(zip(tree.names(), texts, strict=True))
    assert "weights_only" not in found["a"]
    assert run(found["b"]) == argparse.Namespace(x=1)
    assert found["m"] == ""
    assert run(found["m.y"]) == 2
    assert found[""] == ""


def test_a_safetensors_file_that_safetensors_refuses_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(4)}, path)
    path.write_bytes(path.read_bytes()[:-3])
    assert lines(path)[2] == ["", ""]


def test_torchscript_is_loaded_by_its_own_loader(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    net = torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    net.save(path)
    _, tree, texts = lines(path)
    wanted = net.state_dict()
    found = {tree.name(row): text for row, text in enumerate(texts) if tree.tensor[row] >= 0}
    assert found.keys() == wanted.keys()
    for name, text in found.items():
        assert same(run(text).detach(), wanted[name])
    for text in texts:
        assert "torch.jit.load(" in text and run(text + " is not None") in (True, False)


def test_exported_programs_are_loaded_by_their_own_loader(tmp_path: Path) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(2, 2)
            self.register_buffer("shift", torch.full((2,), 5.0), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.lin(x) + self.shift
            return out

    path = tmp_path / "net.pt2"
    program = torch.export.export(Shifted(), (torch.ones(1, 2),))
    torch.export.save(program, path)
    wanted = {**program.state_dict, **program.constants}
    _, tree, texts = lines(path)
    found = {tree.name(row): text for row, text in enumerate(texts) if tree.tensor[row] >= 0}
    assert found.keys() == wanted.keys()
    for name, text in found.items():
        assert same(run(text), wanted[name])


def test_long_and_deep_paths_have_no_line(save: Save) -> None:
    deep: Any = torch.ones(1)
    for _ in range(1100):
        deep = [deep]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        path = save({"x" * 5000: 1, "deep": deep})
    finally:
        sys.setrecursionlimit(limit)
    _, _, texts = lines(path)
    assert texts[1] == ""
    assert texts[-1] == ""
    assert texts[0]
    longest = max(texts, key=len)
    assert len(longest) <= 4000
    compile(longest, "", "eval")


def test_the_cost_of_a_line_does_not_grow_with_the_file() -> None:
    listing = Listing("x.safetensors", "safetensors")
    for i in range(2000):
        node = listing.add_node(ROOT, f"layers.{i}.weight", ITEM)
        listing.add_tensor(node, "tensor", -1, 0, "float32", (1,), (1,), 0, 4, False)
    tree = Tree(listing)
    expression(listing, tree, 1)

    class Uncountable(list):
        def __iter__(self) -> Any:
            raise AssertionError("the whole column was walked again")

    for column in ("node_parent", "node_key", "node", "values"):
        setattr(listing, column, Uncountable(getattr(listing, column)))
    assert all(expression(listing, tree, row) for row in range(len(tree)))


def test_keys_of_bytes_are_written_as_bytes(save: Save) -> None:
    path = save({b"w": torch.ones(2), "w": torch.zeros(2)}, pickle_protocol=4)
    _, _, texts = lines(path)
    assert sorted(run(text).sum().item() for text in texts[1:]) == [0.0, 2.0]


def test_a_key_of_too_many_digits_to_print_is_named_by_its_size(save: Save) -> None:
    tree = Tree(opened(save({1 << 20_000: torch.ones(2)})).listing)
    assert tree.label[1] == "an integer of 20,001 bits"
