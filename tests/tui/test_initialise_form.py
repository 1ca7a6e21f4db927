"""What is filled in to initialise tensors, and what it amounts to, without a screen."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from paramtui.core.edits import RESET, ApplyFunction, Call, Initialise
from paramtui.core.planning import BIASES, WEIGHTS
from paramtui.errors import ValuesError
from paramtui.tui.initialise_form import LEAVE, SAME, Remembered, summary
from paramtui.tui.initialise_lines import heading, in_lines
from tests.tui.fake_editor import FANLESS, INITIALIZERS
from tests.tui.initialise_dialog import Made, small_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

GAIN_ONE = (("gain", 1.0),)


@pytest.fixture
def path(save: Save) -> Path:
    return small_file(save)


async def test_a_block_gets_xavier_for_weights_and_zeros_for_biases(path: Path) -> None:
    made = Made(path)
    assert await made.steps() == {
        "model.0.weight": "xavier_uniform_(gain=1.0)",
        "model.0.bias": "zeros_()",
        "model.1.bias": "zeros_()",
        "model.embed.weight": "xavier_uniform_(gain=1.0)",
    }


async def test_what_is_refused_is_said_and_the_others_change(path: Path) -> None:
    made = Made(path)
    outlook = await made.outlook()
    assert outlook.note == "4 of 5 change: the others are refused"
    assert heading(made.opened, made.form.row, "model", outlook, 90) == (
        "Initialise  model (4 of 5 tensors, 128 elements)"
    )
    lines = await made.lines()
    assert lines[0] == f"1 refused: {FANLESS}: 1.weight"
    assert "1 left out, not a parameter but a buffer: 1.running_mean" in lines
    assert "1 left out, its bytes are shared with a quantised tensor: head.locked" in lines
    assert "1 left out, int64: not a parameter that could be trained: steps" in lines


async def test_trials_are_asked_once_for_each_call_shape_and_dtype(path: Path) -> None:
    made = Made(path)
    await made.outlook()
    await made.outlook()
    (asked,) = made.editor.trials
    xavier, zeros = Call("xavier_uniform_", GAIN_ONE), Call("zeros_")
    assert set(asked) == {
        (xavier, (8, 4), "float32"),
        (zeros, (8,), "float32"),
        (xavier, (8,), "float32"),
        (xavier, (10, 8), "float32"),
    }


async def test_what_is_refused_altogether_is_no_edit(path: Path) -> None:
    made = Made(path, "model.1.weight")
    made.choose("xavier_uniform_")
    outlook = await made.outlook()
    assert outlook.edit is None
    assert outlook.problem == f"it is refused: {FANLESS}"


@pytest.mark.parametrize(
    ("name", "initialiser"),
    [("model.0.weight", "xavier_uniform_"), ("model.0.bias", "zeros_"), ("model.1.weight", "ones_")],
)
async def test_one_tensor_begins_with_what_fits_it(path: Path, name: str, initialiser: str) -> None:
    made = Made(path, name, Remembered("orthogonal_", (), "zeros_", 1) if name != "model.0.weight" else None)
    assert made.form.chosen is not None
    assert made.form.chosen.name == initialiser
    assert not made.form.splits
    assert list(await made.steps()) == [name]


async def test_biases_can_be_left_or_treated_alike_or_apart(path: Path) -> None:
    made = Made(path, "model.0")
    made.choose("normal_", std="0.02")
    made.form.biases = LEAVE
    assert await made.steps() == {"model.0.weight": "normal_(mean=0.0, std=0.02)"}
    made.form.biases = SAME
    assert set((await made.steps()).values()) == {"normal_(mean=0.0, std=0.02)"}
    made.form.biases = "constant_"
    assert (await made.outlook()).problem == "constant_ needs val"
    apart = made.form.bias_initialiser()
    assert apart is not None
    made.form.texts("biases", apart)["val"] = "-1"
    assert (await made.steps())["model.0.bias"] == "constant_(val=-1)"


async def test_the_part_decides_instead_of_the_choice_for_biases(path: Path) -> None:
    made = Made(path, "model.0")
    made.choose("normal_")
    made.form.part = BIASES
    assert await made.steps() == {"model.0.bias": "normal_(mean=0.0, std=1.0)"}
    made.form.part = WEIGHTS
    assert await made.steps() == {"model.0.weight": "normal_(mean=0.0, std=1.0)"}


async def test_names_narrow_by_a_glob_and_one_that_fits_nothing_is_explained(path: Path) -> None:
    made = Made(path)
    made.form.only = "*.0.*"
    assert list(await made.steps()) == ["model.0.weight", "model.0.bias"]
    made.form.only = "0.weight"
    assert (await made.outlook()).problem == (
        "there is no tensor here named 0.weight (*0.weight* for a part of the name)"
    )


async def test_where_goes_from_the_row_outwards_to_the_whole(path: Path) -> None:
    made = Made(path, "model.0.bias")
    assert [place.words for place in made.form.places] == [
        "only model.0.bias",
        "model.0 and below",
        "model and below",
        "whole network",
    ]
    made.form.place = 1
    assert list(await made.steps()) == ["model.0.weight", "model.0.bias"]


async def test_shared_memory_changes_once_and_names_its_partners(path: Path) -> None:
    made = Made(path, "model.head")
    made.form.part = WEIGHTS
    made.form.place = 1
    lines = await made.lines()
    place = next(at for at, line in enumerate(lines) if line.startswith("embed.weight"))
    assert lines[place + 1] == "  also changes: model.head.weight (shared A)"


async def test_a_line_tells_the_fans_and_the_spread_that_torch_gives(path: Path) -> None:
    made = Made(path, "model.0")
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(torch.empty(8, 4))
    std = math.sqrt(2 / (fan_in + fan_out))
    (weight, bias) = await made.lines()
    assert weight.split() == f"weight [8, 4] fan in {fan_in} fan out {fan_out} std {std:.3g}".split()
    assert bias.split() == ["bias", "[8]", "std", "0"]
    made.form.known_std[made.opened.listing.ids_named("model.0.weight")[0]] = 0.0214
    assert (await made.lines())[0].endswith(f"std 0.0214 -> {std:.3g}")
    assert all(len(line) <= 56 for line in await made.lines(56))


# Arguments


@pytest.mark.parametrize(
    ("typed", "gain"),
    [("relu", 2**0.5), ("tanh", 5 / 3), ("0.5", 0.5), ("2", 2), ("", None), ("-1e-3", -1e-3)],
)
async def test_a_gain_is_a_number_or_the_name_of_a_nonlinearity(
    path: Path, typed: str, gain: float | None
) -> None:
    made = Made(path, "model.0.weight")
    made.choose("xavier_uniform_", gain=typed)
    edit = (await made.outlook()).edit
    assert isinstance(edit, Initialise)
    assert edit.steps[0].call.arguments == ((("gain", gain),) if gain is not None else ())


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"scale": "wide"}, "scale of spectral_ is a number, not 'wide'"),
        ({"scale": ""}, "spectral_ needs scale"),
        ({"scale": "1", "groups": "1.5"}, "groups of spectral_ is a whole number, not 1.5"),
        ({"scale": "1", "groups": "__import__('os')"}, "groups of spectral_ is a whole number, not"),
        ({"scale": "[" * 3000}, "scale of spectral_ is a number, not"),
    ],
)
async def test_an_argument_of_another_kind_is_a_problem_in_words(
    path: Path, texts: dict[str, str], problem: str
) -> None:
    made = Made(path, "model.0.weight")
    made.choose("spectral_", **texts)
    outlook = await made.outlook()
    assert outlook.edit is None
    assert outlook.problem.startswith(problem)


async def test_a_nonlinearity_without_a_gain_is_told_which_there_are(path: Path) -> None:
    made = Made(path, "model.0.weight")
    made.choose("xavier_uniform_", gain="gelu")
    assert (await made.outlook()).problem == (
        "gelu is no nonlinearity with a gain (there are linear, relu, tanh)"
    )


async def test_arguments_of_all_kinds_reach_the_call(path: Path) -> None:
    made = Made(path, "model.0.weight")
    made.choose("spectral_", scale="inf", label="a b", fancy="True", sizes="[1, {'x': None}]")
    edit = (await made.outlook()).edit
    assert isinstance(edit, Initialise)
    assert edit.steps[0].call == Call(
        "spectral_",
        (("scale", math.inf), ("groups", 4), ("label", "a b"), ("fancy", True), ("sizes", [1, {"x": None}])),
        "inits.py",
    )


@pytest.mark.parametrize(
    ("typed", "seed"),
    [
        ("7", 7),
        ("", 0),
        ("-3", -3),
        (str(2**64 - 1), 2**64 - 1),
        (str(2**64), None),
        ("x", None),
        ("9" * 5000, None),
    ],
)
async def test_a_seed_is_what_torch_takes(path: Path, typed: str, seed: int | None) -> None:
    made = Made(path)
    made.form.seed = typed
    edit = (await made.outlook()).edit
    assert (edit.seed if isinstance(edit, Initialise) else None) == seed


# Functions of modules


async def test_a_function_of_a_module_is_applied_to_the_block_and_decides_itself(path: Path) -> None:
    made = Made(path, "model.0")
    made.choose("init_weights")
    made.form.only = "*.bias"
    outlook = await made.outlook()
    assert outlook.edit == ApplyFunction("model.0", Call("init_weights", (), "inits.py"), 0)
    assert outlook.note == (
        "type, names and part do not count: the function itself decides."
        " classes below model.0 are inferred from names and shapes"
    )
    assert await made.code() == ["torch.manual_seed(0)", 'net.get_submodule("0").apply(init_weights)']
    assert made.editor.trials == []


async def test_a_function_of_a_module_needs_a_block_whose_layers_are_known(path: Path) -> None:
    made = Made(path, "model.0.weight")
    made.choose(RESET)
    assert (await made.outlook()).problem == (
        "reset_parameters takes a module, not a tensor: choose a block in where"
    )
    made.form.place = 1
    made.editor.function_failure = ValuesError("what 0 is cannot be told from its names")
    assert (await made.outlook()).problem == "what 0 is cannot be told from its names"


async def test_the_framework_default_says_so_and_its_line_runs(path: Path) -> None:
    made = Made(path)
    made.choose(RESET)
    assert made.form.chosen is not None
    assert summary(made.form.chosen).startswith("framework default: ")
    line = "\n".join(await made.code())
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8))
    exec(line, {"torch": torch, "net": net})
    torch.manual_seed(0)
    twin = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8))
    torch.manual_seed(0)
    for layer in twin:
        if not isinstance(layer, nn.ReLU):
            layer.reset_parameters()  # type: ignore[operator]
    assert all(
        torch.equal(one, other) for one, other in zip(net.parameters(), twin.parameters(), strict=True)
    )


# PyTorch


async def test_the_lines_of_pytorch_do_what_is_asked_for(path: Path) -> None:
    made = Made(path, "model.0")
    made.choose("kaiming_normal_", mode="fan_out", nonlinearity="relu")
    made.form.seed = "3"
    lines = await made.code()
    assert lines == [
        "torch.manual_seed(3)",
        "nn.init.kaiming_normal_(m.weight, a=0, mode='fan_out', nonlinearity='relu')",
        "nn.init.zeros_(m.bias)",
    ]
    layer = nn.Linear(4, 8)
    exec("\n".join(lines), {"torch": torch, "nn": nn, "m": layer})
    assert layer.bias.abs().max() == 0


@pytest.mark.parametrize("name", [each.name for each in INITIALIZERS])
async def test_the_lines_of_any_initialiser_are_python(path: Path, name: str) -> None:
    made = Made(path, "model")
    made.choose(name)
    for option in ("scale", "val"):
        made.form.texts("weights", made.form.chosen)[option] = "2"  # type: ignore[arg-type]
    made.form.biases = SAME
    lines = await made.code()
    assert len(lines) >= 2
    ast.parse("\n".join(lines))


def test_statements_share_a_line_where_they_fit() -> None:
    assert in_lines(["aaaa", "bbbb", "cccccccc"], 10) == ["aaaa; bbbb", "cccccccc"]


# Remembering


async def test_the_next_form_begins_with_what_was_chosen(path: Path) -> None:
    made = Made(path)
    made.choose("kaiming_normal_", a="0.1", mode="fan_out")
    made.form.biases, made.form.seed = "constant_", "11"
    apart = made.form.bias_initialiser()
    assert apart is not None
    made.form.texts("biases", apart)["val"] = "0.5"
    remembered = made.form.remembered()
    assert remembered is not None
    again = Made(path, "model.0", remembered)
    assert await again.steps() == {
        "model.0.weight": "kaiming_normal_(a=0.1, mode='fan_out', nonlinearity='leaky_relu')",
        "model.0.bias": "constant_(val=0.5)",
    }
    assert again.form.seed == "11"
    assert again.form.remembered() == remembered


async def test_what_is_remembered_and_gone_is_forgotten(path: Path) -> None:
    made = Made(path, "model.0", Remembered("old_init", (), "old_bias", 4, "gone.py"))
    assert made.form.chosen is not None
    assert made.form.chosen.name == "xavier_uniform_"
    assert made.form.biases == SAME
    assert made.form.seed == "4"


def test_finding_looks_at_names_first_then_at_what_is_said_of_them(path: Path) -> None:
    form = Made(path).form
    assert [each.name for each in form.matching("xav")] == ["xavier_uniform_", "xavier_normal_"]
    assert [each.name for each in form.matching("uniform")] == [
        "uniform_",
        "xavier_uniform_",
        "kaiming_uniform_",
    ]
    assert [each.name for each in form.matching("default")] == [RESET]
    assert [each.name for each in form.matching("inits.py")] == ["spectral_", "init_weights"]
    assert form.matching("nothing like it") == []
    assert len(form.matching("")) == len(INITIALIZERS)
