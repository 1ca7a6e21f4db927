"""Finding, filtering, listing and copying names on the screen."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
import torch

from paramtui.core.search import Query
from paramtui.tui.tree_rows import full_label
from tests.tui.screens import Looker, looking_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def layers(count: int = 3) -> dict[str, torch.Tensor]:
    """Weights of 4 x 2 and biases of 4 in numbered layers."""
    state: dict[str, torch.Tensor] = {}
    for layer in range(count):
        state[f"layers.{layer}.weight"] = torch.full((4, 2), float(layer))
        state[f"layers.{layer}.bias"] = torch.full((layer + 1,), float(layer), dtype=torch.float64)
    return {**state, "head.weight": torch.zeros(9)}


def names(looker: Looker) -> list[str]:
    """Whole names of the rows on screen."""
    opened, view = looker.tree._opened, looker.tree.view
    assert opened is not None
    assert view is not None
    return [full_label(opened, row) for row in view.rows]


def here(looker: Looker) -> str:
    opened = looker.tree._opened
    assert opened is not None
    return opened.tree.name(looker.tree.row)


async def typed(looker: Looker, text: str) -> None:
    await looker.pilot.press(
        *({".": "full_stop", "*": "asterisk", "_": "underscore", " ": "space"}.get(c, c) for c in text)
    )
    await looker.settle()


async def test_a_name_is_found_while_it_is_typed_and_enter_stays_there(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("slash")
        await typed(looker, "1.b")
        assert here(looker) == "layers.1.bias"
        await looker.press("enter")
        assert looker.app.focused is looker.tree
        assert looker.at().lstrip("> ").startswith("bias")


async def test_escape_ends_a_find_where_it_began_with_the_blocks_as_they_were(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        before = looker.rows()
        await looker.press("slash")
        await typed(looker, "bias")
        assert looker.rows() != before
        await looker.press("escape")
        assert looker.rows() == before


async def test_n_goes_on_through_all_finds_and_round(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("slash")
        await typed(looker, "bias")
        await looker.press("enter")
        seen = [here(looker)]
        for _ in range(3):
            await looker.press("n")
            seen.append(here(looker))
        assert seen == ["layers.0.bias", "layers.1.bias", "layers.2.bias", "layers.0.bias"]
        await looker.press("N")
        assert here(looker) == "layers.2.bias"


async def test_the_arrows_go_through_the_finds_while_typing(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("slash")
        await typed(looker, "weight")
        first = here(looker)
        await looker.press("down")
        assert (first, here(looker)) == ("layers.0.weight", "layers.1.weight")
        await looker.press("up")
        assert here(looker) == "layers.0.weight"


async def test_a_find_marks_what_was_typed_in_the_names(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("slash")
        await typed(looker, "eigh")
        await looker.press("enter", "down")
        line = next(
            y for y, text in enumerate(looker.rows()) if "weight" in text and not text.startswith(">")
        )
        marked = [seg.text for seg in looker.tree.render_line(line) if seg.style and seg.style.underline]
        assert marked == ["eigh"]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("*.bias", ["layers.0.bias", "layers.1.bias", "layers.2.bias"]),
        ("head", ["head.weight"]),
        ("1 weight", ["layers.1.weight"]),
        ("lyrs2", ["layers.2.weight", "layers.2.bias"]),
    ],
)
async def test_a_filter_keeps_what_matches_and_the_blocks_around_it(
    save: Save, pattern: str, kept: list[str]
) -> None:
    async with looking_at(save(layers())) as looker:
        whole = names(looker)
        await looker.press("ampersand")
        await typed(looker, pattern)
        blocks = {name.rpartition(".")[0] for name in kept} | {name.partition(".")[0] for name in kept}
        assert set(names(looker)) == {*kept, *blocks} - {""}
        await looker.press("enter", "escape")
        assert names(looker) == whole


async def test_a_filter_that_matches_nothing_says_so_and_can_be_mended(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("ampersand")
        await typed(looker, "*z")
        assert names(looker) == []
        assert "0 match" in looker.footer()
        await looker.press("backspace", "backspace")
        await typed(looker, "*t")
        assert "head.weight" in names(looker)


async def test_the_flat_list_shows_every_tensor_in_any_order(save: Save) -> None:
    state = layers()
    async with looking_at(save({**state, "epoch": 3})) as looker:
        await looker.press("f")
        assert names(looker) == list(state)
        assert looker.tree.border_title == "7 tensors, as stored"
        orders = {
            "name": sorted(state),
            "size": sorted(state, key=lambda name: -state[name].nbytes),
            "shape": sorted(state, key=lambda name: tuple(state[name].shape)),
            "dtype": sorted(state, key=lambda name: str(state[name].dtype)),
        }
        for order, expected in orders.items():
            await looker.press("S")
            assert looker.tree.border_title == f"7 tensors, by {order}"
            assert names(looker) == expected
        await looker.press("R")
        assert names(looker) == expected[::-1]
        await looker.press("f")
        assert "epoch" in names(looker)


async def test_the_flat_list_of_a_block_and_back_to_the_same_row_of_the_tree(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("plus", "home", "down", "F")
        assert names(looker) == ["layers.0.weight", "layers.0.bias"]
        assert "in layers.0" in str(looker.tree.border_title)
        await looker.press("down", "escape")
        assert here(looker) == "layers.0.bias"
        assert "head" in names(looker)


async def test_the_flat_list_can_be_filtered(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("f", "ampersand")
        await typed(looker, "bias")
        assert names(looker) == ["layers.0.bias", "layers.1.bias", "layers.2.bias"]
        await looker.press("enter", "escape")
        assert len(names(looker)) == 7


async def test_back_and_forward_go_through_places_visited(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("plus", "end")
        last = here(looker)
        await looker.press("slash")
        await typed(looker, "1.bias")
        await looker.press("enter", "less_than_sign")
        assert here(looker) == last
        await looker.press("greater_than_sign")
        assert here(looker) == "layers.1.bias"
        await looker.press("greater_than_sign")
        assert "no place" in looker.footer()


async def test_siblings_and_the_block_around_are_a_key_away(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.press("plus", "home", "down")
        assert here(looker) == "layers.0"
        await looker.press("J")
        assert here(looker) == "layers.1"
        await looker.press("down", "J", "backspace")
        assert here(looker) == "layers.1"
        await looker.press("K", "backspace")
        assert here(looker) == "layers"


async def test_the_expression_is_shown_and_copied(save: Save) -> None:
    path = save({"model": layers()})
    async with looking_at(path) as looker:
        await looker.press("slash")
        await typed(looker, "2.weight")
        await looker.press("enter", "y")
        text = looker.app.clipboard
        assert text in "".join(looker.page())
        found = eval(text, {"torch": torch})
        assert torch.equal(found, torch.full((4, 2), 2.0))
        assert "copied" in looker.footer()
        await looker.press("down")
        assert "copied" not in looker.footer()


async def test_the_command_that_is_copied_reopens_the_view(save: Save) -> None:
    state = {"a b": {"c.d": torch.arange(5000.0).reshape(1000, 5)}, "a b.c": {"d": torch.ones(1)}}
    path = save(state)
    async with looking_at(path) as looker:
        await looker.press("plus", "home", "slash")
        await typed(looker, "d")
        await looker.press("enter", "tab", "pagedown", "tab", "Y")
        command = shlex.split(looker.app.clipboard)
        first = looker.grid()
    assert command[:2] == ["paramtui", str(path)]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    async with looking_at(path, at=options["--at"], index=options.get("--index")) as looker:
        assert looker.grid()[1:] == first[1:]


async def test_a_name_that_is_not_there_is_said(save: Save) -> None:
    async with looking_at(save(layers()), at="layers.7") as looker:
        assert "nothing is named layers.7" in looker.footer()


async def test_the_palette_jumps_to_a_tensor(save: Save) -> None:
    async with looking_at(save({"[/nope] \x1b[2J": torch.ones(1), **layers()})) as looker:
        await looker.pilot.press("ctrl+p")
        await looker.until(lambda: looker.app.screen is not looker.app.browser)
        await looker.pilot.press(*"1", "full_stop", *"bias")
        results: Any = looker.app.screen.query_one("CommandList")
        await looker.until(
            lambda: results.option_count == 1 and "layers.1.bias" in str(results.options[0].prompt)
        )
        await looker.pilot.press("enter")
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await looker.until(lambda: here(looker) == "layers.1.bias")


async def test_the_palette_does_what_has_a_key(save: Save) -> None:
    async with looking_at(save(layers())) as looker:
        await looker.pilot.press("ctrl+p")
        await looker.until(lambda: looker.app.screen is not looker.app.browser)
        await looker.pilot.press(*"flat")
        results: Any = looker.app.screen.query_one("CommandList")
        await looker.until(lambda: results.option_count and "Flat" in str(results.options[0].prompt))
        await looker.pilot.press("enter")
        await looker.until(lambda: looker.tree.flat is not None)


async def test_hostile_names_are_found_as_they_are_and_shown_safely(save: Save) -> None:
    async with looking_at(save({"\x1b]0;x\x07[bold]": torch.ones(1), "b": torch.ones(1)})) as looker:
        await looker.press("slash")
        await typed(looker, "bold")
        assert looker.tree.row == 1
        assert "\x1b" not in "".join(looker.screen())


def test_many_names_are_searched_by_the_index_only(tmp_path: Path) -> None:
    from paramtui.core.search import NameIndex

    many = [f"model.layers.{layer}.experts.{expert}.weight" for layer in range(60) for expert in range(300)]
    index = NameIndex(many)
    query = Query.parse("59.experts.299")
    assert query is not None
    assert index.search(query) == [60 * 300 - 1]
