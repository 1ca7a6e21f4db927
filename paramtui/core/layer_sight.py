"""What can be seen of a block's surroundings: its own tensors, its blocks, its neighbours, their order."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from paramtui.core.ordering import natural_key
from paramtui.core.text import safe_text
from paramtui.core.tree import Tree
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from paramtui.core.geometry import Shape

STATISTICS: Final = ("running_mean", "running_var")
# Layers of GPT-2's family whose weight may be stored as [in, out]: transformers' Conv1D.
GPT2_NAMES: Final = frozenset({"c_attn", "c_proj", "c_fc", "q_attn"})

_FLOATING: Final = ("float", "bfloat", "complex")
_WORD: Final = re.compile(r"[_\W]+|(?<=[a-z])(?=[A-Z])")


def words_in(label: str) -> list[str]:
    """The words of a name in small letters, without numbers at their ends: ``mlp_norm1`` has mlp and norm."""
    return [word.lower().rstrip("0123456789") for word in _WORD.split(label) if word]


class Sight:
    """A whole file's tree, as the rules that tell layers look at it.

    Attributes:
        tree: All rows of the file.
        listing: What they stand for.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.listing = tree.listing
        self._own: dict[int, dict[str, int]] = {}
        self._neighbours: dict[int, dict[int, tuple[int, int, int]]] = {}
        self._ranks: dict[int, dict[int, set[int]]] = {}
        self._convolved: bool | None = None
        self._transposed: bool | None = None
        self._measure()

    def _measure(self) -> None:
        """Counts what is of use below each row, and finds where the file begins it."""
        tree, listing = self.tree, self.listing
        modules = listing.module_nodes
        size = len(tree)
        self._useful = [0] * size
        self._first = [node if node >= 0 else len(listing.node_parent) for node in tree.node]
        states: set[int] = set()
        groups: set[int] = set()
        for row in range(size - 1, -1, -1):
            above = tree.parent[row]
            tensor = tree.tensor[row]
            if tensor >= 0:
                self._useful[row] += listing.kind[tensor] != "optimizer"
            elif tree.node[row] in modules:
                self._useful[row] += 1
            elif row in states and row in groups:
                self._useful[row] = 0
            if above < 0:
                continue
            if tree.label[row] == "state":
                states.add(above)
            elif tree.label[row] == "param_groups":
                groups.add(above)
            self._useful[above] += self._useful[row]
            if tree.node[above] < 0:
                self._first[above] = min(self._first[above], self._first[row])

    def where(self, row: int) -> str:
        """A row's name for a message."""
        return safe_text(self.tree.name(row)) or "the whole file"

    def is_module(self, row: int) -> bool:
        """Whether a row is a pickled or live module, whose class is known."""
        return self.tree.node[row] in self.listing.module_nodes

    def useful(self, row: int) -> bool:
        """Whether there are tensors of a model, or modules, at or below a row."""
        return self._useful[row] > 0

    def own(self, row: int) -> dict[str, int]:
        """Tensors directly below a row by their last names, without those of optimizers.

        Raises:
            ValuesError: Two of them have one name.
        """
        found = self._own.get(row)
        if found is None:
            tree = self.tree
            found = {}
            for child in tree.children(row):
                tensor = tree.tensor[child]
                if tensor >= 0 and self.listing.kind[tensor] != "optimizer":
                    label = tree.label[child]
                    if label in found:
                        raise ValuesError(
                            f"holds two tensors named {safe_text(label)}", where=self.where(row)
                        )
                    found[label] = tensor
            self._own[row] = found
        return found

    def blocks(self, row: int) -> list[int]:
        """Blocks directly below a row that are or hold layers, in the order of the file.

        A file that is sorted by name has lost the order of its model: there, numbers are put in theirs.
        """
        tree = self.tree
        found = [
            child
            for child in tree.children(row)
            if tree.tensor[child] < 0 and tree.is_block(child) and self.useful(child)
        ]
        if self.is_sorted(row):
            found.sort(key=lambda child: natural_key(tree.label[child]))
        else:
            found.sort(key=self._first.__getitem__)
        return found

    def is_sorted(self, row: int) -> bool:
        """Whether what lies below a row comes from a file that sorts its tensors by name."""
        tree, listing = self.tree, self.listing
        for at in range(row, tree.end[row]):
            tensor = tree.tensor[at]
            if tensor >= 0:
                place = listing.location[tensor]
                return place >= 0 and listing.locations[place].key is None and listing.live is None
        return False

    def shapes(self, row: int) -> dict[str, Shape]:
        """Shapes of the tensors directly below a row, by their last names."""
        return {name: self.listing.shape[tensor] for name, tensor in self.own(row).items()}

    def is_floating(self, tensor: int) -> bool:
        """Whether a tensor can have a gradient."""
        return self.listing.dtype[tensor].startswith(_FLOATING)

    def name_for(self, row: int) -> str:
        """The name that tells what a row is for: of a numbered one the list around it, in singular."""
        tree = self.tree
        label = tree.label[row]
        if not label.isdigit():
            return label
        above = tree.label[tree.parent[row]] if row else ""
        return above[:-1] if above.endswith("s") and len(above) > 2 else ""

    def words_around(self, row: int, levels: int = 3) -> set[str]:
        """The words in the names of a row and of some blocks around it."""
        found: set[str] = set()
        for _ in range(levels):
            if row <= 0:
                break
            found.update(words_in(self.tree.label[row]))
            row = self.tree.parent[row]
        return found

    def neighbours(self, row: int) -> tuple[int, int, int]:
        """Rows beside a row in its block; -1 for none.

        Returns:
            The nearest one before and the nearest one after it that are no batch norms, and the very next.
        """
        above = self.tree.parent[row]
        if above < 0:
            return -1, -1, -1
        known = self._neighbours.get(above)
        if known is None:
            rows = self.blocks(above)
            norms = [all(name in self.own(other) for name in STATISTICS) for other in rows]
            known = {}
            last = -1
            before: list[int] = []
            for other, norm in zip(rows, norms, strict=True):
                before.append(last)
                last = last if norm else other
            last, following = -1, -1
            for other, norm, earlier in zip(reversed(rows), reversed(norms), reversed(before), strict=True):
                known[other] = (earlier, last, following)
                following = other
                last = last if norm else other
            self._neighbours[above] = known
        return known.get(row, (-1, -1, -1))

    def ranks_beside(self, row: int) -> dict[int, set[int]]:
        """Dimensions of pictures that the layers beside a row work on, by their numbers of channels."""
        above = self.tree.parent[row]
        known = self._ranks.get(above)
        if known is None:
            known = self._ranks[above] = {}
            for other in self.blocks(above) if above >= 0 else []:
                own = self.own(other)
                weight = self.listing.shape[own["weight"]] if "weight" in own else ()
                if 2 <= len(weight) <= 5 and set(own) <= {"weight", "bias"}:
                    for size in weight[:2]:
                        known.setdefault(size or 0, set()).add(max(len(weight) - 2, 1))
        return known

    @property
    def convolved(self) -> bool:
        """Whether the file holds convolutions other than those that cut pictures into patches."""
        if self._convolved is None:
            tree, listing = self.tree, self.listing
            self._convolved = any(
                tensor >= 0
                and tree.label[row] == "weight"
                and len(listing.shape[tensor]) >= 3
                and "patch" not in tree.name(row)
                for row, tensor in enumerate(tree.tensor)
            )
        return self._convolved

    @property
    def gpt2_transposed(self) -> bool:
        """Whether layers named as GPT-2's may have weights [in, out]: yes, unless others tell [out, in]."""
        if self._transposed is None:
            linear = False
            for row, label in enumerate(self.tree.label):
                if label in GPT2_NAMES and self.tree.is_block(row):
                    shapes = self.shapes(row)
                    weight, bias = shapes.get("weight", ()), shapes.get("bias")
                    if bias is None and len(weight) == 2:
                        linear = True  # a Conv1D always has a bias
                    elif len(weight) == 2 and weight[0] != weight[1]:
                        if bias == weight[1:]:
                            self._transposed = True
                            return True
                        linear = linear or bias == weight[:1]
            self._transposed = not linear
        return self._transposed


def whole_row(tree: Tree, whole: Tree, row: int) -> int:
    """The row of `whole` that is the same block as a row of a narrowed `tree`."""
    path = [row, *tree.ancestors(row)][:-1] if row else []
    at = 0
    for step in reversed(path):
        label, node, tensor = tree.label[step], tree.node[step], tree.tensor[step]
        at = next(
            child
            for child in whole.children(at)
            if whole.label[child] == label
            and whole.tensor[child] == tensor
            and (node < 0 or whole.node[child] in (node, -1) or tree.is_block(step))
        )
    return at


def _is_whole(tree: Tree) -> bool:
    listing = tree.listing
    if tree.tensors[0] != len(listing):
        return False
    shown = sum(1 for index in tree.value if index >= 0)
    at_tensors = {value.node for value in listing.values}.intersection(listing.node)
    return shown >= len({value.node for value in listing.values}) - len(at_tensors)


@lru_cache(maxsize=1)
def sight_of(tree: Tree) -> Sight:
    """What can be seen of the whole file that a tree, which may be narrowed, is of."""
    return Sight(tree if _is_whole(tree) else Tree(tree.listing))
