"""Numbers as text, all of one tensor in cells of the same width."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy.typing as npt

ZERO = "zero"
SPECIAL = "special"
PLAIN = "plain"


class CellFormat(NamedTuple):
    """How the numbers seen so far of a tensor are written; scrolling on widens it and never narrows it.

    Attributes:
        largest: Largest finite magnitude seen.
        whole: Whether all finite numbers seen are whole.
        width: Widest text seen.
    """

    largest: float = 0.0
    whole: bool = True
    width: int = 1

    def number(self, number: float) -> str:
        """A float in four decimals where the tensor's magnitude allows it, else in powers of ten."""
        if math.isnan(number):
            return "nan"
        if math.isinf(number):
            return "inf" if number > 0 else "-inf"
        largest = self.largest
        if self.whole and largest < 1e8:
            return f"{number:.0f}."
        if number == 0:
            return "-0." if math.copysign(1, number) < 0 else "0."
        if not 1e-3 <= largest < 1e6:
            return f"{number:.3e}"
        decimals = 4 if largest < 100 else max(6 - len(str(int(largest))), 1)
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


class CellBlock(NamedTuple):
    """The cells of a window as text.

    Attributes:
        rows: Text and look of each cell.
        format: What the next window of the same tensor continues with.
    """

    rows: list[list[tuple[str, str]]]
    format: CellFormat


def write_cells(
    values: npt.NDArray[Any], rows: int, columns: int, before: CellFormat, *, pairs: bool = False
) -> CellBlock:
    """Writes a window's cells.

    Args:
        values: What was read, with leading dimensions of one entry each.
        rows: Rows of the window.
        columns: Columns of the window.
        before: Format of the windows seen before.
        pairs: Whether each cell is two numbers.
    """
    import numpy as np

    cells = values.reshape((rows, columns, 2) if pairs else (rows, columns))
    seen = before
    if cells.dtype.kind in "fc":
        flat = np.concatenate([cells.real.ravel(), cells.imag.ravel()]) if cells.dtype.kind == "c" else cells
        with np.errstate(invalid="ignore"):
            finite = flat[np.isfinite(flat)].astype(np.float64)
        if finite.size:
            seen = before._replace(
                largest=max(before.largest, float(np.abs(finite).max())),
                whole=before.whole and bool((finite == np.floor(finite)).all()),
            )
    out = [[(seen.text(cell), look(cell)) for cell in row] for row in cells.tolist()]
    width = max((len(text) for row in out for text, _ in row), default=1)
    return CellBlock(out, seen._replace(width=max(before.width, width)))


def least_width(dtype: str) -> int:
    """Fewest cells on screen that a number of a type takes, with the gap: bounds how much is read."""
    return 7 if "float" in dtype or "complex" in dtype or dtype.startswith("q") else 3
