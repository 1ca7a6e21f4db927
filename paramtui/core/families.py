"""Numbered blocks that are built alike, and what is odd among them: a gap, another dtype or shape.

``layers.41.mlp.weight`` is the tensor ``mlp.weight`` of block 41 of the family ``layers``. A name with
several numbers belongs to several families: that of the layers, and that of the experts within a layer.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from paramtui.core.listing import Listing

    # Tensors by number of their block, by the rest of their names.
    Tails = dict[str, dict[int, int]]

# Blocks that make a family, at least.
LEAST: Final = 4
# Of so many one may be odd; more of larger families.
ODD_SHARE: Final = 10
# From so many on, the blocks on both sides of a gap need not be of one kind.
MIXED: Final = 16
# Numbers of a name, and digits of a number, that are looked at.
MAX_NUMBERS: Final = 8
MAX_DIGITS: Final = 6
MAX_NAME: Final = 2000
# Bytes of names, and of what holds them, that are kept: far above what the largest models take.
MAX_KEPT: Final = 1 << 25
ENTRY: Final = 300


class Gap(NamedTuple):
    """Blocks that a family lacks.

    Attributes:
        family: Name of what the blocks lie in; empty for the root.
        missing: Their numbers, ascending.
        first, last: The least and largest number that is there.
        beside: A tensor of the block before the first gap.
    """

    family: str
    missing: tuple[int, ...]
    first: int
    last: int
    beside: int


class Odd(NamedTuple):
    """Tensors of one block that are not as those of the same names in the other blocks.

    Attributes:
        block: Name of the block.
        tensors: Their ids.
        is_, usual: What they have, and what the others have, as the text that `odd_ones` was told to write.
        blocks: Other blocks that have the usual.
        inside: Whether the block is neither the first nor the last of its family.
    """

    block: str
    tensors: tuple[int, ...]
    is_: str
    usual: str
    blocks: int
    inside: bool


class Families:
    """The families of numbered blocks of a listing, outermost first; optimizer state is left out.

    Attributes:
        tails: By name of the family: its tensors by the rest of the name and by number; empty where the names
            are too many and too long to be compared, since a part of a family would seem to have gaps.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        tails: dict[str, Tails] = {}
        kept = 0
        for tensor, name in enumerate(listing.names):
            if len(name) > MAX_NAME or listing.kind[tensor] == "optimizer":
                continue
            for family, number, tail in _places(name):
                if family not in tails:
                    tails[family] = {}
                    kept += len(family) + ENTRY
                found = tails[family]
                if tail not in found:
                    found[tail] = {}
                    kept += len(tail) + ENTRY
                found[tail].setdefault(number, tensor)
            if kept > MAX_KEPT:
                tails.clear()
                break
        large = {family: each for family, each in tails.items() if max(map(len, each.values())) >= LEAST}
        self.tails: dict[str, Tails] = dict(sorted(large.items(), key=lambda entry: entry[0].count(".")))

    def _modules(self) -> dict[str, set[int]]:
        """Numbers of the modules that a model lists, with and without parameters, by family."""
        listing = self.listing
        out: dict[str, set[int]] = {}
        for node in listing.modules:
            for family, number, tail in _places(listing.node_name(node)):
                if not tail and family in self.tails:
                    out.setdefault(family, set()).add(number)
        return out

    def gaps(self) -> Iterator[Gap]:
        """Families that lack a few numbers between others, where blocks on both sides are built alike."""
        modules = self._modules()
        for family, tails in self.tails.items():
            numbers = sorted({number for found in tails.values() for number in found})
            span = numbers[-1] - numbers[0] + 1
            # A module without parameters, as an identity in place of a layer, is there all the same.
            there = {number for number in modules.get(family, ()) if numbers[0] < number < numbers[-1]}
            lacking = span - len(there.union(numbers))
            if len(numbers) < LEAST or not 0 < lacking <= max(1, span // ODD_SHARE):
                continue
            sides = [
                (one, other)
                for one, other in pairwise(numbers)
                if not there.issuperset(range(one + 1, other))
            ]
            # torch.nn.Sequential has a gap wherever a layer has no parameters: its neighbours differ.
            if self._alike(sides, self._kinds(tails, numbers), span):
                before = sides[0][0]
                beside = next(found[before] for found in tails.values() if before in found)
                missing = tuple(
                    number for one, other in sides for number in range(one + 1, other) if number not in there
                )
                yield Gap(family, missing, numbers[0], numbers[-1], beside)

    def _kinds(self, tails: Tails, numbers: Iterable[int]) -> dict[int, Hashable]:
        """What tells blocks of different build apart: names and shapes of their tensors."""
        shapes = self.listing.shape
        entries: dict[int, list[Hashable]] = {number: [] for number in numbers}
        for tail, found in tails.items():
            for number, tensor in found.items():
                entries[number].append((tail, shapes[tensor]))
        return {number: frozenset(entry) for number, entry in entries.items()}

    @staticmethod
    def _alike(sides: Iterable[tuple[int, int]], kinds: dict[int, Hashable], span: int) -> bool:
        """Whether the blocks on both sides of each gap are of one kind, or of kinds that are often there."""
        counts = Counter(kinds.values())
        often = max(span // 8, 2) if span >= MIXED else span
        return all(
            kinds[one] == kinds[other] or min(counts[kinds[one]], counts[kinds[other]]) >= often
            for one, other in sides
        )

    def odd_ones(
        self, of: Callable[[int], Hashable], text: Callable[[int], str], *, strict: bool
    ) -> Iterator[Odd]:
        """Tensors that differ from nearly all of the same names in other blocks.

        Args:
            of: What is compared of a tensor.
            text: How it is written.
            strict: Whether the first and the last block of a small family count, too.
        """
        told: set[int] = set()
        for family, tails in self.tails.items():
            blocks: dict[tuple[int, str, str], list[int]] = {}
            others: dict[tuple[int, str, str], tuple[int, bool]] = {}
            for found in tails.values():
                if len(found) < LEAST:
                    continue
                counts = Counter(map(of, found.values()))
                if len(counts) == 1:
                    continue
                (usual, count), *_ = counts.most_common(1)
                if len(found) - count > max(1, len(found) // ODD_SHARE):
                    continue
                example = next(tensor for tensor in found.values() if of(tensor) == usual)
                ends = (min(found), max(found))
                for number, tensor in found.items():
                    # The first and the last of a few layers are made to fit what is around them.
                    if not strict and number in ends and len(found) < 2 * LEAST:
                        continue
                    if of(tensor) != usual and tensor not in told:
                        told.add(tensor)
                        key = number, text(tensor), text(example)
                        blocks.setdefault(key, []).append(tensor)
                        others.setdefault(key, (count, number not in ends))
            for (number, is_, usual_text), tensors in blocks.items():
                count, inside = others[number, is_, usual_text]
                block = f"{family}.{number}" if family else str(number)
                yield Odd(block, tuple(tensors), is_, usual_text, count, inside)


def _places(name: str) -> Iterator[tuple[str, int, str]]:
    """Family, number and rest of a name, for each number in it."""
    if name.isascii():
        parts = name.split(".")
        seen = 0
        for at, part in enumerate(parts):
            if part.isdecimal() and len(part) <= MAX_DIGITS and seen < MAX_NUMBERS:
                seen += 1
                yield ".".join(parts[:at]), int(part), ".".join(parts[at + 1 :])
