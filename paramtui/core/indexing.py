"""Index expressions as typed in Python: ``0, :3``, ``..., -1``, ``[2:10:2]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from paramtui.errors import IndexSyntaxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import EllipsisType

Index: TypeAlias = "tuple[int | slice | EllipsisType, ...]"

MAX_DIGITS = 30


class Selection(NamedTuple):
    """An index applied to a shape.

    Attributes:
        picks: Chosen indices by dimension.
        kept: Dimensions that the result has: those indexed by one number are gone.
    """

    picks: tuple[range, ...]
    kept: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(len(self.picks[dim]) for dim in self.kept)


def parse_index(text: str) -> Index:
    """Reads an index expression; surrounding brackets are optional.

    Raises:
        IndexSyntaxError: Something in it is no integer, slice or ellipsis.
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1].strip()
    if not inner:
        return ()
    entries = inner.split(",")
    if not entries[-1].strip():
        entries.pop()
    index = tuple(_entry(entry.strip(), text) for entry in entries)
    if sum(entry is ... for entry in index) > 1:
        raise IndexSyntaxError(f"index {text!r} has more than one ellipsis")
    return index


def _entry(entry: str, text: str) -> int | slice | EllipsisType:
    if entry == "...":
        return ...
    bounds = entry.split(":")
    if len(bounds) == 1:
        number = _number(entry, text)
        if number is None:
            raise IndexSyntaxError(f"index {text!r} has an empty entry")
        return number
    if len(bounds) > 3:
        raise IndexSyntaxError(f"{entry!r} in index {text!r} has more than two colons")
    first, last, step = ([_number(bound.strip(), text) for bound in bounds] + [None])[:3]
    if step is not None and step < 1:
        raise IndexSyntaxError(f"{entry!r} in index {text!r}: a step must be positive, as in PyTorch")
    return slice(first, last, step)


def _number(entry: str, text: str) -> int | None:
    if not entry:
        return None
    digits = entry[1:] if entry[:1] in "+-" else entry
    if not (digits.isascii() and digits.isdigit()) or len(digits) > MAX_DIGITS:
        raise IndexSyntaxError(
            f"{entry!r} in index {text!r} is not an integer, a slice or ...",
            hint="write for example 0, :3 or ..., -1",
        )
    return int(entry)


def apply_index(index: Index, shape: Sequence[int]) -> Selection:
    """The cells that an index selects from a tensor of `shape`.

    Raises:
        IndexSyntaxError: Too many entries, or a number outside its dimension.
    """
    given = [entry for entry in index if entry is not ...]
    if len(given) > len(shape):
        raise IndexSyntaxError(f"{len(given)} indices for a tensor of {len(shape)} dimensions")
    missing = [slice(None)] * (len(shape) - len(given))
    at = next((place for place, entry in enumerate(index) if entry is ...), len(index))
    entries = [*index[:at], *missing, *index[at + 1 :]]
    picks: list[range] = []
    kept: list[int] = []
    for dim, (entry, size) in enumerate(zip(entries, shape, strict=True)):
        if isinstance(entry, slice):
            pick = range(*entry.indices(size))
            picks.append(pick)
            kept.append(dim)
        elif isinstance(entry, int):
            if not -size <= entry < size:
                raise IndexSyntaxError(f"index {entry} is outside dimension {dim}, which has size {size}")
            picks.append(range(entry % size, entry % size + 1))
    return Selection(tuple(picks), tuple(kept))


def whole(shape: Sequence[int]) -> tuple[range, ...]:
    """Picks that select everything."""
    return tuple(range(size) for size in shape)
