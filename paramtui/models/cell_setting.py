"""Sets numbers of a live tensor, as ``tensor.data[index] = number`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from paramtui.core.cell_arithmetic import check_arithmetic
from paramtui.core.encoding import encode
from paramtui.errors import EditError
from paramtui.models.tensor_cells import pick_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.edits import Number


def set_cells(tensor: torch.Tensor, picks: Sequence[range], operator: str, number: Number) -> None:
    """Changes the cells at the crossings of ranges.

    Args:
        tensor: A strided one.
        picks: Indices by dimension, none of them empty.
        operator: ``=``, ``*=``, ``/=``, ``+=`` or ``-=``.
        number: What to set them to, or to calculate with.

    Raises:
        ValuesError: The number does not fit the type.
        EditError: PyTorch cannot do that with this type; the message says why.
    """
    cells = pick_cells(tensor.detach(), picks)
    dtype = str(tensor.dtype).removeprefix("torch.")
    # The same numbers are refused as in a file: PyTorch's own ways of setting one disagree about some.
    check_arithmetic(dtype, operator, number)
    if operator == "=":
        encode(number, dtype)
    try:
        with torch.no_grad():
            if operator == "=":
                cells.fill_(number)
            elif operator == "*=":
                cells.mul_(number)
            elif operator == "/=":
                cells.div_(number)  # type: ignore[arg-type]
            elif operator == "+=":
                cells.add_(number)
            elif operator == "-=":
                cells.sub_(number)
            else:
                raise EditError(f"there is no operator {operator}")
    except (RuntimeError, TypeError, NotImplementedError, OverflowError) as error:
        words = str(error).split("\n")[0]
        raise EditError(f"{dtype} {operator} {number}: {words}") from None
