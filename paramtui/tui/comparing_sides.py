"""What a row of the tree is when it is compared: a tensor, or a block of some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.dtypes import DTYPES
from paramtui.core.ties import ALIAS, relation
from paramtui.tui.opened import expression
from paramtui.tui.pages import row_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.comparing import Comparison
    from paramtui.core.encoding import Number
    from paramtui.tui.opened import Opened

# Types that torch.equal compares with each other, exactly.
_WIDENED: Final = (
    frozenset(("float64", "float32", "float16", "bfloat16")),
    frozenset(("int64", "int32", "int16", "int8", "uint8", "bool")),
    frozenset(("complex128", "complex64")),
)


class Side(NamedTuple):
    """One of two that are compared.

    Attributes:
        row: The row that a person chose.
        tensor: Its id; -1 for a block.
        name: What the row is called.
        declared: What declares that the row's tensor is stored under another name; empty where nothing does.
    """

    row: int
    tensor: int
    name: str
    declared: str = ""


class Destination(NamedTuple):
    """Where a person wants to go.

    Attributes:
        row: Of a tensor.
        place: An index in that tensor, as it is typed.
    """

    row: int
    place: str


def side_of(opened: Opened, row: int) -> Side | None:
    """What is compared of a row; None where it has no numbers."""
    tree = opened.tree
    name = row_title(opened, row)
    if tree.is_block(row):
        below = range(row, tree.end[row])
        there = tree.tensors[row] or any(opened.ties.of_ghost(tree.value[at]) is not None for at in below)
        return Side(row, -1, name) if there else None
    if tree.tensor[row] >= 0:
        return Side(row, tree.tensor[row], name)
    tied = opened.ties.of_ghost(tree.value[row])
    return Side(row, tied.members[0], name, tied.by) if tied is not None else None


def tensor_side(opened: Opened, tensor: int) -> Side:
    """A tensor of a listing, by its id."""
    row = opened.tree.row_of(tensor)
    assert row is not None  # noqa: S101  a screen's tree has all tensors
    return Side(row, tensor, row_title(opened, row))


def stored_row(opened: Opened, side: Side) -> int:
    """The row that has the numbers of a tensor."""
    found = opened.tree.row_of(side.tensor)
    return side.row if found is None else found


async def number_at(opened: Opened, side: Side, index: Sequence[int]) -> Number | None:
    """The number at a place of a tensor; None where it has none.

    Args:
        opened: Holds the tensor.
        side: Which.
        index: Of the number: of a type whose elements are two numbers with one more dimension.

    Raises:
        ParamtuiError: It cannot be read.
    """
    dims = len(opened.listing.shape[side.tensor])
    window = await opened.source.window(side.tensor, [range(at, at + 1) for at in index[:dims]])
    if window.values is None:
        return None
    number: Number = window.values.reshape(-1)[index[-1] if len(index) > dims else 0].item()
    return number


def way(opened: Opened, one: Side, other: Side, found: Comparison | None = None) -> str:
    """The line of PyTorch that says what a comparison of two tensors says.

    Args:
        opened: Holds both.
        one: The first tensor.
        other: The second tensor.
        found: What they have in common; None for the longest line that there may be.

    Returns:
        The line; empty where PyTorch has none, or would say something else.
    """
    if not _comparable(opened, one.tensor, other.tensor):
        return ""
    here, there = (expression(opened, stored_row(opened, side)) for side in (one, other))
    if not here or not there:
        return ""
    listing = opened.listing
    dtype = listing.dtype[one.tensor]
    alias = relation(listing, one.tensor, other.tensor) == ALIAS
    # A file that is loaded twice is twice in memory, and what is stored once has no second name in Python.
    if alias and listing.live is not None and not (one.declared or other.declared):
        strides = {listing.geometry(side.tensor).stride for side in (one, other)}
        place = f"{here}.data_ptr() == {there}.data_ptr()"
        # Dimensions of size 1 can have strides of their own.
        return f"{here}.is_set_to({there})" if len(strides) == 1 else place
    # To torch.equal NaN is no equal of itself, and memory that is the same was not looked at for NaN.
    may_be_nan = DTYPES[dtype].family in ("float", "complex")
    nan = may_be_nan if found is None or alias else found.nan_both
    if dtype == listing.dtype[other.tensor] and (nan or dtype == "complex32"):
        return f"torch.allclose({here}, {there}, rtol=0, atol=0, equal_nan=True)"
    return "" if nan else f"torch.equal({here}, {there})"


def _comparable(opened: Opened, one: int, other: int) -> bool:
    """Whether PyTorch compares two tensors, and as they are compared here."""
    listing = opened.listing
    for tensor in (one, other):
        extra = listing.extras.get(tensor)
        if extra is not None and (extra.layout is not None or extra.quantizer is not None or extra.problem):
            return False
    if listing.live is not None and listing.live.device[one] != listing.live.device[other]:
        return False
    kinds = {listing.dtype[one], listing.dtype[other]}
    if len(kinds) == 1:
        return not kinds & {"float4_e2m1fn_x2"} and DTYPES[min(kinds)].family not in ("quantized", "bits")
    # Both are widened to one type: only in these families without loss.
    return any(kinds <= family for family in _WIDENED)
