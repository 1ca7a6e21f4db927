"""The Values panel: dimensions, places, digits and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.tui.actions import Keys
from paramtui.tui.settings import Settings
from tests.tui.screens import Looker, looking_at

if TYPE_CHECKING:
    from tests.conftest import Save


async def go_to(looker: Looker, text: str) -> None:
    keys = {
        ",": "comma",
        ":": "colon",
        "-": "minus",
        ".": "full_stop",
        "[": "left_square_bracket",
        "]": "right_square_bracket",
        " ": "space",
    }
    await looker.pilot.press("colon", *(keys.get(char, char) for char in text), "enter")
    await looker.settle()


async def test_any_two_dimensions_become_rows_and_columns(save: Save) -> None:
    tensor = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    async with looking_at(save({"w": tensor})) as looker:
        await looker.press("tab")
        assert looker.numbers() == [[str(x) for x in row] for row in tensor[0].tolist()]
        await looker.press("r")
        assert looker.numbers() == [[str(x) for x in row] for row in tensor[:, 0].tolist()]
        await looker.press("c")
        assert looker.numbers() == [[str(x) for x in row] for row in tensor[:, :, 0].tolist()]
        await looker.press("right_square_bracket")
        assert looker.numbers() == [[str(x) for x in row] for row in tensor[:, :, 1].tolist()]
        await looker.press("c")
        assert looker.numbers() == [[str(x) for x in row] for row in tensor[:, :, 1].T.tolist()]


async def test_the_dimension_that_is_stepped_is_chosen(save: Save) -> None:
    tensor = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    async with looking_at(save({"w": tensor})) as looker:
        await looker.press("tab", "d", "right_square_bracket")
        assert looker.numbers() == [[str(x) for x in row] for row in tensor[1, 0].tolist()]
        await looker.press("d", "right_square_bracket")
        assert looker.numbers() == [[str(x) for x in row] for row in tensor[1, 1].tolist()]


@pytest.mark.parametrize("text", ["700, 40", "[700,40]", "-300, -20", "700:, 40:"])
async def test_an_index_typed_as_in_python_is_gone_to_and_marked(save: Save, text: str) -> None:
    tensor = torch.arange(1000 * 60).reshape(1000, 60)
    async with looking_at(save({"w": tensor})) as looker:
        await go_to(looker, text)
        first = looker.grid()[1].split()
        assert first[0] == "700"
        assert str(700 * 60 + 40) in first[1:]
        assert looker.app.focused is looker.values


async def test_an_index_outside_the_tensor_is_refused_and_can_be_mended(save: Save) -> None:
    async with looking_at(save({"w": torch.zeros(4, 4)})) as looker:
        await go_to(looker, "9")
        assert "outside dimension 0" in looker.footer()
        await looker.press("backspace", "2", "enter")
        aim = looker.values.aim
        assert aim is not None
        assert aim.mark == (2, 0)


async def test_digits_and_powers_of_ten_at_a_key(save: Save) -> None:
    number = 0.123456789
    async with looking_at(save({"w": torch.tensor([number], dtype=torch.float64)})) as looker:
        assert looker.numbers() == [["0.1235"]]
        await looker.press("full_stop", "full_stop")
        assert looker.numbers() == [[f"{number:.6f}"]]
        await looker.press("x")
        assert looker.numbers() == [[f"{number:.6e}"]]
        await looker.press(*["comma"] * 9)
        assert looker.numbers() == [[f"{number:.1e}"]]


async def test_a_heatmap_has_two_letters_a_number_and_tells_signs_and_nan_without_colour(save: Save) -> None:
    tensor = torch.tensor([[1.0, -1.0, 0.0], [float("nan"), float("inf"), -float("inf")]])
    async with looking_at(save({"w": tensor})) as looker:
        await looker.press("v")
        columns, first, second, *rest = looker.grid()
        assert columns.split() == ["0"]
        assert first.rstrip() == "0  █-█"
        assert second.split() == ["1", "NN+I-I"]
        assert rest[0].split()[0] == "-1"
        await looker.press("v")
        assert looker.numbers()[0] == ["1.", "-1.", "0."]


async def test_heat_grows_with_the_number_and_turns_its_colour_with_the_sign(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paramtui.tui.terminal.colour_depth", lambda app: "truecolor")
    async with looking_at(save({"w": torch.tensor([[0.0, 0.5, 1.0, -1.0]])})) as looker:
        await looker.press("v")
        head = len(looker.values._wrapped()[0])
        line = looker.values.render_line(head + 1)
        colours = []
        for column in range(4):
            (cell,) = line.crop(2 + 2 * column, 4 + 2 * column)
            assert cell.style is not None
            assert cell.style.bgcolor is not None
            colours.append(cell.style.bgcolor.get_truecolor())
        zero, half, one, minus = colours
        assert zero.red < half.red < one.red
        assert minus.blue > one.blue


async def test_a_slow_line_s_settings_are_a_person_s_own(save: Save) -> None:
    settings = Settings(precision=2, heatmap=False, scientific=True)
    async with looking_at(save({"w": torch.tensor([0.5])}), settings=settings) as looker:
        assert looker.numbers() == [["5.00e-01"]]


async def test_a_tensor_of_a_billion_elements_scrolls_like_a_small_one(save: Save) -> None:
    huge = torch.zeros(1).expand(1 << 15, 1 << 15)
    async with looking_at(save({"w": huge})) as looker:
        await looker.press("tab", "end", "dollar_sign")
        assert looker.grid()[-1].split()[:2] == [str((1 << 15) - 1), "0."]


async def test_under_100_columns_the_panels_are_tabs(save: Save) -> None:
    async with looking_at(save({"w": torch.ones(2, 2)}), size=(80, 24)) as looker:
        await looker.press("enter")
        assert "[1 Values]" in looker.screen()[1]
        await looker.pilot.press("2")
        await looker.until(lambda: "gradients" in "".join(looker.screen()))
        await looker.pilot.press("3")
        await looker.until(lambda: "mean 1" in "".join(looker.screen()))
        await looker.press("1")
        assert looker.numbers() == [["1.", "1."], ["1.", "1."]]


async def test_the_gradient_says_why_there_is_none_and_the_distribution_has_figures(save: Save) -> None:
    async with looking_at(save({"w": torch.ones(2, 2)})) as looker:
        await looker.until(lambda: "mean 1" in "".join(looker.screen()))
        text = " ".join(" ".join(looker.screen()).split())
        assert "checkpoint stores no gradients" in text
        assert "zero 0" in text and "NaN 0" in text


def test_keys_of_a_person_are_those_that_are_shown() -> None:
    assert ("f4", "find") in [(k.lower(), w) for k, w in Keys({"screen.find": "f4"}).footer("screen")]


async def test_narrow_numbers_fill_the_whole_width(save: Save) -> None:
    async with looking_at(save({"w": torch.zeros(4, 200)})) as looker:
        columns, first, *_ = looker.grid()
        assert len(first.split()) - 1 == len(columns.split()) > 10
