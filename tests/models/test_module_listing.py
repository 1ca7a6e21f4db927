"""Live modules of every kind are listed as torch itself names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from paramtui.core import plain
from paramtui.core.block_text import block_text
from paramtui.core.expressions import expression
from paramtui.core.gradients import TIED, Figures, Gradients
from paramtui.core.plain import listing_from, listing_lines
from paramtui.core.tree import Tree
from paramtui.models.module_listing import list_module
from paramtui.models.tensor_cells import read_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.core.listing import Listing


class Plain(nn.Module):
    """A block with nothing special."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.ModuleDict({"a b": nn.Linear(2, 3), "relu": nn.ReLU(), "0": nn.Identity()})
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(1))])
        self.named = nn.ParameterDict({"left": nn.Parameter(torch.ones(3))})
        self.missing: nn.Module | None = None
        self.register_parameter("nothing", None)
        self.register_buffer("none", None)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)) for _ in range(3)])

    def extra_repr(self) -> str:
        return "width=2"


class LoRA(nn.Module):
    """A frozen layer with a low-rank addition."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(requires_grad=False)
        self.lora_A = nn.ParameterDict({"default": nn.Parameter(torch.randn(2, base.in_features))})
        self.lora_B = nn.ParameterDict({"default": nn.Parameter(torch.zeros(base.out_features, 2))})


def used_twice() -> nn.Module:
    shared = nn.Linear(2, 2)
    return nn.Sequential(shared, nn.ReLU(), shared)


MODELS: dict[str, Callable[[], Any]] = {
    "plain": Plain,
    "used twice": used_twice,
    "parametrised": lambda: nn.Sequential(
        parametrizations.weight_norm(nn.Linear(3, 2)), parametrizations.spectral_norm(nn.Linear(2, 2))
    ),
    "low rank": lambda: LoRA(nn.Linear(4, 4)),
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
    "recurrent": lambda: nn.LSTM(3, 4, 2),
    "nothing": nn.ReLU,
    "compiled": lambda: torch.compile(nn.Sequential(nn.Linear(2, 2))),
}


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]()


def test_names_kinds_and_order_are_torch_s(model: nn.Module) -> None:
    listing = list_module(model, "m").listing
    by_kind = {
        kind: [name for name, found in zip(listing.names, listing.kind, strict=True) if found == kind]
        for kind in ("parameter", "buffer")
    }
    assert by_kind["parameter"] == [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert by_kind["buffer"] == [name for name, _ in model.named_buffers(remove_duplicate=False)]
    saved = [
        name for tensor, name in enumerate(listing.names) if listing.live and listing.live.persistent[tensor]
    ]
    assert saved == [key for key in model.state_dict() if not key.endswith("_extra_state")]
    modules = {listing.node_name(node) for node in listing.modules}
    assert modules == {name for name, _ in model.named_modules(remove_duplicate=False)}


def test_a_block_prints_as_torch_prints_it(model: nn.Module) -> None:
    tree = Tree(list_module(model, "m").listing)
    assert "\n".join(block_text(tree, 0)) == repr(model)


def test_every_line_of_python_reaches_what_it_stands_for(model: nn.Module) -> None:
    listed = list_module(model, "m")
    tree = Tree(listed.listing)
    for row in range(len(tree)):
        way = expression(listed.listing, tree, row)
        found = eval(way, {"model": model})
        tensor = tree.tensor[row]
        if tensor >= 0:
            assert found is listed.tensors[tensor], way
        else:
            assert found is listed.modules[tree.node[row]], way


def test_the_listing_is_the_same_after_it_was_sent(model: nn.Module) -> None:
    listing = list_module(model, "m").listing
    sent = listing_from(list(listing_lines(listing)))

    def facts(of: Listing) -> dict[str, Any]:
        found = {name: value for name, value in vars(of).items() if not name.startswith("_")}
        live, extras = found.pop("live"), found.pop("extras")
        found["live"] = {name: getattr(live, name) for name in live.__slots__}
        found["extras"] = {
            tensor: {name: getattr(extra, name) for name in extra.__slots__}
            for tensor, extra in extras.items()
        }
        return found

    assert facts(sent) == facts(listing)
    assert sent.totals() == listing.totals()


@pytest.mark.parametrize("listed", [True, False])
def test_gradients_and_listing_are_the_same_after_they_were_sent(
    listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "PIECE", 2)
    listing = list_module(used_twice(), "m").listing
    nan = float("inf")
    figures = {
        tensor: Figures(True, 0.5 * tensor, nan, 1, 2, 3, 4, None, tensor // 2, tensor, TIED)
        for tensor in range(len(listing))
    }
    gradients = Gradients(2, 0.25, "loss() of net.py", "2x4", 7, figures)
    lines = [*plain.gradient_lines(gradients), *(listing_lines(listing) if listed else ())]
    found, sent = plain.answer_from([line.encode() for line in lines])
    assert found == gradients
    assert (sent.names if sent is not None else None) == (listing.names if listed else None)


def test_modes_and_uses_are_told() -> None:
    net = used_twice()
    net[1].eval()  # type: ignore[index]
    live = list_module(net, "m").live
    assert list(live.training.values()) == [True, True, False, True]
    assert list(live.repeats.values()) == ["the same module as 0"]
    (again,) = live.repeats
    assert live.places(again) == live.places(live.same_module[again]) == [live.same_module[again], again]
    assert live.mode() == "mixed"
    assert list_module(net.eval(), "m").live.mode() == "eval"


def test_totals_count_shared_memory_once() -> None:
    totals = list_module(used_twice(), "m").listing.totals()
    assert (totals.elements, totals.unique_elements) == (12, 6)


def test_a_module_that_holds_itself_is_listed_once_and_said() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].parent = net
    listed = list_module(net, "m")
    assert listed.listing.names == ["0.weight", "0.bias"]
    assert list(listed.live.repeats.values()) == ["a block around it: the model itself"]


def test_modules_within_each_other_without_end_are_cut_and_said() -> None:
    net: nn.Module = nn.Linear(1, 1)
    for _ in range(40):
        net = nn.Sequential(net, net)
    listing = list_module(net, "m").listing
    assert 1000 < len(listing) < 200_000
    assert "used within each other so often" in listing.warnings[0]


def test_lazy_and_meta_parameters_have_no_numbers_and_say_why() -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.Linear(2, 2, device="meta"))
    listing = list_module(net, "m").listing
    assert listing.shape[0] == (None,)
    assert "not initialised" in (listing.problem(0) or "")
    assert "meta device" in (listing.problem(2) or "")
    assert listing.totals().elements == 6
    net[0](torch.ones(1, 4))
    assert list_module(net, "m").listing.shape[0] == (3, 4)


def test_types_leaves_and_devices_are_python_s() -> None:
    net = nn.BatchNorm1d(2)
    live = list_module(net, "m").live
    assert live.type_name[:3] == ["torch.nn.parameter.Parameter"] * 2 + ["torch.Tensor"]
    assert live.is_leaf == [True] * 5
    assert set(live.device) == {"cpu"}


def test_quantised_sparse_and_nested_tensors_are_told_apart() -> None:
    net = nn.Module()
    net.register_buffer("q", torch.quantize_per_tensor(torch.tensor([0.5, -1.0]), 0.5, 0, torch.qint8))
    net.register_buffer("csr", torch.eye(3).to_sparse_csr())
    net.register_buffer("ragged", torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)]))
    net.register_buffer(
        "jagged", torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 3)], layout=torch.jagged)
    )
    listed = list_module(net, "m")
    listing = listed.listing
    assert read_window(0, listed.tensors[0], (range(2),)).values.tolist() == [0.5, -1.0]  # type: ignore[union-attr]
    assert read_window(1, listed.tensors[1], (range(3), range(3))).values.tolist() == torch.eye(3).tolist()  # type: ignore[union-attr]
    for tensor in (2, 3):
        assert listing.shape[tensor] == (2, None, 3)
        assert listing.numel(tensor) == 18
        parts = read_window(tensor, listed.tensors[tensor], (range(2), range(0), range(0))).parts
        assert [part.shape for part in parts] == [(2, 3), (4, 3)]


class Scaled(torch.Tensor):
    """A wrapper of stored integers and a scale, as quantised subclasses are."""

    def __new__(cls, stored: torch.Tensor, scale: torch.Tensor) -> Self:
        return torch.Tensor._make_wrapper_subclass(cls, stored.shape, dtype=scale.dtype, device=stored.device)

    def __init__(self, stored: torch.Tensor, scale: torch.Tensor) -> None:
        self.stored = stored
        self.scale = scale

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["stored", "scale"], None

    @staticmethod
    def __tensor_unflatten__(
        inner: dict[str, torch.Tensor], _context: object, _size: object, _stride: object
    ) -> Scaled:
        return Scaled(inner["stored"], inner["scale"])

    def dequantize(self) -> torch.Tensor:
        return self.stored * self.scale

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch.ops.aten.detach.default:
            return Scaled(args[0].stored, args[0].scale)
        raise NotImplementedError(str(function))


def test_a_wrapper_subclass_lists_what_it_consists_of_and_shows_what_it_stands_for() -> None:
    net = nn.Module()
    net.register_parameter(
        "weight",
        nn.Parameter(
            Scaled(torch.tensor([[1, 2], [3, 4]], dtype=torch.int8), torch.tensor(0.5)), requires_grad=False
        ),
    )
    listed = list_module(net, "m")
    listing = listed.listing
    assert listing.names == ["weight", "weight.stored", "weight.scale"]
    assert listing.dtype == ["float32", "int8", "float32"]
    assert listing.totals().elements == 5
    assert listed.live.type_name[0].endswith("test_module_listing.Scaled")
    window = read_window(1, listed.tensors[1], (range(2), range(2)))
    assert window.values is not None and window.values.tolist() == [[1, 2], [3, 4]]
    window = read_window(0, listed.tensors[0], (range(1, 2), [1, 0]))
    assert window.values is not None and window.values.tolist() == [[2.0, 1.5]]
