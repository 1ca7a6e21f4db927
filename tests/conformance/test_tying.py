"""Tying and untying parameters: the same of a model in this process and of one through the pipe."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import torch
from torch import nn

from paramtui.core.edits import Call, Edit, Initialise, SetCells, Step, Tie, Untie, edit_text
from paramtui.errors import EditError
from tests.conformance.editors import assert_shows, editable, expected_digest, run, touched
from tests.conformance.sources import KINDS, devices


@pytest.fixture(
    scope="module", params=[(kind, device) for kind in KINDS[1:] for device in devices()], ids=str
)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    kind, device = request.param
    with editable(kind, device, tmp_path_factory.mktemp("tying")) as pair:
        yield pair


@pytest_asyncio.fixture
async def held(opened: Any) -> AsyncIterator[Any]:
    yield opened
    # What a failing test leaves would fail the other.
    while opened[0].history.done:
        await opened[0].undo()


def make(model: Any, edit: Edit) -> None:
    """Does with torch alone what an edit says."""
    if isinstance(edit, Tie):
        path, _, name = edit.to.rpartition(".")
        put(model, edit.tensor, getattr(model.get_submodule(path), name))
    elif isinstance(edit, Untie):
        for each in edit.tensors:
            path, _, name = each.rpartition(".")
            held = getattr(model.get_submodule(path), name)
            new = held.detach().clone()
            put(model, each, nn.Parameter(new) if isinstance(held, nn.Parameter) else new)
    elif isinstance(edit, SetCells):
        path, _, name = edit.tensor.rpartition(".")
        getattr(model.get_submodule(path), name).data[int(edit.cells)] = edit.number
    elif isinstance(edit, Initialise):
        run(model, edit)


def put(model: nn.Module, name: str, tensor: torch.Tensor) -> None:
    path, _, last = name.rpartition(".")
    setattr(model.get_submodule(path), last, tensor)


def aliases(listing: Any) -> set[frozenset[str]]:
    groups = [group for group in listing.sharing.groups if group.kind == "alias"]
    return {frozenset(listing.names[member] for member in group.members) for group in groups}


CHANGES: tuple[tuple[Edit, set[str], set[frozenset[str]]], ...] = (
    (Untie(("head.weight",)), {"head.weight"}, set()),
    (SetCells("embed.weight", "0", "=", 7.0), {"embed.weight"}, set()),
    (
        Tie("layers.linear.weight", "embed.weight"),
        {"layers.linear.weight"},
        {frozenset({"layers.linear.weight", "embed.weight"})},
    ),
    (
        Initialise((Step("embed.weight", Call("normal_")),), 4),
        {"layers.linear.weight", "embed.weight"},
        {frozenset({"layers.linear.weight", "embed.weight"})},
    ),
    (
        Tie("head.weight", "layers.linear.weight"),
        {"head.weight"},
        {frozenset({"layers.linear.weight", "embed.weight", "head.weight"})},
    ),
    (
        Untie(("embed.weight", "part")),
        {"embed.weight", "part"},
        {frozenset({"layers.linear.weight", "head.weight"})},
    ),
    (SetCells("part", "-1", "=", -3.0), {"part"}, {frozenset({"layers.linear.weight", "head.weight"})}),
)


async def test_ties_and_what_else_is_changed_are_made_and_taken_back_in_order(held: Any) -> None:
    source, model = held
    names = source.listing.names
    states = [(copy.deepcopy(model), aliases(source.listing))]
    assert states[0][1] == {frozenset({"embed.weight", "head.weight"})}
    for edit, changed, groups in CHANGES:
        mirror = copy.deepcopy(states[-1][0])
        make(mirror, edit)
        outcome = await source.apply(edit)
        assert {names[tensor] for tensor in outcome.changed} == changed
        assert outcome.said == edit_text(edit)
        assert outcome.digest == expected_digest(source, mirror, edit, outcome.changed)
        assert (outcome.listing is source.listing) == isinstance(edit, Tie | Untie)
        assert source.listing.names == names
        assert aliases(source.listing) == groups
        assert source.history.done[-1].tensors == outcome.changed
        for name in ("embed.weight", "head.weight", "part"):
            group = touched(mirror, dict(mirror.state_dict())[name])
            ids = [tensor for tensor, each in enumerate(names) if each in group]
            figures = source.gradients.figures
            if name != "part":
                assert {figures[tensor].owner for tensor in ids} == {ids[0]}
                assert {source.listing.live.same[tensor] for tensor in ids} == {ids[0]}
        await assert_shows(source, mirror)
        states.append((mirror, groups))
    for way, order in ((source.undo, range(len(CHANGES) - 1, -1, -1)), (source.redo, range(len(CHANGES)))):
        for at in order:
            outcome = await way()
            mirror, groups = states[at if way == source.undo else at + 1]
            assert {names[tensor] for tensor in outcome.changed} == CHANGES[at][1]
            assert aliases(source.listing) == groups
            await assert_shows(source, mirror)
    while source.history.done:
        await source.undo()
    await assert_shows(source, model)


async def test_what_is_refused_leaves_listing_and_history(held: Any) -> None:
    source, model = held
    listing = source.listing
    edits: tuple[Edit, ...] = (
        Tie("head.weight", "embed.weight"),
        Tie("head.weight", "conv.weight"),
        Tie("part", "whole"),
        Untie(("vector",)),
    )
    for edit in edits:
        with pytest.raises(EditError):
            await source.apply(edit)
        with pytest.raises(EditError, match="is done at once"):
            await source.preview(edit, None, ())
    assert source.listing is listing
    assert not source.history.done
    await assert_shows(source, model)
