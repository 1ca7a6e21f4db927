"""What must hold of every listing, whatever the file: worked out anew from its columns."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from operator import lt
from typing import TYPE_CHECKING, Any, Final

from paramtui.commands.check import check_json, check_text
from paramtui.commands.ls import Selection, ls_flat, ls_json, ls_tree
from paramtui.commands.sarif import check_sarif
from paramtui.commands.show import show_json, show_text
from paramtui.core.block_text import block_text
from paramtui.core.countable import refusal
from paramtui.core.dtypes import DTYPES
from paramtui.core.expressions import expression
from paramtui.core.folding import Folds
from paramtui.core.health import check
from paramtui.core.key_matching import Choice, Entry, match, propose
from paramtui.core.layers import layer_class, layers_below
from paramtui.core.moments import join_moments
from paramtui.core.scan_reading import feed, tally_of
from paramtui.core.text import safe_text
from paramtui.core.tree import Tree
from paramtui.errors import FormatError, ParamtuiError, TargetError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.checkpoints.source import CheckpointSource, Run
    from paramtui.core.geometry import Extra
    from paramtui.core.listing import Listing

_COLUMNS: Final = (
    "kind", "dtype", "shape", "stride", "offset", "nbytes", "requires_grad", "location", "begin",
)  # fmt: skip
_KINDS: Final = frozenset({"tensor", "parameter", "buffer", "optimizer"})
# Control characters but the line's end, direction marks, and halves of characters.
_UNSAFE: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
MAX_SHOWN: Final = 3
MAX_ROWS: Final = 20
MAX_CELLS: Final = 5_000


def check_text_is_safe(text: str) -> None:
    """Asserts that a terminal would draw a text, and do nothing else."""
    found = _UNSAFE.search(text)
    assert found is None, f"unsafe text: {text[max(0, found.start() - 40) : found.end() + 40]!r}"


def check_error(error: ParamtuiError) -> None:
    """Asserts that an error is one line that says something."""
    assert error.what.strip()
    text = f"paramtui: {safe_text(str(error), 1000)}"
    assert "\n" not in text
    check_text_is_safe(text)


def check_listing(listing: Listing, runs: Sequence[Run]) -> None:
    """Asserts that columns, nodes and places of a listing agree with each other."""
    count, nodes = len(listing.node), len(listing.node_parent)
    for name in _COLUMNS:
        assert len(getattr(listing, name)) == count, f"column {name}"
    assert len(listing.node_key) == len(listing.node_step) == nodes
    assert listing.node_parent[0] == -1
    # Parents come before what is below them, so there is no cycle.
    assert all(map(lt, listing.node_parent, range(nodes)))
    assert nodes == 1 or min(listing.node_parent[1:]) >= 0
    assert all(map(lt, listing.node, listing.node[1:])), "a node has two tensors"
    assert not count or (listing.node[0] >= 0 and listing.node[-1] < nodes)
    assert len(listing.locations) == len(runs)
    assert [place.nbytes for place in listing.locations] == [run.nbytes for run in runs]
    for value in listing.values:
        assert 0 <= value.node < nodes
        assert type(value.type_name) is str
    for node, class_name in listing.node_class.items():
        assert 0 <= node < nodes
        assert type(class_name) is str
    assert all(0 <= node < nodes for node in listing.modules)
    for tensor in range(count):
        _check_row(listing, tensor)
    assert listing.extras.keys() <= set(range(count))
    assert all(type(name) is str for name in listing.names)


def _check_row(listing: Listing, tensor: int) -> None:
    shape, stride, offset = listing.shape[tensor], listing.stride[tensor], listing.offset[tensor]
    extra = listing.extras.get(tensor)
    ragged = extra is not None and extra.layout in ("nested", "jagged")
    assert type(shape) is tuple
    assert all((size is None and ragged) or (type(size) is int and size >= 0) for size in shape), shape
    assert listing.kind[tensor] in _KINDS
    assert type(listing.dtype[tensor]) is str
    assert type(listing.nbytes[tensor]) is int
    assert listing.nbytes[tensor] >= 0
    assert type(listing.requires_grad[tensor]) is bool
    assert -1 <= listing.location[tensor] < len(listing.locations)
    assert offset is None or (type(offset) is int and offset >= 0)
    assert stride is None or (len(stride) == len(shape) and all(type(step) is int for step in stride))
    if extra is not None and extra.problem:
        assert type(str(extra.problem)) is str
        return
    if extra is not None and extra.layout is not None:
        _check_parts(listing, extra)
        return
    assert stride is not None
    _check_span(
        listing, listing.location[tensor], listing.begin[tensor], listing.dtype[tensor], shape, stride
    )


def _check_parts(listing: Listing, extra: Extra) -> None:
    for part in extra.parts.values():
        _check_span(listing, part.location, part.begin, part.dtype, part.shape, part.stride)


def _check_span(
    listing: Listing, location: int, begin: int, dtype: str, shape: Sequence[Any], stride: Sequence[int]
) -> None:
    """The bytes from the first element to the last lie in the run that is said to hold them."""
    if 0 in shape:
        return
    last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    bits = (last + 1) * DTYPES[dtype].bits
    assert location >= 0, "a tensor without bytes is not flagged"
    assert 0 <= begin <= begin + (bits + 7) // 8 <= listing.locations[location].nbytes, "past its record"


def look(source: CheckpointSource) -> None:
    """Prints all that the commands would print of a source, and asserts that it is safe and strict."""
    listing = source.listing
    selection = Selection(listing, [])
    _printed(ls_flat(listing, selection, "name"))
    _printed(ls_tree(listing, selection, "stored", None))
    listed = _strict(ls_json(listing, selection))
    assert [entry["id"] for entry in listed["tensors"]] == list(range(len(listing)))
    try:
        uses = source.find_uses()
    except (FormatError, ValuesError, TargetError) as error:
        check_error(error)
    else:
        assert {use.name for use in uses.found} >= set(listing.globals)
        findings = check(listing, uses)
        _printed(check_text(listing, findings, uses, numbers=False))
        _strict(check_json(listing, findings, uses, numbers=False))
        _strict(check_sarif(listing, findings))
    for tensor in range(min(len(listing), MAX_SHOWN)):
        _shown(source, tensor)
        _counted(source, tensor)
    tree = Tree(listing)
    assert sorted(tensor for tensor in tree.tensor if tensor >= 0) == list(range(len(listing)))
    for row in range(min(len(tree), MAX_ROWS)):
        check_text_is_safe(expression(listing, tree, row))
        assert tree.end[row] > row
    _printed(f"{line}\n" for line in block_text(tree, 0))
    join_moments(listing)
    wanted = [Entry("weight", (2, 2), "float32"), Entry("bias", (2,), "float32"), Entry("n", None, "int64")]
    choice = propose(listing, wanted, {})
    if choice is not None:
        assert match(listing, wanted, choice, {}).score > match(listing, wanted, Choice(), {}).score
    Folds(tree)
    for row in range(min(len(tree), MAX_ROWS)):
        layer_class(tree, row)
        with suppress(ValuesError):
            layers_below(tree, row)


def _shown(source: CheckpointSource, tensor: int) -> None:
    listing = source.listing
    try:
        _printed(show_text(listing, source.read_window, tensor, ""))
        if listing.numel(tensor) <= MAX_CELLS:
            shown = _strict(show_json(listing, source.read_window, tensor, ""))
            assert shown["name"] == listing.names[tensor]
    except (ValuesError, TargetError) as error:
        check_error(error)


def _counted(source: CheckpointSource, tensor: int) -> None:
    """Counts numbers as the processes do that measure."""
    listing = source.listing
    if refusal(listing, tensor):
        return
    counted = 0

    def step(nbytes: int) -> None:
        nonlocal counted
        counted += nbytes

    try:
        tally = tally_of(listing, tensor)
        feed(listing, source, tensor, tally, step)
        found = tally.measured().statistics
    except (ValuesError, TargetError) as error:
        check_error(error)
    else:
        pairs = 2 if listing.dtype[tensor] == "float4_e2m1fn_x2" else 1
        assert None in listing.shape[tensor] or found.numel == listing.numel(tensor) * pairs
        assert found.histogram is None or sum(found.histogram.counts) == found.finite


def _printed(pieces: Iterable[str]) -> None:
    text = "".join(pieces)
    check_text_is_safe(text)
    text.encode()


def _strict(pieces: Iterable[str]) -> Any:
    """A document of strict JSON, parsed."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = "".join(pieces)
    text.encode()
    return json.loads(text, parse_constant=refuse)
