from __future__ import annotations

import copy
import operator
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from torch import nn

from paramtui.core.edits import RESET, ApplyFunction, Call, Initialise, SetCells, Step
from paramtui.core.previewing import BINS
from paramtui.errors import EditError, NameLookupError, ParamtuiError
from tests.conformance.editors import (
    INDEX,
    assert_shows,
    call,
    editable,
    expected_digest,
    fitting,
    initialise,
    run,
    tensors,
    touched,
)
from tests.conformance.sources import KINDS, devices
from tests.support import PLAIN_DTYPES, assert_same_numbers, numbers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CALLS = (
    "zeros_",
    "ones_",
    "constant_(val=-0.3)",
    "constant_(val=7)",
    "uniform_",
    "uniform_(a=-2.5, b=0.25)",
    "normal_",
    "normal_(mean=1.5, std=0.02)",
    "trunc_normal_",
    "trunc_normal_(mean=0.1, std=0.5, a=-0.7, b=1.0)",
    "eye_",
    "dirac_",
    "dirac_(groups=2)",
    "orthogonal_",
    "orthogonal_(gain=1.7)",
    "sparse_(sparsity=0.3)",
    "sparse_(sparsity=0.8, std=0.5)",
    "xavier_uniform_",
    "xavier_uniform_(gain=2.0)",
    "xavier_normal_",
    "xavier_normal_(gain=0.1)",
    "kaiming_uniform_",
    "kaiming_uniform_(a=0.2, mode='fan_out', nonlinearity='leaky_relu')",
    "kaiming_normal_",
    "kaiming_normal_(mode='fan_out', nonlinearity='relu')",
)


@pytest.fixture(scope="module", params=[(kind, device) for kind in KINDS for device in devices()], ids=str)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    kind, device = request.param
    with editable(kind, device, tmp_path_factory.mktemp("editors")) as pair:
        yield pair


@pytest_asyncio.fixture
async def held(opened: Any) -> AsyncIterator[Any]:
    yield opened
    # What a failing test leaves would fail the others.
    while opened[0].history.done:
        await opened[0].undo()


async def test_every_initialiser_gives_the_bits_of_torch_for_the_same_seed(held: Any) -> None:
    source, model = held
    catalogue = await source.catalogue()
    built_in = {each.name for each in catalogue.initializers if each.takes == "tensor" and not each.source}
    assert {text.partition("(")[0] for text in CALLS} == built_in
    before = copy.deepcopy(model)
    used: set[torch.dtype] = set()
    for seed, text in enumerate(CALLS):
        edit = initialise(call(catalogue, text), fitting(model, call(catalogue, text)), seed)
        reference = copy.deepcopy(model)
        run(reference, edit)
        used |= {tensors(model)[step.tensor].dtype for step in edit.steps}
        outcome = await source.apply(edit)
        assert outcome.digest == expected_digest(source, reference, edit, outcome.changed), text
        await assert_shows(source, reference)
        await source.undo()
    await assert_shows(source, before)
    assert used == {torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64}


async def test_tied_and_overlapping_tensors_change_together_and_are_named(held: Any) -> None:
    source, model = held
    names = source.listing.names
    zeros, seven = Call("zeros_"), Call("constant_", (("val", 7.0),))
    parts = {
        "embed.weight": Initialise((Step("embed.weight", zeros),), 0),
        "head.weight": Initialise((Step("head.weight", seven),), 0),
        "even": Initialise((Step("even", seven),), 0),
        "part": SetCells("part", "1", "=", 5.0),
        "whole": SetCells("whole", "3:9:2", "*=", 3.0),
        "spread": SetCells("spread", "", "-=", 1.0),
    }
    cells = {name: tensors(model)[name] for name in parts}
    cells["part"], cells["whole"] = cells["part"][1], cells["whole"][3:9:2]
    for name, edit in parts.items():
        outcome = await source.apply(edit)
        assert {names[tensor] for tensor in outcome.changed} == touched(model, cells[name]), name
        assert source.history.done[-1].tensors == outcome.changed
        await source.undo()
    await assert_shows(source, model)


NUMBERS: tuple[Any, ...] = (2, 0.5, True, -3, 1 + 2j, 300, 1e30)
OPERATORS = {
    "=": lambda cells, number: cells.fill_(number),
    "*=": operator.imul,
    "/=": operator.itruediv,
    "+=": operator.iadd,
    "-=": operator.isub,
}


async def test_cells_set_by_every_operator_are_those_of_torch(held: Any) -> None:
    source, model = held
    done = 0
    for name, tensor in tensors(model).items():
        for sign, work in OPERATORS.items():
            for number in NUMBERS:
                wanted = copy.deepcopy(model)
                cells = ("", "...")[number == 2] if not tensor.dim() else ("1:3", "::2", "-1")[done % 3]
                index = INDEX[cells]
                try:
                    work(tensors(wanted)[name][index], number)
                except (RuntimeError, TypeError):
                    # What torch cannot do is refused, and nothing has changed.
                    with pytest.raises(ParamtuiError):
                        await source.apply(SetCells(name, cells, sign, number))
                    continue
                try:
                    edit = SetCells(name, cells, sign, number)
                    outcome = await source.apply(edit)
                except ParamtuiError:
                    # Refused here alone: torch takes these for other numbers than were written.
                    assert tensor.dtype in FUSSY, (name, sign, number)
                    continue
                done += 1
                assert outcome.digest == expected_digest(source, wanted, edit, outcome.changed), (
                    name,
                    sign,
                    number,
                )
                await source.undo()
    assert done > 300
    await assert_shows(source, model)


# A number that is no truth value, or wraps around, or becomes infinite.
FUSSY = (
    torch.bool,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.complex32,
)


async def test_a_preview_tells_before_and_after_and_changes_nothing(held: Any) -> None:
    source, model = held
    catalogue = await source.catalogue()
    names = source.listing.names
    turned = names.index("turned")
    picks = (range(1, 3), range(0, 3, 2))
    for edit in (
        initialise(call(catalogue, "normal_(std=0.3)"), fitting(model, call(catalogue, "normal_")), 5),
        SetCells("turned", "1", "*=", 4.0),
    ):
        await source.apply(edit)
        plain = source.history.done[-1]
        await source.undo()
        preview = await source.preview(edit, turned, picks)
        await assert_shows(source, model)
        assert len(source.history.done) == 0
        after = copy.deepcopy(model)
        if isinstance(edit, SetCells):
            tensors(after)["turned"][1] *= 4.0
        else:
            run(after, edit)
        assert set(preview.summaries) == set(plain.tensors)
        for tensor in preview.summaries:
            both = [tensors(each)[names[tensor]].cpu() for each in (model, after)]
            wide = [each.abs().double() if each.is_complex() else each.double() for each in both]
            low, high = min(each.min().item() for each in wide), max(each.max().item() for each in wide)
            for figures, counts, exact in zip(
                preview.summaries[tensor], preview.histograms[tensor], wide, strict=True
            ):
                assert figures.numel == exact.numel()
                assert figures.mean == pytest.approx(exact.mean().item(), rel=1e-5, abs=1e-7)
                if exact.numel() > 1:
                    assert figures.std == pytest.approx(exact.std().item(), rel=1e-5, abs=1e-7)
                assert figures.min == pytest.approx(exact.min().item(), rel=1e-6)
                assert figures.max == pytest.approx(exact.max().item(), rel=1e-6)
                if exact.numel() > 1 and not both[0].is_complex():
                    edges = np.histogram(exact.numpy(), BINS, (low, high))[0]
                    assert abs(np.array(counts) - edges).sum() <= 2, names[tensor]
        for window, each in ((preview.before, model), (preview.after, after)):
            assert_same_numbers(window.values, numbers(tensors(each)["turned"].cpu()[1:3, 0:3:2]))
        again = await source.apply(edit)
        assert (again.changed, again.digest) == (plain.tensors, plain.digest)
        await assert_shows(source, after)
        await source.undo()
    await assert_shows(source, model)


async def test_a_preview_is_made_anew_when_its_tensors_have_changed_since(held: Any) -> None:
    source, model = held
    double = SetCells("vector", "", "*=", 2.0)
    await source.apply(SetCells("vector", "", "=", 3.0))
    await source.preview(double, None, ())
    await source.undo()
    await source.apply(double)
    wanted = copy.deepcopy(model)
    tensors(wanted)["vector"].mul_(2.0)
    await assert_shows(source, wanted)
    await source.undo()
    await assert_shows(source, model)


@pytest.mark.parametrize("block", ["layers", "conv"])
async def test_layers_are_reset_as_their_classes_do(held: Any, block: str) -> None:
    source, model = held
    wanted = copy.deepcopy(model)
    torch.manual_seed(11)
    wanted.get_submodule(block).apply(lambda module: getattr(module, RESET, lambda: None)())
    edit = ApplyFunction(block, Call(RESET), 11)
    outcome = await source.apply(edit)
    await assert_shows(source, wanted)
    assert outcome.digest == expected_digest(source, wanted, edit, outcome.changed)
    different = {
        name
        for name, tensor in tensors(model).items()
        if not np.array_equal(numbers(tensor.cpu()), numbers(tensors(wanted)[name].cpu()))
    }
    assert {source.listing.names[tensor] for tensor in outcome.changed} == different
    await source.undo()
    await assert_shows(source, model)


def random_edit(
    draw: random.Random, model: nn.Module, calls: list[tuple[Call, list[str]]]
) -> Initialise | SetCells:
    if draw.random() < 0.5:
        made, names = draw.choice(calls)
        chosen = draw.sample(names, draw.randint(1, min(4, len(names))))
        return Initialise(tuple(Step(name, made) for name in chosen), draw.randrange(1000))
    name = draw.choice(
        [name for name, each in tensors(model).items() if each.dtype in (torch.float32, *EXACT)]
    )
    cells = draw.choice(["", "0", "1:", "::2"]) if tensors(model)[name].dim() else ""
    return SetCells(name, cells, draw.choice(list(OPERATORS)), draw.choice([2.0, 0.5, -1.0]))


EXACT = (torch.float64, torch.float16, torch.bfloat16)


async def test_two_hundred_changes_and_their_undoing_are_those_of_torch_to_the_bit(held: Any) -> None:
    source, model = held
    catalogue = await source.catalogue()
    draw = random.Random(7)
    calls = [(made := call(catalogue, text), fitting(model, made)) for text in CALLS]
    states = [copy.deepcopy(model)]
    told: list[tuple[tuple[int, ...], str]] = []
    for step in range(200):
        edit = random_edit(draw, model, calls)
        after = copy.deepcopy(states[-1])
        if isinstance(edit, SetCells):
            OPERATORS[edit.operator](tensors(after)[edit.tensor][INDEX[edit.cells]], edit.number)
        else:
            run(after, edit)
        if draw.random() < 0.3:
            await source.preview(edit, None, ())
        outcome = await source.apply(edit)
        names = {source.listing.names[tensor] for tensor in outcome.changed}
        assert outcome.digest == expected_digest(source, after, edit, outcome.changed), edit
        undone = await source.undo()
        assert undone.changed == outcome.changed
        await assert_shows(source, states[-1], names)
        if draw.random() < 0.7:
            redone = await source.redo()
            assert redone.changed == outcome.changed
            await assert_shows(source, after, names)
            states.append(after)
            told.append((outcome.changed, outcome.digest))
        if step % 40 == 0:
            await assert_shows(source, states[-1])
    assert [(change.tensors, change.digest) for change in source.history.done] == told
    while source.history.done:
        await source.undo()
        states.pop()
        if len(states) % 20 == 1:
            await assert_shows(source, states[-1])
    await assert_shows(source, model)
    with pytest.raises(EditError, match="nothing to undo"):
        await source.undo()


async def test_what_an_initialiser_cannot_do_is_said_as_torch_would(held: Any) -> None:
    source, _ = held
    catalogue = await source.catalogue()
    device = source.listing.live.device[0] if source.listing.live is not None else "cpu"
    asked, wanted = [], []
    for text in CALLS:
        made = call(catalogue, text)
        for rank in range(6):
            for dtype in PLAIN_DTYPES:
                shape = (6, 5, 3, 2, 2)[:rank]
                asked.append((made, shape, str(dtype).removeprefix("torch.")))
                try:
                    getattr(nn.init, made.name)(
                        torch.zeros(shape, dtype=dtype, device=device), **dict(made.arguments)
                    )
                except Exception as error:
                    wanted.append(str(error).split("\n")[0])
                else:
                    wanted.append("")
    found = await source.trial(asked)
    wrong = [
        (ask, got, want)
        for ask, got, want in zip(asked, found, wanted, strict=True)
        if bool(got) != bool(want)
    ]
    assert not wrong
    said = dict(zip([(ask[0].text, len(ask[1]), ask[2]) for ask in asked], found, strict=True))
    xavier = said["xavier_uniform_()", 1, "float32"]
    assert xavier.startswith("xavier_uniform_ cannot do float32 of 1 dimensions: Fan in and fan out")
    assert "bfloat16" in said["orthogonal_()", 2, "bfloat16"]
    assert said["normal_()", 2, "float8_e4m3fn"]
    assert said["normal_()", 2, "int64"]


async def test_what_cannot_be_done_is_refused_and_leaves_no_trace(held: Any) -> None:
    source, model = held
    for edit, error, words in (
        (SetCells("nothing", "", "=", 1.0), NameLookupError, "nothing"),
        (SetCells("vector", "7:", "=", 1.0), EditError, "selects nothing"),
        (Initialise((), 0), EditError, "nothing to initialise"),
        (ApplyFunction("nowhere", Call(RESET), 0), ParamtuiError, "nowhere"),
        (Initialise((Step("vector", Call("no_such_")),), 0), EditError, "no_such_"),
    ):
        with pytest.raises(error, match=words):
            await source.apply(edit)
        with pytest.raises(error, match=words):
            await source.preview(edit, None, ())
    mixed = Initialise((Step("turned", Call("zeros_")), Step("vector", Call("xavier_normal_"))), 0)
    with pytest.raises(ParamtuiError, match="(?i)fan in"):
        await source.apply(mixed)
    assert not source.history.done
    await assert_shows(source, model)
