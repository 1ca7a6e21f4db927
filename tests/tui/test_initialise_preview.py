"""Previews in the dialog for initialising: what they show, how they are stopped, and what fails in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.core.bars import bars, rebinned
from paramtui.errors import UserCodeError
from paramtui.tui.preview_lines import first_picks, preview_lines
from paramtui.tui.screens import initialise_work
from tests.tui.initialise_dialog import NOTHING, WIDE, Made, at_dialog, small_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


@pytest.fixture
def path(save: Save) -> Path:
    return small_file(save)


@pytest.mark.parametrize("key", ["f5", "ctrl+e"])
async def test_a_preview_shows_now_and_then_and_enter_applies_the_same(path: Path, key: str) -> None:
    async with at_dialog(path, "model.0.bias") as person:
        await person.press(key)
        now = torch.load(path)["model"]["0.bias"]
        words = person.said("#body-words")
        assert [f"{number:.3g}" for number in (now.mean(), now.std())] == words.splitlines()[2].split()[-4:-2]
        ((edit, tensor, picks),) = person.editor.previews
        assert tensor == 1
        assert picks == (range(5),)
        await person.press("enter")
        assert person.result == edit


async def test_a_preview_makes_the_deviation_of_now_known(path: Path) -> None:
    async with at_dialog(path, "model.0.weight") as person:
        await person.press("f5")
        await person.press("tab", *"2")
        std = torch.load(path)["model"]["0.weight"].std()
        assert f"std {std:.3g} -> 0.816" in person.text()


async def test_a_change_of_the_form_ends_the_preview(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        await person.press("f5")
        assert person.dialog.preview is not None
        await person.press("down")
        assert person.dialog.preview is None
        assert "fan in 4" in person.text()


async def test_a_long_preview_tells_what_it_does_and_escape_stops_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initialise_work, "PATIENCE", 0.0)
    async with at_dialog(path, "model.0") as person:
        person.editor.gate.clear()
        await person.press("f5")
        await person.until(lambda: "previewing xavier_uniform_... 0 s  esc stops" in person.text())
        await person.press("escape")
        assert person.result is NOTHING
        await person.until(lambda: not person.dialog.busy)
        assert person.editor.interrupts == 1
        assert person.said("#problem") == "the preview was stopped"
        await person.press("escape")
        assert person.result is None


async def test_enter_during_a_preview_stops_it_and_applies(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        person.editor.gate.clear()
        await person.press("f5")
        await person.until(lambda: person.editor.previews)
        await person.press("enter")
        await person.until(lambda: person.result is not NOTHING)
        assert person.editor.interrupts == 1
        assert person.result == person.editor.previews[0][0]


async def test_a_failing_custom_initialiser_shows_its_line(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        person.editor.failure = UserCodeError("ZeroDivisionError: division by zero", where="inits.py:14")
        await person.press("f5")
        assert person.said("#problem") == "inits.py:14: ZeroDivisionError: division by zero"
        person.editor.failure = None
        await person.press("down")
        assert "ZeroDivisionError" not in person.said("#problem")


async def test_a_preview_of_a_function_shows_what_it_decided(path: Path) -> None:
    async with at_dialog(path, "model", size=WIDE) as person:
        await person.type("init_w")
        await person.press("f5")
        words = person.said("#body-words")
        assert "0.weight" in words
        assert "embed.weight" in words


# Without a screen


def test_bars_show_what_is_there_and_nothing_where_nothing_is() -> None:
    assert bars((0, 1, 50, 100, 0), 5, plain=False) == " ▁▄█ "
    assert bars((0, 1, 50, 100, 0), 5, plain=True) == " .=# "
    assert bars((), 5, plain=True) == ""
    assert bars((0, 0), 5, plain=False) == "  "
    assert rebinned(range(10), 3) == [0 + 1 + 2, 3 + 4 + 5, 6 + 7 + 8 + 9]


async def test_a_preview_shows_figures_and_numbers_of_now_and_then(path: Path) -> None:
    made = Made(path, "model.0")
    edit = (await made.outlook()).edit
    assert edit is not None
    (bias,) = made.opened.listing.ids_named("model.0.bias")
    preview = await made.editor.preview(edit, bias, first_picks(made.opened, bias, 76))
    lines = [line.plain for line in preview_lines(made.opened, made.form.row, preview, 76, plain=True)]
    assert lines[0].split() == ["mean", "std", "min", "max"]
    assert [line for line in lines if not line.startswith(" ")] == ["bias", "weight"]
    now: Any = torch.load(path)["model"]["0.bias"]
    figures = [f"{number:.3g}" for number in (now.mean(), now.std(), now.min(), now.max())]
    assert lines[2].split()[-4:] == figures
    assert lines[3].split()[-4:] == ["0", "0", "0", "0"]
    assert lines[4].split() == ["now", "then", "[0:5]"]
    assert [line.split()[1] for line in lines[5:10]] == ["0."] * 5
    assert [float(line.split()[0]) for line in lines[5:10]] == pytest.approx(now[:5].tolist(), abs=1e-4)
    assert all(len(line) <= 76 and line.isascii() for line in lines)
