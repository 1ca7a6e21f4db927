"""``=``, ``*=``, ``/=``, ``+=`` and ``-=`` with a Python number on the bytes of elements, as in PyTorch.

The result is that of ``fill_``, ``mul_``, ``div_``, ``add_`` and ``sub_`` on a CPU tensor, bit for bit, with
two exceptions. Which NaN comes out depends on the processor and, in PyTorch, on whether an element falls into
a vectorised block or the rest. And a product or quotient of complex numbers may differ by a rounding, as some
of PyTorch's kernels fuse a multiplication with an addition and others do not.

Rules: type promotion with a wrapped number (``c10::promoteTypes``; a number widens no tensor) and
``aten/src/ATen/native/cpu/BinaryOpsKernel.cpp``. 16-bit floats are computed in float32 and rounded once; a
factor or divisor is a float32 too, while an addend is rounded to the 16 bits first.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from paramtui.core.decoding import decode
from paramtui.core.dtypes import DTYPES
from paramtui.core.encoding import check_integer, check_numeric, encode, halves, number_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    import numpy.typing as npt

    from paramtui.core.encoding import Number

OPERATORS: Final = ("=", "*=", "/=", "+=", "-=")
_WIDE_UNSIGNED: Final = ("uint16", "uint32", "uint64")
_HALVES: Final = ("float16", "bfloat16")
_BIG: Final = sys.byteorder == "big"


def changed(
    raw: npt.NDArray[np.uint8], dtype: str, operator: str, number: Number, *, big_endian: bool = False
) -> npt.NDArray[np.uint8]:
    """The bytes of elements after ``tensor operator number``.

    Args:
        raw: Array of shape [..., itemsize].
        dtype: Element type.
        operator: One of `OPERATORS`.
        number: The right-hand side.
        big_endian: Whether each number has its most significant byte first.

    Returns:
        A new array of the same shape.

    Raises:
        ValuesError: PyTorch has no such operation for the type, or the number does not fit it.
    """
    if operator == "=":
        element = np.frombuffer(encode(number, dtype, big_endian=big_endian), np.uint8)
        return np.broadcast_to(element, raw.shape).copy()
    check_arithmetic(dtype, operator, number)
    old = decode(raw.reshape(-1, raw.shape[-1]), dtype, big_endian=big_endian)
    family = DTYPES[dtype].family
    # An overflow is infinity and 0 / 0 is NaN, as in PyTorch: neither is worth a warning.
    with np.errstate(all="ignore"):
        if family == "bool":
            new = old & bool(number) if operator == "*=" else old | bool(number)
        elif family == "complex":
            new = _complex(old, dtype, operator, complex(number))
        else:
            new = _real(old, operator, _operand(number, old.dtype, dtype, operator))
        stored = _stored(new, dtype)
    order = stored.dtype.newbyteorder(">" if big_endian else "<")
    return np.ascontiguousarray(stored.astype(order, copy=False)).view(np.uint8).reshape(raw.shape)


def check_arithmetic(dtype: str, operator: str, number: Number) -> None:
    """Refuses what PyTorch refuses or does not implement.

    Raises:
        ValuesError: With the reason.
    """
    if operator not in OPERATORS:
        raise ValuesError(f"{operator!r} is no operator", hint=f"one of {' '.join(OPERATORS)}")
    check_numeric(dtype)
    check_integer(number)
    if operator == "=":
        return
    family = DTYPES[dtype].family
    shown = number_text(number)
    if dtype.startswith("float8"):
        raise ValuesError(f"PyTorch has no {operator} for {dtype}", hint="set the value with =")
    if operator == "/=" and family in ("int", "uint", "bool"):
        raise ValuesError(f"a quotient is no whole number, and {dtype} holds nothing else")
    if operator == "/=" and dtype == "complex32":
        raise ValuesError("PyTorch has no /= for complex32", hint="multiply by the inverse with *=")
    if operator == "-=" and (family == "bool" or isinstance(number, bool)):
        raise ValuesError("PyTorch subtracts no truth values", hint="set the value with =, or use a number")
    if isinstance(number, complex) and family != "complex":
        raise ValuesError(f"{shown} is complex, and {dtype} holds real numbers only")
    if family == "bool" and not isinstance(number, bool):
        raise ValuesError(f"{shown} is no truth value, and bool holds nothing else", hint="True or False")
    if family in ("int", "uint") and isinstance(number, float):
        raise ValuesError(
            f"{shown} is a float, and {dtype} holds whole numbers only", hint="write a whole number"
        )
    if operator in ("+=", "-=") and dtype in _WIDE_UNSIGNED:
        raise ValuesError(f"PyTorch has no {operator} for {dtype}", hint="it has = and *=")


def _operand(number: Number, held: np.dtype[Any], dtype: str, operator: str) -> npt.NDArray[Any]:
    """The right-hand side in the type that is computed with; whole numbers wrap."""
    if held.kind in "iu":
        bits = 8 * held.itemsize
        low = int(number.real) & ((1 << bits) - 1)
        return np.array([low], np.dtype(f"u{held.itemsize}")).view(held)
    # Integers go to float32 directly: by way of float64 they would be rounded twice.
    operand = np.array([number]).astype(np.float32 if dtype in _HALVES else held)
    if dtype in _HALVES and operator in ("+=", "-="):
        operand = decode(halves(operand, dtype).view(np.uint8).reshape(1, 2), dtype, big_endian=_BIG)
    return operand.astype(np.float32) if dtype in _HALVES else operand


def _real(old: npt.NDArray[Any], operator: str, operand: npt.NDArray[Any]) -> npt.NDArray[Any]:
    wide = old.astype(operand.dtype, copy=False)
    operate = {"*=": np.multiply, "/=": np.true_divide, "+=": np.add, "-=": np.subtract}[operator]
    new: npt.NDArray[Any] = operate(wide, operand)
    return new


def _complex(old: npt.NDArray[Any], dtype: str, operator: str, number: complex) -> npt.NDArray[Any]:
    part = np.float64 if dtype == "complex128" else np.float32
    real: npt.NDArray[Any] = old.real.astype(part)
    imag: npt.NDArray[Any] = old.imag.astype(part)
    pair: npt.NDArray[Any] = np.array([number.real, number.imag]).astype(part)
    if dtype == "complex32":
        pair = pair.astype(np.float16).astype(part)
    c, d = pair[:1], pair[1:]
    if operator == "*=":
        parts = (real * c - imag * d, real * d + imag * c)
    elif operator == "/=":
        parts = _quotient(real, imag, c, d)
    else:
        # PyTorch adds the product with alpha, which is 1 or -1: infinity times its imaginary part 0 is NaN.
        alpha = np.array([1 if operator == "+=" else -1], part)
        none = np.zeros(1, part)
        parts = (real + (alpha * c - none * d), imag + (alpha * d + none * c))
    return np.stack(parts, axis=-1)


def _quotient(
    real: npt.NDArray[Any], imag: npt.NDArray[Any], c: npt.NDArray[Any], d: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Smith's method, as ``c10::complex`` divides."""
    one = c.dtype.type(1)
    if abs(c[0]) >= abs(d[0]):
        if c[0] == 0:
            return real / abs(c), imag / abs(d)
        ratio = d / c
        scale = one / (c + d * ratio)
        return (real + imag * ratio) * scale, (imag - real * ratio) * scale
    ratio = c / d
    scale = one / (d + c * ratio)
    return (real * ratio + imag) * scale, (imag * ratio - real) * scale


def _stored(new: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Results in the type that is stored."""
    if dtype == "bfloat16":
        return halves(np.ascontiguousarray(new), dtype)
    # Here NumPy keeps the payload of NaN, as PyTorch's vectorised conversion does.
    return new.astype(np.float16) if dtype in ("float16", "complex32") else new
