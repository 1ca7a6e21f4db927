"""Changed elements have the bits that torch's own operations leave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from paramtui.core.cell_arithmetic import OPERATORS, changed
from paramtui.core.decoding import decode
from paramtui.core.encoding import encode
from paramtui.errors import ValuesError
from tests.support import PLAIN_DTYPES, random_tensor

NUMBERS: tuple[Any, ...] = (
    2, -3, 0, 7, 300, -256, 2**40 + 1, 2**63, 2**64 - 1, -(2**63), 2**64, -(2**63) - 1,
    0.5, -0.3, 0.1, 1e-3, 1e5, 70_000.0, 3e38, 1e39, 1e300, 1e-40, -0.0, 0.0, math.inf, -math.inf, math.nan,
    True, False, 1 + 2j, 1 + 0j, 1j, 0.1 - 0.7j, complex(0, math.inf), complex(math.nan, 1), 1e200 + 1e-200j,
)  # fmt: skip
METHODS = {"*=": "mul_", "/=": "div_", "+=": "add_", "-=": "sub_", "=": "fill_"}
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def raw_of(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    flat = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor.view(torch.uint8)
    return flat.numpy().reshape(*tensor.shape, tensor.element_size()).copy()


def tensor_of(raw: np.ndarray[Any, np.dtype[np.uint8]], dtype: torch.dtype) -> torch.Tensor:
    flat = torch.from_numpy(np.ascontiguousarray(raw).reshape(-1))
    return (flat.to(torch.bool) if dtype == torch.bool else flat.view(dtype)).reshape(raw.shape[:-1])


def by_torch(tensor: torch.Tensor, operator: str, number: Any) -> torch.Tensor | None:
    try:
        found: torch.Tensor = getattr(tensor.clone(), METHODS[operator])(number)
    except (RuntimeError, OverflowError):
        return None
    return found


def assert_same(found: torch.Tensor, expected: torch.Tensor, *, fused: bool) -> None:
    """Same bits, NaN of any bits at the same places; `fused` allows what one rounding less can change."""
    if found.is_complex():
        found, expected = torch.view_as_real(found), torch.view_as_real(expected)
    if not found.is_floating_point():
        assert np.array_equal(found.numpy(), expected.numpy())
        return
    nan = expected.isnan()
    assert found.isnan().equal(nan)
    bits = BITS[found.element_size()]
    if not fused:
        assert found.view(bits)[~nan].equal(expected.view(bits)[~nan])
        return
    # A product that cancels keeps what its terms' roundings leave: compare with the whole number's size.
    size = torch.finfo(found.dtype)
    whole = expected.abs().amax(-1, keepdim=True).nan_to_num(0, 0, 0)
    far = (found - expected).abs() > 4 * size.eps * whole + 4 * size.tiny * size.eps
    assert not (far & ~nan & (found != expected)).any()


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=name_of)
def test_elements_have_the_bits_that_torch_leaves_or_both_refuse(dtype: torch.dtype, operator: str) -> None:
    name = name_of(dtype)
    for number in NUMBERS:
        for count in (0, 1, 7, 1003):
            tensor = random_tensor(dtype, (count,), count + 3)
            expected = by_torch(tensor, operator, number)
            raw = raw_of(tensor)
            before = raw.copy()
            try:
                found = changed(raw, name, operator, number)
            except ValuesError as error:
                assert "\n" not in str(error)
                # What = refuses beyond fill_ is asserted where elements are encoded.
                assert expected is None or operator == "="
                continue
            assert np.array_equal(raw, before)
            assert found.shape == raw.shape
            if operator == "=":
                assert found.tobytes() == encode(number, name) * count
                continue
            assert expected is not None, number
            product = operator in ("*=", "/=") and dtype.is_complex
            assert_same(tensor_of(found, dtype), expected, fused=product)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex32], ids=name_of)
@pytest.mark.parametrize("number", [2, -0.25, 0.0, 1j, 0.1 - 0.7j, complex(math.inf, 1)])
def test_complex_products_that_torch_does_not_fuse_have_its_bits(dtype: torch.dtype, number: Any) -> None:
    parts = torch.randn(1000, 2, generator=torch.Generator().manual_seed(5))
    tensor = torch.view_as_complex(parts).to(dtype)
    expected = by_torch(tensor, "*=", number)
    assert expected is not None
    found = tensor_of(changed(raw_of(tensor), name_of(dtype), "*=", number), dtype)
    assert_same(found, expected, fused=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=name_of)
@pytest.mark.parametrize("operator", ["*=", "/=", "+=", "-="])
def test_not_a_number_keeps_its_payload_as_in_torch(dtype: torch.dtype, operator: str) -> None:
    tensor = random_tensor(dtype, (64,))
    bits = tensor.view(BITS[dtype.itemsize])
    bits |= 0x7F800001 if dtype == torch.float32 else 0x7FF0000000000001
    expected = by_torch(tensor, operator, 0.3)
    assert expected is not None
    assert expected.isnan().all()
    assert changed(raw_of(tensor), name_of(dtype), operator, 0.3).tobytes() == raw_of(expected).tobytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=name_of)
@pytest.mark.parametrize("operator", ["*=", "/=", "+=", "-="])
def test_every_number_of_a_16_bit_float_is_changed_as_in_torch(dtype: torch.dtype, operator: str) -> None:
    tensor = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    for number in (0.1, -3.7, 1e-6, 1 / 3, 12_345):
        expected = by_torch(tensor, operator, number)
        assert expected is not None
        found = tensor_of(changed(raw_of(tensor), name_of(dtype), operator, number), dtype)
        assert_same(found, expected, fused=False)


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=name_of)
def test_bytes_in_big_endian_order_are_changed_in_place_of_their_mirror(dtype: torch.dtype) -> None:
    name = name_of(dtype)
    part = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    raw = raw_of(random_tensor(dtype, (3, 5, 2)))
    mirror = raw.reshape(-1, part)[:, ::-1].reshape(raw.shape)
    for operator, number in (("=", 1), ("*=", True)):
        try:
            little = changed(raw, name, operator, number)
        except ValuesError:
            continue
        big = changed(mirror, name, operator, number, big_endian=True)
        assert np.array_equal(big.reshape(-1, part)[:, ::-1].reshape(raw.shape), little)
        assert np.array_equal(decode(big, name, big_endian=True), decode(little, name), equal_nan=part > 1)


def test_one_element_and_slices_without_order_in_memory_are_changed_too() -> None:
    tensor = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    raw = raw_of(tensor)
    found = changed(raw[::2, 1::3], "float32", "*=", 0.5)
    assert tensor_of(found, torch.float32).equal(tensor[::2, 1::3] * 0.5)
    one = changed(raw[3, 5], "float32", "+=", 1)
    assert tensor_of(one, torch.float32).equal(torch.tensor(24.0))


@pytest.mark.parametrize(
    ("dtype", "operator", "number", "words"),
    [
        ("int32", "*=", 0.5, "0.5 is a float, and int32 holds whole numbers only"),
        ("int32", "/=", 2, "a quotient is no whole number, and int32 holds nothing else"),
        ("bool", "/=", True, "a quotient is no whole number"),
        ("bool", "+=", 2, "2 is no truth value"),
        ("bool", "-=", True, "PyTorch subtracts no truth values"),
        ("float32", "-=", True, "PyTorch subtracts no truth values"),
        ("float32", "*=", 1j, "1j is complex, and float32 holds real numbers only"),
        ("float8_e5m2", "*=", 2, r"PyTorch has no \*= for float8_e5m2 \(set the value with =\)"),
        ("uint16", "+=", 1, r"PyTorch has no \+= for uint16"),
        ("complex32", "/=", 2, "PyTorch has no /= for complex32"),
        ("quint8", "*=", 2, "quint8 is quantised"),
        ("bits16", "=", 2, "bits16 holds bits"),
        ("float32", "**=", 2, r"'\*\*=' is no operator"),
        ("float32", "*=", 2**64, "has more than 64 bits"),
    ],
)
def test_what_torch_refuses_is_refused_in_words(dtype: str, operator: str, number: Any, words: str) -> None:
    itemsize = {"int32": 4, "float32": 4, "uint16": 2, "complex32": 4, "bits16": 2}.get(dtype, 1)
    with pytest.raises(ValuesError, match=words):
        changed(np.zeros((3, itemsize), np.uint8), dtype, operator, number)
