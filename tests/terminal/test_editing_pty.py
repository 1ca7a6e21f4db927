"""Changing numbers in a real terminal: the cases of a tutorial on parameters, and lines that drop."""

from __future__ import annotations

import os
import re
import runpy
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from paramtui.samples import samples_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Save
    from tests.terminal.terminal import Terminal

    Start = Callable[..., Terminal]

INITIALISERS = '''
from torch import nn


def init_normal(m):
    """Small normal numbers."""
    if type(m) == nn.Linear:
        nn.init.normal_(m.weight, mean=0, std=0.01)
        nn.init.zeros_(m.bias)


def my_init(m):
    """Uniform, small ones to zero."""
    if type(m) == nn.Linear:
        nn.init.uniform_(m.weight, -10, 10)
        m.weight.data *= m.weight.data.abs() >= 5
'''


@pytest.fixture
def initialisers(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(INITIALISERS)
    return path


def own(path: Path, name: str) -> Callable[[nn.Module], None]:
    """A function of the file, as Python finds it."""
    found: dict[str, Callable[[nn.Module], None]] = {}
    exec(path.read_text(), found)
    return found[name]


def sample(name: str) -> nn.Module:
    """A sample's network, built as the program builds it."""
    code = runpy.run_path(str(samples_directory() / f"{name}.py"))
    torch.manual_seed(0)
    net: nn.Module = code["build"]()
    return net


def grid(text: str) -> list[list[float]]:
    """The numbers on the right side: what follows a row's number in the frame of values."""
    rows = []
    for line in text.splitlines():
        found = re.search(r"│\s*(\d+)((?:\s+-?\d[\d.]*(?:e[-+]\d+)?)+)\s*│", line)
        if found:
            rows.append([float(number) for number in (found[1], *found[2].split())])
    # The first line numbers the columns.
    return [row[1:] for row in rows if row != list(range(len(row)))]


def close_to(shown: list[list[float]], tensor: torch.Tensor, digits: float = 6e-5) -> bool:
    if len(shown) != tensor.shape[0] or any(len(row) != tensor.shape[1] for row in shown):
        return False
    return bool((torch.tensor(shown, dtype=torch.float64) - tensor.double()).abs().max() <= digits)


def look_at(found: Terminal, name: str) -> None:
    """Puts the cursor on a tensor."""
    found.press(f"/{name}\r")
    found.until(lambda text: f"─ {name} ─" in text)


def initialise(found: Terminal, name: str, *keys: str, whole: bool = False) -> None:
    """Opens the form, chooses an initialiser by its name, types into other fields, and applies."""
    found.press("i")
    found.until(lambda text: "enter apply" in text and re.search(r"_ +Fill the", text))
    if whole:
        # To where it is applied; a single tensor has no other fields before.
        found.press("\x1b[Zw")
        found.until(lambda text: "< whole network >" in text)
        found.press("\t\t\t\t")  # past type, names and part
    found.press(name)
    found.until(lambda text: f"with {name}" in text)
    for key in keys:
        found.press(key)


def test_a_function_of_modules_for_the_whole_net_then_one_layer_then_another(
    terminal: Start, initialisers: Path
) -> None:
    found = terminal(
        str(samples_directory() / "nested_blocks.py"), "--init", str(initialisers), width=130, height=44
    )
    found.until(lambda text: "clean  cpu" in text)
    net = sample("nested_blocks")
    found.press("+")
    look_at(found, "0.block 1.2.weight")
    weight = net.get_parameter("0.block 1.2.weight")
    found.until(lambda text: close_to(grid(text), weight))

    initialise(found, "init_normal", whole=True)
    found.until(lambda text: "model.apply(init_normal)" in text)
    found.press("\r")
    found.until(lambda text: "1 change " in text)
    torch.manual_seed(0)
    net.apply(own(initialisers, "init_normal"))
    found.until(lambda text: close_to(grid(text), weight))

    look_at(found, "1.weight")
    initialise(found, "constant_")
    found.until(lambda text: "val" in text)
    found.press("\t1\r")
    found.until(lambda text: "2 changes" in text and grid(text) == [[1, 1, 1, 1]])

    look_at(found, "0.block 1.2.weight")
    found.until(lambda text: close_to(grid(text), weight))
    found.press("h")  # the layer around it
    found.until(lambda text: "─ 0.block 1.2 ─" in text)
    initialise(found, "my_init")
    found.until(lambda text: "apply(my_init)" in text)
    found.press("\r")
    found.until(lambda text: "3 changes" in text)
    torch.manual_seed(0)
    net.get_submodule("0.block 1.2").apply(own(initialisers, "my_init"))
    assert ((weight == 0) | (weight.abs() >= 5)).all() and (weight == 0).any()
    look_at(found, "0.block 1.2.weight")
    found.until(lambda text: close_to(grid(text), weight))

    found.press("uuu")
    found.until(lambda text: "clean  cpu" in text)
    found.press("q")
    assert found.end() == 0
    found.assert_restored()
    assert b"Traceback" not in found.received


def test_a_row_of_a_tied_layer_is_set_its_twin_changes_and_both_are_saved(
    terminal: Start, tmp_path: Path
) -> None:
    net = sample("tied_layers")
    path = tmp_path / "tied.pt"
    torch.save(net.state_dict(), path)
    found = terminal(str(path), width=130, height=40)
    found.until(lambda text: "clean" in text)
    found.press("+")
    look_at(found, "2.weight")
    found.press("e")
    found.until(lambda text: "esc" in text)
    found.press("net[2].weight.data[0] = 100")
    found.until(lambda text: "also 4.weight" in text)
    found.press("\r")
    found.until(lambda text: "1 change" in text and grid(text)[:1] == [[100] * 8])
    # Both rows are marked as changed, and the twin is one jump away.
    found.until(lambda text: len(re.findall(r"A\*\s+weight", text)) == 2)
    found.press(")")
    found.until(lambda text: "─ 4.weight ─" in text)
    net.get_parameter("2.weight").data[0] = 100
    found.until(lambda text: close_to(grid(text), net.get_parameter("4.weight"), 5e-3))
    assert path.read_bytes().count(b"\x00\x00\xc8\x42" * 8) == 0  # the file is as it was

    found.press("s")
    found.until(lambda text: "tied-edited.pt" in text)
    found.press("\r")
    found.until(lambda text: "saved" in text and (tmp_path / "tied-edited.pt").exists())
    read = torch.load(tmp_path / "tied-edited.pt")
    for name, tensor in net.state_dict().items():
        assert torch.equal(read[name], tensor)
    assert read["2.weight"].data_ptr() == read["4.weight"].data_ptr()
    found.press("q")
    assert found.end() == 0
    found.assert_restored()


def test_a_live_model_is_changed_and_saved_as_safetensors(terminal: Start, tmp_path: Path) -> None:
    net = sample("tied_layers")
    copy = tmp_path / "tied_layers.py"
    copy.write_text((samples_directory() / "tied_layers.py").read_text())
    found = terminal(str(copy), width=130, height=40)
    found.until(lambda text: "clean  cpu" in text)
    found.press("+")
    look_at(found, "4.weight")
    found.press("e")
    found.until(lambda text: "esc" in text)
    found.press("[0] = 100\r")
    found.until(lambda text: "1 change" in text and "100" in text)
    found.press("s")
    found.until(lambda text: "tied_layers.safetensors" in text)
    found.press("\r")
    found.until(lambda text: "saved" in text and (tmp_path / "tied_layers.safetensors").exists())
    net.get_parameter("4.weight").data[0] = 100
    read = load_file(tmp_path / "tied_layers.safetensors")
    assert set(read) == {f"{layer}.{kind}" for layer in (0, 2, 6) for kind in ("weight", "bias")}
    assert all(torch.equal(read[name], net.state_dict()[name]) for name in read)
    found.press("q")
    assert found.end() == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM], ids=lambda end: end.name)
def test_a_dropped_line_loses_no_change(terminal: Start, tmp_path: Path, end: signal.Signals) -> None:
    net = sample("tied_layers")
    path = tmp_path / "tied.pt"
    torch.save(net.state_dict(), path)
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    found = terminal(str(path), width=130, height=40, **state)
    found.until(lambda text: "clean" in text)
    found.press("+")
    look_at(found, "0.weight")
    for count, line in enumerate(("[0] = 3", "[1, 1] = nan", "[:, 2] *= 2"), 1):
        found.press("e")
        found.until(lambda text: "esc" in text)
        found.press(f"{line}\r")
        found.until(lambda text, count=count: f"{count} change" in text)
    found.press("u")
    found.until(lambda text: "2 changes" in text)
    os.kill(found.process.pid, end)
    found.end()
    if end != signal.SIGKILL:
        found.assert_restored()
        assert b"2 changes not saved, kept in a journal" in found.received

    again = terminal(str(path), width=130, height=40, **state)
    again.until(lambda text: "2 changes" in text and "0.weight[0] = 3" in text)
    # What is typed at once is no answer to a question that comes by itself.
    again.press("d")
    time.sleep(1)
    again.press("\r")
    again.until(lambda text: "2 changes made again" in text)
    again.press("+")
    look_at(again, "0.weight")
    weight = net.state_dict()["0.weight"]
    weight[0] = 3
    again.until(
        lambda text: re.search(r"│\s*0\s+3\.?0*\s+3\.?0*\s+3\.?0*\s+3", text) and "nan" in text.lower()
    )
    again.press("q")
    again.until(lambda text: "Unsaved changes" in text)
    again.press("d")
    assert again.end() == 0

    # What was given up is not offered again.
    last = terminal(str(path), width=130, height=40, **state)
    last.until(lambda text: "clean" in text)
    last.press("+q")
    assert last.end() == 0
    assert "made again" not in last.text


def test_a_change_and_a_save_in_one_packet_are_done_one_after_the_other(
    terminal: Start, save: Save, tmp_path: Path
) -> None:
    path = save({"v": torch.zeros(2), "w": torch.zeros(3)})
    found = terminal(str(path), "--at", "w", width=100, height=30)
    found.until(lambda text: "clean" in text)
    found.press(f"e[1] = 42\rs\x15{tmp_path}/copy.pt\r")
    found.until(lambda text: "saved copy.pt" in text)
    # Out of the cells, out of the values, out.
    found.press("qqq")
    assert found.end() == 0
    assert torch.load(tmp_path / "copy.pt")["w"].tolist() == [0, 42, 0]
    assert torch.load(path)["w"].tolist() == [0, 0, 0]
