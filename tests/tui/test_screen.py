"""The screen on small files: what it shows, and where the keys lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paramtui.tui.app import FAILED, ParamtuiApp
from paramtui.tui.screens.help import HelpScreen
from tests.tui.screens import looking_at, open_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def network() -> dict[str, Any]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    return {"model": net.state_dict(), "epoch": 7}


async def test_a_checkpoint_opens_on_its_first_block_with_totals_in_the_title(save: Save) -> None:
    path = save(network())
    async with looking_at(path) as looker:
        title = looker.title()
        for part in ("paramtui", path.name, "torch-zip", "4 tensors", "49 elements", "196 B", "read only"):
            assert part in title
        assert looker.at().split() == [">▸", "model", "49", "196", "B"]
        assert looker.rows()[1].split() == ["epoch", "7"]


async def test_a_safetensors_file_opens_too(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a.weight": torch.arange(6.0).reshape(2, 3)}, path)
    async with looking_at(path) as looker:
        await looker.press("right", "right")
        assert looker.at().split() == [">", "weight", "[2,", "3]", "f32", "24", "B"]
        assert [line.split() for line in looker.page()[-2:]] == [
            ["0", "0.", "1.", "2."],
            ["1", "3.", "4.", "5."],
        ]


async def test_enter_and_space_and_arrows_open_and_close_blocks(save: Save) -> None:
    async with looking_at(save(network())) as looker:
        closed = looker.rows()
        for open_key, close_key in (("enter", "enter"), ("space", "space"), ("right", "left"), ("l", "h")):
            await looker.press(open_key)
            assert [line.split()[-1] for line in looker.rows()] != closed
            assert looker.rows()[0].startswith(">▾ model")
            assert [line.strip().split()[1] for line in looker.rows()[1:3]] == ["0", "2"]
            await looker.press(close_key)
            assert looker.rows() == closed


async def test_plus_opens_everything_and_minus_closes_it_with_the_cursor_on_the_block_around(
    save: Save,
) -> None:
    async with looking_at(save(network())) as looker:
        await looker.press("plus")
        names = [line.lstrip("> ▾▸").split()[0] for line in looker.rows()]
        assert names == ["model", "0", "weight", "bias", "2", "weight", "bias", "epoch"]
        await looker.press("down", "down", "minus")
        assert looker.at().startswith(">▸ model")
        assert len(looker.rows()) == 2


async def test_left_goes_to_the_block_around_and_right_into_a_block(save: Save) -> None:
    async with looking_at(save(network())) as looker:
        await looker.press("right", "right", "right", "right")
        assert "weight" in looker.at()
        await looker.press("left")
        assert looker.at().lstrip("> ").startswith("▾ 0")
        await looker.press("left", "left")
        assert looker.at().startswith(">▾ model")


async def test_the_numbers_on_screen_are_those_of_the_tensor(save: Save) -> None:
    tensor = torch.randn(30, 5, generator=torch.Generator().manual_seed(1))
    async with looking_at(save({"w": tensor})) as looker:
        assert looker.page()[0].startswith("tensor  float32  [30, 5]  150 elements  600 B")
        columns, *rows = looker.grid()
        assert columns.split() == ["0", "1", "2", "3", "4"]
        for row, line in enumerate(rows):
            label, *cells = line.split()
            assert int(label) == row
            assert [float(cell) for cell in cells] == pytest.approx(tensor[row].tolist(), abs=5e-5)
        assert len(rows) > 15


async def test_cells_scroll_to_the_last_row_and_column(save: Save) -> None:
    tensor = torch.arange(500 * 300).reshape(500, 300)
    async with looking_at(save({"w": tensor})) as looker:
        await looker.press("tab", "end", "dollar_sign")
        label, *cells = looker.page()[-1].split()
        assert label == "499"
        assert [int(cell) for cell in cells] == tensor[-1, -len(cells) :].tolist()
        await looker.press("up", "left")
        label, *cells = looker.page()[-1].split()
        assert label == "498"
        assert [int(cell) for cell in cells] == tensor[-2, -len(cells) - 1 : -1].tolist()
        await looker.press("home", "0")
        assert looker.grid()[1].split()[:3] == ["0", "0", "1"]
        await looker.press("pagedown")
        height = len(looker.grid()) - 1
        assert looker.grid()[1].split()[:2] == [str(height), str(height * 300)]


async def test_brackets_step_through_leading_dimensions(save: Save) -> None:
    tensor = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    async with looking_at(save({"w": tensor})) as looker:
        assert any(line.startswith("slice [0, 0, :, :]  1 of 6") for line in looker.page())
        await looker.press("tab", *["right_square_bracket"] * 4)
        assert any(line.startswith("slice [1, 1, :, :]  5 of 6") for line in looker.page())
        assert looker.page()[-1].split() == ["1", *map(str, tensor[1, 1, 1].tolist())]
        await looker.press("left_square_bracket")
        assert looker.page()[-1].split() == ["1", *map(str, tensor[1, 0, 1].tolist())]


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.tensor(3.5), ["3.5000"]),
        (torch.tensor([1, -2]), ["0   1", "1  -2"]),
        (torch.tensor([[True, False]]), ["0      1", "0  True  False"]),
        (torch.tensor([[0.0, float("nan"), -float("inf")]]), ["0    1     2", "0  0.  nan  -inf"]),
        (torch.tensor([1e-9, 20.0]).view(1, 2), ["0        1", "0  1.0e-09  20.0000"]),
        (torch.tensor([[1 + 2j]]), ["0", "0  1.+2.j"]),
        (torch.zeros(0, 3), ["", "A size is 0: there are no numbers."]),
        (torch.eye(2).to_sparse(), ["0   1", "0  1.  0.", "1  0.  1."]),
        (
            torch.quantize_per_tensor(torch.tensor([0.5, -1.0]), 0.5, 0, torch.qint8),
            ["0   0.5000", "1  -1.0000"],
        ),
        (torch.empty(2, device="meta"), ["storage"]),
    ],
    ids=["scalar", "vector", "bool", "special", "tiny", "complex", "empty", "sparse", "quantised", "meta"],
)
async def test_every_kind_of_tensor_is_shown_or_says_why_not(
    save: Save, tensor: torch.Tensor, expected: list[str]
) -> None:
    async with looking_at(save({"w": tensor})) as looker:
        page = [line.strip() for line in looker.page()]
        if tensor.is_meta:
            assert looker.at().startswith(">?")
            assert "meta" in page[0]
            assert len(looker.grid()) == 2
        else:
            assert [" ".join(line.split()) for line in page][-len(expected) :] == [
                " ".join(line.split()) for line in expected
            ]


async def test_a_ragged_tensor_shows_the_shapes_of_its_components(save: Save) -> None:
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)])
    async with looking_at(save({"w": nested})) as looker:
        assert looker.page()[-2:] == ["[0]  [2, 3]", "[1]  [4, 3]"]


async def test_tensors_that_share_memory_have_the_same_letter_and_name_each_other(save: Save) -> None:
    shared = torch.randn(3, 2)
    async with looking_at(save({"emb": shared, "alone": torch.ones(1), "head": shared})) as looker:
        assert [line[1] for line in looker.rows()] == ["A", " ", "A"]
        assert "A=  the same memory as head" in looker.page()


async def test_a_value_is_written_out_with_its_type(save: Save) -> None:
    async with looking_at(save({"lrs": [0.5] * 40, "w": torch.ones(1)})) as looker:
        page = looker.page()
        assert page[0] == "list"
        assert " ".join(page[1:]).count("0.5") == 40


async def test_text_from_a_file_is_neither_markup_nor_control(save: Save) -> None:
    async with looking_at(
        save({"[bold red]x[/]\x1b[2J": torch.ones(1), "[@click=quit]y": "[b]\r"})
    ) as looker:
        assert "[bold red]x[/]\\x1b[2J" in looker.at()
        assert "[@click=quit]y" in looker.rows()[1]
        assert "[bold red]x[/]\\x1b[2J" in "".join(looker.screen())
        assert "\x1b" not in "".join(looker.screen())


async def test_a_block_shows_its_sums_and_its_children(save: Save) -> None:
    async with looking_at(save(network())) as looker:
        page = looker.page()
        assert "4 tensors  49 elements  196 B" in page
        assert "float32 x4" in page
        assert any(line.split()[:4] == ["0", "160", "B", "2"] for line in page if line)


async def test_the_page_about_the_file_names_its_classes(save: Save) -> None:
    async with looking_at(save(network())) as looker:
        await looker.press("a")
        text = " ".join(looker.page())
        assert "torch._utils._rebuild_tensor_v2" in text
        # By the distribution to the tree.
        await looker.press("tab", "tab")
        assert "torch._utils._rebuild_tensor_v2" not in " ".join(looker.page())


async def test_a_file_that_is_missing_is_said_in_the_tree_s_place_and_in_the_exit_status(
    tmp_path: Path,
) -> None:
    async with looking_at(tmp_path / "missing.pt") as looker:
        assert "no such file or directory" in "".join(looker.screen())
        for key in ("down", "enter", "tab", "a", "question_mark", "q"):
            await looker.pilot.press(key)
        await looker.pilot.press("q")
    assert looker.app.return_code == FAILED


async def test_values_that_are_cut_off_say_so_where_they_would_be(save: Save) -> None:
    path = save({"w": torch.ones(100_000)}, _use_new_zipfile_serialization=False)
    async with looking_at(path) as looker:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 200_000)
        await looker.press("tab", "end")
        assert "tensor  float32" in looker.page()[0]
        assert "changed since it was opened" in " ".join(looker.page())
        await looker.press("home")
        assert ["0", "1."] in [line.split() for line in looker.page()]


async def test_on_80_columns_tree_and_values_take_turns(save: Save) -> None:
    async with looking_at(save(network()), size=(80, 24)) as looker:
        assert not looker.app.browser.query_one("#place").display
        assert looker.tree.size.width > 70
        for back in (["q"], ["left"], ["escape"], ["backspace"], ["tab", "tab"]):
            await looker.press("plus", "home", "down", "down", "enter")
            assert not looker.tree.display
            assert looker.page()[0].startswith("tensor  float32  [8, 4]")
            assert "q back" in looker.footer()
            await looker.press(*back)
            assert looker.tree.display
            assert "weight" in looker.at()
        await looker.pilot.press("q")
    assert looker.app.return_code == 0


async def test_a_window_made_wider_shows_both(save: Save) -> None:
    async with looking_at(save(network()), size=(80, 24)) as looker:
        await looker.pilot.resize_terminal(120, 30)
        await looker.press("down")
        assert looker.tree.display
        assert (looker.page()[0], looker.page()[-1]) == ("int", "7")
        await looker.pilot.resize_terminal(15, 4)
        await looker.until(lambda: "too small" in "".join(looker.screen()))
        await looker.pilot.resize_terminal(120, 30)
        await looker.until(lambda: "read only" in looker.title())


async def test_help_lists_the_keys_and_closes(save: Save) -> None:
    async with looking_at(save(network())) as looker:
        await looker.pilot.press("question_mark")
        assert isinstance(looker.app.screen, HelpScreen)
        assert "open, close all blocks" in "".join(looker.screen())
        await looker.pilot.press("q")
        assert not isinstance(looker.app.screen, HelpScreen)
        assert looker.app.return_code is None


async def test_a_click_selects_and_a_click_on_the_arrow_or_a_second_one_toggles(save: Save) -> None:
    async with looking_at(save(network())) as looker:
        await looker.pilot.click(looker.tree, offset=(10, 2))
        assert "epoch" in looker.at()
        await looker.pilot.click(looker.tree, offset=(2, 1))
        assert looker.at().startswith(">▾ model")
        await looker.pilot.click(looker.tree, offset=(10, 1), times=2)
        assert looker.at().startswith(">▸ model")


async def test_a_held_key_reads_nothing_until_the_cursor_rests(save: Save) -> None:
    path = save({f"w{index}": torch.full((1,), float(index)) for index in range(60)})
    async with looking_at(path) as looker:
        read: list[int] = []
        opened = looker.tree._opened
        assert opened is not None
        source: Any = opened.source
        before = source.window

        async def noting(tensor: int, picks: Any) -> Any:
            read.append(tensor)
            return await before(tensor, picks)

        source.window = noting
        tree = looker.tree
        for _ in range(50):
            tree.action_move(1)
        await looker.press()
        assert read == [50]
        assert looker.page()[-1].split() == ["0", "50."]


async def test_old_numbers_stay_until_the_new_ones_are_there(save: Save) -> None:
    import asyncio

    path = save({"a": torch.tensor([1.0]), "b": torch.tensor([2.0])})
    gate = asyncio.Event()
    async with looking_at(path) as looker:
        opened = looker.tree._opened
        assert opened is not None
        source: Any = opened.source
        fast = source.window

        async def slow(tensor: int, picks: Any) -> Any:
            await gate.wait()
            return await fast(tensor, picks)

        source.window = slow
        await looker.pilot.press("down")
        await looker.until(lambda: looker.values.border_subtitle == "reading…")
        assert looker.page()[-1].split() == ["0", "1."]
        gate.set()
        await looker.until(lambda: looker.values.settled)
        assert looker.page()[-1].split() == ["0", "2."]


async def test_a_hundred_thousand_rows_open_close_and_scroll(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    tensors = {f"layers.{block}.{index}": torch.zeros(1) for block in range(100) for index in range(1000)}
    save_file(tensors, path)
    async with looking_at(path) as looker:
        await looker.press("plus", "end")
        assert looker.tree.virtual_size.height == 100_101
        assert "999" in looker.at()
        await looker.press("pageup", "home", "pagedown", "end", "left", "left")
        assert looker.at().lstrip("> ").startswith("▸ 99")
        assert looker.tree.virtual_size.height == 99_101


async def test_closing_the_terminal_line_ends_the_app_with_the_signal_s_status(save: Save) -> None:
    import os
    import signal

    app = ParamtuiApp(str(save(network())), open_file)
    async with app.run_test() as pilot:
        os.kill(os.getpid(), signal.SIGTERM)
        while app.return_code is None:
            await pilot.pause()
    assert app.return_code == 128 + signal.SIGTERM
