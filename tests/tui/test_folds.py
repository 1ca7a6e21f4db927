"""Blocks that are built alike, on screen: folded when the one around is opened, unfolded and folded again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from paramtui.tui.fold_lines import ADVICE, STEPS, fold_body, span_words, sparkline
from tests.tui.screens import Looker, looking_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paramtui.tui.opened import Opened

    Save = Callable[..., Path]

LAYERS = 6


def layered() -> dict[str, torch.Tensor]:
    """A model of six layers, each with numbers of its own spread."""
    state = {"model.embed.weight": torch.ones(3, 2)}
    for layer in range(LAYERS):
        state[f"model.layers.{layer}.attn.weight"] = torch.tensor([0.0, 1.0 + layer])
        state[f"model.layers.{layer}.mlp.weight"] = torch.full((4,), float(layer))
    return state


def names(looker: Looker) -> list[str]:
    """What the rows of the tree begin with, without marks and arrows."""
    return [line.lstrip("> ▾▸") for line in looker.rows()]


async def to_layers(looker: Looker) -> None:
    """Opens the layers once it is known what is built alike."""
    opened = looker.app.browser.opened
    assert opened is not None
    await looker.until(lambda: opened.view.folds is not None)
    await looker.press("right", "right", "down", "right")


async def test_layers_are_one_row_after_the_first_and_the_block_says_how_many(save: Save) -> None:
    async with looking_at(save(layered())) as looker:
        await to_layers(looker)
        assert [name.split() for name in names(looker)[2:]] == [
            ["layers", "x6", "36", "144", "B"],
            ["0", "6", "24", "B"],
            ["1", "...", "5", "x5", "as", "0", "30", "120", "B"],
        ]


@pytest.mark.parametrize("key", ["enter", "space", "right"])
async def test_keys_that_open_a_block_unfold_and_left_or_z_folds_again(save: Save, key: str) -> None:
    async with looking_at(save(layered())) as looker:
        await to_layers(looker)
        folded = names(looker)
        await looker.press("down", "down", key)
        assert [name.split()[0] for name in names(looker)[3:]] == ["0", "1", "2", "3", "4", "5"]
        assert looker.at().split()[1:3] == ["▸", "1"]
        for again in ("left", "Z"):
            await looker.press("down", "down", again)
            assert names(looker) == folded
            assert "1 ... 5" in looker.at()
            await looker.press(key)


async def test_z_unfolds_everything_and_folds_it_again(save: Save) -> None:
    async with looking_at(save(layered())) as looker:
        await to_layers(looker)
        await looker.press("Z")
        assert len(looker.rows()) == 3 + LAYERS
        await looker.press("end", "Z")
        assert len(looker.rows()) == 5
        assert "1 ... 5" in looker.at()


async def test_a_name_that_is_folded_away_is_found_and_escape_folds_it_again(save: Save) -> None:
    async with looking_at(save(layered())) as looker:
        await to_layers(looker)
        folded = names(looker)
        await looker.press("slash", *"4.mlp.w")
        await looker.until(lambda: "weight" in looker.at())
        opened = looker.app.browser.opened
        assert opened is not None
        assert opened.tree.name(looker.tree.row) == "model.layers.4.mlp.weight"
        await looker.press("escape")
        assert names(looker) == folded


async def test_a_filter_shows_what_is_folded_and_folds_again_when_it_ends(save: Save) -> None:
    async with looking_at(save(layered())) as looker:
        await to_layers(looker)
        folded = names(looker)
        await looker.press("ampersand", *"mlp", "enter")
        assert sum("mlp" in name for name in names(looker)) == LAYERS
        await looker.press("escape")
        assert names(looker) == folded


async def test_plus_shows_every_block(save: Save) -> None:
    async with looking_at(save(layered())) as looker:
        await to_layers(looker)
        await looker.press("plus")
        assert sum("mlp" in name for name in names(looker)) == LAYERS


class Known:
    """Figures of some rows."""

    def __init__(self, known: dict[tuple[int, str], float]) -> None:
        self._known = known

    def figure(self, row: int, name: str) -> float | None:
        return self._known.get((row, name))


class Figured:
    """A target of which some figures are known."""

    def __init__(self, opened: Opened, figures: Known) -> None:
        self._opened = opened
        self.figures = figures
        self.figure_shown = "std"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


async def test_the_page_of_the_layers_draws_the_spread_of_each_name_inside(save: Save) -> None:
    state = layered()
    async with looking_at(save(state)) as looker:
        await to_layers(looker)
        opened = looker.app.browser.opened
        assert opened is not None
        known: dict[tuple[int, str], float] = {}
        for layer in range(LAYERS):
            name = f"model.layers.{layer}.attn.weight"
            if layer not in (2, 3):
                known[opened.tree.find(name)[0], "std"] = state[name].std().item()
        known[opened.tree.find("model.layers.3.attn.weight")[0], "nan"] = 1
        block = opened.tree.find("model.layers")[0]
        figured = cast("Opened", Figured(opened, Known(known)))
        low, high = (f"{state[f'model.layers.{layer}.attn.weight'].std().item():.3g}" for layer in (0, 5))
        expected = ["", "0 ... 5, std of each", f"attn.weight  ▁▂·!▇█  {low} (0) to {high} (5)"]
        assert [line.plain for line in fold_body(figured, block, 80)] == expected
        standing = [line.plain for line in fold_body(figured, opened.tree.find("model.layers.1")[0], 80)]
        assert standing == ["", "1 ... 5: built as 0; what is below is of 1", *expected[1:]]
        nothing = cast("Opened", Figured(opened, Known({})))
        assert [line.plain for line in fold_body(nothing, block, 80)][2] == ADVICE


async def test_the_page_of_a_row_that_stands_in_says_whose_it_is_until_it_is_unfolded(save: Save) -> None:
    async with looking_at(save(layered())) as looker:
        await to_layers(looker)
        await looker.press("down", "down")
        words = "1 ... 5: built as 0; what is below is of 1"
        assert words in looker.page()
        await looker.press("enter")
        assert words not in looker.page()


def test_a_line_of_marks_goes_from_the_least_to_the_largest() -> None:
    assert sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == "▁▂▃▄▅▆▇█"
    assert sparkline([2.0, None, float("nan"), 1.0]) == "█·!▁"
    assert sparkline([3.0, 3.0]) == "▄▄"
    assert sparkline([]) == ""


def test_marks_stand_for_several_where_there_are_many() -> None:
    assert sparkline([0.0, 1.0, 0.0, 0.0, None, None], 3) == "█▁·"
    assert len(sparkline([float(value) for value in range(1000)], 32)) <= 32


def test_of_several_the_one_stands_there_that_is_furthest_off() -> None:
    dead = [5.0, 5.0, 5.0, 0.0, 5.0, 5.5, 5.0, 5.0]
    assert sparkline(dead, 4)[1] == STEPS[0]
    negative = [0.1, 0.1, -3.0, 0.1]
    assert sparkline(negative, 2)[1] == STEPS[0]


def test_the_span_is_that_of_what_is_finite() -> None:
    assert span_words([0.012, None, 0.0344, float("inf")], "abcd") == "0.012 (a) to 0.0344 (c)"
    assert span_words([2.0, 2.0], "ab") == "2"
    assert span_words([None], "a") == ""
