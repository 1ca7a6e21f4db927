"""The dialog for initialising, as a person uses it: keys, what is shown, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Input, OptionList

from paramtui.core.edits import RESET, ApplyFunction, Initialise, calls_of
from paramtui.errors import EngineError
from paramtui.tui.initialise_form import Remembered
from paramtui.tui.widgets.choice_field import ChoiceField
from tests.tui.fake_editor import FANLESS, INITIALIZERS, FakeEditor
from tests.tui.initialise_dialog import HUGE, NOTHING, SMALL, TINY, WIDE, at_dialog, small_file, steps

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


@pytest.fixture
def path(save: Save) -> Path:
    return small_file(save)


# What is chosen


async def test_enter_at_once_gives_the_rule_of_the_tutorials(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        text = person.text()
        assert "Initialise  model.0 (2 tensors, 40 elements)" in text
        assert "nn.init.xavier_uniform_(m.weight, gain=1.0)" in text
        assert "nn.init.zeros_(m.bias)" in text
        assert "fan in 4  fan out 8  std 0.408" in text
        await person.press("enter")
        assert steps(person.result) == {
            "model.0.weight": "xavier_uniform_(gain=1.0)",
            "model.0.bias": "zeros_()",
        }
        assert person.dialog.remembered == Remembered("xavier_uniform_", (("gain", "1.0"),), "zeros_", 0)


async def test_typing_narrows_the_list_and_arrows_choose(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        assert person.chosen() == "xavier_uniform_"
        await person.press("down", "down")
        assert person.chosen() == "kaiming_uniform_"
        await person.type("normal")
        assert person.chosen() == "normal_"
        await person.press("down", "down", "down")
        assert person.chosen() == "kaiming_normal_"
        await person.press("up", "enter")
        assert steps(person.result)["model.0.weight"] == "xavier_normal_(gain=1.0)"


async def test_keys_typed_in_one_go_reach_the_edit(path: Path) -> None:
    async with at_dialog(path, "model.0.weight") as person:
        await person.pilot.press(*"ones", "enter")
        await person.until(lambda: person.result is not NOTHING)
        assert steps(person.result) == {"model.0.weight": "ones_()"}


async def test_no_match_is_said_and_enter_does_nothing(path: Path) -> None:
    async with at_dialog(path) as person:
        await person.type("qqq")
        assert person.said("#problem") == "no initialiser matches: type less of its name"
        await person.press("enter")
        assert person.result is NOTHING
        assert person.dialog.has_class("-refused")
        await person.press("backspace", "backspace", "backspace", "enter")
        assert isinstance(person.result, Initialise)


@pytest.mark.parametrize("key", ["escape", "ctrl+g"])
async def test_leaving_gives_nothing_and_remembers_what_was(path: Path, key: str) -> None:
    before = Remembered("normal_", (("std", "0.5"),), "the same", 9)
    async with at_dialog(path, "model.0", remembered=before) as person:
        assert person.chosen() == "normal_"
        await person.type("ones")
        await person.press(key)
        assert person.result is None
        assert person.dialog.remembered == before


async def test_the_next_dialog_starts_with_what_was_remembered(path: Path) -> None:
    before = Remembered("kaiming_normal_", (("a", "0.1"), ("mode", "fan_out")), "the same", 9)
    async with at_dialog(path, "model.0.weight", remembered=before) as person:
        await person.press("enter")
        assert steps(person.result) == {
            "model.0.weight": "kaiming_normal_(a=0.1, mode='fan_out', nonlinearity='leaky_relu')"
        }
        assert isinstance(person.result, Initialise)
        assert person.result.seed == 9


async def test_custom_ones_say_where_they_come_from_and_broken_files_are_listed(path: Path) -> None:
    async with at_dialog(path, size=WIDE) as person:
        await person.type("inits")
        text = person.text()
        assert "spectral_           inits.py:12  Scales by the spectral norm." in text
        assert "! broken.py: line 3: invalid syntax" in text


# Fields


async def test_options_get_fields_and_a_gain_may_be_a_nonlinearity(path: Path) -> None:
    async with at_dialog(path, "model.0.weight") as person:
        await person.press("tab")
        assert isinstance(person.dialog.focused, Input)
        await person.type("relu")
        assert "= 1.41421" in person.text()
        assert "gain=1.4142135623730951" in person.text()
        await person.type("x")
        assert person.said("#problem").startswith("relux is no nonlinearity with a gain")
        assert "gain=1.4142135623730951" in person.text()
        await person.press("enter")
        assert person.result is NOTHING
        await person.press("backspace", "enter")
        assert steps(person.result) == {"model.0.weight": f"xavier_uniform_(gain={2**0.5!r})"}


async def test_choices_are_switched_by_arrows_space_and_letters(path: Path) -> None:
    async with at_dialog(path, "model.0.weight") as person:
        await person.type("kaiming_u")
        await person.press("tab", "tab", "right")
        assert "mode='fan_out'" in person.said("#code")
        await person.press("space")
        assert "mode='fan_in'" in person.said("#code")
        await person.press("tab", "t")
        assert "nonlinearity='tanh'" in person.said("#code")
        await person.press("left")
        assert "nonlinearity='leaky_relu'" in person.said("#code")
        await person.press("enter")
        assert isinstance(person.result, Initialise)


async def test_every_kind_of_option_has_a_field(path: Path) -> None:
    async with at_dialog(path, "model.0.weight", size=WIDE) as person:
        await person.type("spectral")
        assert person.said("#problem") == "spectral_ needs scale"
        await person.press("tab", *"2.5", "tab", *"3", "tab", *"ab", "tab", "right", "tab", *"None", "enter")
        assert steps(person.result) == {
            "model.0.weight": "spectral_(scale=2.5, groups=3, label='ab', fancy=True, sizes=None)"
        }


async def test_an_initialiser_of_biases_has_fields_of_its_own(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        await person.tab_to("biases")
        await person.press("c")
        assert person.said("#problem") == "constant_ needs val"
        await person.press("tab", "tab", *"0.5", "enter")
        assert steps(person.result)["model.0.bias"] == "constant_(val=0.5)"


async def test_where_part_names_and_seed_are_fields(path: Path) -> None:
    async with at_dialog(path, "model.0.weight") as person:
        await person.tab_to("where")
        await person.press("right")
        assert "(2 tensors, 40 elements)" in person.text()
        await person.press("right")
        await person.tab_to("names")
        await person.type("*.0.*")
        assert "(2 tensors, 40 elements)" in person.text()
        await person.tab_to("part")
        await person.press("w")
        assert "(1 tensor, 32 elements)" in person.text()
        await person.tab_to("seed")
        await person.press(*"42", "enter")
        assert steps(person.result) == {"model.0.weight": "xavier_uniform_(gain=1.0)"}
        assert isinstance(person.result, Initialise)
        assert person.result.seed == 42


async def test_types_of_layers_can_be_chosen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def owner_classes(tree: Any, tensors: Any) -> dict[int, str]:
        names = tree.listing.names
        return {each: "Embedding" if "embed" in names[each] else "Linear" for each in tensors}

    monkeypatch.setattr("paramtui.core.layers.owner_classes", owner_classes)
    async with at_dialog(path) as person:
        await person.tab_to("type")
        await person.press("e", "enter")
        assert steps(person.result) == {"model.embed.weight": "xavier_uniform_(gain=1.0)"}


async def test_arrows_go_from_field_to_field_outside_the_list(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        await person.tab_to("biases")
        await person.press("down")
        assert person.dialog.focused is person.dialog.query_one("#seed")
        await person.press("up")
        assert isinstance(person.dialog.focused, ChoiceField)


# What is refused


async def test_what_is_refused_is_counted_beforehand_and_the_others_change(path: Path) -> None:
    async with at_dialog(path) as person:
        text = person.text()
        assert "(4 of 5 tensors, 128 elements)" in text
        assert f"1 refused: {FANLESS}"[:70] in text
        assert person.said("#problem") == "4 of 5 change: the others are refused"
        assert "also changes: model.head.weight (shared A)" in person.said("#body-words")
        await person.press("enter")
        assert "model.1.weight" not in steps(person.result)
        assert len(steps(person.result)) == 4


async def test_what_is_refused_altogether_is_said_and_enter_does_nothing(path: Path) -> None:
    async with at_dialog(path, "model.1.weight") as person:
        assert person.chosen() == "ones_"
        await person.type("xavier_n")
        assert person.said("#problem") == f"it is refused: {FANLESS}"
        await person.press("enter")
        assert person.result is NOTHING
        assert person.said("#problem").endswith(FANLESS)


async def test_the_form_is_usable_while_trials_run_and_enter_waits_for_them(path: Path) -> None:
    async with at_dialog(path, prepare_editor=lambda editor: editor.gate.clear()) as person:
        assert person.editor.trials
        await person.type("xavier_n")
        assert person.chosen() == "xavier_normal_"
        await person.press("enter")
        await person.until(lambda: person.dialog.busy)
        assert person.result is NOTHING
        person.editor.gate.set()
        await person.until(lambda: person.result is not NOTHING)
        assert "model.1.weight" not in steps(person.result)


async def test_a_function_of_a_module_is_given_the_block(path: Path) -> None:
    async with at_dialog(path, "model.0") as person:
        await person.type("reset")
        assert "framework default" in person.text()
        assert 'net.get_submodule("0").apply(' in person.said("#code")
        assert "it decides itself" in person.text()
        await person.press("enter")
        assert isinstance(person.result, ApplyFunction)
        assert (person.result.block, person.result.call.name) == ("model.0", RESET)


# The catalogue


async def test_what_is_typed_before_torch_is_there_counts_when_it_is(path: Path) -> None:
    async with at_dialog(
        path, "model.0", prepare_editor=lambda editor: editor.catalogue_gate.clear()
    ) as person:
        assert "starting torch" in person.text()
        await person.type("ones")
        await person.press("enter")
        assert person.result is NOTHING
        person.editor.catalogue_gate.set()
        await person.until(lambda: person.result is not NOTHING)
        assert {call.text for call in calls_of(person.result)} == {"ones_()", "zeros_()"}


async def test_the_very_name_of_an_initialiser_chooses_it_among_those_that_contain_it(path: Path) -> None:
    async with at_dialog(path, "model.0.weight") as person:
        await person.type("kaiming_normal_")
        await person.settle()
        assert person.chosen() == "kaiming_normal_"
        for _ in "kaiming_normal_":
            await person.press("backspace")
        await person.type("normal_")
        await person.settle()
        assert person.chosen() == "normal_"


async def test_escape_leaves_while_torch_starts(path: Path) -> None:
    async with at_dialog(path, prepare_editor=lambda editor: editor.catalogue_gate.clear()) as person:
        await person.press("escape")
        assert person.result is None


async def test_a_catalogue_that_fails_is_said_and_asked_again(path: Path) -> None:
    def fail(editor: FakeEditor) -> None:
        editor.catalogue_failure = EngineError("the engine ended")

    async with at_dialog(path, "model.0", prepare_editor=fail) as person:
        await person.until(lambda: "the engine ended: enter tries again" in person.text())
        person.editor.catalogue_failure = None
        await person.press("enter")
        await person.until(lambda: person.dialog.form.catalogue is not None)
        await person.settle()
        assert "the engine ended" not in person.text()
        assert person.chosen() == "xavier_uniform_"


# Sizes


@pytest.mark.parametrize("size", [SMALL, WIDE, HUGE, TINY, (40, 12), (20, 5)])
async def test_the_dialog_fits_all_sizes(path: Path, size: tuple[int, int]) -> None:
    async with at_dialog(path, size=size) as person:
        await person.type("kaim")
        await person.press("f5", "pagedown", "pageup")
        lines = person.lines()
        assert all(len(line) <= size[0] for line in lines)
        if size[1] >= 20:
            text = person.text()
            assert "nn.init.kaiming_uniform_(" in text
            assert "4 of 5 change" in text
            assert "enter apply" in text
            assert "esc back" in text
        await person.pilot.resize_terminal(*WIDE)
        await person.settle()
        await person.press("enter")
        assert len(steps(person.result)) == 4


async def test_the_list_shows_all_there_are(path: Path) -> None:
    async with at_dialog(path, size=HUGE) as person:
        prompts = [str(option.prompt) for option in person.dialog.query_one(OptionList).options]
        assert [prompt.split()[0] for prompt in prompts[: len(INITIALIZERS)]] == [
            each.name for each in INITIALIZERS
        ]
