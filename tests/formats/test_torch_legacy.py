"""Files of the format before PyTorch 1.6: pickles in a row, then the storages."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
import torch

from paramtui.errors import FormatError, ParamtuiError, ValuesError
from tests.support import assert_row, assert_rows, assert_same_numbers, numbers, opened, random_tensor, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save

# The format names storages by class, which newer dtypes do not have.
DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex128,
    torch.complex64,
]
LEGACY = {"_use_new_zipfile_serialization": False}


@pytest.fixture(autouse=True)
def quiet() -> None:
    warnings.simplefilter("ignore")


@pytest.mark.parametrize("protocol", range(6))
def test_tensors_and_views_of_each_protocol_read_as_torch_has_them(save: Save, protocol: int) -> None:
    base = torch.randn(6, 5)
    tensors = {
        "base": base,
        "t": base.t(),
        "part": base[2:, 1::2],
        "n": torch.arange(7),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(5.0),
        "half": torch.randn(3).half(),
        "grad": torch.ones(2, requires_grad=True),
    }
    checkpoint = opened(save({**tensors, "step": 4}, pickle_protocol=protocol, **LEGACY))
    assert checkpoint.listing.format == "torch-legacy"
    assert_rows(checkpoint, tensors)
    assert values(checkpoint) == {"step": 4}
    groups = [group.members for group in checkpoint.listing.sharing.groups]
    assert groups == [(0, 1, 2)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_dtype_of_the_format_reads_as_torch_has_it(save: Save, dtype: torch.dtype) -> None:
    tensors = {f"t{i}": random_tensor(dtype, shape, i) for i, shape in enumerate([(), (5,), (2, 3, 4), (0,)])}
    assert_rows(opened(save(tensors, **LEGACY)), tensors)


@pytest.mark.parametrize("dtype", [torch.quint8, torch.qint8, torch.qint32], ids=str)
def test_quantised_tensors_of_the_format_dequantise_as_torch_does(save: Save, dtype: torch.dtype) -> None:
    tensor = torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 2, dtype)
    assert_same_numbers(opened(save({"q": tensor}, **LEGACY)).read("q"), numbers(tensor))


@pytest.mark.parametrize("dtype", [torch.uint16, torch.float8_e4m3fn, torch.complex32], ids=str)
def test_dtypes_without_a_storage_class_read_though_torch_cannot_load_them(
    save: Save, dtype: torch.dtype
) -> None:
    tensor = random_tensor(dtype, (4, 3))
    path = save({"before": torch.ones(2), "w": tensor, "after": torch.arange(3)}, **LEGACY)
    checkpoint = opened(path)
    assert_row(checkpoint, 1, "w", tensor)
    assert_row(checkpoint, 2, "after", torch.arange(3))


@pytest.mark.parametrize("protocol", [1, 2, 5])
def test_optimizer_state_of_the_format_is_of_kind_optimizer(save: Save, protocol: int) -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    checkpoint = opened(save(state, pickle_protocol=protocol, **LEGACY))
    expected = {
        f"state.{i}.{key}": tensor for i, moments in state["state"].items() for key, tensor in moments.items()
    }
    assert_rows(checkpoint, expected)
    assert set(checkpoint.listing.kind) == {"optimizer"}


def test_a_bare_tensor_of_the_format_has_the_empty_name(save: Save) -> None:
    assert_rows(opened(save(torch.arange(4).view(2, 2), **LEGACY)), {"": torch.arange(4).view(2, 2)})


def test_a_file_cut_in_its_storages_flags_exactly_the_tensors_that_are_gone(
    save: Save, tmp_path: Path
) -> None:
    tensors = {f"w{i}": torch.full((10,), float(i)) for i in range(6)}
    content = save(tensors, **LEGACY).read_bytes()
    path = tmp_path / "cut.pt"
    # The storages are the last bytes: eight bytes of length and forty of numbers each.
    for lost in range(1, 6 * 48):
        path.write_bytes(content[:-lost])
        checkpoint = opened(path)
        order = sorted(
            range(6), key=lambda i: content.index(tensors[f"w{i}"].numpy().tobytes(), len(content) - 6 * 48)
        )
        whole = (6 * 48 - lost) // 48
        for place, tensor_id in enumerate(order):
            if place < whole:
                assert_row(checkpoint, tensor_id, f"w{tensor_id}", tensors[f"w{tensor_id}"])
            else:
                assert checkpoint.listing.problem(tensor_id) is not None
                with pytest.raises(ValuesError):
                    checkpoint.read(tensor_id)


def test_a_file_cut_in_its_pickles_is_refused_in_one_line(save: Save, tmp_path: Path) -> None:
    content = save({"w": torch.ones(3), "v": torch.arange(5)}, **LEGACY).read_bytes()
    path = tmp_path / "cut.pt"
    pickles_end = len(content) - (8 + 12) - (8 + 40)
    listed = 0
    for length in range(24, pickles_end):
        path.write_bytes(content[:length])
        try:
            checkpoint = opened(path)
        except FormatError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            # Only the list of storages is missing: names are told, values are not.
            listed += 1
            assert checkpoint.listing.names == ["w", "v"]
            assert all(checkpoint.listing.problem(tensor) for tensor in range(2))
            assert checkpoint.listing.warnings
    assert listed < 80


def test_bytes_changed_anywhere_give_a_listing_or_a_paramtui_error(save: Save, tmp_path: Path) -> None:
    import random

    content = save({"w": torch.randn(4), "v": torch.arange(5)}, **LEGACY).read_bytes()
    path = tmp_path / "mutated.pt"
    chance = random.Random(6)  # noqa: S311
    failures = 0
    for _ in range(1500):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(20, len(changed))] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            checkpoint = opened(path)
            for tensor in range(len(checkpoint.listing)):
                checkpoint.read(tensor)
            checkpoint.listing.totals()
        except ParamtuiError:
            failures += 1
    assert failures > 100
