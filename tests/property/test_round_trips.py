"""Whatever torch and safetensors write is listed as it was, and any window of it is torch's."""

from __future__ import annotations

import json
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.support import PLAIN_DTYPES, assert_row, assert_same_numbers, numbers, opened, random_tensor

names = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["a.b", "0", "block 0", ".", "a..b", "weight", "\x1b[2J", "é"]
)


@st.composite
def tensors(draw: st.DrawFn, dtypes: tuple[torch.dtype, ...] = PLAIN_DTYPES) -> torch.Tensor:
    """A view of any dtype, shape, stride and offset, over random bytes."""
    dtype = draw(st.sampled_from(dtypes))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    tensor = random_tensor(dtype, shape, draw(st.integers(0, 1000)))
    for _ in range(draw(st.integers(0, 3))):
        action = draw(st.sampled_from(["permute", "slice", "select", "expand"]))
        if action == "permute":
            tensor = tensor.permute(draw(st.permutations(range(tensor.dim()))))
        elif action == "slice" and tensor.dim():
            dim = draw(st.integers(0, tensor.dim() - 1))
            first = draw(st.integers(0, tensor.shape[dim]))
            index = [slice(None)] * tensor.dim()
            index[dim] = slice(first, draw(st.integers(first, tensor.shape[dim])), draw(st.integers(1, 3)))
            tensor = tensor[tuple(index)]
        elif action == "select" and tensor.dim() and tensor.shape[0]:
            tensor = tensor[draw(st.integers(0, tensor.shape[0] - 1))]
        elif action == "expand" and tensor.dim() < 4:
            tensor = tensor.expand(draw(st.integers(1, 3)), *tensor.shape)
    return tensor


structures = st.recursive(
    tensors(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(names | st.integers(0, 20), inner, min_size=1, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(names, inner, min_size=1, max_size=3).map(OrderedDict)
    ),
    max_leaves=6,
)


def leaves(obj: Any, path: tuple[Any, ...] = ()) -> list[tuple[list[Any], torch.Tensor]]:
    """Key path and tensor of every leaf, in order, by our own walk over the real objects."""
    if isinstance(obj, torch.Tensor):
        return [(list(path), obj)]
    items = obj.items() if isinstance(obj, dict) else enumerate(obj)
    return [leaf for key, inner in items for leaf in leaves(inner, (*path, key))]


@settings(max_examples=150)
@given(structures, st.sampled_from([0, 1, 2, 3, 4, 5]), st.booleans(), st.data())
def test_any_nest_of_views_saved_by_torch_is_listed_and_read_back(
    obj: object, protocol: int, zipped: bool, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        torch.save(obj, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        checkpoint = opened(path)
        listing = checkpoint.listing
        expected = leaves(obj)
        assert [listing.path(node) for node in listing.node] == [keys for keys, _ in expected]
        for tensor_id, (keys, tensor) in enumerate(expected):
            assert_row(checkpoint, tensor_id, ".".join(map(str, keys)), tensor)
        for tensor_id, (_, tensor) in enumerate(expected[:2]):
            index: Any = tuple(
                data.draw(
                    st.integers(-size, size - 1)
                    if size and data.draw(st.booleans())
                    else st.tuples(st.integers(-6, 6), st.integers(-6, 6), st.integers(1, 3)).map(
                        lambda three: slice(*three)
                    )
                )
                for size in tensor.shape[: data.draw(st.integers(0, tensor.dim()))]
            )
            assert_same_numbers(checkpoint.read(tensor_id, index), numbers(tensor[index]))


KNOWN = tuple(dtype for dtype in PLAIN_DTYPES if dtype not in (torch.complex128, torch.complex32))


@settings(max_examples=80)
@given(st.dictionaries(names.filter(lambda name: name != "__metadata__"), tensors(KNOWN), max_size=6))
def test_any_state_dict_saved_by_safetensors_is_listed_and_read_back(state: dict[str, torch.Tensor]) -> None:
    state = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        save_file(state, path)
        raw = path.read_bytes()
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        checkpoint = opened(path)
        assert checkpoint.listing.names == [name for name in header if name != "__metadata__"]
        loaded = load_file(path)
        assert sorted(checkpoint.listing.names) == sorted(state) == sorted(loaded)
        for tensor_id, name in enumerate(checkpoint.listing.names):
            assert_row(checkpoint, tensor_id, name, loaded[name])
