"""Figures as columns of the tree: shown at a key, sorted by, and kept through all that moves rows."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import torch

from paramtui.tui.figure_column import FIGURE_WORDS
from tests.tui.edited import done, editing, typed
from tests.tui.measuring import measured
from tests.tui.screens import Looker, looking_at

if TYPE_CHECKING:
    from paramtui.tui.opened import Opened
    from tests.conftest import Save

LAYERS = 6
# Standard deviations of the weights of the layers are in this order.
SPREADS = (3.0, 6.0, 1.0, 5.0, 2.0, 4.0)


def state() -> dict[str, torch.Tensor]:
    """Six layers of known spread, a block of larger numbers, and one with NaN alone."""
    out = {"big.weight": torch.tensor([-90.0, 90.0]), "bad.weight": torch.full((3,), float("nan"))}
    for layer, spread in enumerate(SPREADS):
        # Two numbers apart by twice s/sqrt(2) have the standard deviation s.
        out[f"layers.{layer}.a.weight"] = torch.tensor([-1.0, 1.0]) * spread / 2**0.5
        out[f"layers.{layer}.b.bias"] = torch.zeros(2)
    return out


def opened_of(looker: Looker) -> Opened:
    opened = looker.app.browser.opened
    assert opened is not None
    return opened


def know(looker: Looker, *names: str) -> None:
    """Tells the figures of some tensors, or of all."""
    opened = opened_of(looker)
    for tensor, name in enumerate(opened.listing.names):
        if not names or name in names:
            opened.figures.add(tensor, measured(state()[name].numpy()).statistics)


def title(looker: Looker) -> str:
    return str(looker.tree.border_title or "")


def names(looker: Looker) -> list[str]:
    """The dotted names of the rows, from the top."""
    view = looker.tree.view
    assert view is not None
    return [opened_of(looker).tree.name(row) for row in view.rows]


def here(looker: Looker) -> str:
    return opened_of(looker).tree.name(looker.tree.row)


async def to_layers(looker: Looker) -> None:
    """Opens the layers, folded after the first, with all figures known."""
    opened = opened_of(looker)
    await looker.until(lambda: opened.view.folds is not None)
    know(looker)
    looker.app.browser.go_to_name("layers")
    await looker.press("right")


def test_nothing_of_it_is_imported_before_a_key_asks_for_it() -> None:
    mine = ["tui.figure_column", "tui.widgets.figured", "core.sorted_view", "core.flat_view", "core.ordering"]
    code = (
        "import sys, paramtui.tui.screens.browse\n"
        f"print([name for name in {mine!r} if 'paramtui.' + name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


async def test_a_key_goes_through_the_figures_and_the_title_says_which_and_what_is_missing(
    save: Save,
) -> None:
    async with looking_at(save(state())) as looker:
        looker.app.browser.go_to_name("layers")
        await looker.press("c")
        assert title(looker) == "std  c next  I looks at all tensors"
        assert not any("e+0" in line for line in looker.rows())
        know(looker)
        await looker.until(lambda: title(looker) == "std  c next")
        lines = {line.split()[-2 if "█" in line else -1]: line for line in looker.rows()}
        spread = torch.tensor([-90.0, 90.0]).std().item()
        assert any(line.rstrip().endswith(f"████ {spread:.1e}") for line in lines.values())
        assert any("bad" in line and line.rstrip().endswith("NaN") for line in lines.values())
        seen = []
        while opened_of(looker).figure_shown:
            seen.append(title(looker))
            await looker.press("c")
        words = [word for name, word in FIGURE_WORDS.items() if name != "gradient"]
        assert seen == [f"{word}  c next" for word in words]
        assert title(looker) == ""
        assert not any("█" in line for line in looker.rows())


async def test_rows_are_sorted_and_turned_round_with_the_cursor_on_its_row(save: Save) -> None:
    async with looking_at(save(state())) as looker:
        await to_layers(looker)
        await looker.press("c", "plus")
        assert here(looker) == "layers"
        stored = names(looker)
        await looker.press("S")
        assert title(looker) == "std, largest first  c next"
        assert here(looker) == "layers"
        order = sorted(range(LAYERS), key=lambda layer: -SPREADS[layer])
        rows = names(looker)
        assert [name for name in rows if name.count(".") == 0] == ["bad", "big", "layers"]
        assert [name for name in rows if name.count(".") == 1 and "layers" in name] == [
            f"layers.{layer}" for layer in order
        ]
        # What lies below a block follows it.
        at = rows.index(f"layers.{order[0]}")
        inside = [f"layers.{order[0]}.{part}" for part in ("a", "a.weight", "b", "b.bias")]
        assert rows[at + 1 : at + 5] == inside
        # Siblings, the block around and others by their names.
        looker.app.browser.go_to_name(f"layers.{order[2]}")
        for key, place in (("J", 3), ("J", 4), ("K", 3)):
            await looker.press(key)
            assert here(looker) == f"layers.{order[place]}"
        await looker.press("left")
        assert f"layers.{order[3]}.a" not in names(looker)
        await looker.press("right", "right")
        assert here(looker) == f"layers.{order[3]}.a"
        await looker.press("backspace")
        assert here(looker) == f"layers.{order[3]}"
        await looker.press("R")
        assert title(looker) == "std, smallest first  c next"
        assert here(looker) == f"layers.{order[3]}"
        assert [name for name in names(looker) if name.count(".") == 1 and "layers" in name] == [
            f"layers.{layer}" for layer in reversed(order)
        ]
        # A click puts the cursor on the row that is drawn there.
        place = names(looker).index(f"layers.{order[1]}")
        offset = (30, place - looker.tree.scroll_offset.y + 1)
        await looker.pilot.click(looker.tree, offset=offset)
        assert here(looker) == f"layers.{order[1]}"
        await looker.press("S", "plus")
        assert names(looker) == stored
        await looker.press("minus")
        assert names(looker) == [name for name in stored if "." not in name]


async def test_the_next_figure_takes_the_order_over_and_none_ends_it(save: Save) -> None:
    async with looking_at(save(state())) as looker:
        await to_layers(looker)
        await looker.press("c", "S")
        assert [name for name in names(looker) if "." not in name] == ["bad", "big", "layers"]
        while opened_of(looker).figure_shown != "size":
            await looker.press("c")
        assert title(looker) == "size, largest first  c next"
        assert [name for name in names(looker) if "." not in name] == ["layers", "bad", "big"]
        await looker.press("c")
        assert [name for name in names(looker) if "." not in name] == ["big", "bad", "layers"]
        assert (title(looker), opened_of(looker).figure_order) == ("", 0)


async def test_what_stands_for_a_fold_has_its_place_by_all_of_it_and_each_by_its_own(save: Save) -> None:
    async with looking_at(save(state())) as looker:
        await to_layers(looker)
        await looker.press("c", "c", "S")
        # The largest numbers are in the second layer: what stands for it comes before the first.
        assert names(looker)[-3:] == ["layers", "layers.1", "layers.0"]
        assert "max |x| of each" in " ".join(looker.page())
        await looker.press("down")
        assert "1 ... 5" in looker.at()
        assert f"{6 / 2**0.5:.1e}" in looker.at()
        await looker.press("enter")
        order = sorted(range(LAYERS), key=lambda layer: -SPREADS[layer])
        assert [name for name in names(looker) if name.count(".") == 1] == [
            f"layers.{layer}" for layer in order
        ]
        assert here(looker) == "layers.1"
        looker.app.browser.go_to_name("layers.3")
        await looker.press("left")
        assert names(looker)[-3:] == ["layers", "layers.1", "layers.0"]
        assert "1 ... 5" in looker.at()
        # A name that is folded away is found, and the fold closes again.
        await looker.press("slash", *"4.a.w")
        await looker.until(lambda: here(looker) == "layers.4.a.weight")
        assert names(looker).index("layers.5") < names(looker).index("layers.0")
        await looker.press("escape")
        assert names(looker)[-3:] == ["layers", "layers.1", "layers.0"]
        await looker.press("Z")
        assert names(looker)[-6:] == [f"layers.{layer}" for layer in order]


async def test_a_filter_and_finds_keep_the_order(save: Save) -> None:
    async with looking_at(save(state())) as looker:
        await to_layers(looker)
        await looker.press("c", "S")
        before = names(looker)
        await looker.press("ampersand", *"bias", "enter")
        assert title(looker) == "std, largest first  c next   only bias"
        order = sorted(range(LAYERS), key=lambda layer: -SPREADS[layer])
        assert [name for name in names(looker) if name.endswith("bias")] == [
            f"layers.{layer}.b.bias" for layer in order
        ]
        await looker.press("escape")
        assert names(looker) == before
        await looker.press("slash", *"a.weight", "enter")
        found = []
        for _ in range(LAYERS):
            found.append(here(looker))
            await looker.press("n")
        assert sorted(found) == [f"layers.{layer}.a.weight" for layer in range(LAYERS)]
        assert here(looker) == found[0]
        await looker.press("N")
        assert here(looker) == found[-1]


async def test_the_flat_list_has_the_figure_among_its_orders(save: Save) -> None:
    async with looking_at(save(state()), (80, 24)) as looker:
        await to_layers(looker)
        await looker.press("c", "f")
        assert title(looker) == "std  c next   14 tensors, as stored"
        await looker.press("S")
        assert title(looker) == "std, largest first  c next   14 tensors"
        order = sorted(range(LAYERS), key=lambda layer: -SPREADS[layer])
        weights = [f"layers.{layer}.a.weight" for layer in order]
        assert names(looker)[:8] == ["bad.weight", "big.weight", *weights]
        assert here(looker) == "bad.weight"
        await looker.press("R")
        assert names(looker)[-8:] == [*reversed(weights), "big.weight", "bad.weight"]
        await looker.press("ampersand", *"layers*weight", "enter")
        assert names(looker) == weights[::-1]
        seen = []
        for _ in range(5):
            await looker.press("S")
            (way,) = re.findall(r"(?:by|as) (\w+)", title(looker))
            seen.append(way)
        assert seen == ["name", "size", "shape", "dtype", "stored"]
        await looker.press("R", "S", "escape", "c")
        assert title(looker) == "max |x|, largest first  c next   14 tensors"
        assert names(looker)[:2] == ["bad.weight", "big.weight"]
        # Names stay whole: there is room for them at 80 columns, beside the bars.
        assert all(any(name in line for line in looker.rows()) for name in names(looker))
        await looker.press("escape")
        assert title(looker) == "max |x|  c next"


async def test_what_comes_to_be_known_moves_nothing_until_all_has_come(save: Save) -> None:
    async with looking_at(save(state())) as looker:
        looker.app.browser.go_to_name("layers.3")
        looker.tree.fold_everywhere(on=False)
        know(looker, "layers.0.a.weight", "layers.4.a.weight", "layers.0.b.bias")
        await looker.press("c", "S")
        before = names(looker)
        layers = [name for name in before if name.count(".") == 1 and "layers" in name]
        assert layers[:2] == ["layers.4", "layers.0"]
        know(looker, "layers.2.a.weight", "layers.5.a.weight")
        await looker.until(lambda: "so far" in title(looker))
        assert title(looker) == "std so far, largest first  c next  I looks at all tensors"
        assert names(looker) == before
        await looker.press("I")
        await looker.until(lambda: "looked at" in looker.app.browser.said)
        assert title(looker) == "std, largest first  c next"
        order = sorted(range(LAYERS), key=lambda layer: -SPREADS[layer])
        assert [name for name in names(looker) if name.count(".") == 1] == [
            f"layers.{layer}" for layer in order
        ]
        assert here(looker) == "layers.3"


async def test_names_that_come_anew_keep_the_figure_and_its_order(save: Save) -> None:
    async with looking_at(save(state())) as looker:
        await to_layers(looker)
        while opened_of(looker).figure_shown != "size":
            await looker.press("c")
        await looker.press("S", "R")
        before, where = names(looker), here(looker)
        assert [name for name in before if "." not in name] == ["big", "bad", "layers"]
        was = opened_of(looker)
        await looker.app.browser.replace_listing()
        await looker.settle()
        assert opened_of(looker) is not was
        assert (names(looker), here(looker)) == (before, where)
        assert title(looker) == "size, smallest first  c next"


async def test_a_changed_tensor_has_the_figure_of_what_it_is_now_and_so_again_when_that_is_undone(
    save: Save,
) -> None:
    async with editing(save(state())) as looker:
        know(looker)
        looker.app.browser.go_to_name("big.weight")
        await looker.press("c", "c", "S")
        assert "9.0e+01" in looker.at()
        await looker.press("e")
        await typed(looker, "[0] = -400")
        await looker.press("enter")
        await done(looker, 1)
        await looker.until(lambda: "4.0e+02" in looker.at())
        await looker.press("u")
        await done(looker, 0)
        await looker.until(lambda: "9.0e+01" in looker.at())
        assert here(looker) == "big.weight"


async def test_the_cursor_is_in_sight_in_a_list_that_is_opened_from_a_short_tree(save: Save) -> None:
    path = save({f"b{n}": {f"w{m}": torch.zeros(2) for m in range(30)} for n in range(4)})
    async with looking_at(path, (80, 24)) as looker:
        await looker.press("down", "down", "f")
        assert any(line.startswith(">") and "b2.w0" in line for line in looker.rows())
        await looker.press("f", "R")
        await looker.until(lambda: "S sorts by it" in looker.app.browser.said)
