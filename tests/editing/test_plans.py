"""Which tensors an initialiser is for, against ``named_parameters()`` of the very modules."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.editable import edit_reason
from paramtui.core.edits import Call
from paramtui.core.planning import Plan, Scope, is_bias, layer_types, make_plan
from paramtui.core.tree import Tree
from tests.editing.checkpoints import module, network, training, views
from tests.models.skeleton_models import Odd, Residual, Speech, Twice

WEIGHTS, BIASES = Call("ones_"), Call("zeros_")
MODELS: dict[str, Any] = {
    "network": network,
    "residual": lambda: Residual(3, 4),
    "speech": Speech,
    "twice": Twice,
    "odd": Odd,
    "attention": lambda: nn.TransformerEncoderLayer(8, 2, 16),
}


def plan_of(path: Path, scope: Scope | None = None, biases: Call | None = BIASES) -> tuple[Plan, Tree]:
    tree = Tree(open_checkpoint(str(path)).listing)
    plan = make_plan(
        tree, scope or Scope(0), WEIGHTS, biases, lambda tensor: edit_reason(tree.listing, tensor)
    )
    return plan, tree


def named(plan: Plan, tree: Tree) -> list[str]:
    return [tree.listing.names[target.tensor] for target in plan.targets]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_come_in_the_order_of_named_parameters_and_ties_once(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    torch.save(model.state_dict(), tmp_path / "x.pt")
    plan, tree = plan_of(tmp_path / "x.pt")
    expected = [key for key, _ in model.named_parameters()]
    assert named(plan, tree) == expected
    assert [target.call for target in plan.targets] == [
        BIASES if is_bias(key) else WEIGHTS for key in expected
    ]
    everything = dict(model.named_parameters(remove_duplicate=False))
    names = tree.listing.names
    for target in plan.targets:
        mine = everything[names[target.tensor]]
        others = {key for key, other in everything.items() if other is mine} - {names[target.tensor]}
        assert {names[tensor] for tensor in target.also} == others
    left = {names[tensor]: reason for tensor, reason in plan.left}
    buffers = [key for key, _ in model.named_buffers() if key in model.state_dict()]
    assert list(left) == buffers
    # Nothing but its type tells of a whole number that it is no parameter.
    assert {reason.partition(": ")[2] or reason for reason in left.values()} <= {
        "not a parameter but a buffer",
        "not a parameter that could be trained",
    }


def test_what_is_no_parameter_is_left_out_with_its_reason(tmp_path: Path) -> None:
    held = {
        **training(),
        "parameter": nn.Parameter(torch.ones(2)),
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(3, device="meta"),
        "quantised": torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8),
        "wide": torch.zeros(1).expand(5),
        "conjugated": torch.ones(2, dtype=torch.complex64).conj(),
    }
    torch.save(held, tmp_path / "x.pt")
    plan, tree = plan_of(tmp_path / "x.pt")
    left = {tree.listing.names[tensor]: reason for tensor, reason in plan.left}
    assert {name for name, reason in left.items() if reason == "state of an optimizer"} == {
        name for name in tree.listing.names if name.startswith("optimizer.state")
    }
    assert left["model.bn.running_mean"] == "not a parameter but a buffer"
    assert left["zoo.as_int8"] == "int8: not a parameter that could be trained"
    assert left["zoo.as_bool"] == "bool: not a parameter that could be trained"
    assert left["views.empty"] == "has no elements"
    assert "layout sparse" in left["sparse"]
    assert "quantised" in left["quantised"]
    assert "conjugated" in left["conjugated"]
    assert left["meta"]
    assert "parameter" in named(plan, tree)
    assert len(plan.targets) + len(plan.left) == len(tree.listing) - 1, "one alias is visited with the other"
    alone, _ = plan_of(tmp_path / "x.pt", Scope(tree.find("model.bn.running_mean")[0]))
    assert named(alone, tree) == ["model.bn.running_mean"], "named by itself, a buffer is meant"


@pytest.mark.parametrize("part", ["all", "weights", "biases"])
@pytest.mark.parametrize("only", ["", "*.weight", "conv?.*", "*[nm]*", "none"])
@pytest.mark.parametrize("layer", ["", "BatchNorm2d", "torch.nn.Conv2d", "Linear"])
def test_globs_types_and_parts_narrow_alike(part: str, only: str, layer: str, tmp_path: Path) -> None:
    model = Residual(3, 4)
    torch.save(model, tmp_path / "x.pt")
    plan, tree = plan_of(tmp_path / "x.pt", Scope(0, only, layer, part))
    classes = {path: type(inner).__name__ for path, inner in model.named_modules()}
    assert named(plan, tree) == [
        name
        for name, _ in model.named_parameters()
        if (not only or fnmatchcase(name, only))
        and (not layer or classes[name.rpartition(".")[0]] == layer.rpartition(".")[2])
        and (part == "all" or name.endswith("bias") == (part == "biases"))
    ]


def test_views_are_visited_each_and_equal_ones_once(tmp_path: Path) -> None:
    held = views()
    held["again"] = held["part"]
    torch.save(held, tmp_path / "x.pt")
    plan, tree = plan_of(tmp_path / "x.pt")
    assert named(plan, tree) == [name for name in held if name not in ("again", "empty")]
    overlapping = {"whole", "part", "every_third", "again"}
    for target in plan.targets:
        name = tree.listing.names[target.tensor]
        also = {tree.listing.names[tensor] for tensor in target.also}
        assert also == (overlapping - {name} if name in overlapping else set())


def test_biases_can_be_left_and_types_are_listed(tmp_path: Path) -> None:
    torch.save(module(), tmp_path / "x.pt")
    plan, tree = plan_of(tmp_path / "x.pt", biases=None)
    assert named(plan, tree) == [name for name, _ in module().named_parameters() if not is_bias(name)]
    assert layer_types(tree, 0)[:4] == ["Embedding", "Linear", "BatchNorm1d", "Conv2d"] or set(
        layer_types(tree, 0)
    ) >= {"Embedding", "Linear", "BatchNorm1d", "Conv2d"}
    refused = {plan.targets[0].tensor: "because"}
    rest = plan.without(refused)
    assert rest.targets == plan.targets[1:]
    assert rest.left[-1] == (plan.targets[0].tensor, "because")


def test_sorted_names_of_numbered_layers_come_as_the_model_has_them(tmp_path: Path) -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    save_file(model.state_dict(), tmp_path / "x.safetensors")
    plan, tree = plan_of(tmp_path / "x.safetensors")
    assert named(plan, tree) == [name for name, _ in model.named_parameters()]
