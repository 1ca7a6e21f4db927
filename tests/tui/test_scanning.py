"""Looking at all tensors at one key: what is kept, marked, said and gone to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tests.tui.edited import done, editing, typed
from tests.tui.screens import looking_at

if TYPE_CHECKING:
    from paramtui.tui.widgets.tree_pane import TreePane
    from tests.conftest import Save


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    odd = torch.randn(40, 50)
    odd[3, 4] = float("nan")
    return {
        "a.weight": torch.randn(300, 400),
        "b.weight": odd,
        "c.weight": torch.randn(30, 30) * 100,
        "d.bias": torch.zeros(12),
    }


def row_name(tree: TreePane) -> str:
    opened = tree._opened
    assert opened is not None
    return opened.tree.name(tree.row)


async def test_one_key_looks_at_all_tensors_marks_the_odd_ones_and_jumps_there(save: Save) -> None:
    saved = tensors()
    async with looking_at(save(saved)) as looker:
        await looker.press("I")
        browser = looker.app.browser
        await looker.until(lambda: "looked at" in browser.said)
        assert browser.said == "4 tensors looked at: 1 with NaN or Inf (! goes there: b.weight), 1 all zero"
        opened = browser.opened
        assert opened is not None
        for name, tensor in saved.items():
            (row,) = opened.tree.find(name)
            found = opened.figures.of(opened.tree.tensor[row])
            assert found is not None
            finite = tensor[tensor.isfinite()].double()
            assert found.std is not None
            assert abs(found.std - finite.std().item()) <= 1e-9 * max(finite.std().item(), 1)
        await looker.press("exclamation_mark")
        tree = looker.tree
        assert row_name(tree) == "b.weight"
        assert any("!" in line for line in looker.rows())
        await looker.press("at")
        assert row_name(tree) == "c.weight"
        await looker.press("at")
        assert row_name(tree) == "a.weight"
        await looker.press("number_sign")
        assert row_name(tree) == "d.bias"
        assert "zeros 100 %" in browser.said


async def test_what_was_found_is_known_the_next_time_and_not_for_another_file(save: Save) -> None:
    path = save(tensors())
    async with looking_at(path) as looker:
        await looker.press("I")
        await looker.until(lambda: "looked at" in looker.app.browser.said)
        await looker.until(lambda: not list(looker.app.browser.workers))
    async with looking_at(path) as looker:
        opened = looker.app.browser.opened
        assert opened is not None
        await looker.until(lambda figures=opened.figures: figures.revision)
        assert not opened.figures.unknown()
    torch.save({"a.weight": torch.ones(300, 400)}, path)
    async with looking_at(path) as looker:
        opened = looker.app.browser.opened
        assert opened is not None
        await looker.until(lambda: looker.app.browser._identity != "")
        assert opened.figures.unknown() == [0]


async def test_a_changed_tensor_is_not_known_as_it_was(save: Save) -> None:
    async with editing(save(tensors())) as looker:
        await looker.press("I")
        browser = looker.app.browser
        await looker.until(lambda: "looked at" in browser.said)
        await looker.press("number_sign", "e")
        await typed(looker, "[0] = 3")
        await looker.press("enter")
        await done(looker, 1)
        opened = browser.opened
        assert opened is not None
        # The panel measures what it shows anew.
        await looker.until(lambda: (found := opened.figures.of(3)) is not None and found.zero == 11)
        assert opened.figures.figure(opened.tree.find("d.bias")[0], "abs_max") == 3.0


async def test_keys_say_what_is_missing_before_anything_is_known(save: Save) -> None:
    async with looking_at(save(tensors())) as looker:
        browser = looker.app.browser
        for key in ("exclamation_mark", "at", "number_sign"):
            await looker.press(key)
            assert browser.said.endswith("4 not looked at yet: I looks at all")
