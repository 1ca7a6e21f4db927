"""A Python number as the bytes of one element, rounded as PyTorch rounds, without torch.

The rules are those of ``Tensor.fill_``: the checks of ``c10::overflows`` (``c10/util/overflows.h``) and the
conversions of ``torch/headeronly/util/{Half,BFloat16,Float8_*}.h``, which all start from float32: a number
for them is rounded twice. What is too large for a type is refused, as ``fill_`` refuses it for several
elements; for one element, and in ``tensor[...] = number``, PyTorch checks less and writes infinity, the
largest number or NaN in its place. Refused here alone: 0 and negative numbers in ``float8_e8m0fnu``, which
PyTorch replaces by the smallest number and by the absolute value.
"""

from __future__ import annotations

from functools import cache
from math import isfinite, isinf, isnan
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from paramtui.core.decoding import decode
from paramtui.core.dtypes import DTYPES
from paramtui.core.text import safe_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    import numpy.typing as npt

Number: TypeAlias = "bool | int | float | complex"
Real: TypeAlias = "bool | int | float"

# The integers that PyTorch takes from Python.
LOWEST_INTEGER: Final = -(1 << 63)
HIGHEST_INTEGER: Final = (1 << 64) - 1

_MAX_DIGITS: Final = 24
_LARGEST: Final = {
    "float32": float(np.finfo(np.float32).max),
    "float16": 65504.0,
    "bfloat16": (2 - 2.0**-7) * 2.0**127,
    "float8_e4m3fn": 448.0,
    "float8_e4m3fnuz": 240.0,
    "float8_e5m2": 57344.0,
    "float8_e5m2fnuz": 57344.0,
    "float8_e8m0fnu": 2.0**127,
}
_WITH_INFINITY: Final = ("float64", "float32", "float16", "bfloat16", "float8_e5m2")
# Codes from 0 up whose numbers ascend and are finite.
_FINITE_CODES: Final = {
    "float8_e4m3fn": 0x7F,
    "float8_e4m3fnuz": 0x80,
    "float8_e5m2": 0x7C,
    "float8_e5m2fnuz": 0x80,
}
_PARTS: Final = {"complex128": "float64", "complex64": "float32", "complex32": "float16"}
_E8M0: Final = "float8_e8m0fnu"


def encode(number: Number, dtype: str, *, big_endian: bool = False) -> bytes:
    """The bytes of one element of `dtype` after ``tensor[...] = number``.

    Raises:
        ValuesError: The number does not fit the type, or the type holds no single numbers.
    """
    check_numeric(dtype)
    check_integer(number)
    family = DTYPES[dtype].family
    if dtype in _PARTS:
        part = _PARTS[dtype]
        parts = (number.real, number.imag)
        return b"".join([encode(each, part, big_endian=big_endian) for each in parts])
    if family == "bool":
        # Not-a-number is unequal to zero, and so true.
        return bytes([number != 0])
    if isinstance(number, complex):
        if number.imag != 0:
            raise ValuesError(f"{number_text(number)} is complex, and {dtype} holds real numbers only")
        number = number.real
    if family in ("int", "uint"):
        size = DTYPES[dtype].itemsize
        return (_whole(number, dtype) & ((1 << (8 * size)) - 1)).to_bytes(
            size, "big" if big_endian else "little"
        )
    _check_range(number, dtype)
    single = np.array(number, dtype=np.float64 if isinstance(number, float) else None).reshape(1)
    if dtype == "float64":
        return _ordered(single.astype(np.float64), big_endian=big_endian)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrowed: npt.NDArray[Any] = single.astype(np.float32)
    if dtype in ("float16", "bfloat16"):
        narrowed = halves(narrowed, dtype)
    elif dtype != "float32":
        return bytes([_eighth(float(narrowed[0]), dtype, negative=bool(np.signbit(narrowed[0])))])
    return _ordered(narrowed, big_endian=big_endian)


def halves(values: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[np.uint16]:
    """The 16 bits of each number as ``float16`` or ``bfloat16``, rounded to the nearest, ties to even.

    What is too large becomes infinity, as in PyTorch's arithmetic. NaN loses its payload (and in bfloat16 its
    sign), as in its conversion of single numbers; its vectorised conversions keep other bits.
    """
    bits = values.view(np.uint32)
    if dtype == "bfloat16":
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        codes = values.astype(np.float16).view(np.uint16)
    sign = (bits >> np.uint32(16)).astype(np.uint16) & np.uint16(0x8000)
    return np.where(np.isnan(values), sign | np.uint16(0x7E00), codes)


def check_numeric(dtype: str) -> None:
    """Refuses the types whose elements PyTorch cannot set to a number.

    Raises:
        ValuesError: It is one of those.
    """
    if dtype not in DTYPES:
        raise ValuesError(f"{safe_text(dtype)} is no element type")
    family = DTYPES[dtype].family
    if family == "quantized":
        raise ValuesError(
            f"{dtype} is quantised: its integers stand for numbers by a scale and a zero point",
            hint="change the tensor before it is quantised",
        )
    if family == "bits":
        raise ValuesError(f"{dtype} holds bits that stand for no number")
    if dtype == "float4_e2m1fn_x2":
        raise ValuesError(f"{dtype} packs two numbers in a byte, and PyTorch sets no single one of them")


def check_integer(number: Number) -> None:
    """Refuses integers that PyTorch takes for no type.

    Raises:
        ValuesError: It has more than 64 bits.
    """
    if isinstance(number, int) and not LOWEST_INTEGER <= number <= HIGHEST_INTEGER:
        raise ValuesError(
            f"{number_text(number)} has more than 64 bits, which PyTorch takes for no type",
            hint="write it as a float, for example 1e30",
        )


def number_text(number: Number) -> str:
    """A number for a message; long integers are told by their bits."""
    if isinstance(number, int) and number.bit_length() > 3 * _MAX_DIGITS:
        return f"an integer of {number.bit_length():,} bits"
    return repr(number)


def _whole(number: Real, dtype: str) -> int:
    """The integer that a number becomes: fractions are cut off, negative integers wrap in unsigned types."""
    bits = DTYPES[dtype].bits
    signed = DTYPES[dtype].family == "int"
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    # Python compares exactly: 2.0**63 does not fit int64, where C++ has no defined answer.
    # Of negative numbers only integers wrap.
    wraps = not signed and isinstance(number, int)
    if not (-high if wraps else low) <= number <= high:
        if isinstance(number, float) and not isfinite(number):
            raise ValuesError(f"{number!r} is no whole number, and {dtype} holds nothing else")
        raise ValuesError(f"{number_text(number)} does not fit {dtype}, which holds {low} to {high}")
    return int(number)


def _check_range(number: Real, dtype: str) -> None:
    if isinstance(number, float) and isnan(number):
        return
    if isinstance(number, float) and isinf(number):
        if dtype in _WITH_INFINITY:
            return
        raise ValuesError(f"{dtype} has no infinity; its largest number is {_LARGEST[dtype]:.10g}")
    largest = _LARGEST.get(dtype)
    if largest is not None and abs(number) > largest:
        raise ValuesError(
            f"{number_text(number)} does not fit {dtype}, whose largest number is {largest:.10g}"
        )
    if dtype == _E8M0 and number < 2.0**-127:
        raise ValuesError(
            f"{number_text(number)} does not fit {dtype}: it has neither zero nor sign, "
            "and its smallest number is 2**-127"
        )


def _eighth(value: float, dtype: str, *, negative: bool) -> int:
    """The code of a number in range as an 8-bit float; `value` is a float32."""
    if dtype == _E8M0:
        return _exponent(value)
    fnuz = dtype.endswith("fnuz")
    if isnan(value):
        return 0x80 if fnuz else 0x7F | negative << 7
    if isinf(value):
        return _FINITE_CODES[dtype] | negative << 7
    numbers = _finite_numbers(dtype)
    size = abs(value)
    code = int(np.searchsorted(numbers, size))
    if code and numbers[code] != size:
        # The sum of neighbours and the double of a float32 are exact in float64.
        twice, between = 2 * size, float(numbers[code - 1]) + float(numbers[code])
        if twice < between or (twice == between and code % 2):
            code -= 1
    return code if fnuz and not code else code | negative << 7


@cache
def _finite_numbers(dtype: str) -> npt.NDArray[np.float64]:
    codes = np.arange(_FINITE_CODES[dtype], dtype=np.uint8)
    numbers: npt.NDArray[np.float64] = decode(codes[:, None], dtype).astype(np.float64)
    return numbers


def _exponent(value: float) -> int:
    """The code of ``float8_e8m0fnu``, as ``fp8e8m0fnu_from_fp32_value`` rounds: 1.5 and more goes up.

    Below 2**-126 float32 is subnormal, and its rounding there goes up from anything above 2**-127.
    """
    if isnan(value):
        return 0xFF
    bits = int(np.float32(value).view(np.uint32))
    exponent, mantissa = bits >> 23 & 0xFF, bits & 0x7FFFFF
    return exponent + (mantissa >= 0x400000 if exponent else mantissa > 0x400000)


def _ordered(numbers: npt.NDArray[Any], *, big_endian: bool) -> bytes:
    return numbers.astype(numbers.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
