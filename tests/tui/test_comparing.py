"""A row is marked, another one compared with it: what is said, the picture, and where it leads."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paramtui.core.comparing import compare
from paramtui.tui.screens.compare import CompareScreen
from paramtui.tui.screens.compare_blocks import CompareBlocksScreen
from paramtui.tui.widgets.difference_picture import DifferencePicture
from paramtui.tui.widgets.pair_list import PairList
from tests.tui.edited import burst, said
from tests.tui.screens import WIDE, Looker, lines_of, looking_at
from tests.tui.test_live import on_model, source_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

NARROW = (80, 24)


class Gated:
    """A source whose numbers come only when the gate is open."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0
        self.ended = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    async def window(self, tensor: int, picks: Any) -> Any:
        self.asked += 1
        await self.gate.wait()
        return await self.source.window(tensor, picks)


def tutorial_net() -> Any:
    """The net of PyTorch's tutorial on parameter management: one layer at two places."""
    torch.manual_seed(0)
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))


def two(a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"a": a, "b": b}


async def go(looker: Looker, name: str) -> None:
    """Puts the cursor on a row."""
    looker.app.browser.go_to_name(name)
    await looker.settle()


async def mark_and_go(looker: Looker, marked: str, other: str) -> None:
    await go(looker, marked)
    await looker.press("m")
    await go(looker, other)


async def compared(looker: Looker, marked: str = "a", other: str = "b") -> str:
    """Compares two rows; what the screen then says, in one line."""
    await mark_and_go(looker, marked, other)
    await looker.pilot.press("equals_sign")
    return await dialog_said(looker)


async def dialog_said(looker: Looker) -> str:
    await looker.until(lambda: isinstance(looker.app.screen, CompareScreen | CompareBlocksScreen))
    await looker.until(lambda: looker.app.screen.settled)  # type: ignore[attr-defined]
    await looker.pilot.pause()
    return words(looker, "#compare, #compare-blocks")


def words(looker: Looker, selector: str) -> str:
    """What a part of the screen says, without its frame and in one line."""
    region = looker.app.screen.query(selector).first().region
    lines = looker.screen()[region.y : region.bottom]
    return " ".join(" ".join(line[region.x : region.right].strip("│ ") for line in lines).split())


def picture(looker: Looker) -> DifferencePicture:
    return looker.app.screen.query_one(DifferencePicture)


def entries(looker: Looker) -> list[list[str]]:
    """The letters of the picture, without numbers of lines and columns."""
    return [split(line.rstrip()) for line in lines_of(picture(looker))[1:]]


def split(line: str) -> list[str]:
    letters = line[len(line) - len(line.lstrip()) :].split(" ", 1)[1]
    return [letters[at : at + 2] for at in range(0, len(letters), 2)]


# Marking


async def test_a_marked_row_shows_an_m_and_loses_it_at_the_same_key(save: Save) -> None:
    async with looking_at(save(two(torch.zeros(2), torch.zeros(2)))) as looker:
        await looker.press("m")
        assert said(looker) == "marked a: go to another row, = compares"
        await looker.press("down")
        assert [row[0] for row in looker.rows()] == ["m", ">"]
        await looker.press("up", "m")
        assert "no longer marked" in said(looker)
        await looker.press("down")
        assert [row[0] for row in looker.rows()] == [" ", ">"]


async def test_a_value_cannot_be_marked_and_it_is_said_why(save: Save) -> None:
    async with looking_at(save({"a": torch.zeros(2), "epoch": 7})) as looker:
        await go(looker, "epoch")
        await looker.press("m")
        assert said(looker).startswith("epoch is neither a tensor nor a block")
        await looker.press("equals_sign")
        assert said(looker).startswith("mark a row first")


async def test_a_row_is_not_compared_with_itself_nor_a_block_with_a_tensor(save: Save) -> None:
    async with looking_at(save(nn.Sequential(nn.Linear(2, 2)).state_dict())) as looker:
        await go(looker, "0")
        await looker.press("m", "equals_sign")
        assert said(looker).startswith("this is the marked row")
        await go(looker, "0.weight")
        await looker.press("equals_sign")
        assert said(looker).startswith("a block and a tensor cannot be compared: 0 is a block, 0.weight")


async def test_tensors_of_other_shapes_are_not_compared_and_both_shapes_are_said(save: Save) -> None:
    async with looking_at(save(two(torch.zeros(2, 3), torch.zeros(3, 2)))) as looker:
        await mark_and_go(looker, "a", "b")
        await looker.press("equals_sign")
        assert said(looker) == "shapes differ: a [2, 3], b [3, 2]"
        assert looker.app.screen is looker.app.browser


async def test_while_something_runs_nothing_is_compared() -> None:
    async with on_model(tutorial_net()) as looker:
        await mark_and_go(looker, "2.weight", "4.weight")
        hold = asyncio.Event()

        async def running() -> None:
            await hold.wait()

        looker.app.browser.carry_out("backward", running())
        await looker.until(lambda: looker.app.browser.busy)
        await looker.press("equals_sign")
        assert said(looker) == "backward is still running: esc stops it"
        hold.set()
        await looker.until(lambda: not looker.app.browser.busy)


# Two tensors


async def test_the_tied_layers_of_the_tutorial_are_the_same_memory() -> None:
    net = tutorial_net()
    assert net[2].weight.data_ptr() == net[4].weight.data_ptr()
    async with on_model(net) as looker:
        text = await compared(looker, "2.weight", "4.weight")
        assert "same memory: one tensor under two names" in text
        equal = "torch.equal(model[2].weight, model[4].weight)"
        line = f"{equal} and model[2].weight.data_ptr() == model[4].weight.data_ptr()"
        assert line in text
        assert eval(line, {"torch": torch, "model": net}) is True
        assert {letters for line in entries(looker) for letters in line} == {"··", "[]"}


async def test_equal_copies_are_not_called_shared() -> None:
    net: Any = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    net[1].load_state_dict(net[0].state_dict())
    async with on_model(net) as looker:
        text = await compared(looker, "0.weight", "1.weight")
        assert "equal bits, but two copies in memory" in text
        assert "torch.equal(model[0].weight, model[1].weight)" in text
        assert "share" not in text
        assert "data_ptr" not in text


async def test_one_element_that_differs_is_named_and_drawn(save: Save) -> None:
    a = torch.arange(64.0).reshape(8, 8)
    b = a.clone()
    b[5, 3] = 44
    async with looking_at(save(two(a, b))) as looker:
        text = await compared(looker)
        assert "different: 1 of 64 elements (1.56 %)" in text
        assert "largest |a-b| 1 at [5, 3]: a 43, b 44" in text
        assert f"relative |a-b| / max(|a|, |b|) {1 / 44:.6g} at the same place" in text
        assert "first [5, 3]" in text
        assert picture(looker).cursor == (5, 3)
        await looker.until(lambda: "[5, 3] different: a 43, b 44" in words(looker, "#compare-place"))
        await looker.pilot.press("left")
        assert entries(looker) == [
            [
                " 9" if (row, column) == (5, 3) else "[]" if (row, column) == (5, 2) else "··"
                for column in range(8)
            ]
            for row in range(8)
        ]
        await looker.until(lambda: "[5, 2] equal: 42" in words(looker, "#compare-place"))


async def test_the_picture_of_a_large_tensor_counts_what_torch_counts(save: Save) -> None:
    torch.manual_seed(1)
    a = torch.randn(900, 700)
    b = a.clone()
    b[300:320, 100:140] += torch.rand(20, 40)
    async with looking_at(save(two(a, b))) as looker:
        text = await compared(looker)
        shown = picture(looker)._picture
        assert shown is not None
        height, width = shown.cell
        assert f"each cell is {height} x {width} elements" in text
        assert shown.rows * height >= 900 > (shown.rows - 1) * height
        for row in range(shown.rows):
            for column in range(shown.columns):
                part = slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)
                assert shown.counts[row][column] == int((a[part] != b[part]).sum())
        row, column = picture(looker).cursor
        part = slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)
        place = words(looker, "#compare-place")
        assert place.startswith(
            f"[{row * height}:{(row + 1) * height}, {column * width}:{(column + 1) * width}]"
        )
        assert f"{int((a[part] != b[part]).sum()):,} differ" in place
        assert f"by {float((a[part].double() - b[part].double()).abs().max()):.6g} at most" in place


async def test_n_goes_through_the_entries_that_differ_and_around(save: Save) -> None:
    a = torch.zeros(6, 6)
    b = a.clone()
    for index in ((0, 2), (3, 1), (5, 5)):
        b[index] = 1
    async with looking_at(save(two(a, b))) as looker:
        await compared(looker)
        assert picture(looker).cursor == (0, 2)
        for key, place in (("n", (3, 1)), ("n", (5, 5)), ("n", (0, 2)), ("N", (5, 5)), ("N", (3, 1))):
            await looker.pilot.press(key)
            assert picture(looker).cursor == place


async def test_enter_goes_to_that_place_in_the_values(save: Save) -> None:
    a = torch.zeros(500, 300)
    b = a.clone()
    b[411, 222] = 3
    async with looking_at(save(two(a, b))) as looker:
        await compared(looker)
        await looker.press("enter")
        aim = looker.values.aim
        assert aim is not None
        # The one element that differs, not the corner of the entry that it is in.
        assert aim.mark == (411, 222)
        assert looker.app.focused is looker.values
        assert "3." in looker.numbers()[411 - aim.top]
        assert looker.at().split()[1] == "b"


async def test_on_a_narrow_screen_too_enter_goes_to_the_place(save: Save) -> None:
    b = torch.zeros(8, 4)
    b[6, 1] = 3
    async with looking_at(save(two(torch.zeros(8, 4), b)), size=NARROW) as looker:
        await compared(looker)
        await looker.pilot.press("enter")
        await looker.settle()
        assert looker.app.focused is looker.values
        assert looker.values.aim is not None
        assert looker.values.aim.mark == (6, 1)
        assert "3." in looker.numbers()[6 - looker.values.aim.top]


async def test_swapped_enter_goes_to_the_other_tensor(save: Save) -> None:
    a, b = torch.zeros(4, 4), torch.zeros(4, 4)
    a[2, 1], b[0, 3] = 5, float("nan")
    async with looking_at(save(two(a, b))) as looker:
        assert "NaN in a alone: 0, in b alone: 1" in await compared(looker)
        await looker.pilot.press("x")
        text = await dialog_said(looker)
        assert "NaN in a alone: 1, in b alone: 0" in text
        assert "at [2, 1]: a 0, b 5" in text
        assert text.startswith("╭─ b = a?")
        await looker.pilot.press("n")
        await looker.press("enter")
        assert looker.at().split()[1] == "a"
        aim = looker.values.aim
        assert aim is not None
        assert aim.mark == (2, 1)


async def test_nan_infinity_and_small_differences_have_letters_of_their_own(save: Save) -> None:
    a = torch.zeros(1, 8, dtype=torch.float64)
    b = torch.tensor([[0, float("nan"), float("inf"), 1, 0.05, 0.002, 1e-7, 0]], dtype=torch.float64)
    async with looking_at(save(two(torch.cat([a, a]), torch.cat([b, b])))) as looker:
        text = await compared(looker)
        assert entries(looker)[1] == ["··", "NN", "II", " 9", "▓▓", "▒▒", "░░", "··"]
        assert "NN NaN in one II infinite" in text
        assert "1-9 tenths of 1 ▓▓ > 0.01 ▒▒ > 0.001 ░░ less" in text


async def test_letters_and_not_colours_alone_tell_what_differs(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = torch.zeros(3, 3)
    b = a.clone()
    b[1, 1], b[2, 2] = 1, 0.0001
    path = save(two(a, b))
    drawn: dict[str, list[list[str]]] = {}
    for depth in ("truecolor", "256", "standard", "mono"):
        monkeypatch.setattr("paramtui.tui.terminal.colour_depth", lambda app, depth=depth: depth)
        async with looking_at(path) as looker:
            await compared(looker)
            drawn[depth] = entries(looker)
            line = picture(looker).render_line(3)
            (ink,) = {str(piece.style and piece.style.color) for piece in line if "░" in piece.text}
            assert (ink == str(picture(looker).rich_style.color)) == (depth == "mono")
    assert all(found == drawn["mono"] for found in drawn.values())
    assert drawn["mono"][2] == ["··", "··", "░░"]


async def test_nan_at_the_same_places_is_equal_and_that_is_said(save: Save) -> None:
    a = torch.tensor([1.0, float("nan")])
    async with looking_at(save(two(a, a.clone()))) as looker:
        text = await compared(looker)
        assert "equal bits, but two copies in memory" in text
        assert "·· equal (NaN to NaN too)" in text


async def test_equal_values_of_other_types_and_zeros_of_two_signs_are_told_apart(save: Save) -> None:
    async with looking_at(
        save({**two(torch.zeros(4), -torch.zeros(4)), "c": torch.zeros(4, dtype=torch.float64)})
    ) as looker:
        text = await compared(looker)
        assert "equal values, but two copies in memory" in text
        assert "4 equal numbers with other bits" in text
        await looker.press("escape")
        await go(looker, "c")
        await looker.pilot.press("equals_sign")
        assert "bits were not compared: one is float32, the other float64" in await dialog_said(looker)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1000,), (2, 3, 4, 5)])
@pytest.mark.parametrize("size", [NARROW, (20, 6)])
async def test_tensors_of_any_shape_are_compared_on_small_screens(
    save: Save, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    a = torch.zeros(shape)
    b = a + 1
    async with looking_at(save(two(a, b)), size=size) as looker:
        await compared(looker)
        for key in ("n", "down", "right", "pagedown", "left", "up", "L", "x"):
            await looker.pilot.press(key)
        place = picture(looker).extent
        await looker.press("enter")
        # Without elements there is no place to go to.
        assert (looker.app.screen is looker.app.browser) == bool(a.numel())
        assert (place is None) == (not a.numel())


async def test_at_80x24_all_is_in_sight(save: Save) -> None:
    torch.manual_seed(2)
    a = torch.randn(300, 200)
    b = a.clone()
    b[7] += torch.logspace(-6, 0, 200)
    b[299, 0] = float("nan")
    async with looking_at(save(two(a, b)), size=NARROW) as looker:
        text = await compared(looker)
        for part in (
            "different:",
            "largest",
            "relative",
            "first",
            "each cell is",
            "·· equal",
            "NN NaN",
            "esc closes",
        ):
            assert part in text
        assert "differ" in words(looker, "#compare-place")
        box = looker.app.screen.query_one("#compare").region
        assert box.y >= 0 and box.bottom <= NARROW[1]


async def test_a_smaller_screen_keeps_the_cursor_of_the_picture_in_sight(save: Save) -> None:
    a = torch.zeros(25, 40)
    b = a.clone()
    b[24, 39] = 1
    async with looking_at(save(two(a, b))) as looker:
        await compared(looker)
        assert picture(looker).cursor == (24, 39)
        await looker.pilot.resize_terminal(60, 20)
        await looker.until(lambda: any("[]" in line for line in lines_of(picture(looker))))
        box = looker.app.screen.query_one("#compare").region
        assert box.bottom <= 20


async def test_a_declared_name_stands_for_the_tensor_it_is_declared_to_be(tmp_path: Path) -> None:
    save_file(
        {"model.embed_tokens.weight": torch.ones(4, 2), "other.weight": torch.ones(4, 2)},
        tmp_path / "model.safetensors",
    )
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    async with looking_at(tmp_path / "model.safetensors") as looker:
        text = await compared(looker, "lm_head.weight", "model.embed_tokens.weight")
        assert "one tensor: declared by" in text
        assert "data_ptr" not in text
        await looker.press("escape")
        await go(looker, "other.weight")
        await looker.pilot.press("equals_sign")
        assert "equal bits, but two copies in memory" in await dialog_said(looker)


async def test_the_line_of_pytorch_is_copied(save: Save) -> None:
    path = save(two(torch.zeros(2), torch.zeros(2)))
    async with looking_at(path) as looker:
        await compared(looker)
        await looker.pilot.press("y")
        assert eval(looker.app.clipboard, {"torch": torch}) is True


async def test_esc_stops_a_comparison_and_then_closes() -> None:
    source = Gated(source_of(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))))
    async with on_model(source) as looker:
        await mark_and_go(looker, "0.weight", "1.weight")
        source.gate.clear()
        before = source.asked
        await looker.pilot.press("equals_sign")
        await looker.until(lambda: source.asked > before)
        await looker.until(
            lambda: "comparing: 0 % of 64 elements esc stops" in words(looker, "#compare-facts")
        )
        await looker.pilot.press("escape")
        assert "stopped after 0 %" in await dialog_said(looker)
        source.gate.set()
        await looker.press("escape")
        assert looker.app.screen is looker.app.browser


async def test_numbers_that_cannot_be_read_say_why(save: Save) -> None:
    path = save(two(torch.zeros(400, 400), torch.ones(400, 400)))
    async with looking_at(path) as looker:
        await mark_and_go(looker, "a", "b")
        path.write_bytes(path.read_bytes()[:1000])
        await looker.pilot.press("equals_sign")
        await dialog_said(looker)
        text = words(looker, "#compare-facts")
        assert text
        assert "different" not in text and "equal" not in text


async def test_keys_typed_at_once_reach_the_comparison(save: Save) -> None:
    b = torch.zeros(4, 4)
    b[1, 1] = b[2, 2] = 1
    async with looking_at(save(two(torch.zeros(4, 4), b))) as looker:
        await mark_and_go(looker, "a", "b")
        await burst(looker, "=", "q")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        assert looker.app.is_running


# Two blocks


async def test_blocks_are_compared_name_by_name() -> None:
    net: Any = nn.ModuleDict(
        {
            "x": nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)),
            "y": nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(1, 1, bias=False)),
        }
    )
    net["y"][0].weight = net["x"][0].weight
    with torch.no_grad():
        net["y"][0].bias.copy_(net["x"][0].bias)
        net["y"][1].weight.copy_(net["x"][1].weight)
        net["y"][1].weight[2, 0] += 4
    net["y"][1].bias = nn.Parameter(torch.zeros(2))
    async with on_model(net) as looker:
        text = await compared(looker, "x", "y")
        assert (
            "5 names: 1 same memory, 1 equal bits, 1 different, 1 not compared, 1 only in the second" in text
        )
        lines = [line.split(maxsplit=1) for line in lines_of(looker.app.screen.query_one(PairList))]
        largest = (net["x"][1].weight - net["y"][1].weight).abs().max().item()
        assert [(name.lstrip(">"), " ".join(rest.split())) for name, rest in lines] == [
            ("0.weight", "same memory"),
            ("0.bias", "equal bits"),
            ("1.weight", f"different 1 of 9 {largest:.4g}"),
            ("1.bias", "shapes differ: [3] and [2]"),
            ("2.weight", "only in the second"),
        ]
        # The next one that differs, opened: the comparison of its own.
        await looker.pilot.press("n", "enter")
        await looker.until(lambda: isinstance(looker.app.screen, CompareScreen))
        assert "different: 1 of 9 elements" in await dialog_said(looker)
        await looker.pilot.press("escape")
        await looker.until(lambda: isinstance(looker.app.screen, CompareBlocksScreen))
        await looker.pilot.press("enter")
        await dialog_said(looker)
        await looker.press("enter")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await looker.settle()
        assert looker.at().split()[1] == "weight"
        aim = looker.values.aim
        assert aim is not None
        assert aim.mark == (2, 0)
        assert aim.tensor == looker.app.browser.opened.listing.names.index("y.1.weight")  # type: ignore[union-attr]


async def test_lines_of_blocks_appear_as_they_are_done_and_stay_when_stopped() -> None:
    source = Gated(source_of(tutorial_net()))
    async with on_model(source) as looker:
        await mark_and_go(looker, "0", "2")
        source.gate.clear()
        await looker.pilot.press("equals_sign")
        await looker.until(lambda: isinstance(looker.app.screen, CompareBlocksScreen))
        listed = looker.app.screen.query_one(PairList)
        # Other shapes are known without numbers, equal ones wait for them.
        await looker.until(lambda: len(listed.outcomes) == 1)
        assert "shapes differ" in lines_of(listed)[0]
        assert lines_of(listed)[1].split() == ["bias", "…"]
        await looker.until(lambda: "comparing 2 of 2" in words(looker, "#blocks-sums"))
        await looker.pilot.press("escape")
        assert "stopped after 1 of 2" in await dialog_said(looker)
        source.gate.set()
        await looker.press("escape")
        assert looker.app.screen is looker.app.browser


@pytest.mark.parametrize("size", [NARROW, WIDE, (200, 60)])
async def test_many_pairs_scroll_and_fit_any_screen(save: Save, size: tuple[int, int]) -> None:
    a = {f"layer{place}": torch.full((2,), float(place)) for place in range(200)}
    b = {name: tensor + (name == "layer150") for name, tensor in a.items()}
    async with looking_at(save({"a": a, "b": b}), size=size) as looker:
        text = await compared(looker)
        assert "200 names: 199 equal bits, 1 different" in text
        await looker.pilot.press("n")
        listed = looker.app.screen.query_one(PairList)
        assert listed.pair.name == "layer150"
        (shown,) = [line for line in lines_of(listed) if line.startswith(">")]
        assert shown.split()[:5] == [">layer150", "different", "2", "of", "2"]
        box = looker.app.screen.query_one("#compare-blocks").region
        assert box.bottom <= size[1]
        await looker.pilot.press("end")
        assert listed.pair.name == "layer199"
        assert any(line.startswith(">layer199") for line in lines_of(listed))


async def test_what_the_screen_says_is_what_the_comparison_says(save: Save) -> None:
    torch.manual_seed(3)
    a = torch.randint(0, 3, (40, 50))
    b = torch.randint(0, 3, (40, 50))
    path = save(two(a, b))
    async with looking_at(path) as looker:
        text = await compared(looker)
        opened = looker.app.browser.opened
        assert opened is not None
        found = await compare(opened.source, 0, 1)
        assert f"different: {found.different:,} of 2,000 elements" in text
        assert found.different == int((a != b).sum())
        assert found.largest is not None
        assert f"largest |a-b| {found.largest.amount}" in text
