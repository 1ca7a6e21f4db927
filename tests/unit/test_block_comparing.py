"""Two blocks are compared name by name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.block_comparing import (
    NOT_COMPARED,
    ONLY_ONE,
    ONLY_OTHER,
    Pair,
    PairOutcome,
    compare_pairs,
    named_below,
    pairs,
    sum_up,
)
from paramtui.core.tree import Tree
from paramtui.errors import EngineError

if TYPE_CHECKING:
    from tests.conftest import Save


def opened(path: Any) -> tuple[Any, Tree]:
    source = open_checkpoint(str(path))
    return source, Tree(source.listing)


def paired(tree: Tree, one: str, other: str) -> list[tuple[str, str, str]]:
    """Pairs as names: below the blocks, and whole."""
    names = [*tree.listing.names, ""]
    found = pairs(tree, tree.find(one)[0], tree.find(other)[0])
    return [(pair.name, names[pair.one], names[pair.other]) for pair in found]


def test_tensors_are_paired_by_their_names_below_the_blocks(save: Save) -> None:
    net = nn.ModuleDict(
        {
            "a": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False)),
            "b": nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2)),
        }
    )
    _, tree = opened(save(net.state_dict()))
    assert paired(tree, "a", "b") == [
        ("0.weight", "a.0.weight", "b.0.weight"),
        ("0.bias", "a.0.bias", ""),
        ("1.weight", "a.1.weight", "b.1.weight"),
        ("1.bias", "", "b.1.bias"),
    ]


def test_blocks_of_two_levels_are_paired_by_what_their_names_have_in_common(save: Save) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    _, tree = opened(save(net.state_dict()))
    assert paired(tree, "0", "1.0") == [
        ("weight", "0.weight", "1.0.weight"),
        ("bias", "0.bias", "1.0.bias"),
    ]
    # A block inside the other one is compared all the same.
    assert ("weight", "", "1.0.weight") in paired(tree, "1", "1.0")


def test_tensors_of_one_name_are_paired_in_order(save: Save) -> None:
    one = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)}
    _, tree = opened(save({"x": one, "y": {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)}}))
    found = pairs(tree, tree.find("x")[0], tree.find("y")[0])
    assert [pair.name for pair in found] == ["a.b", "a.b"]
    assert len({pair.one for pair in found}) == len({pair.other for pair in found}) == 2
    assert all(pair.whole for pair in found)


def test_names_below_a_block_are_those_of_the_tree(save: Save) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(3)))
    _, tree = opened(save(net.state_dict()))
    names = tree.names()
    for block in range(len(tree)):
        if tree.is_block(block):
            prefix = f"{names[block]}." if names[block] else ""
            for name, tensor in named_below(tree, block):
                row = tree.row_of(tensor)
                assert row is not None
                assert prefix + name == names[row]


async def test_outcomes_are_those_of_torch_and_what_cannot_be_compared_says_why(save: Save) -> None:
    a = {
        "same": torch.arange(4.0),
        "other": torch.zeros(2, 3),
        "shape": torch.zeros(2),
        "mine": torch.zeros(1),
    }
    b = {
        "same": torch.arange(4.0),
        "other": torch.zeros(2, 3),
        "shape": torch.zeros(3),
        "yours": torch.zeros(1),
    }
    b["other"][1, 2] = 5
    source, tree = opened(save({"a": a, "b": b}))
    wanted = pairs(tree, tree.find("a")[0], tree.find("b")[0])
    told: list[tuple[int, int]] = []
    found = [outcome async for outcome in compare_pairs(source, wanted, lambda *each: told.append(each))]
    by_name = {outcome.pair.name: outcome for outcome in found}
    assert {name: outcome.verdict for name, outcome in by_name.items()} == {
        "same": "equal bits",
        "other": "different",
        "shape": NOT_COMPARED,
        "mine": ONLY_ONE,
        "yours": ONLY_OTHER,
    }
    other = by_name["other"].comparison
    assert other is not None
    assert other.different == int((a["other"] != b["other"]).sum())
    assert other.first == (1, 2)
    assert "[2] and [3]" in by_name["shape"].reason
    assert told[-1] == (6, 6)


async def test_a_source_that_has_ended_ends_the_comparison(save: Save) -> None:
    source, _ = opened(save({"a": torch.zeros(3), "b": torch.zeros(3)}))

    class Gone:
        listing = source.listing

        async def window(self, *_: object) -> None:
            raise EngineError("the engine has ended")

    with pytest.raises(EngineError, match="has ended"):
        [outcome async for outcome in compare_pairs(Gone(), [Pair("x", 0, 1)])]  # type: ignore[arg-type]


def test_sums_count_names_by_their_verdicts() -> None:
    assert sum_up(Counter({"different": 2, "equal bits": 1}), 3) == "3 names: 2 different, 1 equal bits"
    assert sum_up(Counter(), 1) == "1 name"
    assert PairOutcome(Pair("x", 1, -1), None).verdict == ONLY_ONE
