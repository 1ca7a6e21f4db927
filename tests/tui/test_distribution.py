"""The panel of distributions: what it measures, when, and what its keys do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.errors import ValuesError
from paramtui.tui.distribution_making import SAMPLE
from paramtui.tui.widgets.distribution_pane import DistributionPane
from paramtui.tui.widgets.tree_pane import TreePane
from tests.tui.edited import burst, editing, typed
from tests.tui.measuring import CountedSource, Counting
from tests.tui.screens import Looker, lines_of, looking_at

if TYPE_CHECKING:
    from tests.conftest import Save

BARS = set("▁▂▃▄▅▆▇█")


def panel(looker: Looker) -> DistributionPane:
    return looker.app.browser.query_one(DistributionPane)


def lines(looker: Looker) -> list[str]:
    return lines_of(panel(looker))


def words(looker: Looker) -> str:
    """All that the panel says, without its frame."""
    return " ".join(" ".join(lines(looker)).split())


def frame(looker: Looker) -> str:
    """What the frame says about how the numbers were counted and drawn."""
    return str(panel(looker).border_subtitle or "")


async def there(looker: Looker) -> None:
    """Waits until all that was asked for is drawn."""
    await looker.until(lambda: panel(looker).settled)


def bars(looker: Looker) -> list[str]:
    return [line for line in lines(looker) if BARS & set(line)]


async def test_the_figures_under_the_cursor_are_those_of_torch(save: Save) -> None:
    tensor = torch.randn(40, 50, generator=torch.Generator().manual_seed(3))
    tensor[0, :4] = torch.tensor([0.0, 0.0, float("nan"), float("inf")])
    async with looking_at(save({"w": tensor}), size=(160, 50)) as looker:
        await there(looker)
        text, finite = words(looker), tensor[tensor.isfinite()].double()
        assert bars(looker)
        for figure in (
            f"min {finite.min():.3g}",
            f"max {finite.max():.3g}",
            f"mean {finite.mean():.3g}",
            f"std {finite.std():.3g}",
            f"max |x| {finite.abs().max():.3g}",
            f"L2 {finite.norm():.3g}",
            "zero 2 (0.1 %)",
            "NaN 1",
            "Inf 1 (+1 -0)",
            f"50% {finite.quantile(0.5):.3g}",
        ):
            assert figure in text
        assert frame(looker) == "exact"


async def test_a_small_tensor_is_counted_at_once_and_a_large_one_from_a_sample_first(save: Save) -> None:
    opener = Counting()
    path = save({"small": torch.ones(SAMPLE), "large": torch.ones(SAMPLE + 1)})
    async with looking_at(path, opener=opener) as looker:
        await there(looker)
        await looker.press("down")
        await there(looker)
        assert opener.source.asked == [(0, False, 0, False), (1, False, SAMPLE, False), (1, False, 0, False)]


async def test_a_sample_is_named_as_such_until_all_is_counted_with_how_far_that_is(save: Save) -> None:
    gate = asyncio.Event()

    def wait(source: CountedSource) -> None:
        source.gate, source.told = gate, (42, 100)

    large = torch.cat([torch.zeros(SAMPLE), torch.ones(SAMPLE)])
    async with looking_at(save({"w": large}), opener=Counting(wait)) as looker:
        await looker.until(lambda: frame(looker) == "sampled, exact 42 %")
        assert f"zero {SAMPLE:,} (100 %)" in words(looker)
        # Other keys work meanwhile.
        await looker.press("tab", "end")
        gate.set()
        await there(looker)
        assert frame(looker) == "exact"
        assert f"zero {SAMPLE:,} (50 %)" in words(looker)


async def test_counting_ends_when_the_cursor_moves_on_and_nothing_is_read_in_passing(save: Save) -> None:
    opener = Counting(lambda source: setattr(source, "gate", asyncio.Event()))
    path = save({f"w{place}": torch.full((4,), float(place)) for place in range(9)})
    async with looking_at(path, opener=opener) as looker:
        source = opener.source
        await looker.until(lambda: source.asked)
        await burst(looker, *["down"] * 8)
        await looker.until(lambda: source.ended == [0])
        await looker.until(lambda: len(source.asked) > 1)
        assert source.gate is not None
        source.gate.set()
        await there(looker)
        assert [tensor for tensor, *_ in source.asked] == [0, 8]
        assert "all 4 are 8" in words(looker)


async def test_what_was_counted_before_is_shown_without_counting_again(save: Save) -> None:
    opener = Counting()
    async with looking_at(save({"a": torch.ones(3), "b": torch.zeros(3)}), opener=opener) as looker:
        await there(looker)
        for key in ("down", "up", "down"):
            await looker.press(key)
            await there(looker)
        assert [tensor for tensor, *_ in opener.source.asked] == [0, 1]
        assert "all 3 are 0" in words(looker)


async def test_an_edit_is_counted_anew(save: Save) -> None:
    async with editing(save({"w": torch.ones(2, 3)})) as looker:
        await there(looker)
        assert "all 6 are 1" in words(looker)
        await looker.press("e")
        await typed(looker, "*= 4")
        await looker.pilot.press("enter")
        await looker.until(lambda: "all 6 are 4" in words(looker))
        await looker.press("u")
        await looker.until(lambda: "all 6 are 1" in words(looker))


async def test_a_reason_stands_where_numbers_cannot_be_read(save: Save) -> None:
    def fail(source: CountedSource) -> None:
        source.errors = {0: ValuesError("the record is cut off")}

    async with looking_at(save({"w": torch.ones(3), "x": torch.ones(2)}), opener=Counting(fail)) as looker:
        await there(looker)
        assert words(looker) == "the record is cut off"
        await looker.press("down")
        await there(looker)
        assert "all 2 are 1" in words(looker)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.zeros(0, 4), "A size is 0: there are no numbers."),
        (torch.full((5,), float("nan")), "NaN 5 no finite numbers"),
        (torch.tensor(2.5), "min 2.5 max 2.5 mean 2.5 std -"),
        (7, "No tensor: there are no numbers to count."),
        ({"a": {}}, "There are no tensors below."),
    ],
)
async def test_what_has_no_distribution_says_so(save: Save, value: Any, said: str) -> None:
    async with looking_at(save({"first": value, "other": torch.ones(2)})) as looker:
        await there(looker)
        # Figures stand beside the bars: in one line after another.
        columns = [line[22:] if BARS & set(line) else line for line in lines(looker)]
        flat = " ".join(" ".join(columns).split())
        assert flat.startswith(said) or said in words(looker)


async def test_a_block_says_which_key_looks_at_all_of_it_and_then_shows_figures_over_it(save: Save) -> None:
    path = save({"net": {"a": torch.tensor([3.0, float("nan")]), "b": torch.tensor([4.0, 0.0])}})
    async with looking_at(path) as looker:
        await there(looker)
        assert "2 tensors" in words(looker)
        assert "I looks at every tensor." in words(looker)
        await looker.press("I")
        await looker.until(lambda: "Over all 2 tensors below." in words(looker))
        for figure in ("NaN 1", "Inf 0", "L2 5", "max |x| 4"):
            assert figure in words(looker)


async def test_the_moments_of_a_parameter_stand_below_it_on_the_same_axis(save: Save) -> None:
    layer = torch.nn.Linear(4, 3, bias=False)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        layer.weight.fill_(8.0)
        layer.weight[0, 0] = -8.0
    path = save({"model": layer.state_dict(), "optimizer": optimizer.state_dict()})
    async with looking_at(path) as looker:
        await looker.press("right", "right")
        await there(looker)
        names = [asked.name for asked, _ in panel(looker).found]
        assert names == ["weight", "exp_avg", "exp_avg_sq"]
        # -8 at the left end, 8 at the right one: moments, which are about 0, stand in the middle.
        *drawn, axis = (line[:22] for line in lines(looker))
        assert axis.split()[::2] == ["-8", "8"]
        columns = [{at for at, letter in enumerate(line) if letter in BARS} for line in drawn]
        weight, first, second = (columns[2 * at + 1] for at in range(3))
        assert {0, max(weight)} == weight
        for moment in (first, second):
            assert moment
            assert all(8 < at < 14 for at in moment)


async def test_three_and_tab_lead_to_the_panel_and_escape_and_q_back(save: Save) -> None:
    async with looking_at(save({"w": torch.ones(3)})) as looker:
        for there_by, back_by in (("3", "escape"), ("3", "q"), ("tab", "tab")):
            await looker.press(there_by)
            if there_by == "tab":
                assert looker.values.has_focus
                await looker.press("tab")
            assert panel(looker).has_focus
            assert "l log" in looker.footer()
            await looker.press(back_by)
            assert looker.app.browser.query_one(TreePane).has_focus


async def test_heights_go_by_logarithms_after_l(save: Save) -> None:
    tensor = torch.cat([torch.zeros(10_000), torch.ones(100)])
    async with looking_at(save({"w": tensor})) as looker:
        await there(looker)
        await looker.press("3")
        before = bars(looker)
        await looker.press("l")
        assert frame(looker) == "exact  log counts"
        last = max(at for at, letter in enumerate(before[-1]) if letter in BARS)
        assert before[-1][last] == "▁"
        # log(101) / log(10001) is half.
        assert [line[last] for line in bars(looker)][-2:] == ["█", "█"]
        await looker.press("l")
        assert bars(looker) == before


async def test_values_stand_by_their_powers_of_ten_after_x(save: Save) -> None:
    tensor = torch.tensor([-100.0, -10, -1, 0, 1, 10, 100], dtype=torch.float64)
    async with looking_at(save({"w": tensor})) as looker:
        await there(looker)
        await looker.press("3", "x")
        assert frame(looker) == "exact  signed log"
        drawn = bars(looker)[-1][:22]
        places = [at for at, letter in enumerate(drawn) if letter in BARS]
        assert len(places) == len(tensor)
        gaps = {right - left for left, right in zip(places, places[1:], strict=False)}
        assert max(gaps) - min(gaps) <= 1


async def test_plus_and_arrows_show_a_part_and_zero_all_again(save: Save) -> None:
    async with looking_at(save({"w": torch.arange(1025.0)})) as looker:
        await there(looker)
        await looker.press("3")
        width = len(lines(looker)[-1][:22].rstrip())

        def ends() -> list[float]:
            shown = lines(looker)[-1][: max(width, 22)].split()
            return [float(shown[0]), float(shown[1])]

        assert ends() == [0, 1020]
        await looker.press("plus")
        assert ends() == [256, 768]
        assert frame(looker) == "exact  2x"
        await looker.press("right")
        assert ends() == [384, 896]
        await looker.press("left", "left", "left", "left")
        assert ends() == [0, 512]
        await looker.press("0")
        assert ends() == [0, 1020]
        await looker.press("plus", "minus", "minus")
        assert ends() == [0, 1020]


async def test_quantiles_that_may_be_off_are_counted_exactly_after_capital_e(save: Save) -> None:
    opener = Counting(lambda source: setattr(source, "error", 0.004))
    async with looking_at(save({"w": torch.arange(9.0)}), opener=opener, size=(120, 40)) as looker:
        await there(looker)
        await looker.press("3")
        assert "±0.4 %" in words(looker)
        await looker.press("E")
        await looker.until(lambda: "±" not in words(looker))
        await there(looker)
        await looker.press("E")
        await there(looker)
        assert [exact for *_, exact in opener.source.asked] == [False, True]


async def test_at_80_columns_the_panel_fills_the_screen_and_counts_only_where_it_is_seen(save: Save) -> None:
    opener = Counting()
    path = save({"w": torch.arange(2000.0), "x": torch.zeros(5)})
    async with looking_at(path, size=(80, 24), opener=opener) as looker:
        await looker.press("down", "up", "enter")
        assert not opener.source.asked
        await looker.pilot.press("3")
        await there(looker)
        assert len(bars(looker)) > 10
        assert all(len(line.rstrip()) > 70 for line in bars(looker))
        assert "50% 1e+03" in words(looker)
        await looker.press("q", "down", "enter")
        assert [tensor for tensor, *_ in opener.source.asked] == [0]
        await looker.pilot.press("3")
        await looker.until(lambda: "all 5 are 0" in words(looker))


async def test_without_colours_and_in_ansi_colours_the_bars_are_the_same(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save({"w": torch.randn(500, generator=torch.Generator().manual_seed(0))})
    seen = []
    for variable, value in (("COLORTERM", "truecolor"), ("NO_COLOR", "1")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            async with looking_at(path) as looker:
                await there(looker)
                seen.append(lines(looker))
                await looker.press("f2")
                assert lines(looker) == seen[-1]
    assert seen[0] == seen[1]


async def test_bars_of_a_panel_that_fills_the_screen_have_their_colour(save: Save) -> None:
    async with looking_at(save({"w": torch.randn(40, 50)}), size=(80, 24)) as looker:
        await looker.press("enter", "3")
        pane = looker.app.browser.query_one(DistributionPane)
        await looker.until(lambda: pane.found and pane.settled)
        colour = pane._style("weight").color
        strips = [pane.render_line(y) for y in range(pane.size.height)]
        bars = [segment for strip in strips for segment in strip if "█" in segment.text]
        assert bars
        assert all(segment.style is not None and segment.style.color == colour for segment in bars)
