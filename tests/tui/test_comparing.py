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
from paramtui.tui.widgets.pair_list import PairHeading, PairList
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


def under_cursor(looker: Looker) -> list[str]:
    """What the picture shows in reverse video."""
    shown = picture(looker)
    lines = [list(shown.render_line(y)) for y in range(shown.size.height)]
    return [piece.text for line in lines for piece in line if piece.style and piece.style.reverse]


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
        line = "model[2].weight.is_set_to(model[4].weight)"
        assert line in text
        assert eval(line, {"torch": torch, "model": net}) is True
        assert {letters for line in entries(looker) for letters in line} == {"··"}


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
            [" 9" if (row, column) == (5, 3) else "··" for column in range(8)] for row in range(8)
        ]
        assert under_cursor(looker) == ["··"]
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
        await looker.until(lambda: looker.app.screen.settled)  # type: ignore[attr-defined]
        await looker.until(lambda: under_cursor(looker) == [" 9"])
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


# What a trial has found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex64])
async def test_the_line_of_pytorch_agrees_where_nan_stands_at_the_same_places(
    save: Save, dtype: torch.dtype
) -> None:
    a = torch.tensor([1, float("nan"), 3]).to(dtype)
    assert not torch.equal(a, a.clone())
    async with looking_at(save(two(a, a.clone()))) as looker:
        assert "equal bits" in await compared(looker)
        await looker.pilot.press("y")
        line = looker.app.clipboard
        assert "equal_nan=True" in line
        assert eval(line, {"torch": torch}) is True


async def test_the_line_of_pytorch_agrees_where_values_differ(save: Save) -> None:
    a = torch.tensor([1.0, float("nan"), 3.0])
    async with looking_at(save({**two(a, a + 1), "c": torch.zeros(3)})) as looker:
        assert "different" in await compared(looker)
        await looker.pilot.press("y")
        assert eval(looker.app.clipboard, {"torch": torch}) is False
        await looker.press("escape")
        await go(looker, "c")
        await looker.pilot.press("equals_sign")
        assert "NaN in a alone: 1" in await dialog_said(looker)
        await looker.pilot.press("y")
        assert looker.app.clipboard.startswith("torch.equal(")
        assert eval(looker.app.clipboard, {"torch": torch}) is False


@pytest.mark.filterwarnings("ignore:Sparse CSR")
async def test_no_line_is_shown_that_pytorch_refuses(save: Save) -> None:
    a = torch.eye(4).to_sparse()
    with pytest.raises(NotImplementedError):
        torch.equal(a, a.clone())
    state = {**two(a, a.clone()), "i": torch.ones(4, 4, dtype=torch.int64), "f": torch.ones(4, 4)}
    async with looking_at(save(state)) as looker:
        text = await compared(looker)
        assert "equal values" in text
        assert "torch." not in words(looker, "#compare").replace("torch-zip", "")
        await looker.pilot.press("y")
        assert words(looker, "#compare-place") == "PyTorch has no line that says this"
        await looker.press("escape")
        # Widened to float32 whole numbers lose digits.
        await mark_and_go(looker, "i", "f")
        await looker.pilot.press("equals_sign")
        assert "torch.equal" not in await dialog_said(looker)


async def test_aliases_of_a_file_are_not_said_to_lie_at_one_place_after_two_loads(save: Save) -> None:
    a = torch.tensor([1.0, float("nan")])
    async with looking_at(save(two(a, a))) as looker:
        assert "same memory" in await compared(looker)
        await looker.pilot.press("y")
        assert eval(looker.app.clipboard, {"torch": torch}) is True


async def test_aliases_of_a_model_are_one_for_pytorch_too_whatever_they_hold() -> None:
    net: Any = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    with torch.no_grad():
        net[0].weight[0, 0] = float("nan")
    async with on_model(net) as looker:
        assert "same memory" in await compared(looker, "0.weight", "1.weight")
        await looker.pilot.press("y")
        assert eval(looker.app.clipboard, {"torch": torch, "model": net}) is True


async def test_sentences_about_a_pair_have_few_digits_and_are_not_cut(save: Save) -> None:
    torch.manual_seed(5)
    a = {"w": torch.randn(8, 4, dtype=torch.float64)}
    b = {"w": torch.randn(8, 4, dtype=torch.float64)}
    async with looking_at(save({"p": a, "q": b}), size=(60, 24)) as looker:
        await compared(looker, "p", "q")
        detail = words(looker, "#blocks-detail")
        gaps = (a["w"] - b["w"]).abs()
        index = divmod(int(gaps.argmax()), 4)
        largest = f"The largest difference is {gaps.max():.6g} at [{index[0]}, {index[1]}]"
        assert f"{largest}: {a['w'][index]:.6g} and {b['w'][index]:.6g}." in detail
        assert detail.endswith(".")


async def test_columns_of_pairs_have_headings_and_other_types_are_shown(save: Save) -> None:
    a = {"w": torch.zeros(3), "v": torch.ones(3)}
    b = {"w": torch.ones(3, dtype=torch.float64), "v": torch.zeros(3)}
    async with looking_at(save({"p": a, "q": b})) as looker:
        await compared(looker, "p", "q")
        (heading,) = lines_of(looker.app.screen.query_one(PairHeading))
        first, second = lines_of(looker.app.screen.query_one(PairList))
        assert heading.split() == ["name", "types", "differ", "by", "at", "most"]
        assert first.split() == [">w", "different", "f32,", "f64", "3", "of", "3", "1"]
        assert second.split() == ["v", "different", "3", "of", "3", "1"]
        for words_above, below in (("types", "f32, f64"), ("differ", "3 of 3"), ("name", "w")):
            assert heading.index(words_above) == first.index(below)
        assert heading.index("by at most") == first.rindex("1")


async def test_why_a_pair_is_not_compared_takes_the_room_that_its_name_leaves(save: Save) -> None:
    a = {"w": torch.zeros(8, 4), "v": torch.zeros(1)}
    b = {"w": torch.zeros(8, 4, 2), "v": torch.zeros(1)}
    async with looking_at(save({"p": a, "q": b}), size=(60, 24)) as looker:
        await compared(looker, "p", "q")
        assert "shapes differ: [8, 4] and [8, 4, 2]" in lines_of(looker.app.screen.query_one(PairList))[0]


class Halting(Gated):
    """A source that gives a first long row of two tensors, and others only when the gate is open."""

    async def window(self, tensor: int, picks: Any) -> Any:
        if len(picks[-1]) < LONG:
            return await self.source.window(tensor, picks)
        if picks[0][0] > 0:
            return await super().window(tensor, picks)
        return await self.source.window(tensor, picks)


LONG = 1 << 19


@pytest.mark.parametrize(
    ("change", "found"),
    [(0, "equal so far"), (1, "1 element differs so far"), (2, "2 elements differ so far")],
)
async def test_a_stopped_comparison_says_what_it_has_found(change: int, found: str) -> None:
    net: Any = nn.ParameterDict({"a": torch.zeros(3, LONG), "b": torch.zeros(3, LONG)})
    net["b"].data[0, 7 : 7 + change] = 1
    source = Halting(source_of(net))
    async with on_model(source) as looker:
        await mark_and_go(looker, "a", "b")
        source.gate.clear()
        await looker.pilot.press("equals_sign")
        await looker.until(lambda: source.asked == 2)
        await looker.pilot.press("x")
        assert words(looker, "#compare-place") == "x swaps when it is done"
        await looker.pilot.press("enter")
        assert words(looker, "#compare-place") == "there is nothing yet to go to"
        await looker.pilot.press("escape")
        assert f"stopped after 33 %: {found}, nothing is known of the rest" in await dialog_said(looker)
        await looker.pilot.press("x")
        assert words(looker, "#compare-place") == "nothing is known to swap"
        source.gate.set()
        await looker.press("escape")
        assert looker.app.screen is looker.app.browser


async def test_a_convolution_is_seen_by_more_than_its_last_dimension(save: Save) -> None:
    a = torch.zeros(64, 3, 7, 7)
    b = a.clone()
    b[40, 1, 2, 3] = 5
    async with looking_at(save(two(a, b))) as looker:
        text = await compared(looker)
        shown = picture(looker)._picture
        assert shown is not None
        assert shown.columns >= 40
        assert shown.width in (49, 147)
        assert ("rows: dims 0-1; columns: dims 2-3" in text) == (shown.width == 49)
        assert ("rows: dim 0; columns: dims 1-3" in text) == (shown.width == 147)
        extent = picture(looker).extent
        assert extent is not None
        assert extent.first <= (40, 1, 2, 3) <= extent.last
        await looker.press("enter")
        aim = looker.values.aim
        assert aim is not None
        assert (aim.index[:2], aim.mark) == ((40, 1), (2, 3))


@pytest.mark.parametrize("depth", ["truecolor", "256", "standard", "mono"])
async def test_the_cursor_does_not_hide_what_it_stands_on(
    save: Save, monkeypatch: pytest.MonkeyPatch, depth: str
) -> None:
    monkeypatch.setattr("paramtui.tui.terminal.colour_depth", lambda app: depth)
    b = torch.zeros(4, 4)
    b[1, 2], b[3, 3] = 1, float("nan")
    async with looking_at(save(two(torch.zeros(4, 4), b))) as looker:
        await compared(looker)
        assert under_cursor(looker) == [" 9"]
        await looker.pilot.press("n")
        assert under_cursor(looker) == ["NN"]
        await looker.pilot.press("left")
        assert under_cursor(looker) == ["··"]


@pytest.mark.parametrize("size", [NARROW, (100, 24), WIDE])
async def test_enter_shows_a_place_near_the_end_in_a_full_window(save: Save, size: tuple[int, int]) -> None:
    b = torch.zeros(30, 4)
    b[27, 1] = 3
    async with looking_at(save(two(torch.zeros(30, 4), b)), size=size) as looker:
        await compared(looker)
        await looker.pilot.press("enter")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await looker.until(lambda: looker.values.size.width and looker.values.settled)
        await looker.settle()
        rows = [line.split()[0] for line in looker.grid()[1:]]
        height, _ = looker.values._room()
        assert rows == [str(row) for row in range(30 - min(height, 30), 30)]
        aim = looker.values.aim
        assert aim is not None
        assert aim.mark == (27, 1)
        at = next(y for y, text in enumerate(looker.page()) if " 27 " in text)
        line = looker.values.render_line(at)
        marked = looker.values.get_component_rich_style("values--mark").bgcolor
        assert [piece.text.strip() for piece in line if piece.style and piece.style.bgcolor == marked] == [
            "3."
        ]


async def test_the_picture_is_made_anew_for_another_room(save: Save) -> None:
    torch.manual_seed(1)
    a = torch.randn(300, 200)
    b = a.clone()
    b[100:140, 50:90] += 1
    async with looking_at(save(two(a, b)), size=NARROW) as looker:
        await compared(looker)
        await looker.pilot.press("n", "x")
        small, extent = picture(looker)._picture, picture(looker).extent
        assert small is not None and extent is not None
        await looker.pilot.resize_terminal(160, 50)
        await looker.until(lambda: picture(looker)._picture is not small)
        await looker.until(lambda: looker.app.screen.settled)  # type: ignore[attr-defined]
        large = picture(looker)._picture
        assert large is not None
        assert large.rows > small.rows and large.columns > small.columns
        for row in range(large.rows):
            for column in range(large.columns):
                height, width = large.cell
                part = (
                    slice(row * height, (row + 1) * height),
                    slice(column * width, (column + 1) * width),
                )
                assert large.counts[row][column] == int((a[part] != b[part]).sum())
        # The cursor is where it was, and the sides are still swapped.
        here = picture(looker).extent
        assert here is not None
        assert extent.first[0] <= here.last[0] and here.first[0] <= extent.last[0]
        assert extent.first[1] <= here.last[1] and here.first[1] <= extent.last[1]
        assert words(looker, "#compare").startswith("╭─ b = a?")


async def test_arrows_tell_that_more_of_the_picture_follows(save: Save) -> None:
    async with looking_at(save(two(torch.zeros(20, 30), torch.ones(20, 30)))) as looker:
        await compared(looker)
        shown = picture(looker)
        shown.allow(5)
        shown.styles.width = 24
        await looker.until(lambda: shown.size.width == 24 and shown.size.height == 6)
        lines = [shown.render_line(y).text for y in range(6)]
        assert lines[0].endswith("→")
        assert ["↓" in line for line in lines] == [False] * 5 + [True]
        assert not any("↑" in line or "←" in line for line in lines)
        shown.go_to((19, 29))
        lines = [shown.render_line(y).text for y in range(6)]
        assert "←" in lines[0] and not lines[0].endswith("→")
        assert ["↑" in line for line in lines] == [False, True, False, False, False, False]
        assert not any("↓" in line for line in lines)


async def test_facts_are_wrapped_and_the_dialog_still_fits(save: Save) -> None:
    torch.manual_seed(4)
    a = torch.randn(30, 20, 9, 9, dtype=torch.float64)
    b = a + torch.randn(30, 20, 9, 9, dtype=torch.float64)
    async with looking_at(save(two(a, b)), size=NARROW) as looker:
        text = await compared(looker)
        gaps = (a - b).abs() / torch.maximum(a.abs(), b.abs())
        index = tuple(int(at) for at in torch.unravel_index(gaps.argmax(), gaps.shape))
        relative = f"{gaps.max():.6g} at [{', '.join(map(str, index))}]: a {a[index]:.6g}, b {b[index]:.6g}"
        assert relative in text
        assert "esc closes" in text
        assert "differ" in words(looker, "#compare-place")
        assert looker.app.screen.query_one("#compare").region.bottom <= NARROW[1]


async def test_a_question_mark_shows_the_keys_of_the_dialogs(save: Save) -> None:
    state = {"p": {"a": torch.zeros(2)}, "q": {"a": torch.ones(2)}}
    async with looking_at(save(state)) as looker:
        await compared(looker, "p", "q")
        await looker.pilot.press("question_mark")
        assert "enter compares the pair in full" in words(looker, "#blocks-detail")
        await looker.pilot.press("enter")
        await looker.until(lambda: isinstance(looker.app.screen, CompareScreen))
        before = await dialog_said(looker)
        await looker.pilot.press("question_mark")
        assert "y copies the line of PyTorch" in words(looker, "#compare-facts")
        await looker.pilot.press("question_mark")
        assert await dialog_said(looker) == before
