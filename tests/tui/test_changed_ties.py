"""What the screen says of ties that are made and undone: of gradients, of frozen parameters, of saving."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from textual.widgets import Input, Static
from torch import nn

from paramtui.tui.screens.save import SaveScreen
from tests.tui.edited import done, editing, said
from tests.tui.screens import Looker, lines_of
from tests.tui.test_live import on_model
from tests.tui.test_ties import asked, tied

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


async def at(looker: Looker, name: str) -> None:
    looker.app.browser.go_to_name(name)
    await looker.settle()


async def backward(looker: Looker) -> None:
    await looker.press("g")
    await looker.until(lambda: "backward" in looker.footer())
    await looker.settle()


def gradient(looker: Looker) -> str:
    return " ".join(" ".join(lines_of(looker.gradient)).split())


async def tie_question(looker: Looker, name: str, to: str) -> str:
    await at(looker, to)
    await looker.press("m")
    await at(looker, name)
    await looker.press("B")
    return " ".join((await asked(looker)).split())


async def answered(looker: Looker, key: str, changes: int) -> None:
    await looker.pilot.press(key)
    await done(looker, changes)


def chain() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


# Gradients


async def test_an_untied_parameter_waits_for_a_pass_and_is_not_marked_as_unreached() -> None:
    net = chain()
    net[1].weight = net[0].weight
    async with on_model(net) as looker:
        await looker.press("+")
        await backward(looker)
        await at(looker, "1.weight")
        await looker.press("D")
        await asked(looker)
        await answered(looker, "enter", 1)
        assert not torch.is_tensor(net[1].weight.grad)
        assert "No gradient yet since it was untied: g runs forward and backward." in gradient(looker)
        assert "None" not in looker.at()
        assert not re.match(r">[* ]*-", looker.at())
        await at(looker, "1")
        assert "1 not run since tied or untied" in gradient(looker)
        await at(looker, "0.weight")
        assert "from before its ties changed: the sum over its 2 places of then" in gradient(looker)
        await looker.press("u")
        await done(looker, 0)
        await at(looker, "1.weight")
        assert "the sum over its 2 places" in gradient(looker)
        await looker.press("U")
        await done(looker, 1)
        await backward(looker)
        norm = net[1].weight.grad.norm().item()
        assert f"norm {norm:.4g}" in gradient(looker)
        assert "places" not in gradient(looker)


async def test_until_the_next_pass_the_gradient_of_a_tied_parameter_is_that_of_before() -> None:
    net = chain()
    async with on_model(net) as looker:
        await backward(looker)
        alone = net[0].weight.grad.norm().item()
        await tie_question(looker, "1.weight", "0.weight")
        await answered(looker, "enter", 1)
        assert f"norm {alone:.4g}" in gradient(looker)
        assert "from before it was tied" in gradient(looker)
        assert "the sum over" not in gradient(looker)
        await backward(looker)
        assert f"norm {net[0].weight.grad.norm().item():.4g}" in gradient(looker)
        assert "the sum over its 2 places" in gradient(looker)
        await looker.press("u")
        await done(looker, 0)
        assert "left from an earlier pass" in gradient(looker)


async def test_passes_with_other_ties_between_them_are_said_to_be_accumulated() -> None:
    net = chain()
    async with on_model(net) as looker:
        await backward(looker)
        await tie_question(looker, "1.weight", "0.weight")
        await answered(looker, "enter", 1)
        await looker.press("A")
        await looker.until(lambda: "backward" in looker.footer())
        await looker.settle()
        assert "accumulated over passes before and after its ties changed" in gradient(looker)


# Frozen


async def test_tying_to_a_frozen_parameter_promises_no_gradient_and_says_that_it_freezes() -> None:
    net = chain()
    net[0].weight.requires_grad_(False)
    async with on_model(net) as looker:
        words = await tie_question(looker, "1.weight", "0.weight")
        assert "It becomes frozen, as 0.weight is." in words
        assert "gradient" not in words
        await answered(looker, "enter", 1)
        assert net[1].weight.requires_grad is False
        page = " ".join(looker.page())
        assert "one Parameter under 2 names: it is frozen and gets no gradient" in page
        assert "the sum over them" not in page
        await looker.press("D")
        words = await asked(looker)
        assert (
            "model[1].weight = nn.Parameter(model[1].weight.detach().clone(), requires_grad=False)" in words
        )


async def test_a_frozen_parameter_that_is_tied_to_a_trained_one_becomes_trainable() -> None:
    net = chain()
    net[1].weight.requires_grad_(False)
    async with on_model(net) as looker:
        words = await tie_question(looker, "1.weight", "0.weight")
        assert "It becomes trainable, as 0.weight is. Its gradient will be the sum of both." in words
        await answered(looker, "enter", 1)
        assert net[1].weight.requires_grad is True
        assert "its gradient is the sum over them" in " ".join(looker.page())


async def test_between_two_trained_parameters_only_the_sum_is_said_and_between_frozen_ones_nothing() -> None:
    for trained in (True, False):
        net = chain().requires_grad_(trained)
        async with on_model(net) as looker:
            words = await tie_question(looker, "1.weight", "0.weight")
            assert "It becomes" not in words
            assert ("will be the sum of both" in words) == trained


async def test_a_buffer_under_two_names_has_no_gradient_to_speak_of() -> None:
    net: Any = nn.Module()
    net.register_buffer("one", torch.ones(3))
    net.register_buffer("two", net.one)
    async with on_model(net) as looker:
        await at(looker, "two")
        page = " ".join(looker.page())
        assert "one buffer under 2 names" in page
        assert "gradient is the sum" not in page


async def test_of_parameters_over_one_storage_only_those_that_are_trained_have_a_gradient() -> None:
    for trained, words in (
        (2, "2 Parameters over one storage: each has a gradient of its own"),
        (1, "2 Parameters over one storage: each that is trained has a gradient of its own"),
        (0, "2 Parameters over one storage: they are frozen and get no gradient"),
    ):
        net = chain()
        net[1].weight = nn.Parameter(net[0].weight.data)
        for at_place in range(trained, 2):
            net[at_place].weight.requires_grad_(False)
        async with on_model(net) as looker:
            await at(looker, "1.weight")
            assert words in " ".join(looker.page())
        net(torch.ones(1, 4)).sum().backward()
        assert sum(net[place].weight.grad is not None for place in range(2)) == trained


# The same module at several places


async def test_untying_in_a_module_at_two_places_says_that_it_is_copied_and_shows_no_wrong_line() -> None:
    net = tied()
    async with on_model(net) as looker:
        await at(looker, "4.weight")
        await looker.press("D")
        words = " ".join((await asked(looker)).split())
        assert "It shares memory with 2.weight, which stays as it is." in words
        assert "Module 4 becomes a copy of its own (it is the same module as 2)" in words
        assert "whose other parameters stay tied" in words
        assert "C then x writes it as a script" in words
        assert "model[4]" not in words
        await answered(looker, "enter", 1)
        assert net[4] is not net[2]
        assert net[4].weight is not net[2].weight
        assert net[4].bias is net[2].bias


async def test_all_modules_on_the_way_that_are_copied_are_named() -> None:
    block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    net: Any = nn.Sequential(block, block, block)
    async with on_model(net) as looker:
        await at(looker, "1.0.weight")
        await looker.press("D")
        words = " ".join((await asked(looker)).split())
        assert "0.0.weight, 2.0.weight, which stay as they are" in words
        assert "Modules 1, 1.0 become copies of their own (1 is the same module as 0, 2)" in words
        await answered(looker, "enter", 1)
        assert net[0] is net[2] is block
        assert net[1] is not block
        assert net[1][0] is not block[0]
        assert net[1][0].bias is block[0].bias


async def test_tying_in_a_module_at_two_places_says_that_the_other_place_changes_too() -> None:
    net: Any = nn.Sequential(*tied(), nn.Linear(8, 8))
    async with on_model(net) as looker:
        words = await tie_question(looker, "4.weight", "7.weight")
        assert "Its module stands at several places: 2.weight becomes it too." in words
        assert "no longer shares memory" not in words
        await answered(looker, "enter", 1)
        assert net[2].weight is net[4].weight is net[7].weight


async def test_every_place_of_a_module_names_the_others() -> None:
    async with on_model(tied()) as looker:
        for here, there in (("2", "4"), ("4", "2")):
            await at(looker, here)
            assert f"the same module as {there}" in " ".join(looker.page())
        await at(looker, "0")
        assert "the same module as" not in " ".join(looker.page())
    shared = nn.Linear(4, 4)
    async with on_model(nn.Sequential(shared, shared, shared)) as looker:
        await at(looker, "1")
        assert "the same module as 0, 2" in " ".join(looker.page())


# Saving


def fused() -> Any:
    """Views of two fused tensors, and a head that is the embedding."""
    net: Any = nn.Module()
    torch.manual_seed(0)
    for name in ("a", "b"):
        whole = torch.randn(300, 8)
        part: Any = nn.Module()
        part.qkv = nn.Parameter(whole)
        part.q = nn.Parameter(whole[:100])
        part.register_buffer("scratch", whole[100:], persistent=False)
        net.add_module(name, part)
    net.emb, net.head = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
    net.head.weight = net.emb.weight
    return net


async def save_dialog(looker: Looker, path: Path) -> str:
    await looker.pilot.press("s")
    await looker.until(lambda: isinstance(looker.app.screen, SaveScreen) and looker.app.focused)
    looker.app.screen.query_one(Input).value = str(path)
    kind = "safetensors" if path.suffix == ".safetensors" else "torch zip"
    what = looker.app.screen.query_one("#save-what", Static)
    await looker.until(lambda: str(what.content).startswith(f"{kind}, about"))
    shown = str(what.content).split()
    await looker.until(lambda: on_screen(looker).count(shown[-1]))
    assert " ".join(shown) in on_screen(looker)
    return " ".join(shown)


def on_screen(looker: Looker) -> str:
    """All that is on screen, without the frames, as one line."""
    return " ".join(re.sub(r"[│\s]+", " ", " ".join(looker.screen())).split())


async def saved(looker: Looker, path: Path) -> str:
    await looker.pilot.press("enter")
    await looker.until(lambda: path.name in said(looker))
    return looker.footer().strip()


@pytest.mark.parametrize("live", [True, False])
async def test_views_that_safetensors_cannot_tie_are_told_before_and_after_with_the_true_size(
    live: bool, save: Save, tmp_path: Path
) -> None:
    net = fused()
    path = tmp_path / "lm.safetensors"
    opened = on_model(net, (80, 24)) if live else editing(save(net.state_dict()), (80, 24))
    async with opened as looker:
        words = await save_dialog(looker, path)
        shown = re.search(r"about ([\d.]+ kB)", words)
        assert "overlapping views (2 groups: a.qkv, b.qkv) are written whole" in words
        assert ".safetensors cannot keep them tied; exact ties are kept" in words
        sentence = await saved(looker, path)
    written = safetensors.torch.load_file(path)
    assert set(written) == {"a.qkv", "a.q", "b.qkv", "b.q", "emb.weight"}
    nbytes = sum(tensor.nbytes for tensor in written.values())
    assert nbytes == 4 * (2 * (2400 + 800) + 400)
    assert shown is not None
    assert shown[1] == f"{nbytes / 1000:.1f} kB"
    assert sentence.endswith("exact ties kept, 2 overlapping groups not")
    assert len(sentence) <= 80
    assert "lm.safetensors, 2" in sentence
    for name, tensor in written.items():
        assert torch.equal(tensor, net.state_dict()[name])


async def test_of_a_long_path_the_name_is_shortened_and_not_what_became_of_the_ties(tmp_path: Path) -> None:
    folder = tmp_path / "a_directory_with_a_name" / "and_another_one_in_it"
    folder.mkdir(parents=True)
    path = folder / "a_language_model_with_a_long_name.safetensors"
    async with on_model(fused(), (80, 24)) as looker:
        await save_dialog(looker, path)
        await looker.pilot.press("enter")
        await looker.until(lambda: "saved" in said(looker))
        sentence = looker.footer().strip()
        assert sentence == said(looker)
        assert sentence.startswith("saved a_lang")
        assert sentence.endswith("tensors, 27.6 kB; exact ties kept, 2 overlapping groups not")


async def test_nothing_is_said_where_ties_are_kept(save: Save, tmp_path: Path) -> None:
    net = fused()
    async with on_model(net, (80, 24)) as looker:
        assert "written whole" not in await save_dialog(looker, tmp_path / "lm.pt")
        await looker.press("escape")
    state = torch.load(save({"a": net.emb.weight.data, "b": net.emb.weight.data}))
    path = tmp_path / "one.safetensors"
    async with editing(save(state), (80, 24)) as looker:
        words = await save_dialog(looker, path)
        assert "safetensors, about 1.6 kB" in words
        assert "written whole" not in words
        assert "tied" not in await saved(looker, path)


async def test_of_an_opened_safetensors_file_no_view_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(3), "b": torch.zeros(3)}, path)
    async with editing(path) as looker:
        words = await save_dialog(looker, tmp_path / "again.safetensors")
        assert "written whole" not in words
        assert "about 24 B" in words
