"""The element types of PyTorch, by name, without torch.

Names are those of ``torch.dtype`` without the prefix ``torch.``. Sizes and bit layouts follow
``torch/headeronly/core/ScalarType.h`` and, for the 8-bit floats, the OCP 8-bit floating point
specification and its ``fnuz`` variants.
"""

from __future__ import annotations

from typing import NamedTuple


class DType(NamedTuple):
    """One element type.

    Attributes:
        name: As PyTorch writes it, without ``torch.``.
        itemsize: Bytes of one element as PyTorch counts them (``element_size()``).
        family: ``float``, ``int``, ``uint``, ``bool``, ``complex``, ``quantized`` or ``bits``.
        bits: Bits that one element occupies; below 8 where elements are packed into a byte.
    """

    name: str
    itemsize: int
    family: str
    bits: int


def _table() -> dict[str, DType]:
    rows = [
        *(("float", f"float{bits}", bits) for bits in (64, 32, 16)),
        ("float", "bfloat16", 16),
        *(("float", f"float8_{kind}", 8) for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")),
        # One element is a byte that holds two 4-bit numbers.
        ("float", "float4_e2m1fn_x2", 8),
        *(("int", f"int{bits}", bits) for bits in (64, 32, 16, 8)),
        *(("uint", f"uint{bits}", bits) for bits in (64, 32, 16, 8)),
        ("bool", "bool", 8),
        *(("complex", f"complex{bits}", bits) for bits in (128, 64, 32)),
        ("quantized", "quint8", 8),
        ("quantized", "qint8", 8),
        ("quantized", "qint32", 32),
        ("quantized", "quint4x2", 4),
        ("quantized", "quint2x4", 2),
        *(("bits", name, 8) for name in ("bits8", "bits1x8", "bits2x4", "bits4x2")),
        ("bits", "bits16", 16),
    ]
    return {name: DType(name, max(bits // 8, 1), family, bits) for family, name, bits in rows}


DTYPES: dict[str, DType] = _table()
ITEMSIZE: dict[str, int] = {name: dtype.itemsize for name, dtype in DTYPES.items()}
PACKED: frozenset[str] = frozenset(name for name, dtype in DTYPES.items() if dtype.bits < 8)
"""Types of which several elements share a byte."""

SHORT_NAMES: dict[str, str] = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8e4m3",
    "float8_e4m3fnuz": "f8e4m3z",
    "float8_e5m2": "f8e5m2",
    "float8_e5m2fnuz": "f8e5m2z",
    "float8_e8m0fnu": "f8e8m0",
    "float4_e2m1fn_x2": "f4x2",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint64": "u64",
    "uint32": "u32",
    "uint16": "u16",
    "uint8": "u8",
    "complex128": "c128",
    "complex64": "c64",
    "complex32": "c32",
}


def storage_nbytes(dtype: str, elements: int) -> int:
    """Bytes that `elements` elements of `dtype` take, packed ones rounded up to whole bytes."""
    return (elements * DTYPES[dtype].bits + 7) // 8
