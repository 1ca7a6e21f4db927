"""Archives of ``torch.save``: every dtype, every view, every pickle protocol."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from paramtui.errors import ValuesError
from tests.support import (
    PLAIN_DTYPES,
    assert_row,
    assert_rows,
    assert_same_numbers,
    numbers,
    opened,
    random_tensor,
    value_types,
    values,
)

if TYPE_CHECKING:
    from tests.conftest import Save

PROTOCOLS = range(6)
SHAPES = [(), (0,), (7,), (3, 0, 2), (2, 3, 5), (1, 1)]


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=str)
def test_a_tensor_of_each_dtype_and_any_shape_reads_as_torch_has_it(save: Save, dtype: torch.dtype) -> None:
    tensors = {f"t{i}": random_tensor(dtype, shape, seed=i) for i, shape in enumerate(SHAPES)}
    tensors["all"] = random_tensor(dtype, (3000,), seed=9)
    assert_rows(opened(save(tensors)), tensors)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float8_e4m3fn,
        torch.float8_e4m3fnuz,
        torch.float8_e5m2,
        torch.float8_e5m2fnuz,
        torch.float8_e8m0fnu,
    ],
    ids=str,
)
def test_all_256_codes_of_an_8_bit_float_decode_as_torch_decodes_them(save: Save, dtype: torch.dtype) -> None:
    tensor = torch.arange(256).to(torch.uint8).view(dtype)
    assert_rows(opened(save({"codes": tensor})), {"codes": tensor})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_all_codes_of_a_16_bit_float_decode_as_torch_decodes_them(save: Save, dtype: torch.dtype) -> None:
    tensor = torch.arange(1 << 16).to(torch.int32).to(torch.uint16).view(dtype)
    assert_rows(opened(save({"codes": tensor})), {"codes": tensor})


def test_float4_pairs_read_as_two_numbers_low_half_first(save: Save) -> None:
    codes = torch.arange(256).to(torch.uint8)
    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]  # the OCP e2m1 table
    table = torch.tensor(positive + [-x for x in positive])
    checkpoint = opened(save({"w": codes.view(torch.float4_e2m1fn_x2)}))
    assert checkpoint.listing.dtype == ["float4_e2m1fn_x2"]
    assert checkpoint.listing.shape == [(256,)]
    assert checkpoint.listing.nbytes == [256]
    expected = torch.stack([table[(codes & 15).long()], table[(codes >> 4).long()]], dim=-1)
    assert_same_numbers(checkpoint.read("w"), expected.numpy())


@pytest.mark.parametrize("name", ["bits8", "bits1x8", "bits2x4", "bits4x2", "bits16"])
def test_dtypes_of_bare_bits_read_as_unsigned_integers(save: Save, name: str) -> None:
    dtype = getattr(torch, name)
    raw = torch.arange(64).to(torch.uint8)
    checkpoint = opened(save({"w": raw.view(dtype)}))
    assert checkpoint.listing.dtype == [name]
    plain = raw.view(torch.uint16) if name == "bits16" else raw
    assert_same_numbers(checkpoint.read("w"), plain.numpy())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_pickle_protocol_gives_the_same_rows_and_values(save: Save, protocol: int) -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    state = net.state_dict()
    shared = torch.arange(12.0)
    saved = {
        "model": state,
        "epoch": 7,
        "lists": [shared[2:5], (shared.view(3, 4).t(), {"deep": shared[::5]})],
        "big": 12345678901234567890123456789,
        "text": "é\u4e2d\n'\"\\ \0 \U0001f600",
        "raw": b"\0\xff\xc3raw",
        "none": None,
        "flags": [True, False],
        "numbers": (1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**63, -(2**70)),
        "floats": [0.1, -0.0, 1e300, float("inf")],
        "complex": 1 - 2j,
        "set": {5},
        "frozen": frozenset({"x"}),
        "empty": {},
    }
    checkpoint = opened(save(saved, pickle_protocol=protocol))
    assert_rows(
        checkpoint,
        {
            **{f"model.{name}": tensor for name, tensor in state.items()},
            "lists.0": shared[2:5],
            "lists.1.0": shared.view(3, 4).t(),
            "lists.1.1.deep": shared[::5],
        },
    )
    assert values(checkpoint) == {
        "epoch": 7,
        "big": saved["big"],
        "text": saved["text"],
        "raw": saved["raw"],
        "none": None,
        "flags": [True, False],
        "numbers": list(saved["numbers"]),  # type: ignore[call-overload]
        "floats": saved["floats"],
        "complex": 1 - 2j,
        "set": [5],
        "frozen": ["x"],
        "empty": {},
    }
    types = value_types(checkpoint)
    assert {
        name: types[name] for name in ("epoch", "text", "raw", "none", "complex", "set", "frozen", "empty")
    } == {
        "epoch": "int",
        "text": "str",
        "raw": "bytes",
        "none": "NoneType",
        "complex": "complex",
        "set": "set",
        "frozen": "frozenset",
        "empty": "dict",
    }
    assert checkpoint.listing.path(checkpoint.listing.node[0]) == ["model", "0.weight"]
    assert checkpoint.listing.path(checkpoint.listing.node[-1]) == ["lists", 1, 1, "deep"]


def test_an_argparse_namespace_is_listed_attribute_by_attribute(save: Save) -> None:
    checkpoint = opened(save({"args": argparse.Namespace(lr=0.5, mean=torch.ones(2), layers=[1, 2])}))
    assert values(checkpoint)["args.lr"] == 0.5
    assert values(checkpoint)["args.layers"] == [1, 2]
    assert_rows(checkpoint, {"args.mean": torch.ones(2)})
    assert checkpoint.listing.globals[0] == "argparse.Namespace"


def test_ordered_dicts_and_odd_keys_keep_their_order_and_paths(save: Save) -> None:
    tensor = torch.ones(1)
    checkpoint = opened(
        save(OrderedDict([("b", tensor), (3, tensor), ((1, "x"), tensor), (None, tensor), ("", tensor)]))
    )
    listing = checkpoint.listing
    assert [listing.path(node) for node in listing.node] == [["b"], [3], [(1, "x")], [None], [""]]
    assert listing.names == ["b", "3", "(1, 'x')", "None", ""]


def test_a_bare_tensor_is_listed_under_the_empty_name(save: Save) -> None:
    tensor = torch.arange(6).view(2, 3).t()
    assert_rows(opened(save(tensor)), {"": tensor})


@pytest.mark.parametrize("untyped", [False, True])
def test_a_bare_storage_is_listed_as_the_1d_tensor_over_it(save: Save, untyped: bool) -> None:
    tensor = torch.arange(6.0)
    storage = tensor.untyped_storage() if untyped else tensor.storage()
    checkpoint = opened(save(storage))
    assert checkpoint.listing.names == [""]
    expected = tensor.view(torch.uint8) if untyped else tensor
    assert_same_numbers(checkpoint.read(0), expected.numpy())


def test_views_of_any_stride_and_offset_read_as_torch_indexes_them(save: Save) -> None:
    base = torch.randn(6, 8, 5)
    tensors = {
        "base": base,
        "transposed": base.transpose(0, 2),
        "stepped": base[::2, 1::3, ::4],
        "column": base[:, 3, 2],
        "expanded": base[2, 3, :1].expand(4, 5),
        "scalar": base[5, 7, 4],
        "overlapping": base.as_strided((5, 4), (2, 1), 17),
        "permuted": base[3:].permute(1, 2, 0)[2:, 1:],
        "none": base[6:],
        "diagonal": base[:5, :5].diagonal(dim1=0, dim2=1),
    }
    checkpoint = opened(save(tensors))
    assert_rows(checkpoint, tensors)
    assert len({checkpoint.listing.storage(i) for i in range(len(tensors))}) == 1


def test_windows_of_a_view_are_those_of_torch_indexing(save: Save) -> None:
    tensor = torch.randn(9, 11, 7).permute(2, 0, 1)[1:, ::2]
    checkpoint = opened(save({"w": tensor}))
    for index in ["0", ":, 1", "..., -1", "1:5:2, :, 3:9", "-1, -2, -3", "2:2", "::3, 1:, ::4"]:
        expected = eval(f"tensor[{index}]")  # noqa: S307  torch's own indexing of our own text
        assert_same_numbers(checkpoint.read("w", index), expected.numpy())


def test_lazy_conjugate_and_negative_views_read_resolved(save: Save) -> None:
    tensor = torch.randn(3, 4, dtype=torch.complex64)
    assert tensor.conj().is_conj()
    assert tensor.conj().imag.is_neg()
    for lazy in tensor.conj(), tensor.conj().imag, torch._neg_view(tensor.conj()), tensor.conj().t()[1:]:
        checkpoint = opened(save({"w": lazy}))
        assert_same_numbers(checkpoint.read("w"), numbers(lazy))


def test_gradients_wanted_are_told_from_those_not_wanted(save: Save) -> None:
    checkpoint = opened(save({"yes": torch.ones(2, requires_grad=True), "no": torch.ones(2)}))
    assert checkpoint.listing.requires_grad == [True, False]


def test_parameters_are_parameters_and_frozen_ones_want_no_gradient(save: Save) -> None:
    tensors = {"a": nn.Parameter(torch.randn(3)), "b": nn.Parameter(torch.randn(3), requires_grad=False)}
    checkpoint = opened(save(tensors))
    assert checkpoint.listing.kind == ["parameter", "parameter"]
    assert_rows(checkpoint, tensors)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_optimizer_moments_are_of_kind_optimizer(save: Save, optimizer: type[torch.optim.Optimizer]) -> None:
    net = nn.Linear(3, 2)
    options: dict[str, Any] = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    step = optimizer(net.parameters(), **options)
    scheduler = torch.optim.lr_scheduler.StepLR(step, 3)
    net(torch.randn(5, 3)).sum().backward()
    step.step()
    scheduler.step()
    state = step.state_dict()
    checkpoint = opened(
        save({"model": net.state_dict(), "optimizer": state, "scheduler": scheduler.state_dict()})
    )
    expected = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    expected |= {
        f"optimizer.state.{index}.{name}": tensor
        for index, moments in state["state"].items()
        for name, tensor in moments.items()
        if isinstance(tensor, torch.Tensor)
    }
    assert_rows(checkpoint, expected)
    assert checkpoint.listing.kind == ["tensor"] * 2 + ["optimizer"] * (len(expected) - 2)
    found = values(checkpoint)
    assert found["optimizer.param_groups.0.lr"] == state["param_groups"][0]["lr"]
    assert found["scheduler.step_size"] == 3
    assert found["scheduler.last_epoch"] == 1


def test_values_of_many_plain_classes_are_described(save: Save) -> None:
    checkpoint = opened(
        save(
            {
                "dtype": torch.bfloat16,
                "device": torch.device("cuda", 1),
                "size": torch.Size([2, 3]),
                "path": Path("a/b"),
                "layout": torch.strided,
            }
        )
    )
    assert values(checkpoint)["dtype"] == "torch.bfloat16"
    assert values(checkpoint)["device"] == "cuda:1"
    assert values(checkpoint)["size"] == [2, 3]
    assert values(checkpoint)["layout"] in ("torch.strided", "strided")
    assert "a" in str(values(checkpoint)["path"])


def test_meta_tensors_have_a_shape_and_no_values(save: Save) -> None:
    checkpoint = opened(save({"m": torch.empty(3, 5, device="meta", dtype=torch.float16)}))
    listing = checkpoint.listing
    assert (listing.dtype, listing.shape, listing.stride) == (["float16"], [(3, 5)], [(5, 1)])
    assert listing.extras[0].layout == "meta"
    with pytest.raises(ValuesError, match="meta"):
        checkpoint.read("m")


def test_tied_tensors_are_listed_twice_and_share(save: Save) -> None:
    weight = torch.randn(4, 4)
    checkpoint = opened(save({"a": weight, "b": weight, "c": torch.ones(3), "d": weight[1]}))
    groups = checkpoint.listing.sharing.groups
    assert [group.members for group in groups] == [(0, 1, 3)]
    totals = checkpoint.listing.totals()
    assert (totals.nbytes, totals.unique_nbytes) == (64 + 64 + 12 + 16, 64 + 12)
    assert_row(checkpoint, 3, "d", weight[1])
