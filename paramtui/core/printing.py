"""Numbers as PyTorch prints them, from windows instead of tensors.

The rules are those of ``torch/_tensor_str.py`` with its default options: 4 digits, 80 columns,
and above 1,000 elements the first and last three of each dimension.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

PRECISION: Final = 4
THRESHOLD: Final = 1000
EDGE: Final = 3
LINE_WIDTH: Final = 80
# What torch.tensor() gives from Python numbers is printed without its dtype.
_DEFAULT_DTYPES: Final = ("float32", "complex64", "int64", "bool")


class _Formatter:
    """One format for all numbers of a tensor (`torch._tensor_str._Formatter`)."""

    def __init__(self, numbers: npt.NDArray[Any]) -> None:
        self.floating = numbers.dtype.kind == "f"
        self.int_mode = True
        self.sci_mode = False
        self.width = 1
        if not self.floating:
            for number in numbers.reshape(-1).tolist():
                self.width = max(self.width, len(str(number)))
            return
        with np.errstate(invalid="ignore"):
            flat = numbers.reshape(-1).astype(np.float64)
            flat = flat[np.isfinite(flat) & (flat != 0)]
        if not flat.size:
            return
        magnitude = np.abs(flat)
        smallest, largest = float(magnitude.min()), float(magnitude.max())
        self.int_mode = bool((flat == np.ceil(flat)).all())
        self.sci_mode = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
        for number in flat.tolist():
            if self.sci_mode:
                length = len(f"{number:.{PRECISION}e}")
            elif self.int_mode:
                length = len(f"{number:.0f}") + 1
            else:
                length = len(f"{number:.{PRECISION}f}")
            self.width = max(self.width, length)

    def format(self, number: Any) -> str:  # noqa: ANN401  a number of any kind
        if not self.floating:
            text = str(number)
        elif self.sci_mode:
            text = f"{number:{self.width}.{PRECISION}e}"
        elif self.int_mode:
            text = f"{number:.0f}"
            if not (math.isinf(number) or math.isnan(number)):
                text += "."
        else:
            text = f"{number:.{PRECISION}f}"
        return text.rjust(self.width)


class _Cells:
    """Formats numbers, real or complex."""

    def __init__(self, numbers: npt.NDArray[Any]) -> None:
        self.imaginary: _Formatter | None = None
        if numbers.dtype.kind == "c":
            self.real = _Formatter(numbers.real)
            self.imaginary = _Formatter(numbers.imag)
        else:
            self.real = _Formatter(numbers)

    @property
    def width(self) -> int:
        return self.real.width + (self.imaginary.width + 1 if self.imaginary else 0)

    def format(self, number: Any) -> str:  # noqa: ANN401
        if self.imaginary is None:
            return self.real.format(number)
        imaginary = (self.imaginary.format(number.imag) + "j").lstrip()
        sign = "" if imaginary[0] in "+-" else "+"
        return f"{self.real.format(number.real)}{sign}{imaginary}"


def summary_picks(picks: Sequence[Sequence[int]]) -> tuple[Sequence[int], ...]:
    """The indices that printing needs: all, or the edges of what has over 1,000 cells."""
    if math.prod(len(pick) for pick in picks) <= THRESHOLD:
        return tuple(picks)
    return tuple([*pick[:EDGE], *pick[-EDGE:]] if len(pick) > 2 * EDGE else pick for pick in picks)


def numbers_text(numbers: npt.NDArray[Any], shape: Sequence[int], indent: int) -> str:
    """Numbers in nested brackets, as inside ``tensor(...)``.

    Args:
        numbers: What `summary_picks` chose, dimensions of one index dropped as in `shape`.
        shape: Shape of what is printed, before it was summarised.
        indent: Column where the first bracket stands.
    """
    if math.prod(shape) == 0:
        return "[]"
    cells = _Cells(numbers)
    elided = tuple(len_ < size for len_, size in zip(numbers.shape, shape, strict=True))
    return _block(numbers, elided, indent, cells)


def _block(numbers: npt.NDArray[Any], elided: tuple[bool, ...], indent: int, cells: _Cells) -> str:
    if numbers.ndim == 0:
        return cells.format(numbers.item())
    if numbers.ndim == 1:
        texts = [cells.format(number) for number in numbers.tolist()]
        if elided[0]:
            texts.insert(EDGE, " ...")
        per_line = max(1, (LINE_WIDTH - indent) // (cells.width + 2))
        lines = [", ".join(texts[at : at + per_line]) for at in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    blocks = [_block(part, elided[1:], indent + 1, cells) for part in numbers]
    if elided[0]:
        blocks.insert(EDGE, "...")
    return "[" + ("," + "\n" * (numbers.ndim - 1) + " " * (indent + 1)).join(blocks) + "]"


def tensor_text(numbers: npt.NDArray[Any], shape: Sequence[int], dtype: str) -> str:
    """What ``print(tensor)`` would say of a plain tensor on the CPU."""
    prefix = "tensor("
    text = prefix + numbers_text(numbers, shape, len(prefix))
    suffixes = []
    if math.prod(shape) == 0:
        if len(shape) != 1:
            suffixes.append(f"size={tuple(shape)}")
        if dtype != "float32":
            suffixes.append(f"dtype=torch.{dtype}")
    elif dtype not in _DEFAULT_DTYPES:
        suffixes.append(f"dtype=torch.{dtype}")
    last_line = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if last_line + len(suffix) + 2 > LINE_WIDTH:
            text += ",\n" + " " * len(prefix) + suffix
            last_line = len(prefix) + len(suffix)
        else:
            text += ", " + suffix
            last_line += len(suffix) + 2
    return text + ")"
