from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.core.comparing import compare
from paramtui.core.gradients import FROZEN, NOT_YET, UNREACHED
from paramtui.core.source import Differentiable, Editor, Measurable, Searchable
from paramtui.core.statistics import Statistics
from paramtui.errors import ParamtuiError, ValuesError
from tests.conformance.sources import KINDS, devices, opened
from tests.statistics.against_torch import check_against_torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIVE = KINDS[1:]


@pytest.fixture(scope="module", params=[(kind, device) for kind in KINDS for device in devices()], ids=str)
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    kind, device = request.param
    with opened(kind, device, tmp_path_factory.mktemp("conformance")) as pair:
        yield pair


@pytest.fixture(params=[(kind, device) for kind in LIVE for device in devices()], ids=str)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    kind, device = request.param
    with opened(kind, device, tmp_path) as pair:
        yield pair


def tensors(source: Any, model: nn.Module) -> dict[str, torch.Tensor]:
    """By name, those that the source should have."""
    found = dict(model.named_parameters(remove_duplicate=False)) | dict(
        model.named_buffers(remove_duplicate=False)
    )
    return found if source.listing.live is not None else dict(model.state_dict(keep_vars=True))


def test_names_shapes_types_and_strides_are_those_of_the_model(held: Any) -> None:
    source, model = held
    listing, wanted = source.listing, tensors(source, model)
    assert sorted(listing.names) == sorted(wanted)
    for tensor, name in enumerate(listing.names):
        other = wanted[name]
        assert listing.shape[tensor] == tuple(other.shape)
        assert f"torch.{listing.dtype[tensor]}" == str(other.dtype)
        assert listing.requires_grad[tensor] == other.requires_grad or source.listing.live is None
        if other.layout == torch.strided:
            assert listing.stride[tensor] == other.stride()
            assert listing.nbytes[tensor] == other.numel() * other.element_size()


def extent(tensor: torch.Tensor) -> int:
    """Elements from the first to the last one in memory, of a tensor without negative strides."""
    return sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) + 1


def test_sharing_is_that_of_addresses(held: Any) -> None:
    source, model = held
    listing, wanted = source.listing, tensors(source, model)
    groups = {
        frozenset(listing.names[member] for member in group.members) for group in listing.sharing.groups
    }
    strided = {name: t for name, t in wanted.items() if t.layout == torch.strided and t.numel()}
    touched = {
        name: {t.data_ptr() + byte for byte in range(extent(t) * t.element_size())}
        for name, t in strided.items()
    }
    expected = {frozenset(other for other in touched if touched[name] & touched[other]) for name in touched}
    assert groups == {group for group in expected if len(group) > 1}
    assert {frozenset({"embed.weight", "head.weight"}), frozenset({"whole", "part"})} <= groups


async def test_every_window_has_the_numbers_of_torch(held: Any) -> None:
    source, model = held
    wanted = tensors(source, model)
    for tensor, name in enumerate(source.listing.names):
        other = wanted[name].detach().cpu()
        dense = other.to_dense() if other.layout != torch.strided else other
        for picks in (
            tuple(range(size) for size in dense.shape),
            tuple(range(0, size, 2) for size in dense.shape),
            tuple(list(range(size))[::-1] for size in dense.shape),
            tuple(range(min(1, size), size) for size in dense.shape),
        ):
            window = await source.window(tensor, picks)
            part = dense
            for dim, pick in enumerate(picks):
                part = part.index_select(dim, torch.tensor(list(pick), dtype=torch.long))
            plain = part.float() if part.dtype in WIDENED else part
            np.testing.assert_array_equal(window.values, plain.numpy(), err_msg=name)


WIDENED = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


async def test_what_cannot_be_read_says_so(held: Any) -> None:
    source, _ = held
    cube = source.listing.names.index("cube")
    with pytest.raises(ParamtuiError):
        await source.window(cube, (range(2),))
    with pytest.raises(ParamtuiError):
        await source.window(cube, ([0], [0], [99]))


async def test_copies_are_tensors_with_the_same_bytes_in_other_memory(held: Any) -> None:
    source, model = held
    names, wanted = source.listing.names, tensors(source, model)
    assert isinstance(source, Searchable)
    found = await source.copies(None)
    alike: dict[Any, dict[int, str]] = {}
    for name in names:
        tensor = wanted[name].detach()
        if tensor.layout == torch.strided and tensor.numel():
            flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
            key = tensor.dtype, tensor.shape, flat.view(torch.uint8).numpy().tobytes()
            alike.setdefault(key, {}).setdefault(tensor.data_ptr(), name)
    expected = {frozenset(places.values()) for places in alike.values() if len(places) > 1}
    assert {frozenset(names[member] for member in group.members) for group in found.groups} == expected
    ones = {group.constant for group in found.groups if names.index("norm.weight") in group.members}
    assert ones == {"1"}
    assert [names[tensor] for tensor, _ in found.skipped] == ["sparse"]


async def test_two_tensors_compare_as_torch_says(held: Any) -> None:
    source, model = held
    names, wanted = source.listing.names, tensors(source, model)
    for one, other in (
        ("embed.weight", "head.weight"),
        ("norm.weight", "norm.running_var"),
        ("as_float64", "as_bfloat16"),
    ):
        found = await compare(source, names.index(one), names.index(other))
        here, there = wanted[one].detach().cpu().double(), wanted[other].detach().cpu().double()
        assert found.different == int((here != there).sum())
        assert (found.verdict == "same memory") == (wanted[one] is wanted[other])
        amounts = (here - there).abs()
        assert (found.largest.amount if found.largest else 0.0) == amounts.max().item()


async def test_figures_are_those_that_torch_gives(held: Any) -> None:
    source, model = held
    assert isinstance(source, Measurable)
    names, wanted = source.listing.names, tensors(source, model)
    found: dict[int, Statistics | ValuesError] = {}
    await source.scan(range(len(names)), found.__setitem__)
    assert len(found) == len(names)
    for tensor, result in found.items():
        assert isinstance(result, Statistics), names[tensor]
        check_against_torch(result, wanted[names[tensor]].detach().cpu().to_dense())
        assert (await source.measure(tensor)).statistics == result


def test_what_a_source_cannot_do_is_said_in_words(held: Any) -> None:
    source, _ = held
    assert isinstance(source, Differentiable) == (source.listing.live is not None)
    if source.listing.live is None:
        assert "checkpoint" in source.listing.reasons["gradients"]
    else:
        assert "gradients" not in source.listing.reasons
    assert isinstance(source, Editor) == ("edit" not in source.listing.reasons)


def reference(model: nn.Module, passes: int) -> dict[str, torch.Tensor | None]:
    """Gradients by autograd itself, of the same random inputs."""
    model.zero_grad(set_to_none=True)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    device = next(model.parameters()).device
    for seed in range(passes):
        torch.manual_seed(seed)
        tokens = torch.randint(0, 6, (2, 5)).to(device)
        torch.manual_seed(seed)
        model(tokens).sum().backward()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if buffer.layout == torch.strided:
                buffer.copy_(buffers[name])
    return {name: p.grad for name, p in model.named_parameters(remove_duplicate=False)}


async def test_gradients_are_those_of_autograd(live: Any) -> None:
    source, model = live
    names = source.listing.names
    states = {names[tensor]: source.gradients.state(tensor) for tensor in source.gradients.figures}
    assert states.pop("frozen") == FROZEN
    assert set(states.values()) == {NOT_YET}

    for passes in (1, 2):
        outcome = await source.backward(None, accumulate=passes > 1)
        assert outcome.gradients.passes == passes
        assert outcome.gradients.loss_from == "sum of the outputs"
        # The model of the source "in this process" is the very one: what it left is looked at first.
        shown = {}
        for tensor in outcome.gradients.figures:
            shape = source.listing.shape[tensor]
            try:
                window = await source.gradient_window(tensor, [range(size) for size in shape])
                shown[names[tensor]] = window.values
            except ValuesError:
                shown[names[tensor]] = None
        wanted = reference(model, passes)
        assert shown.keys() == wanted.keys()
        for name, gradient in wanted.items():
            figure = outcome.gradients.figures[names.index(name)]
            if gradient is None:
                assert shown[name] is None
                assert figure.norm is None
                continue
            np.testing.assert_allclose(shown[name], gradient.cpu().numpy(), rtol=1e-5, atol=1e-7)
            assert figure.norm == pytest.approx(gradient.double().norm().item(), rel=1e-5, abs=1e-9)
            assert figure.max_abs == pytest.approx(
                gradient.abs().max().item() if gradient.numel() else 0.0, rel=1e-5, abs=1e-9
            )
            assert figure.zero == int((gradient == 0).sum())
    assert source.gradients.state(names.index("frozen")) == FROZEN
    assert source.gradients.state(names.index("empty")) == UNREACHED

    outcome = await source.zero_gradients()
    assert all(figure.norm is None for figure in outcome.gradients.figures.values())
    assert outcome.gradients.passes == 0


async def test_the_mode_is_changed_when_asked_and_listed(live: Any) -> None:
    source, _ = live
    assert source.listing.live.mode() == "train"
    outcome = await source.set_training(training=False)
    assert outcome.listing is not None
    assert source.listing.live.mode() == "eval"


async def test_a_pass_leaves_all_but_gradients_as_it_was(live: Any) -> None:
    source, _ = live
    before = [
        (await source.window(tensor, [range(size) for size in shape])).values
        for tensor, shape in enumerate(source.listing.shape)
    ]
    await source.backward(None, accumulate=False)
    assert source.listing.live.mode() == "train"
    for tensor, shape in enumerate(source.listing.shape):
        after = await source.window(tensor, [range(size) for size in shape])
        np.testing.assert_array_equal(after.values, before[tensor], err_msg=source.listing.names[tensor])
