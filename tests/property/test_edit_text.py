"""A typed change means what Python would do with it, and nothing else gets through."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paramtui.core.edit_text import TypedEdit, edit_text, parse_edit, reached_name
from paramtui.core.indexing import parse_index
from paramtui.errors import EditSyntaxError, IndexSyntaxError

NAMES = (
    "2.weight", "0.weight", "weight", "model.0.weight", "block 1.2.weight", "a.data", "say \"x\".w", "1.7",
)  # fmt: skip

operators = st.sampled_from(["=", "*=", "/=", "+=", "-="])
numbers = st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.complex_numbers()
indices = st.lists(
    st.integers(-9, 9).map(str) | st.sampled_from([":", "1:", ":3", "::2", "1:5:2"]), min_size=1, max_size=4
).map(", ".join) | st.sampled_from(["...", "..., -1", "0, ..."])
names = st.from_regex(r"[a-z0-9_]{1,5}(\.[a-z0-9_ ]{1,5}){0,3}[a-z0-9]", fullmatch=True)
reaches = (
    st.just("") | names | st.sampled_from(["net[2].weight.data", 'state["model"]["0.weight"]', 'm["a=b"].w'])
)
edits = st.builds(TypedEdit, reaches, indices, operators, numbers) | st.builds(
    TypedEdit, st.just(""), st.none(), operators, numbers
)


def same(found: Any, expected: Any) -> bool:
    """Whether two numbers are of one type and print alike, so that NaN and the sign of zero count.

    Python itself reads ``-0j`` back with another sign than it wrote.
    """
    if isinstance(expected, complex) and found == expected:
        return type(found) is type(expected)
    return type(found) is type(expected) and repr(found) == repr(expected)


@settings(max_examples=500)
@given(edits)
def test_a_change_that_is_written_down_is_read_back(edit: TypedEdit) -> None:
    found = parse_edit(edit_text(edit))
    assert found[:3] == edit[:3]
    assert same(found.number, edit.number)


@given(edits, st.sampled_from(["", " ", "  "]), st.booleans())
def test_spaces_and_brackets_may_be_left_out(edit: TypedEdit, space: str, bracketed: bool) -> None:
    index = "" if edit.index is None else f"[{edit.index}]" if bracketed or edit.reach else edit.index
    left = f"{space}{edit.reach}{index}{space}"
    found = parse_edit(f"{left}{edit.operator}{space}{edit.number!r}{space}")
    assert found[:3] == edit[:3]
    assert same(found.number, edit.number)


@given(numbers)
def test_a_number_alone_goes_where_the_cursor_is(number: Any) -> None:
    found = parse_edit(repr(number))
    assert found[:3] == ("", None, "=")
    assert same(found.number, number)


@settings(max_examples=500)
@given(st.text(max_size=40) | st.text("[]()=*/+-.:,0123456789jenaif\"' wgth_\\\n", max_size=30))
def test_any_text_is_a_change_or_refused_in_one_line(text: str) -> None:
    try:
        found = parse_edit(text)
    except (EditSyntaxError, IndexSyntaxError) as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
        return
    assert found.index is None or isinstance(parse_index(found.index), tuple)
    assert isinstance(found.number, bool | int | float | complex)
    reached_name(found.reach, NAMES)


@settings(max_examples=300)
@given(st.text(max_size=40) | st.text("[]().get_submodule\"'0w \\\n", max_size=40))
def test_any_reach_names_a_tensor_or_none(text: str) -> None:
    assert reached_name(text, NAMES) in (None, *NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", ("", None, "=", 100)),
        ("*= 0.5", ("", None, "*=", 0.5)),
        ("[0] = 100", ("", "0", "=", 100)),
        ("0, :3 *= 2", ("", "0, :3", "*=", 2)),
        ("[..., -1] = nan", ("", "..., -1", "=", math.nan)),
        ("= 1e-3", ("", None, "=", 1e-3)),
        ("1_000", ("", None, "=", 1000)),
        (".data[0] = 100", ("", "0", "=", 100)),
        ("weight.data[0]=100", ("weight.data", "0", "=", 100)),
        ("net[2].weight.data[0] -= 100", ("net[2].weight.data", "0", "-=", 100)),
        ("0.weight[0] = 100", ("0.weight", "0", "=", 100)),
        ("0, := True", ("", "0, :", "=", True)),
        ('w[0] = float("-inf")', ("w", "0", "=", -math.inf)),
        ("w[0] = -torch.inf", ("w", "0", "=", -math.inf)),
        ("w[0] = math.nan", ("w", "0", "=", math.nan)),
        ("w[0] += +1-2j  # half of it", ("w", "0", "+=", 1 - 2j)),
        ("w[0] = 1e999", ("w", "0", "=", math.inf)),
        ("-=-1", ("", None, "-=", -1)),
    ],
)
def test_what_people_write_is_understood(text: str, expected: tuple[Any, ...]) -> None:
    found = parse_edit(text)
    assert found[:3] == expected[:3]
    assert same(found.number, expected[3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no number at its end"),
        ("[0] =", "has no number at its end"),
        ("1/3", "'1/3' is not a number"),
        ("[0] = 10**5", "is not a number"),
        ("[0] = open('x')", "is not a number"),
        ("[0] = float('x')", "is not a number"),
        ("[0] = float(nan)", "is not a number"),
        ("[0] = None", "is not a number"),
        ("[0] = -True", "is not a number"),
        ("[0] = 1, 2", "is not a number"),
        ("[0] = '1'", "is not a number"),
        ("[0] = 1 2", "is not a number"),
        ("[0] = 007", "is not a number"),
        ("[0] = 9" + "9" * 300, "is not a number"),
        ("[0] = " + "-" * 150 + "1", "is not a number"),
        ("[0] = " + "(" * 199, "is not a number"),
        ("[0] == 3", "has an operator that is not"),
        ("[0] **= 3", "has an operator that is not"),
        ("[0] //= 3", "has an operator that is not"),
        ("[0] %= 3", "has an operator that is not"),
        ("weight = 3", "'weight' is no index and has none in brackets"),
        ('state["a"] = 3', "does not say which cells to change"),
        ("weight[] = 3", "does not say which cells to change"),
        ("[0][1] = 3", "does not have one pair of brackets"),
        ("0] = 3", "does not have one pair of brackets"),
        ("x" * 5000, "is too long"),
    ],
)
def test_what_is_no_change_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(EditSyntaxError) as caught:
        parse_edit(text)
    assert words in str(caught.value)
    assert (
        "[0]" in str(caught.value) or "for all of them" in str(caught.value) or "[0, 1]" in str(caught.value)
    )


def test_an_index_that_selects_no_cells_is_refused_as_an_index() -> None:
    with pytest.raises(IndexSyntaxError, match="not an integer, a slice or"):
        parse_edit("weight[a] = 3")
    with pytest.raises(IndexSyntaxError, match="a step must be positive"):
        parse_edit("weight[::-1] = 3")


@pytest.mark.parametrize(
    ("reach", "name"),
    [
        ("2.weight", "2.weight"),
        ("net[2].weight", "2.weight"),
        ("net[2].weight.data", "2.weight"),
        ("net.2.weight.data", "2.weight"),
        ("weight", "weight"),
        ("weight.data", "weight"),
        ("self.weight.data", "weight"),
        ("model[0].weight", "model.0.weight"),
        ("other[0].weight", "0.weight"),
        ('state["model"]["0.weight"]', "model.0.weight"),
        ('torch.load("a.pt")["model"]["0.weight"]', "model.0.weight"),
        ('safetensors.torch.load_file("a")["2.weight"]', "2.weight"),
        ('torch.export.load("a").state_dict["2.weight"]', "2.weight"),
        ('net.state_dict()["2.weight"]', "2.weight"),
        ('model.get_submodule("block 1")[2].weight', "block 1.2.weight"),
        ('model.get_submodule("block 1.2").get_parameter("weight")', "block 1.2.weight"),
        ('model.get_submodule("")[2].weight', "2.weight"),
        ('getattr(getattr(net, "2"), "weight")', "2.weight"),
        ('net._modules["2"]._parameters["weight"]', "2.weight"),
        ("net.a.data", "a.data"),
        ('m["say \\"x\\""].w', 'say "x".w'),
        ("state[1][7]", "1.7"),
        ("net[3].weight", None),
        ("net[-1].weight", None),
        ("net.a", None),
        ("net[i].weight", None),
        ("net[2].weight.clone()", None),
        ("f(2).weight.x", None),
        ("", None),
        (".data", None),
        ("a" + ".b" * 1900, None),
        ("a" + "[0]" * 1200, None),
    ],
)
def test_a_reach_names_the_tensor_that_python_would_reach(reach: str, name: str | None) -> None:
    assert reached_name(reach, NAMES) == name


def test_a_whole_file_that_is_one_tensor_is_reached_by_any_variable() -> None:
    assert reached_name("weight", [""]) == ""
    assert reached_name("weight.data", [""]) == ""


def test_expressions_into_a_live_model_name_their_parameters() -> None:
    block = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3))
    model = torch.nn.Module()
    model.add_module("block 1", block)
    model.add_module("heads", torch.nn.ModuleDict({"left": torch.nn.Linear(3, 1)}))
    named = dict(model.state_dict(keep_vars=True))
    for reach in (
        'model.get_submodule("block 1")[0].weight',
        'model.get_submodule("block 1")[2].running_mean',
        'model.heads["left"].bias.data',
        'model._modules["heads"].left._parameters["weight"]',
        'model.get_parameter("block 1.0.bias")',
        'model.get_buffer("block 1.2.running_var")',
    ):
        name = reached_name(reach, list(named))
        assert name is not None
        assert eval(reach, {"model": model}).data_ptr() == named[name].data_ptr()
    with contextlib.suppress(AttributeError):
        assert eval("model.left", {"model": model}) is None
    assert reached_name("model.left.bias", list(named)) is None
