"""Builds the rows of a tree: blocks from containers and from dots in names, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.geometry import UNCOUNTED
from paramtui.core.listing import ITEM, ROOT
from paramtui.core.text import key_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from paramtui.core.listing import Listing

# Parts of a name with more are no blocks: each would have a name as long as all before it.
MAX_PARTS: Final = 64
# A longer label is put in no order of numbers.
MAX_NUMBERED: Final = 1000


class Builder:
    """Rows in the order in which they are met, with the children of each."""

    def __init__(
        self, listing: Listing, tensors: Collection[int] | None, values: Collection[int] | None
    ) -> None:
        self.listing = listing
        self.label: list[str] = [""]
        self.parent: list[int] = [-1]
        self.tensor: list[int] = [-1]
        self.value: list[int] = [-1]
        self.node: list[int] = [ROOT]
        self._blocks: dict[tuple[int, str], int] = {}
        self._fill(tensors, values)
        self._blocks.clear()
        # The only child, or the first; and all children of those that have several.
        self.first = [-1] * len(self.parent)
        self.kids: dict[int, list[int]] = {}
        first, kids = self.first, self.kids
        for row, above in enumerate(self.parent):
            if above in kids:
                kids[above].append(row)
            elif above >= 0 and first[above] >= 0:
                kids[above] = [first[above], row]
            elif above >= 0:
                first[above] = row
        self._sum()

    def _row(self, parent: int, label: str, node: int = -1) -> int:
        row = len(self.label)
        self.label.append(label)
        self.parent.append(parent)
        self.tensor.append(-1)
        self.value.append(-1)
        self.node.append(node)
        return row

    def _block(self, parent: int, label: str) -> int:
        row = self._blocks.get((parent, label))
        if row is None:
            row = self._blocks[parent, label] = self._row(parent, label)
        return row

    def _fill(self, tensors: Collection[int] | None, values: Collection[int] | None) -> None:
        listing = self.listing
        parents = listing.node_parent
        count = len(parents)
        tensor_at = [-1] * count
        for tensor in range(len(listing)) if tensors is None else tensors:
            tensor_at[listing.node[tensor]] = tensor
        value_at = [-1] * count
        for index in range(len(listing.values)) if values is None else values:
            value_at[listing.values[index].node] = index
        narrowed = tensors is not None or values is not None
        shown = self._shown_nodes(tensor_at, value_at) if narrowed else b"\1" * count
        has_children = bytearray(count)
        for above in set(parents[1:]):
            has_children[above] = 1
        row_of: dict[int, int] = {ROOT: 0}
        prefixes: dict[tuple[int, str], int] = {}
        add_to, add_label, add_parent = self.label, self.label.append, self.parent.append
        add_tensor, add_value, add_node = self.tensor.append, self.value.append, self.node.append
        last_above, last_head, last_at = -1, "", 0
        columns = zip(
            parents,
            listing.node_key,
            listing.node_step,
            tensor_at,
            value_at,
            has_children,
            shown,
            strict=True,
        )
        next(columns)
        for node, (parent, key, step, tensor, value, is_parent, is_shown) in enumerate(columns, start=1):
            if not is_shown:
                continue
            above = row_of[parent]
            if type(key) is str:
                label = key
                if step == ITEM and "." in key and key[-1] != ".":
                    head, _, tail = key.rpartition(".")
                    # Neighbours mostly stand in the same block.
                    if head == last_head and above == last_above:
                        at = last_at
                    else:
                        at = prefixes.get((above, head), -2)
                        if at == -2:
                            at = self._prefix(prefixes, above, head)
                        last_above, last_head, last_at = above, head, at
                    if at >= 0:
                        above, label = at, tail
            else:
                label = key_text(key)
            if tensor < 0 and value < 0:
                row = self._block(above, label)
                if self.node[row] < 0:
                    self.node[row] = node
            else:
                row = len(add_to)
                add_label(label)
                add_parent(above)
                add_tensor(tensor)
                add_value(value if tensor < 0 else -1)
                add_node(node)
            if is_parent:
                row_of[node] = row
        # The root itself can be a tensor, a value or an object.
        self.tensor[0] = tensor_at[ROOT]
        self.value[0] = value_at[ROOT]

    def _prefix(self, prefixes: dict[tuple[int, str], int], above: int, head: str) -> int:
        """The block that ``head`` names below a row; -1 if its dots separate nothing, or too much."""
        if head.count(".") >= MAX_PARTS or "" in head.split("."):
            prefixes[above, head] = -1
            return -1
        outer, _, label = head.rpartition(".")
        at = above
        if outer:
            # Mostly all but the last part was met before. Those further out are found by their rows: in deep
            # nests their names would fill the memory.
            found = prefixes.get((above, outer))
            if found is None:
                found = above
                for part in outer.split("."):
                    found = self._block(found, part)
                prefixes[above, outer] = found
            at = found
        prefixes[above, head] = at = self._block(at, label)
        return at

    def _shown_nodes(self, tensor_at: list[int], value_at: list[int]) -> bytearray:
        """Marks nodes at or above a chosen tensor or value."""
        parents = self.listing.node_parent
        shown = bytearray(len(parents))
        for node, (tensor, value) in enumerate(zip(tensor_at, value_at, strict=True)):
            at = node if tensor >= 0 or value >= 0 else -1
            while at >= 0 and not shown[at]:
                shown[at] = 1
                at = parents[at]
        return shown

    def _sum(self) -> None:
        listing = self.listing
        extras = listing.extras
        size = len(self.label)
        self.count = [0] * size
        self.elements = [0] * size
        self.nbytes = [0] * size
        numel: dict[tuple[int | None, ...], int] = {}
        for row in range(size - 1, -1, -1):
            tensor = self.tensor[row]
            if tensor >= 0:
                self.count[row] += 1
                extra = extras.get(tensor) if extras else None
                if extra is None:
                    shape = listing.shape[tensor]
                    known = numel.get(shape)
                    if known is None:
                        known = numel[shape] = listing.numel(tensor)
                    self.elements[row] += known
                    self.nbytes[row] += listing.nbytes[tensor]
                elif extra.layout not in UNCOUNTED:
                    self.elements[row] += listing.numel(tensor)
                    self.nbytes[row] += listing.nbytes[tensor]
            above = self.parent[row]
            if above >= 0:
                self.count[above] += self.count[row]
                self.elements[above] += self.elements[row]
                self.nbytes[above] += self.nbytes[row]

    def sort(self, order: str) -> None:
        """Puts the children of each block in order."""
        if order == "stored":
            split: dict[str, tuple[str, tuple[tuple[int, str], ...]]] = {}
            labels = self.label
            plain = {label for label in set(labels) if not any("0" <= char <= "9" for char in label)}
            for row, kids in self.kids.items():
                if not plain.issuperset([labels[kid] for kid in kids]):
                    self.kids[row] = self._numbered(kids, split)
            return
        key = self._key(order)
        for kids in self.kids.values():
            kids.sort(key=key)

    def _key(self, order: str) -> Callable[[int], _Comparable]:
        if order == "name":
            from paramtui.core.ordering import natural_key

            return lambda row: _Comparable((False, natural_key(self.label[row])))
        if order == "size":
            return lambda row: _Comparable((False, -self.nbytes[row]))
        column: Sequence[object] = self.listing.dtype if order == "dtype" else self.listing.shape

        def by_column(row: int) -> tuple[bool, object]:
            tensor = self.tensor[row]
            if tensor < 0:
                return True, ""
            entry = column[tensor]
            return False, tuple(size or 0 for size in entry) if isinstance(entry, tuple) else entry

        return lambda row: _Comparable(by_column(row))

    def _numbered(
        self, kids: list[int], split: dict[str, tuple[str, tuple[tuple[int, str], ...]]]
    ) -> list[int]:
        """Children in their own order, those that differ in numbers only in the order of these."""
        families: dict[str, list[int]] = {}
        for place, row in enumerate(kids):
            label = self.label[row]
            known = split.get(label)
            if known is None:
                known = split[label] = _split_numbers(label)
            if known[1]:
                families.setdefault(known[0], []).append(place)
        out = kids
        for places in families.values():
            if len(places) > 1:
                rows = sorted([kids[place] for place in places], key=lambda row: split[self.label[row]][1])
                if out is kids:
                    out = list(kids)
                for place, row in zip(places, rows, strict=True):
                    out[place] = row
        return out

    def preorder(self) -> list[int]:
        """All rows, each block before what it holds."""
        out: list[int] = []
        stack = [0]
        first, kids = self.first, self.kids
        while stack:
            row = stack.pop()
            out.append(row)
            if row in kids:
                stack.extend(reversed(kids[row]))
            elif first[row] >= 0:
                stack.append(first[row])
        return out


class _Comparable:
    """Puts entries with and without a value in one order: those without come last."""

    __slots__ = ("entry",)

    def __init__(self, entry: tuple[bool, object]) -> None:
        self.entry = entry

    def __lt__(self, other: _Comparable) -> bool:
        if self.entry[0] or other.entry[0]:
            return self.entry[0] < other.entry[0]
        return self.entry[1] < other.entry[1]  # type: ignore[operator,no-any-return]


def _split_numbers(label: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """What a label looks like without its numbers, and the numbers (length first, then digits)."""
    if len(label) > MAX_NUMBERED:
        return label, ()
    pattern: list[str] = []
    numbers: list[tuple[int, str]] = []
    at = 0
    size = len(label)
    while at < size:
        start = at
        while at < size and "0" <= label[at] <= "9":
            at += 1
        if at > start:
            digits = label[start:at].lstrip("0")
            numbers.append((len(digits), digits))
            pattern.append("\0")
        else:
            while at < size and not "0" <= label[at] <= "9":
                at += 1
            pattern.append(label[start:at])
    return "".join(pattern), tuple(numbers)
