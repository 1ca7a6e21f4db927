"""What optimizers keep is joined to the parameter that it is for, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from paramtui.core.listing import ITEM, ROOT, Listing
from paramtui.core.moments import Moments, join_moments
from tests.support import assert_same_numbers, numbers, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from torch.optim import Optimizer

    from paramtui.core.moments import MomentTable


def net() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)
    )


def split(model: nn.Module) -> list[dict[str, Any]]:
    """Two groups as the Trainer of Transformers makes them: with and without weight decay."""
    trained = [param for param in model.parameters() if param.requires_grad]
    return [
        {"params": [param for param in trained if param.ndim > 1], "weight_decay": 0.1},
        {"params": [param for param in trained if param.ndim <= 1], "weight_decay": 0.0},
    ]


def step(*optimizers: Optimizer, without: Iterable[nn.Parameter] = ()) -> None:
    """Three steps with random gradients, so that no two moments are equal."""
    untouched = {id(param) for param in without}
    for _ in range(3):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                for param in group["params"]:
                    if id(param) not in untouched and param.requires_grad:
                        param.grad = torch.randn_like(param)
            optimizer.step()


def joined(
    path: Path,
    models: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    *,
    all_of_it: bool = True,
) -> MomentTable:
    """Checks that every join of a file is right, and by default that none is missing."""
    checkpoint = opened(path)
    listing = checkpoint.listing
    table = join_moments(listing)
    tensors = {
        f"{prefix}{name}": tensor
        for prefix, model in models.items()
        for name, tensor in model.named_parameters(remove_duplicate=False)
    }
    places = {
        (id(param), where): (optimizer, index)
        for where, optimizer in optimizers.items()
        for index, group in enumerate(optimizer.param_groups)
        for param in group["params"]
    }
    wanted = {(i, w) for (i, w), (optimizer, _) in places.items() if any(i == id(p) for p in optimizer.state)}
    met = set()
    for tensor_id, rows in table.of.items():
        param = tensors[listing.names[tensor_id]]
        for row in rows:
            optimizer, index = places[id(param), row.where]
            assert row.group == index
            assert_state(checkpoint, row, optimizer.state[param], param)
            met.add((id(param), row.where))
    if all_of_it:
        assert met == wanted
        assert table.notes == ()
        for tensor_id, name in enumerate(listing.names):
            if name in tensors and any(i == id(tensors[name]) for i, _ in wanted):
                assert tensor_id in table.of
    return table


def assert_state(checkpoint: Any, row: Moments, state: dict[str, Any], param: torch.Tensor) -> None:
    held = {
        name for name, t in state.items() if torch.is_tensor(t) and t.shape == param.shape and name != "step"
    }
    assert {name for name, _ in row.moments} == held
    for name, tensor_id in row.moments:
        assert_same_numbers(checkpoint.read(tensor_id), numbers(state[name]))
    if torch.is_tensor(state.get("step")):
        assert row.step is None
        assert row.step_tensor is not None
        assert checkpoint.read(row.step_tensor).reshape(()).item() == state["step"].item()
    else:
        assert (row.step, row.step_tensor) == (state.get("step"), None)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(found: Any) -> Path:
        path = tmp_path / "f.pt"
        torch.save(found, path)
        return path

    return save


@pytest.mark.parametrize(
    "make",
    [
        lambda model: torch.optim.AdamW(split(model)),
        lambda model: torch.optim.AdamW(model.parameters(), amsgrad=True),
        lambda model: torch.optim.SGD(split(model), lr=0.1, momentum=0.9),
        lambda model: torch.optim.Adagrad(model.parameters()),
        lambda model: torch.optim.RMSprop(split(model), momentum=0.5, centered=True),
        lambda model: torch.optim.NAdam(split(model)),
        lambda model: torch.optim.Rprop(split(model)),
        lambda model: torch.optim.ASGD(split(model)),
        lambda model: torch.optim.Adamax(split(model)),
        lambda model: torch.optim.Adadelta(split(model)),
    ],
)
def test_every_optimizer_of_torch_is_joined_to_all_parameters(
    saved: Callable[[Any], Path], make: Callable[[nn.Module], Optimizer]
) -> None:
    model = net()
    optimizer = make(model)
    step(optimizer)
    path = saved({"epoch": 3, "weights": model.state_dict(), "opt": optimizer.state_dict()})
    table = joined(path, {"weights.": model}, {"opt": optimizer})
    assert len(table.of) == len(list(model.parameters()))


def test_moments_come_in_the_order_in_which_people_name_them(saved: Callable[[Any], Path]) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    step(optimizer)
    state = optimizer.state_dict()
    state["state"] = {key: dict(reversed(entry.items())) for key, entry in state["state"].items()}
    table = joined(saved([model.state_dict(), state]), {"0.": model}, {"1": optimizer})
    assert {tuple(name for name, _ in rows[0].moments) for rows in table.of.values()} == {
        ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    }


def test_frozen_parameters_are_skipped(saved: Callable[[Any], Path]) -> None:
    model = net()
    model[0].requires_grad_(requires_grad=False)
    model.get_parameter("3.bias").requires_grad = False
    optimizer = torch.optim.AdamW(split(model))
    step(optimizer)
    joined(
        saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()}),
        {"model.": model},
        {"optimizer": optimizer},
        all_of_it=False,
    )
    assert optimizer.state


def test_a_parameter_that_no_gradient_reached_has_no_moments(saved: Callable[[Any], Path]) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    step(optimizer, without=[model.get_parameter(name) for name in ("3.weight", "5.bias")])
    path = saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    table = joined(path, {"model.": model}, {"optimizer": optimizer})
    assert len(table.of) == len(list(model.parameters())) - 2


def test_all_names_of_a_tied_weight_get_its_moments(saved: Callable[[Any], Path]) -> None:
    model = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 4), nn.Linear(4, 6))
    model[2].weight = model[0].weight
    optimizer = torch.optim.AdamW(split(model))
    step(optimizer)
    path = saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    table = joined(path, {"model.": model}, {"optimizer": optimizer})
    names = opened(path).listing.names
    assert table.of[names.index("model.0.weight")] == table.of[names.index("model.2.weight")]


def twins() -> nn.Sequential:
    """A model in which shapes tell nothing."""
    return nn.Sequential(*[nn.Linear(4, 4) for _ in range(4)])


def named_shuffled(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return sorted(model.named_parameters(), key=lambda pair: pair[0][::-1])


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod."])
def test_names_in_param_groups_decide(saved: Callable[[Any], Path], prefix: str) -> None:
    model = twins()
    optimizer = torch.optim.AdamW(named_shuffled(model))
    step(optimizer)
    weights = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    path = saved({"model": weights, "optimizer": optimizer.state_dict()})
    joined(path, {f"model.{prefix}": model}, {"optimizer": optimizer})


def test_state_keyed_by_names_is_joined(saved: Callable[[Any], Path]) -> None:
    model = twins()
    optimizer = torch.optim.AdamW(model.parameters())
    step(optimizer)
    names = [f"module.{name}" for name, _ in model.named_parameters()]
    state = optimizer.state_dict()
    state["state"] = {names[key]: entry for key, entry in reversed(state["state"].items())}
    state["param_groups"][0]["params"] = names[::-1]
    joined(saved({"model": model.state_dict(), "optim": state}), {"model.": model}, {"optim": optimizer})


def test_a_pickled_module_is_the_model(saved: Callable[[Any], Path]) -> None:
    model = net()
    optimizer = torch.optim.AdamW(split(model))
    step(optimizer)
    path = saved({"net": model, "optimizer": optimizer.state_dict()})
    joined(path, {"net.": model}, {"optimizer": optimizer})


def test_optimizers_of_a_gan_find_their_networks(saved: Callable[[Any], Path]) -> None:
    nets = {"G": twins(), "D": twins()}
    optimizers = {
        f"optimizer_{key}": torch.optim.Adam(model.parameters()) for key, model in reversed(nets.items())
    }
    step(*optimizers.values())
    held = {f"net{key}": model.state_dict() for key, model in nets.items()}
    held |= {key: optimizer.state_dict() for key, optimizer in optimizers.items()}
    joined(saved(held), {f"net{key}.": model for key, model in nets.items()}, optimizers)


def test_lightning_optimizers_share_out_one_state_dict(saved: Callable[[Any], Path]) -> None:
    model = nn.ModuleDict({"generator": net(), "discriminator": nn.Sequential(nn.Linear(16, 8), net())})
    optimizers = [torch.optim.Adam(model[key].parameters()) for key in ("generator", "discriminator")]
    step(*optimizers)
    held = {"state_dict": model.state_dict(), "optimizer_states": [o.state_dict() for o in optimizers]}
    path = saved({"epoch": 1, "lr_schedulers": [], **held})
    where = {f"optimizer_states.{index}": optimizer for index, optimizer in enumerate(optimizers)}
    joined(path, {"state_dict.": model}, where, all_of_it=False)
    one = torch.optim.AdamW(split(model))
    step(one)
    path = saved({"state_dict": model.state_dict(), "optimizer_states": [one.state_dict()]})
    joined(path, {"state_dict.": model}, {"optimizer_states.0": one})


def test_one_optimizer_over_two_models_is_joined_where_their_order_does_not_matter(
    saved: Callable[[Any], Path],
) -> None:
    models = {"encoder": nn.Linear(5, 3), "decoder": nn.Linear(3, 7)}
    optimizer = torch.optim.Adam([p for model in models.values() for p in model.parameters()])
    step(optimizer)
    held = {key: model.state_dict() for key, model in reversed(models.items())}
    path = saved({**held, "optimizer": optimizer.state_dict()})
    joined(path, {f"{key}.": model for key, model in models.items()}, {"optimizer": optimizer})


def test_an_average_of_the_model_is_not_taken_for_it(saved: Callable[[Any], Path]) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    step(optimizer)
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = saved({"ema": average, "model": model.state_dict(), "optimizer": optimizer.state_dict()})
    joined(path, {"model.": model}, {"optimizer": optimizer})


def test_two_models_that_fit_equally_are_noted(saved: Callable[[Any], Path]) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    step(optimizer)
    clone = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = optimizer.state_dict()
    table = joined(
        saved({"model": model.state_dict(), "net": clone, "optimizer": state}),
        {"model.": model},
        {"optimizer": optimizer},
        all_of_it=False,
    )
    assert len(table.of) == len(optimizer.state)
    assert table.notes == ("optimizer: 2 models fit it equally: model, net; joined to model",)
    table = join_moments(opened(saved({"a": model.state_dict(), "b": clone, "optimizer": state})).listing)
    assert table == ({}, ("optimizer: 2 models fit it equally: a, b",))


def test_what_fits_two_parameters_is_left_out_and_noted(saved: Callable[[Any], Path]) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    model[1].requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    step(optimizer)
    path = saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    table = joined(path, {"model.": model}, {"optimizer": optimizer}, all_of_it=False)
    names = opened(path).listing.names
    assert {names[tensor] for tensor in table.of} == {"model.2.weight", "model.2.bias"}
    [note] = table.notes
    assert "equal shape" in note
    assert note.endswith("entries 0, 1")


def test_a_file_without_model_or_without_optimizer_joins_nothing(saved: Callable[[Any], Path]) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    assert join_moments(opened(saved(model.state_dict())).listing) == ({}, ())
    fresh = join_moments(opened(saved({"model": model.state_dict(), "o": optimizer.state_dict()})).listing)
    assert fresh == ({}, ("o: it keeps no state that could be joined",))
    step(optimizer)
    alone = join_moments(opened(saved(optimizer.state_dict())).listing)
    assert alone == ({}, ("the optimizer: no model in the file fits its parameters",))


def test_old_steps_are_plain_numbers(saved: Callable[[Any], Path]) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    step(optimizer)
    state = optimizer.state_dict()
    state["state"] = {key: {**entry, "step": 3} for key, entry in state["state"].items()}
    table = join_moments(opened(saved({"model": model.state_dict(), "optimizer": state})).listing)
    assert len(table.of) == len(optimizer.state)
    assert {(row.step, row.step_tensor) for rows in table.of.values() for row in rows} == {(3, None)}


def blocks() -> nn.ModuleDict:
    """Layers whose shapes tell all, 12 of them so that 10 sorts before 2."""
    layers = [nn.ModuleDict({"up": nn.Linear(4, 6), "down": nn.Linear(6, 4)}) for _ in range(12)]
    return nn.ModuleDict({"wte": nn.Embedding(9, 4), "layers": nn.ModuleList(layers)})


def test_a_trainer_directory_joins_its_optimizer(tmp_path: Path) -> None:
    model = blocks()
    optimizer = torch.optim.AdamW(split(model))
    step(optimizer)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    (tmp_path / "config.json").write_text("{}")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    joined(tmp_path, {"": model}, {"optimizer.pt": optimizer})
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    joined(tmp_path, {"": model}, {"optimizer.pt": optimizer})


def test_a_tensor_of_a_type_that_torch_has_not_is_no_parameter_and_the_others_are_joined(
    tmp_path: Path,
) -> None:
    model = blocks()
    optimizer = torch.optim.AdamW(split(model))
    step(optimizer)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    nbytes = len(content) - 8 - length
    header["odd"] = {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [nbytes, nbytes + 3]}
    raw = json.dumps(header).encode()
    data = content[8 + length :] + bytes(3)
    (tmp_path / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    joined(tmp_path, {"": model}, {"optimizer.pt": optimizer})


def test_the_sorted_order_of_safetensors_is_not_taken_for_that_of_the_model(tmp_path: Path) -> None:
    model = nn.ModuleDict({"z": nn.Linear(4, 4), "a": nn.Linear(4, 4), "m": nn.Linear(4, 3)})
    optimizer = torch.optim.AdamW(split(model))
    step(optimizer)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    table = joined(tmp_path, {"": model}, {"optimizer.pt": optimizer}, all_of_it=False)
    names = opened(tmp_path).listing.names
    assert {names[tensor] for tensor in table.of} == {"m.weight", "m.bias"}
    assert len(table.notes) == 1


def test_too_many_ways_are_given_up_in_words() -> None:
    listing = Listing("f", "torch-zip")

    def tensor(parent: int, key: object, shape: tuple[int, ...]) -> None:
        node = listing.add_node(parent, key, ITEM)
        listing.add_tensor(node, "tensor", -1, 0, "float32", shape, None, None, 0, False)

    def filled(parent: int, key: object, value: list[int]) -> None:
        from paramtui.core.listing import Value

        listing.values.append(Value(listing.add_node(parent, key, ITEM), "list", value))

    model = listing.add_node(ROOT, "model", ITEM)
    count = 400
    for index in range(count):
        tensor(model, f"{index}.weight", (4, 4))
    optimizer = listing.add_node(ROOT, "optimizer", ITEM)
    state = listing.add_node(optimizer, "state", ITEM)
    for index in range(count):
        tensor(listing.add_node(state, index, ITEM), "exp_avg", (4, 4))
    groups = listing.add_node(optimizer, "param_groups", ITEM)
    for group in range(4):
        node = listing.add_node(groups, group, ITEM)
        filled(node, "params", list(range(group * count // 4, (group + 1) * count // 4)))
    table = join_moments(listing)
    assert table.of == {}
    [note] = table.notes
    assert note.startswith("optimizer: too many")


SHAPES = [(2,), (3,), (2, 3), (3, 2)]


class Free(nn.Module):
    """Parameters and buffers of any shapes."""

    def __init__(self, shapes: list[tuple[int, ...]], buffers: list[bool]) -> None:
        super().__init__()
        for index, (shape, is_buffer) in enumerate(zip(shapes, buffers, strict=True)):
            inner = nn.Module()
            if is_buffer:
                inner.register_buffer("t", torch.randn(shape))
            else:
                inner.t = nn.Parameter(torch.randn(shape))
            self.add_module(f"m{index}", inner)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_join_is_ever_wrong(tmp_path: Path, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 9))
    shapes = data.draw(st.lists(st.sampled_from(SHAPES), min_size=size, max_size=size))
    rarely = st.sampled_from([False, False, False, True])
    model = Free(shapes, data.draw(st.lists(rarely, min_size=size, max_size=size)))
    groups: list[list[nn.Parameter]] = [[], [], []]
    untouched = []
    for param in model.parameters():
        where = data.draw(st.integers(-1, 2))
        if where >= 0:
            groups[where].append(param)
            if data.draw(rarely):
                untouched.append(param)
    if not any(groups):
        return
    optimizer = torch.optim.AdamW([{"params": group} for group in groups])
    step(optimizer, without=untouched)
    if data.draw(st.booleans()):
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "f.pt")
        joined(tmp_path / "f.pt", {"model.": model}, {"optimizer": optimizer}, all_of_it=False)
    else:
        folder = tmp_path / "trainer"
        folder.mkdir(exist_ok=True)
        torch.save(optimizer.state_dict(), folder / "optimizer.pt")
        save_file(model.state_dict(), folder / "model.safetensors")
        joined(folder, {"": model}, {"optimizer.pt": optimizer}, all_of_it=False)
