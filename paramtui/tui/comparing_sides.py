"""What a row of the tree is when it is compared: a tensor, or a block of some."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramtui.tui.opened import expression
from paramtui.tui.pages import row_title

if TYPE_CHECKING:
    from paramtui.tui.opened import Opened


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


def way(opened: Opened, one: Side, other: Side, *, alias: bool = False) -> str:
    """The line of PyTorch that a comparison of two tensors amounts to; empty where there is none.

    Args:
        opened: Holds both.
        one: The first tensor.
        other: The second tensor.
        alias: Whether it asks besides for where they lie.
    """
    here, there = (expression(opened, stored_row(opened, side)) for side in (one, other))
    if not here or not there:
        return ""
    text = f"torch.equal({here}, {there})"
    return f"{text} and {here}.data_ptr() == {there}.data_ptr()" if alias else text
