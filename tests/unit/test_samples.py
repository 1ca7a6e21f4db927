"""The sample models run, have the structure they teach, and made the sample checkpoints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from paramtui.samples import DEFAULT_SAMPLE, sample_checkpoints, sample_models, samples_directory

MODELS = ["perceptron", "nested_blocks", "tied_layers", "tied_transformer", "convnet"]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, samples_directory() / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # torch.save of a whole module looks its classes up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MODELS)
def test_a_sample_runs_forward_and_backward(name: str) -> None:
    sample = load(name)
    net = sample.build()
    loss = sample.loss(net, *sample.example_inputs())
    loss.backward()
    assert loss.ndim == 0
    assert all(parameter.grad is not None for parameter in net.parameters())


def gradients(name: str) -> dict[str, torch.Tensor | None]:
    sample = load(name)
    net = sample.build()
    sample.loss(net, *sample.example_inputs()).backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


def test_the_exploding_net_has_nan_in_one_layer_and_a_finite_gradient_behind_it() -> None:
    found = gradients("exploding")
    bad = {name for name, gradient in found.items() if gradient is not None and gradient.isnan().all()}
    assert bad == {"0.weight", "0.bias"}
    assert all(g is not None and g.isfinite().all() and g.any() for n, g in found.items() if n[0] == "3")


def test_the_branches_are_frozen_unreached_and_zero() -> None:
    found = gradients("branches")
    assert {name for name, gradient in found.items() if gradient is None} == {
        "encoder.weight",
        "encoder.bias",
        "auxiliary.weight",
        "auxiliary.bias",
    }
    assert not load("branches").build().encoder.weight.requires_grad
    assert load("branches").build().auxiliary.weight.requires_grad
    assert {n for n, g in found.items() if g is not None and not g.any()} == {"gate.weight", "gate.bias"}


def test_the_perceptron_has_two_linear_layers() -> None:
    shapes = {name: tuple(p.shape) for name, p in load("perceptron").build().named_parameters()}
    assert shapes == {"0.weight": (8, 4), "0.bias": (8,), "2.weight": (1, 8), "2.bias": (1,)}


def test_the_nested_blocks_are_named() -> None:
    names = [name for name, _ in load("nested_blocks").build()[0].named_children()]
    assert names == ["block 0", "block 1", "block 2", "block 3"]


def test_the_tied_layers_are_one_module_and_share_memory() -> None:
    net = load("tied_layers").build()
    assert net[2] is net[4]
    net[2].weight.data[0, 0] = 100
    assert torch.equal(net[2].weight.data[0], net[4].weight.data[0])


def test_the_transformer_ties_its_head_to_its_embedding_and_keeps_its_mask_in_a_buffer() -> None:
    net = load("tied_transformer").build()
    assert net.head.weight is net.embed.weight
    assert [name for name, _ in net.named_buffers()] == ["layers.0.attention.mask", "layers.1.attention.mask"]


def test_the_transformer_sees_no_token_ahead() -> None:
    net = load("tied_transformer").build().eval()
    tokens = torch.arange(8)[None]
    changed = tokens.clone()
    changed[0, -1] = 63
    assert torch.allclose(net(tokens)[0, :-1], net(changed)[0, :-1])


def test_the_convnet_has_persistent_buffers_and_one_that_is_not() -> None:
    net = load("convnet").build()
    buffers = {name for name, _ in net.named_buffers()}
    assert "bn1.running_mean" in buffers
    assert buffers - set(net.state_dict()) == {"shift"}


def test_made_anew_the_checkpoints_hold_the_same_numbers(tmp_path: Path) -> None:
    maker = load("make_checkpoints")
    for name in MODELS:
        load(name)
    maker.main(tmp_path)
    for sample in sample_checkpoints():
        ours, fresh = sample.path, tmp_path / sample.name
        if sample.name.endswith(".safetensors"):
            old, new = load_file(ours), load_file(fresh)
        elif sample.name == "tied_layers.pt":
            old, new = (torch.load(path, weights_only=False).state_dict() for path in (ours, fresh))
        else:
            old, new = (torch.load(path) for path in (ours, fresh))
            old, new = old.get("model", old), new.get("model", new)
        assert list(old) == list(new)
        # Three optimizer steps may round differently on another processor.
        assert all(torch.allclose(old[key].double(), new[key].double(), atol=1e-5) for key in old), (
            sample.name
        )


def test_the_sample_models_say_what_their_files_say() -> None:
    found = {Path(sample.name).stem: sample.teaches for sample in sample_models()}
    assert set(found) == {*MODELS, "exploding", "branches"}
    assert all(teaches == load(name).TEACHES for name, teaches in found.items())


def test_the_default_sample_is_among_the_bundled_ones() -> None:
    assert DEFAULT_SAMPLE in [sample.name for sample in sample_checkpoints()]
    assert all(sample.path.is_file() and sample.teaches for sample in sample_checkpoints())
