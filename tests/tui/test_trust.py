"""What a file names and what is wrong with it, on the screen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from textual.widgets import OptionList, Static
from torch import nn

from paramtui.editable import EditableCheckpoint
from paramtui.tui.screens.trust import READING, TrustScreen
from tests.tui.screens import Looker, looking_at, open_file
from tests.tui.test_live import on_model

if TYPE_CHECKING:
    from pathlib import Path

    from paramtui.core.source import Reader, Watch
    from tests.conftest import Save


class Trap:
    """Runs a command if it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def state(mark: Path | None = None) -> dict[str, Any]:
    layers: dict[str, Any] = {f"layers.{place}.weight": torch.randn(3) for place in range(6) if place != 3}
    if mark is not None:
        layers["hooks"] = [Trap(f"touch {mark}")]
    return {"model": layers, "epoch": 7}


async def listed(looker: Looker) -> list[str]:
    """Opens the list and gives its lines."""
    await looker.press("O")
    await looker.until(lambda: isinstance(looker.app.screen, TrustScreen))
    screen = looker.app.screen
    await looker.until(lambda: str(screen.query_one("#entries-said", Static).content) != READING)
    return [" ".join(str(option.prompt).split()) for option in screen.query_one(OptionList).options]


async def test_the_list_begins_with_what_would_run_and_leads_to_it(save: Save, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    async with looking_at(save(state(mark))) as looker:
        assert "a pickle that runs code (O)" in looker.title()
        lines = await listed(looker)
        assert lines[0] == "nothing was executed: the file was read as data"
        assert lines[1] == "classes and functions that its pickles name: 1 runs code, 3 known"
        assert lines[2] == f"!! runs code {os.name}.system 1 model.hooks.0"
        places = "model.layers.0.weight, model.layers.1.weight, model.layers.2.weight and 2 more"
        assert lines[3] == f"known collections.OrderedDict 5 {places}"
        assert [line.split()[:4] for line in lines[6:]] == [
            ["health:", "1", "error,", "1"],
            ["!!", "error", "runs-code", "model.hooks.0"],
            ["warning", "missing-layer", "model.layers.3", "model.layers.3"],
        ]
        assert "numbers of 5 tensors are not looked at yet (I)" in lines[6]
        detail = str(looker.app.screen.query_one("#entries-detail", Static).content)
        assert "runs code if the file is loaded by pickle" in detail
        await looker.pilot.press("enter")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await looker.settle()
        assert looker.at().split()[1] == "0"
        assert "touch" in " ".join(looker.page())
        assert "model.hooks.0" in str(looker.values.border_title)
    assert not mark.exists()


async def test_a_finding_leads_to_its_tensor_and_back(save: Save) -> None:
    tensors = {f"layers.{place}.w": torch.randn(2).bfloat16() for place in range(8)}
    tensors["layers.5.w"] = torch.randn(2)
    async with looking_at(save(tensors)) as looker:
        assert "runs code" not in looker.title()
        lines = await listed(looker)
        assert lines[-1] == "warning odd-dtype layers.5.w float32, but bfloat16 in 7 other blocks"
        await looker.pilot.press("end", "enter")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await looker.settle()
        assert "layers.5.w" in str(looker.values.border_title)
        await looker.press("<")
        assert "layers.5.w" not in str(looker.values.border_title)


async def test_numbers_that_were_looked_at_are_judged(save: Save) -> None:
    async with looking_at(save({"a": torch.tensor([1.0, float("nan")]), "b": torch.randn(3)})) as looker:
        await looker.press("I")
        await looker.until(lambda: not looker.app.browser.scanning)
        lines = await listed(looker)
        assert lines[-2] == "health: 1 error"
        assert lines[-1] == "!! error nan a 1 of 2 numbers are NaN"
        await looker.pilot.press("escape")
        await looker.until(lambda: looker.app.screen is looker.app.browser)


async def test_the_page_about_the_file_says_how_many_are_unusual(save: Save, tmp_path: Path) -> None:
    async with looking_at(save(state(tmp_path / "ran"))) as looker:
        await looker.press("a")
        page = " ".join(looker.page())
        assert "pickle: 4 classes and functions, 1 runs code, 3 known; O says where they are used" in page
        assert f"none was called: {os.name}.system, collections.OrderedDict" in page
        # The key works from there, too.
        assert (await listed(looker))[2].startswith("!! runs code")


async def test_a_safetensors_file_names_nothing(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.randn(2)}, tmp_path / "m.safetensors")
    async with looking_at(tmp_path / "m.safetensors") as looker:
        lines = await listed(looker)
        assert lines[0] == "nothing was executed: the file was read as data; it names no classes or functions"
        assert lines[1].startswith("health: nothing found")
        await looker.pilot.press("O")
        await looker.until(lambda: looker.app.screen is looker.app.browser)


async def test_a_model_has_findings_and_its_code_did_run() -> None:
    net: Any = nn.Sequential(*[nn.Linear(2, 2) for _ in range(5)])
    net[2].to(torch.float64)
    async with on_model(net) as looker:
        lines = await listed(looker)
        assert lines[0] == "a model: its own code was run to build it"
        assert lines[2] == "warning odd-dtype 2 2 tensors are float64, but float32 in 4 other blocks"
        await looker.pilot.press("enter")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await looker.settle()
        assert looker.at().split()[1] in ("2", "weight")


async def test_a_file_that_was_replaced_is_judged_by_what_was_listed(save: Save) -> None:
    path = save(state())

    async def opener(target: str, watch: Watch) -> Reader:
        return EditableCheckpoint(await open_file(target, watch))  # type: ignore[arg-type]

    async with looking_at(path, opener=opener) as looker:
        path.write_bytes(b"gone")
        lines = await listed(looker)
        assert any("missing-layer" in line for line in lines)
        said = str(looker.app.screen.query_one("#entries-said", Static).content)
        assert "could not be read again" in said
        assert "changed since it was opened" in said


async def test_the_list_fits_a_small_screen_and_file_text_is_made_safe(tmp_path: Path) -> None:
    from tests.formats.test_hostile_pickles import archive

    name = b"\x1b[2J[/nope]"
    body = b"".join(b"X\x02\x00\x00\x00%02dc%s%d\n%s\n)R" % (place, name, place, name) for place in range(60))
    async with looking_at(archive(tmp_path / "x.pt", b"}(" + body + b"u."), (80, 24)) as looker:
        lines = await listed(looker)
        assert "60 unusual" in lines[1]
        screen = looker.screen()
        assert any(r"\x1b[2J[/nope]" in line for line in screen)
        assert any("enter goes there" in line for line in screen)
        assert not any("\x1b" in line for line in screen)


async def test_y_copies_no_line_that_would_run_what_is_in_the_file(save: Save, tmp_path: Path) -> None:
    async with looking_at(save(state(tmp_path / "ran"))) as looker:
        await looker.press("+", "down", "down")
        assert "torch.load" not in "\n".join(looker.screen())
        await looker.press("y")
        await looker.until(lambda: f"it would run {os.name}.system (O says where)" in looker.footer())
        assert looker.app.clipboard == ""


@pytest.mark.parametrize(
    ("width", "words"),
    [(120, "a pickle that runs code (O)  read only"), (40, "!! runs code  read only"), (24, "!! runs code")],
)
async def test_the_title_says_the_worst_also_where_there_are_few_cells(
    save: Save, tmp_path: Path, width: int, words: str
) -> None:
    async with looking_at(save(state(tmp_path / "ran")), size=(width, 24)) as looker:
        assert words in looker.title()


async def test_the_title_counts_tensors_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    safetensors.torch.save_file({f"w{n}": torch.ones(100) for n in range(5)}, path)
    path.write_bytes(path.read_bytes()[:-600])
    async with looking_at(path, size=(120, 24)) as looker:
        assert "2 not readable (O)" in looker.title()
