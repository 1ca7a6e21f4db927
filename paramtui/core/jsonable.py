"""Values as strict JSON: no NaN, exact integers, complex numbers as pairs."""

from __future__ import annotations

import math

from paramtui.core.text import key_text

# json refuses to write integers of more digits than Python converts.
MAX_INT_BITS = 10_000


def jsonable(value: object) -> object:
    """`value` with only what strict JSON can hold.

    NaN and infinities become "NaN", "Infinity" and "-Infinity", complex numbers [re, im], bytes
    text with escapes, integers of more than 10,000 bits their hexadecimal text.
    """
    if type(value) is float:
        return value if math.isfinite(value) else float_text(value)
    if value is None or type(value) in (bool, str):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_INT_BITS else hex(value)
    if isinstance(value, complex):
        return [jsonable(value.real), jsonable(value.imag)]
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("ascii", "backslashreplace")
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    return str(value)


def float_text(value: float) -> str:
    """How JSON of this program writes a number that is not finite."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124


def json_key(key: object) -> str | int:
    """One key of a path: text and integers as they are, other keys as in names."""
    if isinstance(key, str) or (type(key) is int and key.bit_length() <= MAX_INT_BITS):
        return key
    return key_text(key)
