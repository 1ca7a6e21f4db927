"""A function of a module changes a file's block as it changes the model that the file was saved from."""

from __future__ import annotations

import copy
import json
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.layers import LayerBlock, Recipe, layers_below, recipe_from
from paramtui.core.tree import Tree
from paramtui.errors import ValuesError
from paramtui.models.skeleton import build_skeleton, skeleton_lines, with_padding
from sample_models import perceptron
from tests.models.skeleton_models import (
    FUNCTIONS,
    REFUSED,
    ZOO,
    Speech,
    Twice,
    init_weights,
    my_init,
    reset,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Save


def tensors_of(net: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer of a model under each of its names."""
    found = {
        **dict(net.named_parameters(remove_duplicate=False)),
        **dict(net.named_buffers(remove_duplicate=False)),
    }
    return {name: tensor.detach() for name, tensor in found.items()}


def opened_tree(path: Path) -> Tree:
    return Tree(open_checkpoint(str(path)).listing)


def loaded(path: Path, *, whole: bool) -> dict[str, torch.Tensor]:
    """A file's tensors by name, read by torch."""
    found = torch.load(path, weights_only=not whole)
    return tensors_of(found) if whole else found


def by_id(tree: Tree, named: dict[str, torch.Tensor], recipe: Recipe) -> dict[int, torch.Tensor]:
    return {tensor: named[tree.listing.names[tensor]] for tensor in recipe.tensors()}


def plain_python(tree: Tree, recipe: Recipe, named: dict[str, torch.Tensor]) -> nn.Module:
    """The block that a recipe's lines make, with torch alone."""
    lines = skeleton_lines(recipe, lambda tensor: f"state[{tree.listing.names[tensor]!r}]")
    scope: dict[str, Any] = {"torch": torch, "nn": nn, "state": named}
    for line in lines:
        exec(line, scope)
    block = scope["block"]
    assert isinstance(block, nn.Module)
    return block


@pytest.mark.parametrize("whole", [True, False], ids=["module", "state-dict"])
@pytest.mark.parametrize("name", ZOO)
def test_apply_changes_a_files_block_as_it_changes_the_model(save: Save, name: str, whole: bool) -> None:
    torch.manual_seed(7)
    net = ZOO[name]()
    path = save(net if whole else net.state_dict())
    tree = opened_tree(path)
    refused = {} if whole else REFUSED.get(name, {})
    told = 0
    for block_name, _ in net.named_modules():
        rows = [row for row in tree.find(block_name) if tree.is_block(row)]
        if not rows or not tree.tensors[rows[0]]:
            continue
        if block_name in refused:
            with pytest.raises(ValuesError, match=refused[block_name]) as caught:
                layers_below(tree, rows[0])
            assert str(caught.value).startswith(block_name or "the whole file")
            continue
        told += 1
        recipe = layers_below(tree, rows[0])
        assert recipe_from(json.loads(json.dumps(recipe.plain()))) == recipe
        for change in FUNCTIONS:
            expected = copy.deepcopy(net)
            torch.manual_seed(3)
            expected.get_submodule(block_name).apply(change)
            drawn = torch.get_rng_state()
            ways: list[Callable[[dict[str, torch.Tensor], Recipe], nn.Module]] = [
                lambda named, recipe: build_skeleton(recipe, by_id(tree, named, recipe)),
                lambda named, recipe: plain_python(tree, recipe, named),
            ]
            for way in ways[: 2 if change in (reset, my_init, init_weights) else 1]:
                named = copy.deepcopy(tensors_of(net)) if whole else copy.deepcopy(net.state_dict())
                complete = with_padding(recipe, by_id(tree, named, recipe))
                torch.manual_seed(3)
                way(named, complete).apply(change)
                assert torch.equal(drawn, torch.get_rng_state()), (block_name, change)
                wanted = tensors_of(expected)
                for tensor_name, tensor in named.items():
                    assert torch.equal(tensor, wanted[tensor_name]), (block_name, change, tensor_name)
    assert told or refused


@pytest.mark.parametrize("name", ZOO)
def test_a_whole_modules_classes_facts_and_parameters_are_those_of_the_model(save: Save, name: str) -> None:
    net = ZOO[name]()
    tree = opened_tree(path := save(net))
    named = loaded(path, whole=True)
    recipe = layers_below(tree, 0)
    block = build_skeleton(recipe, by_id(tree, named, recipe))
    real, made = dict(net.named_modules()), dict(block.named_modules())
    assert list(made) == list(real)
    for at, module in made.items():
        assert type(module).__name__ == type(real[at]).__name__
        if type(real[at]).__module__.startswith("torch."):
            assert type(module) is type(real[at])
            assert module.extra_repr() == real[at].extra_repr()
        for key, value in vars(real[at]).items():
            if type(value) in (int, float, str, bool, tuple, type(None)) and key != "training":
                assert vars(module)[key] == value, (at, key)
    assert list(dict(block.named_parameters())) == list(dict(net.named_parameters()))
    for at, parameter in net.named_parameters(remove_duplicate=False):
        ours = block.get_parameter(at)
        assert isinstance(ours, nn.Parameter)
        assert ours.requires_grad == parameter.requires_grad
        assert ours.data_ptr() in {tensor.data_ptr() for tensor in named.values()}
        assert torch.equal(ours, parameter)
    assert list(dict(block.named_buffers())) == list(dict(net.named_buffers()))


def test_a_layer_that_is_used_twice_is_one_module_and_a_shared_weight_one_parameter(save: Save) -> None:
    for content in (Twice(), Twice().state_dict()):
        tree = opened_tree(save(content))
        recipe = layers_below(tree, 0)
        tensors = {
            tensor: torch.zeros(tuple(size or 0 for size in tree.listing.shape[tensor]))
            for tensor in recipe.tensors()
        }
        block = build_skeleton(recipe, tensors)
        assert block.get_submodule("first.0") is block.get_submodule("second.0")
        assert block.get_submodule("embed_tokens") is not block.get_submodule("lm_head")
        assert block.get_parameter("embed_tokens.weight") is block.get_parameter("lm_head.weight")


def test_a_flag_that_a_model_sets_on_a_layer_is_there(save: Save) -> None:
    net: Any = nn.Sequential(nn.Linear(4, 4))
    net[0].SCALE = 0.25  # as in nanoGPT's initialisation of projections
    tree = opened_tree(path := save(net))
    named = loaded(path, whole=True)
    recipe = layers_below(tree, 0)
    for block in (build_skeleton(recipe, by_id(tree, named, recipe)), plain_python(tree, recipe, named)):
        assert block.get_submodule("0").SCALE == 0.25
        torch.manual_seed(1)
        block.apply(init_weights)
        torch.manual_seed(1)
        net.apply(init_weights)
        assert torch.equal(named["0.weight"], net[0].weight)


def test_building_draws_no_random_number_and_changes_no_tensor(save: Save) -> None:
    net = Speech()
    tree = opened_tree(path := save(net.state_dict()))
    named = loaded(path, whole=False)
    before = copy.deepcopy(named)
    recipe = layers_below(tree, 0)
    state = torch.get_rng_state()
    block = build_skeleton(recipe, by_id(tree, named, recipe))
    plain_python(tree, recipe, named)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(named[name], before[name]) for name in named)
    for name, parameter in block.named_parameters():
        assert parameter.data_ptr() == named[name].data_ptr()
        assert parameter.requires_grad


def test_what_a_state_dict_does_not_tell_is_absent_and_printing_works_without_it(save: Save) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, groups=1), nn.BatchNorm2d(8))
    tree = opened_tree(path := save(net.state_dict()))
    recipe = layers_below(tree, 0)
    block = build_skeleton(recipe, by_id(tree, loaded(path, whole=False), recipe))
    conv = block.get_submodule("0")
    assert type(conv) is nn.Conv2d
    assert (conv.out_channels, conv.kernel_size) == (8, (3, 3))
    for name in ("stride", "groups", "in_channels"):
        with pytest.raises(AttributeError, match=name):
            getattr(conv, name)
    assert "out_channels=8" in str(block)
    assert "num_features=8" in str(block)


def test_an_embeddings_padding_is_its_only_row_of_zeros(save: Save) -> None:
    padded = nn.Embedding(5, 3, padding_idx=4)
    plain = nn.Embedding(5, 3)
    empty = nn.Embedding(5, 3)
    nn.init.zeros_(empty.weight)
    for real, expected in ((padded, 4), (plain, None), (empty, None)):
        tree = opened_tree(path := save({"embedding.weight": real.weight.detach()}))
        recipe = layers_below(tree, 0)
        complete = with_padding(recipe, by_id(tree, loaded(path, whole=False), recipe))
        assert complete.blocks[-1].arguments["padding_idx"] == expected
        assert with_padding(complete, {}) == complete


def test_older_files_without_a_counter_of_batches_get_one(save: Save) -> None:
    state = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict()
    del state["1.num_batches_tracked"]
    tree = opened_tree(path := save(state))
    recipe = layers_below(tree, 0)
    named = loaded(path, whole=False)
    for block in (build_skeleton(recipe, by_id(tree, named, recipe)), plain_python(tree, recipe, named)):
        block.apply(reset)
        assert torch.equal(named["1.weight"], torch.ones(4))


def test_names_of_the_file_are_escaped_in_lines_and_nothing_but_its_layers_is_made(save: Save) -> None:
    odd = 'a"); raise SystemExit("x'
    tree = opened_tree(path := save({f"{odd}.weight": torch.ones(2, 3), f"{odd}.bias": torch.ones(2)}))
    recipe = layers_below(tree, 0)
    named = loaded(path, whole=False)
    block = plain_python(tree, recipe, named)
    assert type(block.get_submodule(odd)) is nn.Linear


def test_facts_that_no_layer_can_have_are_refused_by_name() -> None:
    def refused(class_name: str, **arguments: object) -> str:
        layer = LayerBlock(("inner",), class_name, "known", arguments, {}, {})
        recipe = Recipe([LayerBlock((), "Module", "known", {}, {}, {}), layer], "net")
        with pytest.raises(ValuesError) as caught:
            build_skeleton(recipe, {})
        with pytest.raises(ValuesError) as again:
            skeleton_lines(recipe, str)
        assert str(again.value) == str(caught.value)
        return str(caught.value)

    assert refused("Linear", in_features=-1, out_features=2).startswith(
        "net.inner: torch.nn.Linear cannot be made"
    )
    assert refused("Embedding", num_embeddings="x", embedding_dim=2).startswith("net.inner: ")
    assert refused("Conv2d", in_channels=3, out_channels=4, kernel_size=(3, 3), groups=2).startswith(
        "net.inner: "
    )
    assert "has not" in refused("os.system")
    assert "has not" in refused("functional")


def test_a_submodule_cannot_take_the_name_of_a_method() -> None:
    child = LayerBlock(("apply",), "Module", "inferred", {}, {}, {})
    with pytest.raises(ValuesError, match="^apply: "):
        build_skeleton(Recipe([LayerBlock((), "Module", "inferred", {}, {}, {}), child]), {})


def test_the_lines_of_a_small_model_read_as_a_person_would_write_them(save: Save) -> None:
    tree = opened_tree(save(perceptron.build()))
    lines = skeleton_lines(layers_below(tree, 0), lambda tensor: f'state["{tree.listing.names[tensor]}"]')
    assert lines == [
        "block = nn.Sequential()",
        'block.add_module("0", nn.Linear(4, 8, device="meta"))',
        'block.get_submodule("0").weight = nn.Parameter(state["0.weight"])',
        'block.get_submodule("0").bias = nn.Parameter(state["0.bias"])',
        'block.add_module("1", nn.ReLU())',
        'block.add_module("2", nn.Linear(8, 1, device="meta"))',
        'block.get_submodule("2").weight = nn.Parameter(state["2.weight"])',
        'block.get_submodule("2").bias = nn.Parameter(state["2.bias"])',
    ]


def test_a_model_of_a_class_that_cannot_be_imported_is_rebuilt_without_it(save: Save) -> None:
    project = types.ModuleType("lost_project")
    exec("from torch import nn\nclass ConvBlock(nn.Module): pass", project.__dict__)
    sys.modules["lost_project"] = project
    try:
        net = project.ConvBlock()
        net.width = 4
        net.inner = nn.Linear(2, 3)
        path = save(net)
    finally:
        del sys.modules["lost_project"]
    tree = opened_tree(path)
    recipe = layers_below(tree, 0)
    block = build_skeleton(recipe, {tensor: torch.ones(2) for tensor in recipe.tensors()})
    assert (type(block).__name__, type(block).__bases__) == ("ConvBlock", (nn.Module,))
    assert vars(block)["width"] == 4
    assert type(block.get_submodule("inner")) is nn.Linear
