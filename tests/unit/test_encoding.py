"""A Python number becomes the bytes that torch writes."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paramtui.core.decoding import decode
from paramtui.core.dtypes import DTYPES
from paramtui.core.encoding import encode, halves
from paramtui.errors import ValuesError
from tests.support import PLAIN_DTYPES

pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")

EIGHT_BITS = tuple(dtype for dtype in PLAIN_DTYPES if str(dtype).startswith("torch.float8"))
E8M0 = torch.float8_e8m0fnu
SMALL_FLOATS = (torch.float16, torch.bfloat16, *EIGHT_BITS)


def usual(number: float) -> float:
    """Of a NaN nobody types the bits that torch keeps in some conversions and drops in others."""
    return math.copysign(math.nan, number) if math.isnan(number) else number


doubles = st.floats().map(usual)
singles = st.floats(width=32).map(usual)
near = st.tuples(st.integers(-160, 130), st.floats(-2, 2)).map(lambda pair: math.ldexp(pair[1], pair[0]))
simple = st.integers(-1200, 1200).map(lambda number: number / 4)
floats = doubles | singles | near | simple
integers = (
    st.integers(-300, 300)
    | st.integers(-70_000, 70_000)
    | st.integers(-(2**63), 2**64 - 1)
    | st.tuples(st.integers(0, 62), st.integers(-1, 1)).map(lambda pair: 2 ** pair[0] + pair[1])
)
complexes = st.builds(complex, floats, floats | st.just(0.0))
any_number = st.booleans() | integers | floats | complexes


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def elements(tensor: torch.Tensor) -> set[bytes]:
    raw = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor.view(torch.uint8)
    content, size = raw.numpy().tobytes(), tensor.element_size()
    return {content[at : at + size] for at in range(0, len(content), size)}


def filled(number: Any, dtype: torch.dtype) -> bytes | None:
    """The element after `fill_` on several; None where torch refuses."""
    tensor = torch.zeros(35, dtype=dtype)
    try:
        tensor.fill_(number)
    except (RuntimeError, OverflowError):
        return None
    (element,) = elements(tensor)
    return element


def assigned(number: Any, dtype: torch.dtype) -> bytes | None:
    """The element after an assignment to one; None where torch refuses."""
    tensor = torch.zeros(3, dtype=dtype)
    try:
        tensor[1] = number
    except (RuntimeError, ValueError):
        return None
    (element,) = elements(tensor[1:2].clone())
    return element


def encoded(number: Any, dtype: torch.dtype) -> bytes | None:
    try:
        return encode(number, name_of(dtype))
    except ValuesError as error:
        assert "\n" not in str(error)
        return None


def refused_here_alone(number: Any, dtype: torch.dtype) -> bool:
    """Where C++ has no defined answer, and where torch drops a sign or has no zero."""
    if dtype == E8M0:
        return not isinstance(number, complex) and not number > 0
    real = number.real
    return (
        isinstance(real, float)
        and (dtype, real) in ((torch.int64, 2.0**63), (torch.uint64, 2.0**64))
        and number.imag == 0
    )


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=name_of)
def test_the_bytes_are_those_of_torch_or_both_refuse(dtype: torch.dtype) -> None:
    @settings(max_examples=300, deadline=None, database=None)
    @given(any_number)
    @example(0.0)
    @example(-0.0)
    @example(math.nan)
    @example(-math.nan)
    @example(math.inf)
    @example(-math.inf)
    @example(2**63)
    @example(2**64 - 1)
    @example(-(2**63))
    @example(2.0**63)
    @example(2.0**64)
    @example(complex(1, math.nan))
    @example(complex(-0.0, -0.0))
    def compare(number: Any) -> None:
        found, by_fill, by_assignment = encoded(number, dtype), filled(number, dtype), assigned(number, dtype)
        if found is None:
            assert by_fill is None or by_assignment is None or refused_here_alone(number, dtype)
            return
        # float8_e8m0fnu is filled with no complex number, not even 2+0j.
        assert by_fill == found or (by_fill is None and dtype == E8M0 and isinstance(number, complex))
        # Above 2**63 an assignment takes no integer, for which fill_ has a reader of its own.
        assert by_assignment == found or (by_assignment is None and type(number) is int and number >= 2**63)

    compare()


@pytest.mark.parametrize("dtype", SMALL_FLOATS, ids=name_of)
def test_numbers_halfway_between_neighbours_go_where_torch_rounds_them(dtype: torch.dtype) -> None:
    size = dtype.itemsize
    codes = np.arange(1 << (8 * size), dtype=f"u{size}")
    if size == 2:
        # All exponents with the mantissas at their ends and in the middle.
        low = codes & (0x3FF if dtype == torch.float16 else 0x7F)
        codes = codes[np.isin(low, [0, 1, 2, 0x3F, 0x40, 0x7E, 0x7F, 0x1FF, 0x200, 0x3FE, 0x3FF])]
    with np.errstate(invalid="ignore"):  # signalling NaN becomes quiet
        numbers = decode(codes.view(np.uint8).reshape(-1, size), name_of(dtype)).astype(np.float64)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    middles = (numbers[:-1] + numbers[1:]) / 2
    cases = np.concatenate([
        numbers, middles,
        *(middles * (1 + sign * step) for sign in (1, -1) for step in (2.0**-22, 2.0**-40, 2.0**-52)),
    ])  # fmt: skip
    expected = torch.from_numpy(cases).to(dtype).view(torch.uint8).numpy().reshape(-1, size)
    for case, element in zip(cases.tolist(), expected, strict=True):
        assert encode(case, name_of(dtype)) == element.tobytes(), case


@pytest.mark.parametrize("dtype", SMALL_FLOATS, ids=name_of)
def test_the_ends_of_a_type_fit_and_what_is_past_them_is_refused(dtype: torch.dtype) -> None:
    name = name_of(dtype)
    largest = torch.finfo(dtype).max
    assert encode(largest, name) == filled(largest, dtype)
    for past in (math.nextafter(largest, math.inf), largest * 1.5, 2.0**200):
        assert filled(past, dtype) is None
        with pytest.raises(ValuesError, match=f"does not fit {name}, whose largest number is"):
            encode(past, name)
    if dtype != E8M0:
        assert encode(-largest, name) == filled(-largest, dtype)
    for fraction in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75):
        for step in (
            torch.finfo(dtype).tiny,
            torch.finfo(dtype).smallest_normal,
            2.0**-149,
            2.0**-127,
            2.0**-17,
        ):
            assert encoded(fraction * step, dtype) == filled(fraction * step, dtype)


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=name_of)
def test_the_most_significant_byte_comes_first_on_request(dtype: torch.dtype) -> None:
    name = name_of(dtype)
    part = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    little = encode(37, name)
    swapped = b"".join(little[at : at + part][::-1] for at in range(0, len(little), part))
    assert encode(37, name, big_endian=True) == swapped
    raw = np.frombuffer(swapped, np.uint8)
    expected = torch.tensor(37).to(dtype).to(torch.complex64).item()
    assert decode(raw, name, big_endian=True) == (expected if dtype.is_complex else expected.real)


def test_halves_of_many_numbers_are_those_of_torch() -> None:
    bits = torch.randint(-(2**31), 2**31 - 1, (5000,), generator=torch.Generator().manual_seed(3))
    singles = bits.to(torch.int32).view(torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        expected = singles.to(dtype)
        found = torch.from_numpy(halves(singles.numpy(), name_of(dtype)).view(np.int16)).view(dtype)
        nan = expected.isnan()
        assert found.isnan().equal(nan)
        assert found.view(torch.int16)[~nan].equal(expected.view(torch.int16)[~nan])


@pytest.mark.parametrize(
    ("number", "dtype", "words"),
    [
        (100_000, "float16", "100000 does not fit float16, whose largest number is 65504"),
        (1e39, "float32", r"whose largest number is 3.402823466e\+38"),
        (complex(1, 70_000), "complex32", "70000.0 does not fit float16"),
        (300, "int8", "300 does not fit int8, which holds -128 to 127"),
        (-1.5, "uint8", "-1.5 does not fit uint8, which holds 0 to 255"),
        (-256, "uint8", "-256 does not fit uint8"),
        (math.nan, "int32", "nan is no whole number, and int32 holds nothing else"),
        (math.inf, "float8_e4m3fn", "float8_e4m3fn has no infinity; its largest number is 448"),
        (0, "float8_e8m0fnu", "it has neither zero nor sign"),
        (1 + 2j, "float32", r"\(1\+2j\) is complex, and float32 holds real numbers only"),
        (2**64, "float64", "has more than 64 bits"),
        (10**3000, "float64", "an integer of 9,966 bits has more than 64 bits"),
        (1, "quint8", "quint8 is quantised"),
        (1, "quint2x4", "quint2x4 is quantised"),
        (1, "bits8", "bits8 holds bits that stand for no number"),
        (1, "float4_e2m1fn_x2", "packs two numbers in a byte"),
        (1, "float7", "float7 is no element type"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(number: Any, dtype: str, words: str) -> None:
    with pytest.raises(ValuesError, match=words) as caught:
        encode(number, dtype)
    assert len(str(caught.value)) < 200


def test_every_type_is_written_or_refused() -> None:
    written = {name_of(dtype) for dtype in PLAIN_DTYPES}
    for name in DTYPES:
        if name in written:
            assert len(encode(1, name)) == DTYPES[name].itemsize
        else:
            with pytest.raises(ValuesError):
                encode(1, name)


def test_a_payload_of_nan_survives_where_torch_keeps_it() -> None:
    (number,) = struct.unpack("<d", struct.pack("<Q", 0x7FFC_1234_5678_9ABC))
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, *EIGHT_BITS):
        assert encode(number, name_of(dtype)) == filled(number, dtype)
