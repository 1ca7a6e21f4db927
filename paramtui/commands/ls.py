"""``paramtui ls``: the tree of a target, or one line a tensor."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from paramtui.core.describe import all_warnings, elements_words, size_words, tensor_facts, value_text
from paramtui.core.geometry import UNSTORED
from paramtui.core.jsonable import json_key, jsonable
from paramtui.core.listing import GHOST
from paramtui.core.ordering import in_order, natural_key
from paramtui.core.text import bytes_text, count_text, safe_text
from paramtui.core.tie_words import WORDS, all_names
from paramtui.core.ties import Ties
from paramtui.core.tree import Tree
from paramtui.core.unique_sums import saved_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from paramtui.core.listing import Listing
    from paramtui.core.ties import Tied

# Deeper rows are not indented further; a name is cut before it pushes the facts off the line.
MAX_INDENT = 40
MAX_NAME_COLUMN = 60
# Rows nested deeper than this are summed up in one line unless --depth asks for more.
DEFAULT_DEPTH = 200


class Selection:
    """The tensors and values of a listing that the patterns keep."""

    def __init__(self, listing: Listing, patterns: Sequence[str]) -> None:
        self.listing = listing
        self.narrowed = bool(patterns)
        self._ties: Ties | None = None
        if not patterns:
            self.tensors: Sequence[int] = range(len(listing))
            self.values: Sequence[int] = range(len(listing.values))
            self.modules: Sequence[int] = listing.modules
            return
        matches = _matcher(patterns)
        self.tensors = [tensor for tensor, name in enumerate(listing.names) if matches(name)]
        self.values = [
            index for index, value in enumerate(listing.values) if matches(listing.node_name(value.node))
        ]
        self.modules = [node for node in listing.modules if matches(listing.node_name(node))]

    def __bool__(self) -> bool:
        """Whether a name matches, or there are no patterns."""
        return not self.narrowed or bool(self.tensors or self.values)

    @property
    def ties(self) -> Ties:
        """What shares memory in the whole listing: a name that is kept has partners that are not."""
        if self._ties is None:
            self._ties = Ties(self.listing)
        return self._ties

    def groups(self) -> tuple[Tied, ...]:
        """The groups with a name that the patterns keep, with all their names."""
        ties = self.ties
        if not self.narrowed:
            return ties.groups
        found = [*map(ties.of, self.tensors), *map(ties.of_ghost, self.values)]
        # Groups of one letter are one for the reader.
        places = {tied.place for tied in found if tied is not None}
        return tuple(tied for tied in ties.groups if tied.place in places)

    def apart(self) -> tuple[Tied, ...]:
        """Views of one storage, of which the patterns keep one, with all their names."""
        if not self.narrowed:
            return self.ties.apart
        kept = frozenset(self.tensors)
        return tuple(tied for tied in self.ties.apart if not kept.isdisjoint(tied.members))

    def ghosts(self) -> list[int]:
        """Places among the values of the names that are kept and declared to be another tensor."""
        return [index for index in self.values if self.ties.of_ghost(index) is not None]


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    import re
    from fnmatch import translate

    compiled = [re.compile(translate(pattern)).match for pattern in patterns]
    return lambda name: any(match(name) for match in compiled)


def ls_json(listing: Listing, selection: Selection) -> Iterator[str]:
    """The listing as one JSON object, in pieces."""
    import json

    def text(value: object) -> str:
        return json.dumps(value, separators=(", ", ": "))

    yield f'{{"target": {text(listing.target)}, "format": {text(listing.format)},\n "tensors": ['
    separator = "\n  "
    names = listing.names
    for tensor in selection.tensors:
        yield separator + text(_tensor_entry(listing, tensor, names[tensor]))
        separator = ",\n  "
    yield '],\n "values": ['
    separator = "\n  "
    for index in selection.values:
        value = listing.values[index]
        if value.type_name == GHOST:
            continue
        path = listing.path(value.node)
        entry = {
            "name": listing.node_name(value.node),
            "path": [json_key(key) for key in path],
            "type": value.type_name,
            "value": jsonable(value.value),
        }
        yield separator + text(entry)
        separator = ",\n  "
    modules: list[dict[str, object]] = [
        {
            "name": listing.node_name(node),
            "path": [json_key(key) for key in listing.path(node)],
            "class": listing.node_class[node],
        }
        for node in selection.modules
    ]
    yield "],\n"
    if listing.live is not None:
        yield f' "built": {text(listing.live.built)}, "seed": {text(listing.live.seed)},\n'
        for entry, node in zip(modules, selection.modules, strict=True):
            entry["extra"] = listing.live.text.get(node, "")
            entry["training"] = listing.live.training.get(node)
            if node in listing.live.repeats:
                entry["repeats"] = listing.live.repeats[node]
        if listing.live.weights is not None:
            yield f' "weights": {text(listing.live.weights._asdict())},\n'
    if modules:
        yield f' "modules": {text(modules)},\n'
    yield ' "shared": '
    yield text([list(all_names(listing, tied)) for tied in selection.groups()])
    yield f',\n "globals": {text(listing.globals)},\n "warnings": {text(all_warnings(listing))},\n "totals": '
    totals = listing.totals(selection.tensors if selection.narrowed else None)
    sums = totals._asdict()
    if totals.storage_nbytes == totals.unique_nbytes:
        del sums["storage_nbytes"]
    yield text(sums) + "}\n"


def _tensor_entry(listing: Listing, tensor: int, name: str) -> dict[str, object]:
    stride = listing.stride[tensor]
    entry: dict[str, object] = {
        "id": tensor,
        "name": name,
        "path": [json_key(key) for key in listing.path(listing.node[tensor])],
        "kind": listing.kind[tensor],
        "dtype": listing.dtype[tensor],
        "shape": list(listing.shape[tensor]),
        "stride": None if stride is None else list(stride),
        "offset": listing.offset[tensor],
        "storage": listing.storage(tensor),
        "nbytes": listing.nbytes[tensor],
        "requires_grad": listing.requires_grad[tensor],
    }
    extra = listing.extras.get(tensor)
    if extra is not None:
        if extra.class_name:
            entry["class"] = extra.class_name
        if extra.layout:
            entry["layout"] = extra.layout
        if extra.quantizer:
            entry["quantization"] = extra.quantizer.scheme
        if extra.problem:
            entry["problem"] = extra.problem
    live = listing.live
    if live is not None:
        entry["type"] = live.type_name[tensor]
        entry["device"] = live.device[tensor]
        entry["is_leaf"] = live.is_leaf[tensor]
        entry["persistent"] = live.persistent[tensor]
        if tensor in live.notes:
            entry["note"] = live.notes[tensor]
    return entry


def title(listing: Listing, selection: Selection) -> str:
    """One line: what it is and how big."""
    totals = listing.totals(selection.tensors if selection.narrowed else None)
    parts = [
        safe_text(listing.target),
        listing.format,
        f"{totals.tensors:,} tensor{'' if totals.tensors == 1 else 's'}",
        elements_words(totals),
        size_words(totals),
    ]
    return "  ".join(parts)


def ls_flat(listing: Listing, selection: Selection, order: str) -> Iterator[str]:
    """One line a tensor: name, dtype, shape, size; then one for each name that is declared to be another."""
    yield title(listing, selection) + "\n"
    names, ties = listing.names, selection.ties
    tensors = in_order(listing, selection.tensors, order)
    rows = [(safe_text(names[tensor]) or "(tensor)", *tensor_facts(listing, tensor)) for tensor in tensors]
    ghosts = [(listing.node_name(listing.values[index].node), index) for index in selection.ghosts()]
    widths = [
        min(max((len(row[column]) for row in rows), default=0), limit)
        for column, limit in ((0, 80), (1, 20), (2, 30))
    ]
    widths[0] = max(widths[0], min(max((len(safe_text(name)) for name, _ in ghosts), default=0), 80))

    def tensor_lines() -> Iterator[tuple[str, str]]:
        for tensor, (name, dtype, shape, size) in zip(tensors, rows, strict=True):
            line = f"{name:<{widths[0]}}  {dtype:<{widths[1]}}  {shape:<{widths[2]}}  {size:>8}"
            yield names[tensor], _marked(listing, tensor, line, ties) + "\n"

    lines = tensor_lines()
    declared = [
        (name, f"{safe_text(name):<{widths[0]}}  {value_text(listing, index)}{_ghost_mark(index, ties)}\n")
        for name, index in ghosts
    ]
    if order == "name" and declared:
        declared.sort(key=lambda entry: natural_key(entry[0]))
        yield from map(itemgetter(1), merge(lines, declared, key=lambda entry: natural_key(entry[0])))
    else:
        yield from map(itemgetter(1), lines)
        yield from map(itemgetter(1), declared)
    yield from _foot(listing, selection.groups())


def _ghost_mark(index: int, ties: Ties) -> str:
    tied = ties.of_ghost(index)
    return f"  {tied.sign}{tied.letter}" if tied is not None else ""


def _marked(listing: Listing, tensor: int, line: str, ties: Ties) -> str:
    tied = ties.of(tensor)
    if tied is not None:
        line += f"  {tied.sign}{tied.letter}"
    problem = listing.problem(tensor)
    if problem and (listing.extras[tensor].layout not in UNSTORED):
        line += f"  ? {problem}"
    live = listing.live
    if live is not None:
        if tensor in live.notes:
            line += f"  ? {safe_text(live.notes[tensor], 200)}"
        if listing.kind[tensor] == "parameter" and not listing.requires_grad[tensor]:
            line += "  frozen"
        if listing.kind[tensor] == "buffer":
            line += "  buffer" if live.persistent[tensor] else "  buffer, not saved"
    return line


def _foot(listing: Listing, groups: Sequence[Tied]) -> Iterator[str]:
    """Legend of some groups, and warnings."""
    for tied in groups[:50]:
        names = list(islice(all_names(listing, tied), 7))
        shown = ", ".join(safe_text(name) or "(tensor)" for name in names[:6])
        count = len(tied.members) + len(tied.ghosts)
        more = f" and {count - 6:,} more" if count > 6 else ""
        yield f"{tied.sign}{tied.letter} {WORDS[tied.kind]}: {shown}{more}\n"
    if len(groups) > 50:
        yield f"and {len(groups) - 50:,} more groups that share memory\n"
    for warning in all_warnings(listing):
        yield f"warning: {safe_text(warning, 500)}\n"


def ls_tree(listing: Listing, selection: Selection, order: str, depth: int | None) -> Iterator[str]:
    """The tree with totals, indented by depth."""
    yield title(listing, selection) + "\n"
    narrowed = selection.narrowed
    tree = Tree(
        listing,
        order=order,
        tensors=selection.tensors if narrowed else None,
        values=selection.values if narrowed else None,
    )
    rows, names = _shown_rows(tree, depth)
    yield from _tree_lines(tree, rows, names, selection.ties)
    yield from _foot(listing, selection.groups())


def _shown_rows(tree: Tree, depth: int | None) -> tuple[list[int], list[str]]:
    """Rows down to `depth` and their indented labels; ``-r - 1`` stands for what lies below row r."""
    limit = DEFAULT_DEPTH if depth is None else depth
    depths, ends, labels = tree.depth, tree.end, tree.label
    root_shown = len(tree) == 1 or tree.tensor[0] >= 0 or tree.value[0] >= 0
    first = 0 if root_shown else 1
    indents = ["  " * min(level, MAX_INDENT) for level in range(MAX_INDENT + 1)]
    shown = {label: safe_text(label) or "(empty)" for label in set(labels)}
    rows: list[int] = []
    names: list[str] = []
    row = first
    size = len(tree)
    if max(depths) <= min(limit, MAX_INDENT):
        # As nearly always: everything is shown, nothing lies too deep to be indented.
        rows = list(range(first, size))
        names = [
            indents[level - first] + shown[label]
            for level, label in zip(depths[first:], labels[first:], strict=True)
        ]
        row = size
    while row < size:
        level = depths[row]
        rows.append(row)
        names.append(indents[min(level - first, MAX_INDENT)] + shown[labels[row]])
        if level >= limit:
            if depth is None and ends[row] > row + 1:
                rows.append(-row - 1)
                names.append(indents[min(level - first + 1, MAX_INDENT)])
            row = ends[row]
        else:
            row += 1
    if root_shown and not labels[0]:
        if tree.tensor[0] < 0 and tree.value[0] < 0:
            return [], []
        names[0] = "(tensor)" if tree.tensor[0] >= 0 else "(object)" if len(tree) > 1 else "(value)"
    return rows, names


def _tree_lines(tree: Tree, rows: list[int], names: list[str], ties: Ties) -> Iterator[str]:
    listing = tree.listing
    tensors, values = tree.tensor, tree.value
    extras = listing.extras
    classes = listing.node_class
    # The same dtype, shape and size stand on thousands of rows: each is written once.
    keys: list[tuple[object, ...]] = list(zip(listing.dtype, listing.shape, listing.nbytes, strict=True))
    for tensor in extras:
        keys[tensor] = (tensor,)
    listed = set(keys) if len(tree) > len(keys) else {keys[at] for at in tensors if at >= 0}
    example = dict(zip(keys, range(len(keys)), strict=True))
    facts = {key: tensor_facts(listing, example[key]) for key in listed}
    width = min(max(map(len, names), default=0), MAX_NAME_COLUMN)
    dtype_width = min(max((len(fact[0]) for fact in facts.values()), default=0), 20)
    shape_width = min(max((len(fact[1]) for fact in facts.values()), default=0), 30)
    tails: dict[tuple[object, ...], str] = {
        key: f"  {fact[0]:<{dtype_width}}  {fact[1]:<{shape_width}}  {fact[2]:>8}\n"
        for key, fact in facts.items()
    }
    saved = saved_below(tree)
    marked = {*ties.members, *extras, *_remarkable(listing)}
    for row, name in zip(rows, names, strict=True):
        if row < 0:
            below = tree.end[-row - 1] + row
            yield f"{name}… {below:,} rows nested deeper; --depth N shows them\n"
            continue
        tensor = tensors[row]
        if tensor >= 0:
            line = name.ljust(width) + tails[keys[tensor]]
            yield _marked(listing, tensor, line[:-1], ties) + "\n" if tensor in marked else line
        elif values[row] >= 0:
            yield f"{name:<{width}}  {value_text(listing, values[row])}{_ghost_mark(values[row], ties)}\n"
        else:
            class_name = classes.get(tree.node[row])
            less = saved.get(row, (0, 0))
            sums = (tree.elements[row] - less[0], tree.nbytes[row] - less[1]) if tree.tensors[row] else None
            total = (class_name, sums)
            tail = tails.get(total)
            if tail is None:
                tail = tails[total] = _block_tail(class_name, sums, dtype_width, shape_width)
            yield (name.ljust(width) + tail).rstrip() + "\n"


def _remarkable(listing: Listing) -> set[int]:
    """Tensors of a live model of which something is said beside their facts."""
    live = listing.live
    if live is None:
        return set()
    found = {
        tensor
        for tensor, kind in enumerate(listing.kind)
        if kind == "buffer" or (kind == "parameter" and not listing.requires_grad[tensor])
    }
    return found | live.notes.keys()


def _block_tail(
    class_name: str | None, sums: tuple[int, int] | None, dtype_width: int, shape_width: int
) -> str:
    """A block's class, where known, and its totals: elements and bytes, shared memory once."""
    kind = safe_text(class_name.rsplit(".", 1)[-1], 40) if class_name else ""
    if sums is None:
        return f"  {kind}"
    return f"  {kind:<{dtype_width}}  {count_text(sums[0]):>{shape_width}}  {bytes_text(sums[1]):>8}"
