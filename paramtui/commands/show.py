"""``paramtui show``: the numbers of one tensor or slice."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from paramtui.core.describe import tensor_facts, value_text
from paramtui.core.dtypes import DTYPES
from paramtui.core.indexing import Selection, apply_index, parse_index
from paramtui.core.jsonable import float_text, jsonable
from paramtui.core.lookup import tensor_id, written_path
from paramtui.core.text import safe_text
from paramtui.errors import NameLookupError, ParamtuiError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from paramtui.core.listing import Listing
    from paramtui.core.source import Window

    Read = Callable[[int, Sequence[Sequence[int]]], Window]

# Numbers that are printed.
MAX_CELLS = 1_000_000
# Numbers that JSON output writes of what stores fewer.
MAX_WRITTEN = 1 << 20
# Numbers that JSON output holds in memory at a time.
PIECE = 1 << 18


def choose(listing: Listing, name: str | None) -> int:
    """The tensor that the person names; a target with one tensor needs no name.

    Raises:
        NameLookupError: None or several fit.
    """
    if name is not None:
        return tensor_id(listing, name)
    if len(listing) == 1:
        return 0
    if not len(listing):
        raise NameLookupError("holds no tensor", where=safe_text(listing.target))
    raise NameLookupError(
        f"holds {len(listing):,} tensors",
        where=safe_text(listing.target),
        hint=f"name one, for example {safe_text(listing.names[0])}",
    )


def find_value(listing: Listing, name: str) -> int | None:
    """The value (no tensor) with a dotted name, or with a key path as JSON, if there is one."""
    path = written_path(name)
    for index, value in enumerate(listing.values):
        if listing.node_name(value.node) == name or (path is not None and listing.path(value.node) == path):
            return index
    return None


def declared_to_be(listing: Listing, index: int) -> int | None:
    """The tensor that a value stands for, if it is a name that is declared to be one."""
    return next((declared.tensor for declared in listing.declared if index in declared.ghosts), None)


def show_value(listing: Listing, index: int, *, as_json: bool) -> str:
    """A value that is no tensor."""
    value = listing.values[index]
    name = listing.node_name(value.node)
    if not as_json:
        return f"{safe_text(name)}  {value_text(listing, index)}\n"
    import json

    return json.dumps({"name": name, "type": value.type_name, "value": jsonable(value.value)}) + "\n"


def _named(listing: Listing, tensor: int, error: ParamtuiError) -> ParamtuiError:
    """The same error, with the tensor's name where none stands."""
    if error.where is None:
        error.where = safe_text(listing.names[tensor]) or "(tensor)"
    return error


def _select(listing: Listing, tensor: int, index: str) -> Selection:
    """The cells that an index expression selects; of a ragged tensor, components."""
    shape = listing.shape[tensor]
    if None in shape:
        selection = apply_index(parse_index(index), [size or 0 for size in shape[:1]])
        return Selection((*selection.picks, *(range(0) for _ in shape[1:])), selection.kept)
    return apply_index(parse_index(index), [size or 0 for size in shape])


def show_text(
    listing: Listing, read: Read, tensor: int, index: str, ghost: int | None = None
) -> Iterator[str]:
    """Name and facts, then the numbers as PyTorch prints them.

    Args:
        listing: What holds the tensor.
        read: Reads a window of it.
        tensor: Its id.
        index: Which of its cells, as in Python; all if empty.
        ghost: Place among the values of the name that was asked for, if that is declared to be the tensor:
            a line before says so.
    """
    from paramtui.core.printing import summary_picks, tensor_text

    ragged = None in listing.shape[tensor]
    try:
        selection = _select(listing, tensor, index)
        # Of many components the first and the last are shown, as rows are.
        picks = summary_picks(selection.picks[:1] if ragged else selection.picks)
        picks = (*picks, *selection.picks[1:]) if ragged else picks
        cells = prod(map(len, picks))
        if cells > MAX_CELLS:
            words = f"even the corners of its {len(picks)} dimensions are more than {MAX_CELLS:,} numbers"
            raise ValuesError(words, hint="name fewer, for example with 0,0,0")
        window = read(tensor, picks)
    except ParamtuiError as error:
        raise _named(listing, tensor, error) from None
    if ghost is not None:
        asked = listing.node_name(listing.values[ghost].node)
        yield f"{safe_text(asked)} {value_text(listing, ghost)}\n"
    facts = "  ".join(tensor_facts(listing, tensor))
    shown_index = f"[{safe_text(index.strip().removeprefix('[').removesuffix(']'))}]" if index else ""
    yield f"{safe_text(listing.names[tensor]) or '(tensor)'}{shown_index}  {facts}\n"
    dtype = listing.dtype[tensor]
    if window.values is None:
        before = picks[0][0] if picks[0] else 0
        for place, part in zip(picks[0], window.parts, strict=True):
            if place - before > 1 and len(picks[0]) < len(selection.picks[0]):
                yield "...\n"
            before = place
            edges = summary_picks([range(size) for size in part.shape])
            yield f"[{place}]\n{tensor_text(_crossings(part, edges), part.shape, dtype)}\n"
        return
    # float4_e2m1fn_x2 has two numbers for each element.
    tail = window.values.shape[len(picks) :]
    reduced = window.values.reshape([len(picks[dim]) for dim in selection.kept] + list(tail))
    yield tensor_text(reduced, (*selection.shape, *tail), dtype) + "\n"


def _crossings(part: npt.NDArray[Any], picks: Sequence[Sequence[int]]) -> npt.NDArray[Any]:
    import numpy as np

    return part[np.ix_(*[np.asarray(pick, dtype=np.int64) for pick in picks])] if part.ndim else part


def show_json(
    listing: Listing, read: Read, tensor: int, index: str, ghost: int | None = None
) -> Iterator[str]:
    """{"name", "dtype", "shape", "index", "values"}: shape of the slice, values as nested lists.

    Arguments are those of `show_text`; the name is the one that was asked for.
    """
    import json

    try:
        selection = _select(listing, tensor, index)
        pieces = _values_json(listing, read, tensor, selection)
        first = next(pieces)
    except ParamtuiError as error:
        raise _named(listing, tensor, error) from None
    shape = (
        [*selection.shape, *listing.shape[tensor][1:]] if None in listing.shape[tensor] else selection.shape
    )
    head = {
        "name": listing.names[tensor] if ghost is None else listing.node_name(listing.values[ghost].node),
        "dtype": listing.dtype[tensor],
        "shape": list(shape),
        "index": index,
    }
    yield json.dumps(head)[:-1] + ', "values": ' + first
    yield from pieces
    yield "}\n"


def _refuse_endless(listing: Listing, tensor: int, picks: Sequence[Sequence[int]]) -> None:
    """Refuses to write out the petabytes that a stride of 0 makes of four bytes."""
    cells = prod(map(len, picks))
    location = listing.location[tensor]
    stored = listing.locations[location].nbytes if location >= 0 else 0
    kind = DTYPES.get(listing.dtype[tensor])  # an unknown one is refused where it is read
    if kind is not None and cells > MAX_WRITTEN and cells * kind.bits > 8 * stored:
        words = f"{cells:,} numbers are more than its {stored:,} bytes hold"
        raise ValuesError(words, hint="ask for a slice, for example :3")


def _values_json(listing: Listing, read: Read, tensor: int, selection: Selection) -> Iterator[str]:
    """The nested lists in pieces, so that a large tensor is never held whole."""
    picks = selection.picks
    if None in listing.shape[tensor]:
        separator = "["
        for part in read(tensor, picks).parts:
            yield separator + _nested(part.tolist(), part.dtype.kind)
            separator = ", "
        yield "]" if separator == ", " else "[]"
        return
    _refuse_endless(listing, tensor, picks)
    kept = set(selection.kept)

    def block(dim: int, chosen: list[Sequence[int]]) -> str:
        window = read(tensor, chosen)
        values = window.values
        if values is None:
            raise ValuesError("the tensor is ragged")
        tail = values.shape[len(picks) :]
        shape = [len(chosen[at]) for at in range(dim, len(picks)) if at in kept]
        return _nested(values.reshape([*shape, *tail]).tolist(), values.dtype.kind)

    def walk(dim: int, chosen: list[Sequence[int]]) -> Iterator[str]:
        inner = prod(map(len, picks[dim + 1 :]))
        if dim == len(picks) or inner * len(picks[dim]) <= PIECE:
            yield block(dim, [*chosen, *picks[dim:]])
            return
        separator = "[" if dim in kept else ""
        if inner <= PIECE:
            # As many entries at once as make a piece; one by one they would take a read each.
            rows = PIECE // inner
            for first in range(0, len(picks[dim]), rows):
                some = block(dim, [*chosen, picks[dim][first : first + rows], *picks[dim + 1 :]])
                yield separator + some[1:-1]
                separator = ", "
            yield "]"
            return
        for place in picks[dim]:
            yield separator
            yield from walk(dim + 1, [*chosen, range(place, place + 1)])
            separator = ", "
        yield "]" if dim in kept else ""

    yield from walk(0, [])


def _nested(values: object, kind: str) -> str:
    """Nested lists of numbers as JSON."""
    import json

    if kind == "c":
        return json.dumps(jsonable(values))
    try:
        return json.dumps(values, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(values))


def _finite(values: object) -> object:
    if isinstance(values, list):
        return [_finite(value) for value in values]
    if isinstance(values, float) and values - values != 0:
        return float_text(values)
    return values
