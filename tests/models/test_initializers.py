"""The catalogue says of torch.nn.init what torch's own signatures say."""

from __future__ import annotations

import inspect
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.core.catalogue import CHOICE, INTEGER, NUMBER, bind, catalogue_from, plain_catalogue
from paramtui.core.edits import Call, parse_call
from paramtui.errors import EditError, UserCodeError
from paramtui.models.initializers import Initializers, initialise, trial

FOUND = Initializers((), "cpu").current()
BUILT_IN = [each for each in FOUND.catalogue.initializers if each.takes == "tensor" and not each.source]


def test_every_in_place_function_of_torch_is_there_and_no_deprecated_one() -> None:
    wanted = {
        name
        for name, function in vars(nn.init).items()
        if name.endswith("_")
        and name[0] != "_"
        and next(iter(inspect.signature(function).parameters)) == "tensor"
    }
    assert {each.name for each in BUILT_IN} == wanted
    assert {"trunc_normal_", "kaiming_normal_", "orthogonal_", "dirac_", "sparse_"} <= wanted
    assert not {"uniform", "normal", "kaiming_normal"} & wanted


@pytest.mark.parametrize("name", [each.name for each in BUILT_IN])
def test_options_are_those_of_the_signature(name: str) -> None:
    own = inspect.signature(getattr(nn.init, name)).parameters
    options = FOUND.catalogue.named(name).options
    assert [option.name for option in options] == [
        each for each in own if each not in ("tensor", "generator")
    ]
    for option in options:
        default = own[option.name].default
        assert option.required == (default is inspect.Parameter.empty)
        if not option.required:
            assert option.default == default
        if option.name in ("mode", "nonlinearity"):
            assert option.kind == CHOICE
            assert option.default in option.choices
        elif option.name == "groups":
            assert option.kind == INTEGER
        else:
            assert option.kind == NUMBER
    assert FOUND.catalogue.named(name).summary


def test_every_choice_is_one_that_torch_takes() -> None:
    for each in BUILT_IN:
        for option in each.options:
            for choice in option.choices:
                call = bind(each, parse_call(f"{each.name}({option.name}={choice!r})"))
                getattr(nn.init, each.name)(torch.empty(4, 4), **dict(call.arguments))


def test_gains_are_those_of_torch() -> None:
    for name, gain in FOUND.catalogue.gains.items():
        assert gain == nn.init.calculate_gain(name)  # type: ignore[arg-type]
    assert {"relu", "tanh", "selu", "leaky_relu", "linear"} <= set(FOUND.catalogue.gains)


def test_a_catalogue_survives_the_way_between_processes() -> None:
    import json

    assert catalogue_from(json.loads(json.dumps(plain_catalogue(FOUND.catalogue)))) == FOUND.catalogue
    assert FOUND.catalogue.environment["torch"] == torch.__version__
    assert FOUND.catalogue.environment["threads"] == str(torch.get_num_threads())


def test_trying_leaves_random_numbers_as_they_were() -> None:
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    calls = [Call("normal_"), Call("sparse_", (("sparsity", 0.5),)), Call("orthogonal_")]
    assert trial(FOUND, [(call, (40_000, 60_000), "float32") for call in calls], "cpu") == ["", "", ""]
    after = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]


def test_tensors_without_elements_are_tried_and_initialised_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trial(FOUND, [(Call("kaiming_uniform_"), (0, 3), "float32")], "cpu") == [""]
        initialise(FOUND, torch.empty(0, 3), Call("kaiming_uniform_"))


def test_groups_that_do_not_divide_are_told_before() -> None:
    for groups, rows in ((2, 6), (3, 6), (4, 6), (6, 6), (7, 7)):
        call = Call("dirac_", (("groups", groups),))
        (said,) = trial(FOUND, [(call, (rows, 5, 3), "float32")], "cpu")
        try:
            nn.init.dirac_(torch.empty(rows, 5, 3), groups)
        except ValueError as error:
            assert str(error) in said
        else:
            assert not said


def test_an_initialiser_that_is_not_there_or_fails_says_so() -> None:
    with pytest.raises(EditError, match=r"no initialiser kaimin_normal_.*did you mean kaiming_normal_"):
        initialise(FOUND, torch.empty(3, 3), Call("kaimin_normal_"))
    with pytest.raises(UserCodeError, match="Fan in and fan out"):
        initialise(FOUND, torch.empty(3), Call("xavier_normal_"))
    with pytest.raises(EditError, match="needs val"):
        bind(FOUND.catalogue.named("constant_"), parse_call("constant_"))
