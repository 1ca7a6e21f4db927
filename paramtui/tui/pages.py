"""What the right side says of a row, as lines of text: facts first, then what lies below."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from paramtui.core.block_text import block_text
from paramtui.core.describe import all_warnings, elements_words, size_words, tensor_facts, type_and_value
from paramtui.core.listing import GHOST
from paramtui.core.text import bytes_text, count_text, safe_text, shape_text
from paramtui.core.trust import NOTHING_RUN, RUNS, UNUSUAL, counted_verdicts, verdict
from paramtui.tui.fold_lines import fold_body
from paramtui.tui.opened import expression, label
from paramtui.tui.tie_lines import ghost_head, names_text, tie_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.tui.cells import CellBlock
    from paramtui.tui.grid import Grid
    from paramtui.tui.opened import Opened

MAX_CHILDREN = 1000
# Cells of a line where it is not known how wide a page is.
WIDTH = 76
RAGGED_SHOWN = 8
MAX_LISTED = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One place.

    Attributes:
        row: Tree row that it is about; -1 for the file as a whole.
        title: Its name.
        head: Facts.
        body: What lies below the facts, where it is text.
        grid: Which window of numbers lies below the facts, where there is one.
        block: The numbers of that window.
        expression: How to reach it in PyTorch; empty where it cannot be reached.
    """

    row: int
    title: str
    head: list[Text]
    body: list[Text] = field(default_factory=list)
    grid: Grid | None = None
    block: CellBlock | None = None
    expression: str = ""


def counted(count: int, noun: str) -> str:
    """``1 tensor``, ``2 tensors``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def row_title(opened: Opened, row: int) -> str:
    """The dotted name of a row."""
    return safe_text(opened.tree.name(row)) if row else label(opened, row)


def tensor_head(opened: Opened, tensor: int) -> list[Text]:
    """Facts of a tensor."""
    listing = opened.listing
    extra = listing.extras.get(tensor)
    dtype, shape, size = tensor_facts(listing, tensor)
    parts = [listing.kind[tensor], dtype, shape, f"{count_text(listing.numel(tensor))} elements", size]
    if listing.live is None and listing.requires_grad[tensor]:
        parts.append("requires grad")
    storage = listing.storage(tensor)
    if storage is not None:
        shared = opened.ties.of(tensor) or opened.ties.storage_of(tensor)
        parts.append(f"storage {safe_text(storage, 40)}" + ("" if shared else ", alone"))
    head = [Text("  ".join(parts)), *_live_head(opened, tensor)]
    stride, sizes = listing.stride[tensor], listing.shape[tensor]
    if stride is not None and None not in sizes:
        from paramtui.core.geometry import contiguous_stride

        offset = listing.offset[tensor]
        if stride != contiguous_stride([size or 0 for size in sizes]):
            head.append(Text(f"strides {shape_text(stride)}" + (f"  offset {offset:,}" if offset else "")))
    if extra is not None:
        unusual = [safe_text(extra.class_name, 60)] if extra.class_name else []
        if extra.quantizer is not None:
            scheme = safe_text(extra.quantizer.scheme, 40)
            unusual.append(f"quantised {scheme}; shown as the numbers it stands for")
        if unusual:
            head.append(Text("  ".join(unusual)))
    return head + tie_head(opened, tensor)


def _live_head(opened: Opened, tensor: int) -> list[Text]:
    """What a tensor in memory is to Python and to autograd."""
    listing, live = opened.listing, opened.listing.live
    if live is None:
        return []
    parts = [
        safe_text(live.type_name[tensor], 80),
        f"requires_grad {listing.requires_grad[tensor]}",
        f"is_leaf {live.is_leaf[tensor]}",
        safe_text(live.device[tensor], 20),
    ]
    if listing.kind[tensor] == "buffer":
        parts.append("in the state dict" if live.persistent[tensor] else "not in the state dict")
    head = [Text("  ".join(parts))]
    if tensor in live.notes:
        head.append(Text(safe_text(live.notes[tensor], 400)))
    return head


def _trained(opened: Opened, tensors: Sequence[int]) -> str:
    """``30.3 K trainable  304 frozen  256 in buffers``: elements, each memory where it comes first."""
    listing = opened.listing
    groups: dict[str, list[int]] = {"trainable": [], "frozen": [], "in buffers": []}
    for tensor in tensors:
        kind = listing.kind[tensor]
        if kind == "parameter":
            groups["trainable" if listing.requires_grad[tensor] else "frozen"].append(tensor)
        elif kind == "buffer":
            groups["in buffers"].append(tensor)
    # A view of what was counted is no memory of its own: the sum is what there is.
    seen: list[int] = []
    before, words = 0, []
    for name, members in groups.items():
        if not members:
            continue
        seen += members
        count = listing.totals(seen).unique_elements
        if count > before:
            words.append(f"{count_text(count - before)} {name}")
            before = count
    return "  ".join(words)


def weights_body(opened: Opened) -> list[Text]:
    """What came of loading a checkpoint into a model."""
    live = opened.listing.live
    if live is None or live.weights is None:
        return []
    report = live.weights
    lines = [Text("weights", "bold"), Text(safe_text(report.words, 500))]
    if report.proposal:
        lines.append(Text(f"W loads {safe_text(report.proposal, 200)}, which fits better"))
    for title, names in (
        ("missing: it has the numbers it was built with", report.missing),
        (
            "unexpected: only in the checkpoint",
            [f"{name}  {dtype} {shape}" for name, dtype, shape in report.unexpected],
        ),
        (
            "of another shape",
            [f"{name}  {here} here, {there} there" for name, here, there in report.mismatched],
        ),
    ):
        if names:
            lines.append(Text(f"{len(names):,} {title}"))
            lines += [Text(f"  {safe_text(name, 200)}") for name in names[:MAX_LISTED]]
            if len(names) > MAX_LISTED:
                lines.append(Text(f"  and {len(names) - MAX_LISTED:,} more"))
    return lines


def ragged_body(shapes: Sequence[tuple[int, ...]], count: int) -> list[Text]:
    """Shapes of the first components of a ragged tensor."""
    body = [Text("A ragged tensor: its components differ in shape and make no grid."), Text("")]
    body += [Text(f"[{index}]  {shape_text(shape)}") for index, shape in enumerate(shapes)]
    if count > len(shapes):
        body.append(Text(f"and {count - len(shapes):,} more components"))
    return body


def value_page(opened: Opened, row: int) -> Page:
    """A value that is no tensor, written out."""
    value = opened.tree.value[row]
    type_name, text = type_and_value(opened.listing, value, entries=1000, limit=100_000)
    if opened.ties.of_ghost(value) is not None:
        return Page(row, row_title(opened, row), ghost_head(opened, value))
    if type_name == GHOST:
        type_name = "not in the model"
    head, way = [Text(type_name)], expression(opened, row)
    return Page(row, row_title(opened, row), head, [Text(""), Text(text)], expression=way)


def block_page(opened: Opened, row: int, width: int = WIDTH) -> Page:
    """A block: what it is, its sums, its types, and its children with their sizes."""
    tree, listing = opened.tree, opened.listing
    tensors = tree.tensors_below(row)
    totals = opened.totals if row == 0 else listing.totals(tensors)
    class_name = tree.class_name(row)
    head = [Text(safe_text(class_name))] if class_name else []
    live = listing.live
    if live is not None:
        node = tree.node[row]
        training = live.training.get(node)
        words = [] if training is None else ["in training mode" if training else "in evaluation mode"]
        others = [listing.node_name(place) for place in live.places(node) if place != node]
        if others:
            words.append(f"the same module as {names_text(others)}")
        elif node in live.repeats:
            words.append(safe_text(live.repeats[node], 200))
        if words:
            head.append(Text("  ".join(words)))
    if tree.value[row] >= 0:
        head.append(Text("  ".join(type_and_value(listing, tree.value[row]))))
    if tree.tensor[row] >= 0:
        head += tensor_head(opened, tree.tensor[row])
    head.append(Text(f"{counted(totals.tensors, 'tensor')}  {elements_words(totals)}  {size_words(totals)}"))
    trained = _trained(opened, tensors) if live is not None else ""
    if trained:
        head.append(Text(trained))
    dtypes = Counter(listing.dtype[tensor] for tensor in tensors)
    if dtypes:
        head.append(Text("  ".join(f"{safe_text(name)} x{count:,}" for name, count in dtypes.most_common())))
    body = [*fold_body(opened, row, width), Text(""), *_children(opened, row)]
    printed = block_text(tree, row)
    if len(printed) > 1 or class_name:
        title = "print(block)" if class_name else "what lies inside"
        body += [Text(""), Text(title, style="bold"), *[Text(line, no_wrap=True) for line in printed]]
    return Page(row, row_title(opened, row), head, body, expression=expression(opened, row))


def _children(opened: Opened, row: int) -> list[Text]:
    """One line a child: name, what it is, size."""
    tree, listing = opened.tree, opened.listing
    children = tree.children(row)
    shown: list[tuple[str, str, str]] = []
    for child in children[:MAX_CHILDREN]:
        tensor = tree.tensor[child]
        if tensor >= 0:
            dtype, shape, size = tensor_facts(listing, tensor)
            facts = f"{dtype} {shape}"
        elif tree.value[child] >= 0 and not tree.is_block(child):
            facts, size = type_and_value(listing, tree.value[child])[1], ""
        else:
            class_name = tree.class_name(child)
            facts = safe_text(class_name.rsplit(".", 1)[-1], 40) + "  " if class_name else ""
            if tree.tensors[child]:
                elements, nbytes = opened.sums(child)
                facts += f"{counted(tree.tensors[child], 'tensor')}  {count_text(elements)} elements"
                size = bytes_text(nbytes)
            else:
                rows = range(child + 1, tree.end[child])
                values = sum(tree.value[row] >= 0 for row in rows)
                # A layer without parameters, such as ReLU, is no block.
                facts += counted(values, "value") if values or not class_name else ""
                size = ""
        shown.append((label(opened, child), size, facts))
    width = min(max((len(name) for name, _, _ in shown), default=0), 40)
    lines = []
    for name, size, facts in shown:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(name.ljust(width))
        line.append(f"  {size:>7}  ")
        line.append(facts, style="dim")
        lines.append(line)
    if len(children) > MAX_CHILDREN:
        lines.append(Text(f"and {len(children) - MAX_CHILDREN:,} more"))
    return lines


def file_page(opened: Opened) -> Page:
    """The file or model as a whole."""
    listing = opened.listing
    page = block_page(opened, 0)
    body = [Text("")]
    if listing.live is not None:
        live = listing.live
        seed = "" if live.seed is None else f", seeded with {live.seed}"
        body.append(Text(f"{safe_text(live.built, 300)}{seed}"))
        if live.setup:
            body += [Text("to build it in Python:"), *[Text(f"  {line}") for line in live.setup.splitlines()]]
        body += weights_body(opened)
    body += [Text(f"warning: {safe_text(warning, 500)}") for warning in all_warnings(listing)]
    body += [Text(safe_text(reason, 300)) for reason in listing.reasons.values()]
    if listing.globals:
        body += [Text(""), *_globals_body(listing.globals)]
    head = [Text(safe_text(listing.target, 1000)), Text(listing.format), *page.head]
    title = "about this model" if listing.live is not None else "about this file"
    return Page(-1, title, head, body)


def _globals_body(names: Sequence[str]) -> list[Text]:
    """How many of the globals of its pickles are unusual, and which they are."""
    counts = counted_verdicts(names)
    odd = [name for name in names if verdict(name) in (RUNS, UNUSUAL)]
    sums = ", ".join(f"{count:,} {words}" for words, count in counts.items())
    head = f"pickle: {counted(len(names), 'class').replace('classs', 'classes')} and functions, {sums}"
    shown = [*odd, *(name for name in names if name not in frozenset(odd))][:MAX_LISTED]
    return [
        Text(f"{head}; O says where they are used", "bold" if odd else ""),
        Text(NOTHING_RUN),
        Text("these are named, and none was called:"),
        Text(", ".join(safe_text(name) for name in shown) + (", …" if len(names) > len(shown) else "")),
    ]


def error_page(opened: Opened, row: int, message: str) -> Page:
    """Facts of a row, and why its content cannot be shown."""
    tensor = opened.tree.tensor[row]
    head = tensor_head(opened, tensor) if tensor >= 0 else []
    words = [Text(""), Text(safe_text(message, 1000))]
    return Page(row, row_title(opened, row), head, words, expression=expression(opened, row))
