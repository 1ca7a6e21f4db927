"""NumPy arrays, dtypes and scalars as they stand in a pickle, read without NumPy.

The calls are those of ``numpy/_core/multiarray.py`` and ``numpy.ndarray.__reduce__``; before
NumPy 2 the module was called ``numpy.core``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.inert_objects import GlobalRef, Record

if TYPE_CHECKING:
    from paramtui.checkpoints.budget import Budget

# The longest code of a dtype that has a name here is three characters; others are shown as they stand.
MAX_CODE: Final = 100
_TORCH_NAMES = {
    "b1": "bool",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "u8": "uint64",
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "c8": "complex64",
    "c16": "complex128",
}
_STRUCT_CODES = {
    "b1": "?",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f2": "e",
    "f4": "f",
    "f8": "d",
    "c8": "2f",
    "c16": "2d",
}


def _function(record: object, *names: str) -> bool:
    if type(record) is not Record or type(record.func) is not GlobalRef:
        return False
    func = record.func
    module = func.module.replace("numpy.core", "numpy._core", 1)
    return f"{module}.{func.name}" in names


def raw_bytes(found: object, budget: Budget) -> bytes | None:
    """Bytes, also as protocols below 3 write them: Latin-1 text to be encoded, or Python 2 text.

    Raises:
        SpentError: One long text stands for bytes again and again.
    """
    # ``bytearray(bytes)`` and ``bytes(encode(text))`` are calls in calls; more is nothing that is written.
    for _ in range(3):
        if type(found) is not Record or type(found.func) is not GlobalRef or type(found.args) is not tuple:
            break
        name = found.func.full_name
        if name not in ("_codecs.encode", "builtins.bytes", "builtins.bytearray"):
            return None
        if not found.args:
            return b"" if name != "_codecs.encode" else None
        found = found.args[0]
        if name == "_codecs.encode" and type(found) is not str:
            return None
    if type(found) is bytes:
        return found
    if type(found) is bytearray:
        budget.look(len(found))
        return bytes(found)
    if type(found) is str:
        budget.look(len(found))
        try:
            return found.encode("latin-1")
        except UnicodeEncodeError:
            return None
    return None


def dtype_code(found: object) -> tuple[str, bool] | None:
    """A NumPy dtype as its type code, such as ``f8``, and whether it is big-endian."""
    if not _function(found, "numpy.dtype") or type(found) is not Record:
        return None
    args = found.args
    if type(args) is not tuple or not args:
        return None
    code = args[0].decode("latin-1") if type(args[0]) is bytes and len(args[0]) <= MAX_CODE else args[0]
    if type(code) is not str or len(code) > MAX_CODE:
        return None
    order = found.state[1] if type(found.state) is tuple and len(found.state) > 1 else "<"
    return code, order in (">", b">")


def numpy_array(
    record: Record, budget: Budget
) -> tuple[str, tuple[int, ...], bytes, tuple[bool, bool], str] | None:
    """Type, shape, bytes, (big-endian, column-major) and class of a numeric array, else None.

    Raises:
        SpentError: As `raw_bytes`.
    """
    args = record.args
    if type(args) is not tuple or not args:
        return None
    if _function(record, "numpy._core.multiarray._reconstruct"):
        state = record.state
        if type(state) is not tuple or len(state) < 5:
            return None
        shape, dtype, fortran, data = state[1], state[2], state[3] in (True, 1), raw_bytes(state[4], budget)
        kind = args[0].full_name if type(args[0]) is GlobalRef else "numpy.ndarray"
    elif _function(record, "numpy._core.numeric._frombuffer") and len(args) >= 4:
        shape, dtype, fortran, data = args[2], args[1], args[3] == "F", raw_bytes(args[0], budget)
        kind = "numpy.ndarray"
    else:
        return None
    code = dtype_code(dtype)
    name = _TORCH_NAMES.get(code[0]) if code else None
    if code is None or name is None or data is None or type(shape) is not tuple:
        return None
    return name, shape, data, (code[1], fortran), kind


def numpy_scalar(record: Record, budget: Budget) -> tuple[str, object] | None:
    """Type name and number of a NumPy scalar, else None.

    Raises:
        SpentError: As `raw_bytes`.
    """
    args = record.args
    if not _function(record, "numpy._core.multiarray.scalar") or type(args) is not tuple or len(args) < 2:
        return None
    code = dtype_code(args[0])
    data = raw_bytes(args[1], budget)
    if code is None or code[0] not in _STRUCT_CODES or data is None:
        return None
    form = (">" if code[1] else "<") + _STRUCT_CODES[code[0]]
    if struct.calcsize(form) != len(data):
        return None
    numbers = struct.unpack(form, data)
    value = complex(*numbers) if len(numbers) == 2 else numbers[0]
    name = _TORCH_NAMES[code[0]]
    return f"numpy.{name}", value
