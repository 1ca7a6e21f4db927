"""Bytes to numbers, for every element type, exactly and without torch.

8-bit floats follow the OCP 8-bit Floating Point Specification (e4m3, e5m2), the ``fnuz`` variants
of Noune et al., arXiv:2206.02915, and the OCP Microscaling Formats specification (e8m0, e2m1).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from paramtui.core.dtypes import DTYPES

if TYPE_CHECKING:
    import numpy.typing as npt

_NUMPY_CODES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "complex128": "c16",
    "complex64": "c8",
    "quint8": "u1",
    "qint8": "i1",
    "qint32": "i4",
    "bits8": "u1",
    "bits1x8": "u1",
    "bits2x4": "u1",
    "bits4x2": "u1",
    "bits16": "u2",
}
# Exponent bits, mantissa bits, bias, and whether the format has infinities / one unsigned zero.
_SMALL_FLOATS = {
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
}


def decode(raw: npt.NDArray[np.uint8], dtype: str, *, big_endian: bool = False) -> npt.NDArray[Any]:
    """Numbers from bytes.

    Args:
        raw: Array of shape [..., itemsize].
        dtype: Element type.
        big_endian: Whether each number has its most significant byte first.

    Returns:
        An array of shape [...] ([..., 2] for ``float4_e2m1fn_x2``); see `Window.values` for types.
    """
    lead = raw.shape[:-1]
    data = np.ascontiguousarray(raw)
    order = ">" if big_endian else "<"
    code = _NUMPY_CODES.get(dtype)
    if code is not None:
        numbers: npt.NDArray[Any] = data.view(order + code).reshape(lead)
        native: npt.NDArray[Any] = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)
        return native
    if dtype == "bool":
        truth: npt.NDArray[Any] = data.reshape(lead) != 0
        return truth
    if dtype == "bfloat16":
        high = data.view(order + "u2").reshape(lead).astype(np.uint32) << np.uint32(16)
        return high.view(np.float32)
    if dtype == "complex32":
        halves = data.view(order + "f2")
        # What NumPy makes of NaN depends on the machine: its bits are moved one by one.
        wide = np.where(np.isnan(halves), _wide_nan(data.view(order + "u2")), halves.astype(np.float32))
        return wide.view(np.complex64).reshape(lead)
    if dtype == "float4_e2m1fn_x2":
        pairs = data.reshape(lead)
        table = _float4_table()
        return np.stack([table[pairs & 15], table[pairs >> 4]], axis=-1)
    return _small_float_table(dtype)[data.reshape(lead)]


def _wide_nan(halves: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Patterns of 16 bits that are NaN as float32 with the same sign and payload."""
    bits = halves.astype(np.uint32)
    return ((bits & 0x8000) << 16 | 0x7F800000 | (bits & 0x3FF) << 13).view(np.float32)


def unpack(packed: npt.NDArray[np.uint8], places: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.uint8]:
    """Elements of `bits` bits: `places` are their indices, `packed` the bytes they lie in."""
    shift = ((places * bits) % 8).astype(np.uint8)
    return (packed >> shift) & np.uint8((1 << bits) - 1)


@cache
def _small_float_table(dtype: str) -> npt.NDArray[np.float32]:
    """The 256 numbers of an 8-bit float type."""
    if dtype == "float8_e8m0fnu":
        numbers = [2.0 ** (code - 127) for code in range(255)] + [float("nan")]
        return np.array(numbers, np.float32)
    if dtype not in _SMALL_FLOATS:
        raise KeyError(DTYPES[dtype].name)
    exponent_bits, mantissa_bits, bias, kind = _SMALL_FLOATS[dtype]
    numbers = []
    for code in range(256):
        sign = -1.0 if code >> 7 else 1.0
        exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
        mantissa = code & ((1 << mantissa_bits) - 1)
        if exponent:
            number = (1 + mantissa / (1 << mantissa_bits)) * 2.0 ** (exponent - bias)
        else:
            number = mantissa / (1 << mantissa_bits) * 2.0 ** (1 - bias)
        if (kind == "fnuz" and code == 0x80) or (kind == "fn" and code & 0x7F == 0x7F):
            number = float("nan")
        elif kind == "ieee" and exponent == (1 << exponent_bits) - 1:
            number = float("nan") if mantissa else float("inf")
        numbers.append(sign * number)
    table = np.array(numbers, np.float32)
    # Patterns that are all NaN stay apart: the sign and the payload say which of them it was.
    codes = np.arange(256, dtype=np.uint32)
    tagged = (codes >> 7) << 31 | 0x7FC00000 | codes & 0x7F
    return np.where(np.isnan(table), tagged.view(np.float32), table)


@cache
def _float4_table() -> npt.NDArray[np.float32]:
    """The 16 numbers of e2m1."""
    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    return np.array(positive + [-number for number in positive], np.float32)
