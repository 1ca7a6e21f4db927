"""The picture of a whole tensor: what it shows, with colours and without, and where it leads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.checkpoints.measuring import MeasuringMixin
from paramtui.core.picture_places import entry_of
from paramtui.errors import ValuesError
from paramtui.tui.screens.browse import BrowseScreen
from paramtui.tui.screens.picture import PictureScreen
from paramtui.tui.widgets.overview_picture import OverviewPicture
from tests.tui.edited import burst, said
from tests.tui.screens import Looker, lines_of, looking_at

if TYPE_CHECKING:
    from tests.conftest import Save

SMALL = (80, 24)
LARGE = (160, 50)
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


async def show(looker: Looker, name: str = "w") -> None:
    """Opens the picture of a tensor and waits until it is there."""
    looker.app.browser.go_to_name(name)
    await looker.settle()
    await looker.pilot.press("V")
    await shown(looker)


async def shown(looker: Looker) -> None:
    await looker.until(lambda: isinstance(looker.app.screen, PictureScreen))
    await looker.until(lambda: screen(looker).settled)
    await looker.pilot.pause()


def screen(looker: Looker) -> PictureScreen:
    found = looker.app.screen
    assert isinstance(found, PictureScreen)
    return found


def picture(looker: Looker) -> OverviewPicture:
    return screen(looker).query_one(OverviewPicture)


def line(looker: Looker, part: str) -> str:
    """What a part of the dialog says."""
    region = screen(looker).query_one(f"#overview-{part}").region
    lines = looker.screen()[region.y : region.bottom]
    return " ".join(" ".join(text[region.x : region.right] for text in lines).split())


def entries(looker: Looker) -> list[list[str]]:
    """The letters of the entries, without numbers of lines and columns."""
    shown = picture(looker)
    found = []
    for y in range(1, shown.size.height):
        text = shown.render_line(y).text
        letters = text[shown._labels : shown._labels + 2 * shown._entries[1]]
        found.append([letters[at : at + 2] for at in range(0, len(letters), 2)])
    return found


def styles(looker: Looker, letters: str) -> list[Any]:
    """Styles of all pieces with some letters."""
    shown = picture(looker)
    pieces = [piece for y in range(shown.size.height) for piece in shown.render_line(y)]
    return [piece.style for piece in pieces if letters in piece.text]


def with_one_nan() -> torch.Tensor:
    weight = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(3))
    weight[700, 803] = float("nan")
    return weight


def reading_stands(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Makes reading wait at some point until the event is set."""
    gate, original = asyncio.Event(), MeasuringMixin.overview

    async def waiting(self: Any, tensor: int, rows: int, columns: int, **options: Any) -> Any:
        options["progress"](1_200_000_000, 8_600_000_000)
        await gate.wait()
        return await original(self, tensor, rows, columns, **options)

    monkeypatch.setattr(MeasuringMixin, "overview", waiting)
    return gate


@SIZES
async def test_one_nan_in_a_million_is_seen_gone_to_and_shown_among_the_values(
    save: Save, size: tuple[int, int]
) -> None:
    async with looking_at(save({"w": with_one_nan(), "x": torch.ones(2)}), size) as looker:
        await show(looker)
        letters = entries(looker)
        places = [(row, column) for row, line in enumerate(letters) for column, two in enumerate(line)]
        odd = [place for place in places if letters[place[0]][place[1]] == "NN"]
        assert len(odd) == 1
        assert "1 NaN" in line(looker, "facts")
        assert all(style.reverse for style in styles(looker, "NN"))
        await looker.pilot.press("n")
        await looker.pilot.pause()
        assert picture(looker).cursor == odd[0]
        extent = picture(looker).extent
        assert extent is not None
        assert extent.first <= (700, 803) <= extent.last
        assert line(looker, "place").startswith(f"{extent.text} 1 NaN mean ")
        await looker.press("enter")
        assert isinstance(looker.app.screen, BrowseScreen)
        assert looker.numbers()[0][0] == "nan"
        assert looker.grid()[1].split()[0] == "700"
        assert looker.app.focused is looker.values


@SIZES
async def test_the_picture_takes_the_room_that_there_is(save: Save, size: tuple[int, int]) -> None:
    async with looking_at(save({"w": torch.randn(1024, 1024)}), size) as looker:
        await show(looker)
        rows, columns = len(entries(looker)), max(map(len, entries(looker)))
        # Frame, facts, numbers of columns, legend and place; entries are two letters wide.
        assert rows > 0.9 * (size[1] - 6)
        assert columns > 0.9 * (size[0] - 9) / 2
        down, across = -(-1024 // (size[1] - 6)), -(-1024 // ((size[0] - 9) // 2))
        assert f"mean of each {down} x {across}" in line(looker, "facts")


async def test_the_figures_under_the_cursor_are_those_of_torch(save: Save) -> None:
    weight = torch.randn(500, 300, dtype=torch.float64) * 5
    async with looking_at(save({"w": weight}), SMALL) as looker:
        await show(looker)
        await looker.pilot.press("down", "right", "right")
        await looker.pilot.pause()
        found = picture(looker).extent
        assert found is not None
        (top, left), (bottom, right) = found.first, found.last
        part = weight[top : bottom + 1, left : right + 1]
        assert line(looker, "place") == (
            f"[{top}:{bottom + 1}, {left}:{right + 1}] mean {part.mean():.4g}"
            f" max |x| {part.abs().max():.4g} {part.numel()} elements"
        )


async def test_a_key_shows_the_largest_magnitudes_and_again_the_means(save: Save) -> None:
    weight = torch.zeros(400, 400)
    weight[0, 0], weight[1, 0] = 8.0, -8.0
    weight[399, 399] = -3.0
    async with looking_at(save({"w": weight}), SMALL) as looker:
        await show(looker)
        await looker.pilot.press("down")
        means = entries(looker)
        assert means[-1][-1][0] == "-"
        assert means[0][0] == "  "
        assert "-" in line(looker, "legend").split("0", 1)[0]
        await looker.pilot.press("m")
        await looker.pilot.pause()
        assert line(looker, "facts").startswith("[400, 400] float32 max |x| of ")
        assert line(looker, "legend").startswith("max |x| 0 ")
        assert " 8 NN NaN II infinite" in line(looker, "legend")
        assert not any("-" in letters for row in entries(looker) for letters in row)
        await looker.pilot.press("m")
        await looker.pilot.pause()
        assert entries(looker) == means


async def test_without_colours_shades_and_signs_tell_the_steps(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    weight = torch.tensor([[9.0, 0, 1, 2, 4, -4], [-1, 0, float("nan"), float("-inf"), -2, 0.001]])
    async with looking_at(save({"w": weight}), SMALL) as looker:
        await show(looker)
        await looker.pilot.press("right")
        await looker.pilot.pause()
        # Twelfths of the largest, of which three are one shade.
        assert entries(looker) == [
            [" █", "[]", " ░", " ░", " ▒", "-▒"],
            ["-░", "  ", "NN", "II", "-░", "  "],
        ]
        assert line(looker, "legend") == "value -9 -█-▓-▒-░ ░ ▒ ▓ █ 9 NN NaN II infinite"
        assert all(style.reverse for letters in ("NN", "II") for style in styles(looker, letters))


async def test_colours_tell_the_sign_of_means_and_largest_magnitudes_have_none(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    weight = torch.tensor([[0.0, 5.0, -5.0]])
    async with looking_at(save({"w": weight}), SMALL) as looker:
        await show(looker)

        def inks() -> list[tuple[str, Any]]:
            """Letters of the last pieces before the rest of the line, and the colour behind them."""
            pieces = [(piece.text, piece.style) for piece in picture(looker).render_line(1)]
            found = [(text, style.bgcolor) for text, style in pieces if style is not None and style.bgcolor]
            return [(text, colour.triplet) for text, colour in found if colour.triplet is not None]

        means = inks()
        ((_, positive),) = [each for each in means if each[0] == "  "]
        ((_, negative),) = [each for each in means if each[0] == "- "]
        assert positive.red > 2 * positive.blue
        assert negative.blue > 2 * negative.red
        await looker.pilot.press("m")
        await looker.pilot.pause()
        # Both in one piece.
        assert ("    ", positive) in inks()


async def test_n_goes_round_what_is_not_finite_and_says_when_there_is_nothing(save: Save) -> None:
    weight = torch.zeros(30, 20)
    weight[3, 4], weight[20, 7], weight[20, 9] = float("inf"), float("nan"), float("-inf")
    async with looking_at(save({"w": weight, "whole": torch.ones(3, 3)}), LARGE) as looker:
        await show(looker)
        places = []
        for key in ("n", "n", "n", "n", "N"):
            await looker.pilot.press(key)
            await looker.pilot.pause()
            places.append(line(looker, "place"))
        assert places == [
            "[3, 4] infinite",
            "[20, 7] NaN",
            "[20, 9] infinite",
            "[3, 4] infinite",
            "[20, 9] infinite",
        ]
        assert "1 NaN 2 infinite" in line(looker, "facts")
        await looker.press("escape")
        await show(looker, "whole")
        await looker.pilot.press("n")
        await looker.pilot.pause()
        assert "all numbers are finite" in line(looker, "place")


async def test_enter_goes_to_the_first_element_where_all_are_finite(save: Save) -> None:
    async with looking_at(save({"w": torch.randn(64, 3, 7, 7)}), LARGE) as looker:
        await show(looker)
        await looker.pilot.press("down", "down", "right")
        found = picture(looker).extent
        assert found is not None
        await looker.press("enter")
        aim = looker.values.aim
        assert aim is not None
        assert aim.mark is not None
        assert aim.index_text(*map(str, aim.mark)) == ", ".join(map(str, found.first))


async def test_arrows_letters_pages_and_ends_move_within_the_picture(save: Save) -> None:
    async with looking_at(save({"w": torch.randn(1024, 1024)}), SMALL) as looker:
        await show(looker)
        rows, columns = len(entries(looker)), max(map(len, entries(looker)))
        seen = []
        for key in ("up", "j", "l", "pagedown", "L", "end", "dollar_sign", "k", "h", "home", "0"):
            await looker.pilot.press(key)
            seen.append(picture(looker).cursor)
        last = rows - 1, columns - 1
        assert seen[:5] == [(0, 0), (1, 0), (1, 1), (11, 1), (11, 11)]
        assert seen[5:7] == [(last[0], 11), last]
        assert seen[7:] == [
            (last[0] - 1, last[1]),
            (last[0] - 1, last[1] - 1),
            (0, last[1] - 1),
            (0, 0),
        ]


async def test_a_click_puts_the_cursor_on_an_entry(save: Save) -> None:
    async with looking_at(save({"w": torch.randn(1024, 1024)}), SMALL) as looker:
        await show(looker)
        await looker.pilot.click(picture(looker), offset=(5 + 2 * 7, 1 + 3))
        assert picture(looker).cursor == (3, 7)


async def test_another_size_of_the_screen_makes_another_picture_with_the_cursor_on_its_place(
    save: Save,
) -> None:
    async with looking_at(save({"w": with_one_nan()}), SMALL) as looker:
        await show(looker)
        await looker.pilot.press("n")
        before = len(entries(looker))
        await looker.pilot.resize_terminal(*LARGE)
        await looker.until(lambda: len(entries(looker)) > 2 * before)
        await shown(looker)
        found = picture(looker).extent
        assert found is not None
        assert "1 NaN" in line(looker, "facts")
        await looker.pilot.press("home", "0")
        letters = [two for row in entries(looker) for two in row]
        assert letters.count("NN") == 1
        # Back in less room, where the cursor was scrolled to meanwhile, all of the new picture is in sight.
        await looker.pilot.press("n")
        await looker.pilot.resize_terminal(*SMALL)
        await looker.until(lambda: len(entries(looker)) == before)
        await shown(looker)
        assert "←" not in picture(looker).render_line(0).text
        assert "↑" not in picture(looker).render_line(1).text


async def test_escape_stops_reading_and_then_closes(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    reading_stands(monkeypatch)
    async with looking_at(save({"w": torch.ones(3, 3)}), SMALL) as looker:
        looker.app.browser.go_to_name("w")
        await looker.pilot.press("V")
        await looker.until(lambda: isinstance(looker.app.screen, PictureScreen))
        await looker.until(lambda: "reading 1.2 GB of 8.6 GB esc stops" in line(looker, "facts"))
        await looker.pilot.press("enter")
        await looker.pilot.pause()
        assert "nothing to go to yet" in line(looker, "place")
        await looker.pilot.press("escape")
        await looker.pilot.pause()
        assert "stopped after 1.2 GB of 8.6 GB" in line(looker, "facts")
        await looker.pilot.press("escape")
        await looker.until(lambda: isinstance(looker.app.screen, BrowseScreen))


async def test_keys_that_arrive_at_once_are_dealt_with_in_their_order(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = reading_stands(monkeypatch)
    async with looking_at(save({"w": torch.ones(30, 30)}), SMALL) as looker:
        looker.app.browser.go_to_name("w")
        await looker.settle()
        await burst(looker, "V", "m")
        await looker.until(lambda: isinstance(looker.app.screen, PictureScreen))
        gate.set()
        await shown(looker)
        assert "max |x|" in line(looker, "facts")


async def test_what_goes_wrong_is_said_in_words(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ValuesError("was cut while it was read: byte 77 is gone")

    monkeypatch.setattr(MeasuringMixin, "overview", broken)
    async with looking_at(save({"w": torch.ones(3)}), SMALL) as looker:
        await show(looker)
        assert "was cut while it was read" in line(looker, "facts")
        await looker.pilot.press("n", "m", "down", "enter")
        await looker.pilot.pause()
        assert "there is nothing to go to" in line(looker, "place")
        await looker.press("q")
        assert isinstance(looker.app.screen, BrowseScreen)


async def test_the_keys_are_told_and_taken_away_again(save: Save) -> None:
    async with looking_at(save({"w": torch.ones(1000, 1000)}), SMALL) as looker:
        await show(looker)
        before = line(looker, "facts")
        await looker.pilot.press("question_mark")
        await looker.pilot.pause()
        assert "n N next and previous with NaN or infinities" in line(looker, "facts")
        assert looker.screen()[-1].startswith("╰")
        await looker.pilot.press("question_mark")
        await looker.pilot.pause()
        assert line(looker, "facts") == before


async def test_a_vector_a_scalar_and_complex_numbers_have_pictures_too(save: Save) -> None:
    whole = torch.complex(torch.full((4, 5), 3.0), torch.full((4, 5), 4.0))
    tensors = {"vector": torch.arange(50_257.0), "scalar": torch.tensor(-2.5), "complex": whole}
    async with looking_at(save(tensors), SMALL) as looker:
        await show(looker, "vector")
        await looker.pilot.press("end", "dollar_sign")
        await looker.pilot.pause()
        assert ":50257]" in line(looker, "place")
        await looker.press("escape")
        await show(looker, "scalar")
        assert line(looker, "facts") == "[] float32 value of each element"
        assert line(looker, "place") == "[] -2.5"
        await looker.press("escape")
        await show(looker, "complex")
        assert line(looker, "facts") == "[4, 5] complex64 value |x| of each element"
        assert line(looker, "place") == "[0, 0] 5"


async def test_what_has_no_picture_is_said_and_nothing_opens(save: Save) -> None:
    parts = [torch.zeros(2, 3), torch.zeros(4, 3)]
    tensors = {
        "meta": torch.zeros(2, 3, device="meta"),
        "empty": torch.zeros(0, 4),
        "nested": torch.nested.nested_tensor(parts),
        "block": {"w": torch.ones(1)},
        "epoch": 7,
    }
    expected = {
        "meta": "it has a shape and no values",
        "empty": "a size is 0",
        "nested": "sizes of their own",
        "block": "is a block",
        "epoch": "has no numbers",
    }
    async with looking_at(save(tensors), SMALL) as looker:
        for name, words in expected.items():
            looker.app.browser.go_to_name(name)
            await looker.settle()
            await looker.pilot.press("V")
            await looker.pilot.pause()
            assert isinstance(looker.app.screen, BrowseScreen)
            assert words in said(looker)


async def test_a_source_that_makes_no_pictures_says_so(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(MeasuringMixin, "overview")
    async with looking_at(save({"w": torch.ones(3)}), SMALL) as looker:
        await looker.pilot.press("V")
        await looker.pilot.pause()
        assert said(looker) == "this source makes no pictures of whole tensors"


async def test_from_the_gradient_panel_the_moment_that_stands_there_is_shown(save: Save) -> None:
    net = nn.Sequential(nn.Linear(30, 20))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(5, 30)).sum().backward()
    optimizer.step()
    moment = next(iter(optimizer.state.values()))["exp_avg"]
    moment[13, 11] = float("nan")
    path = save({"model": net.state_dict(), "optimizer": optimizer.state_dict()})
    async with looking_at(path, LARGE) as looker:
        looker.app.browser.go_to_name("model.0.weight")
        await looker.settle()
        await looker.press("2")
        assert looker.app.focused is looker.gradient
        await looker.pilot.press("V")
        await shown(looker)
        assert any("exp_avg of model.0.weight" in text for text in looker.screen())
        await looker.pilot.press("n")
        await looker.press("enter")
        assert looker.app.focused is looker.gradient
        rows = lines_of(looker.gradient)
        first = next(text.split() for text in rows if text.split()[:1] == ["13"])
        assert first[1] == "nan"


async def test_means_of_a_folded_picture_are_those_of_numpy(save: Save) -> None:
    weight = torch.randn(64, 3, 7, 7, dtype=torch.float64)
    async with looking_at(save({"w": weight}), SMALL) as looker:
        await show(looker)
        found = screen(looker)._found
        assert found is not None
        numbers = weight.numpy()
        sums: dict[tuple[int, int], list[Any]] = {}
        for index in np.ndindex(numbers.shape):
            sums.setdefault(entry_of(numbers.shape, found, index), []).append(numbers[index])
        for entry, here in sums.items():
            assert found.mean[entry] == pytest.approx(np.mean(here))
            assert found.abs_max[entry] == np.abs(here).max()
        assert "rows: dim 0; columns: dims 1-3" in line(looker, "facts")
