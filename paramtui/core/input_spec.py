"""The language in which a person says what a model is to be run with.

One entry per argument, separated by semicolons: ``2x3x224x224`` for normal random numbers in the model's own
type, ``int64:4x16<1000`` for whole numbers from 0 to 999, ``float64:2x8``, ``bool:4``, ``[]`` for one number;
``name=`` before an entry makes it a keyword argument. ``file.py:function`` names a function that gives the
arguments; it is told apart by `is_function_reference`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.dtypes import DTYPES
from paramtui.core.text import safe_text
from paramtui.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ELEMENTS: Final = 1 << 40
MAX_DIMS: Final = 64
MAX_QUOTED: Final = 80
EXAMPLE: Final = "for example 2x3x224x224 or int64:4x16<1000"
_ENTRY: Final = re.compile(
    r"(?:(?P<name>[^\W\d]\w*)\s*=\s*)?(?:(?P<dtype>[a-z]\w*)\s*:\s*)?(?P<shape>[^<]*?)\s*(?:<\s*(?P<high>.*))?"
)
_WHOLE: Final = ("int", "uint")
# Second names that PyTorch has for its types.
_ALIASES: Final = {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "cfloat": "complex64",
    "cdouble": "complex128",
}


class TensorSpec(NamedTuple):
    """One argument.

    Attributes:
        name: Of a keyword argument; None for one by position.
        dtype: Name of its type; None for the model's own.
        shape: Sizes.
        high: Whole numbers lie from 0 to below this; None for other types.
    """

    name: str | None
    dtype: str | None
    shape: tuple[int, ...]
    high: int | None


def is_function_reference(text: str) -> tuple[str, str] | None:
    """Path and function of ``file.py:function``; None for anything else."""
    path, colon, function = text.strip().rpartition(":")
    return (path, function) if colon and path.endswith(".py") and function.isidentifier() else None


def parse_inputs(text: str) -> list[TensorSpec]:
    """The arguments that a specification describes.

    Raises:
        UsageError: It is none; the message says where.
    """
    entries = text.split(";")
    where = _where(text)
    if entries and not entries[-1].strip() and len(entries) > 1:
        entries.pop()
    specs = [_entry(entry.strip(), number, len(entries)) for number, entry in enumerate(entries, start=1)]
    seen: set[str] = set()
    for spec in specs:
        if spec.name is None and seen:
            raise UsageError("an argument by position follows one by name", where=where)
        if spec.name is not None:
            if spec.name in seen:
                raise UsageError(f"the argument {spec.name} is given twice", where=where)
            seen.add(spec.name)
    return specs


def _where(text: str, place: str = "") -> str:
    return f"inputs{place} '{safe_text(text, MAX_QUOTED)}'"


def _entry(text: str, number: int, count: int) -> TensorSpec:
    where = _where(text, f", entry {number}" if count > 1 else "")

    def wrong(what: str, hint: str = EXAMPLE) -> UsageError:
        return UsageError(what, where=where, hint=hint)

    found = _ENTRY.fullmatch(text)
    if not text or found is None:
        raise wrong("is no shape")
    shape_text, high_text = found["shape"], found["high"]
    dtype: str | None = found["dtype"]
    if dtype is not None:
        dtype = _ALIASES.get(dtype, dtype)
    if dtype is not None and (dtype not in DTYPES or DTYPES[dtype].family in ("quantized", "bits")):
        raise wrong(
            f"{safe_text(dtype, MAX_QUOTED)} is no type that inputs can have",
            "float32, bfloat16, int64, bool, …",
        )
    if shape_text in ("[]", "scalar"):
        shape: tuple[int, ...] = ()
    else:
        sizes = re.split(r"\s*[x×]\s*", shape_text)
        if not all(size.isascii() and size.isdecimal() and len(size) <= 13 for size in sizes):
            raise wrong(f"'{safe_text(shape_text, MAX_QUOTED)}' is no shape: write sizes with x between them")
        shape = tuple(map(int, sizes))
    elements = 1
    for size in shape:
        elements *= size
    if len(shape) > MAX_DIMS or elements > MAX_ELEMENTS:
        raise wrong("is larger than anything that could be run")
    high: int | None = None
    family = DTYPES[dtype].family if dtype else "float"
    if high_text is not None:
        if not (high_text.isascii() and high_text.isdecimal() and 0 < len(high_text) < 19 and int(high_text)):
            raise wrong(f"'{safe_text(high_text, MAX_QUOTED)}' after < is no whole number above 0")
        high = int(high_text)
        if family not in _WHOLE:
            raise wrong("a bound is for whole numbers", "for example int64:4x16<1000")
    elif family in _WHOLE:
        raise wrong("whole numbers need a bound", f"for example {dtype}:{shape_text}<1000")
    return TensorSpec(found["name"], dtype, shape, high)


def spec_text(specs: Iterable[TensorSpec]) -> str:
    """What `parse_inputs` reads as these arguments."""
    out = []
    for name, dtype, shape, high in specs:
        text = "x".join(map(str, shape)) if shape else "[]"
        text = f"{dtype}:{text}" if dtype else text
        text = f"{text}<{high}" if high is not None else text
        out.append(f"{name}={text}" if name else text)
    return "; ".join(out)
