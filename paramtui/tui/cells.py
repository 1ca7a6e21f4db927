"""Numbers as text, all of one tensor in cells of the same width."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy.typing as npt

ZERO = "zero"
SPECIAL = "special"
PLAIN = "plain"
# Steps of the tint that shows how large a number is beside the largest one seen.
TINTS = 4
MAX_PRECISION = 12


class CellFormat(NamedTuple):
    """How the numbers of a tensor are written; scrolling on widens cells and never narrows them.

    Attributes:
        precision: Digits after the point.
        scientific: Whether all floats are written in powers of ten.
        largest: Largest finite magnitude seen.
        negative: Whether a number below zero was seen.
        whole: Whether all finite numbers seen are whole.
        width: Widest text seen.
    """

    precision: int = 4
    scientific: bool = False
    largest: float = 0.0
    negative: bool = False
    whole: bool = True
    width: int = 1

    def restyled(self, precision: int, *, scientific: bool) -> CellFormat:
        """The same numbers seen, written in another way."""
        return self._replace(precision=precision, scientific=scientific, width=1)

    def number(self, number: float) -> str:
        """A float with `precision` decimals where the tensor's magnitude allows it, else in powers of ten."""
        if math.isnan(number):
            return "nan"
        if math.isinf(number):
            return "inf" if number > 0 else "-inf"
        precision, largest = self.precision, self.largest
        if self.scientific:
            return f"{number:.{precision}e}"
        if self.whole and largest < 1e8:
            return f"{number:.0f}."
        if number == 0:
            return "-0." if math.copysign(1, number) < 0 else "0."
        if not 1e-3 <= largest < 1e6:
            return f"{number:.{max(precision - 1, 0)}e}"
        decimals = precision if largest < 100 else max(precision + 2 - len(str(int(largest))), 1)
        text = f"{number:.{decimals}f}"
        # What would round to zero is not zero, and must not look like it.
        return f"{number:.1e}" if abs(number) < 0.5 * 10**-decimals else text

    def text(self, cell: object) -> str:
        """Any cell as text."""
        if isinstance(cell, list):  # two numbers that share a byte
            return "/".join(self.text(part) for part in cell)
        if isinstance(cell, complex):
            imaginary = self.number(cell.imag)
            return f"{self.number(cell.real)}{'' if imaginary[0] == '-' else '+'}{imaginary}j"
        return self.number(cell) if isinstance(cell, float) else str(cell)


def look(cell: object) -> str:
    """Whether a cell is zero, not a finite number, or neither."""
    if isinstance(cell, list):
        looks = {look(part) for part in cell}
        return looks.pop() if len(looks) == 1 else PLAIN
    if isinstance(cell, complex):
        finite = math.isfinite(cell.real) and math.isfinite(cell.imag)
        return (PLAIN if cell else ZERO) if finite else SPECIAL
    if isinstance(cell, float) and not math.isfinite(cell):
        return SPECIAL
    return PLAIN if cell else ZERO


def magnitude(cell: object) -> float:
    """The number that a heatmap colours: with its sign where it has one, NaN and infinities as they are."""
    if isinstance(cell, list):
        return max((magnitude(part) for part in cell), key=abs, default=0.0)
    if isinstance(cell, complex):
        return abs(cell)
    return float(cell) if isinstance(cell, int | float) else 0.0


class Cell(NamedTuple):
    """One cell.

    Attributes:
        text: The number.
        look: `PLAIN`, `ZERO` or `SPECIAL`.
        number: What a heatmap colours.
    """

    text: str
    look: str
    number: float


class CellBlock(NamedTuple):
    """The cells of a window as text.

    Attributes:
        rows: The cells.
        format: What the next window of the same tensor continues with.
        values: The numbers themselves; pairs as lists.
    """

    rows: list[list[Cell]]
    format: CellFormat
    values: list[list[object]]

    def tint(self, cell: Cell) -> int:
        """How large a cell is beside the largest seen, in steps from 0 to `TINTS`."""
        largest = self.format.largest
        if not largest or not math.isfinite(cell.number):
            return 0
        return min(int(abs(cell.number) / largest * (TINTS + 1)), TINTS)


def write_cells(
    values: npt.NDArray[Any], rows: int, columns: int, before: CellFormat, *, pairs: bool = False
) -> CellBlock:
    """Writes a window's cells.

    Args:
        values: What was read, with one entry in all dimensions but those of rows and columns, rows first.
        rows: Rows of the window.
        columns: Columns of the window.
        before: Format of the windows seen before.
        pairs: Whether each cell is two numbers.
    """
    import numpy as np

    cells = values.reshape((rows, columns, 2) if pairs else (rows, columns))
    seen = before
    if cells.size:
        with np.errstate(invalid="ignore", over="ignore"):
            # Float64 first: the least int8 has no positive counterpart.
            sizes = np.abs(cells if cells.dtype.kind == "c" else cells.astype(np.float64))
            finite = sizes[np.isfinite(sizes)]
            if finite.size:
                seen = before._replace(largest=max(before.largest, float(finite.max())))
            if cells.dtype.kind != "c":
                seen = seen._replace(negative=seen.negative or bool((cells < 0).any()))
            if cells.dtype.kind in "fc":
                parts = (cells.real, cells.imag) if cells.dtype.kind == "c" else (cells,)
                whole = all(bool((part == np.floor(part))[np.isfinite(part)].all()) for part in parts)
                seen = seen._replace(whole=before.whole and whole)
    numbers = cells.tolist()
    out = [[Cell(seen.text(cell), look(cell), magnitude(cell)) for cell in row] for row in numbers]
    width = max((len(cell.text) for row in out for cell in row), default=1)
    return CellBlock(out, seen._replace(width=max(before.width, width)), numbers)


def least_width(dtype: str, columns: int) -> int:
    """Fewest cells on screen that a number takes with the gap: tells how many are read to fill a window.

    Args:
        dtype: Element type.
        columns: Columns of the tensor, whose numbers stand above.
    """
    floating = "float" in dtype or "complex" in dtype or dtype.startswith("q")
    return 2 + max(2 if floating else 1, len(str(max(columns - 1, 0))))
