"""Two blocks of a tree: their tensors in pairs, by their names below each block, and compared."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.comparing import compare
from paramtui.core.tree import MAX_NAME
from paramtui.errors import EngineError, ParamtuiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from paramtui.core.comparing import Comparison
    from paramtui.core.source import Reader
    from paramtui.core.ties import Ties
    from paramtui.core.tree import Tree

ONLY_ONE = "only in the first"
ONLY_OTHER = "only in the second"
NOT_COMPARED = "not compared"


class Pair(NamedTuple):
    """A name below both blocks, or below one of them.

    Attributes:
        name: Dotted; empty for a block that is itself a tensor.
        one, other: Ids of the tensors; -1 where the block has none of this name.
    """

    name: str
    one: int
    other: int

    @property
    def whole(self) -> bool:
        """Whether both blocks have it."""
        return self.one >= 0 and self.other >= 0


class PairOutcome(NamedTuple):
    """What came of comparing a pair.

    Attributes:
        pair: Which.
        comparison: What its tensors have in common; None where they were not compared.
        reason: Why not; empty where they were compared, and where there is only one.
    """

    pair: Pair
    comparison: Comparison | None
    reason: str = ""

    @property
    def verdict(self) -> str:
        """That of the comparison, `ONLY_ONE`, `ONLY_OTHER` or `NOT_COMPARED`."""
        if self.comparison is not None:
            return self.comparison.verdict
        if not self.pair.whole:
            return ONLY_ONE if self.pair.one >= 0 else ONLY_OTHER
        return NOT_COMPARED


def named_below(tree: Tree, block: int, ties: Ties | None = None) -> Iterator[tuple[str, int]]:
    """Names below a block and the tensors they stand for, in the tree's order.

    Args:
        tree: Holds the block.
        block: Row of it.
        ties: Says for which tensors names without numbers of their own stand; None leaves these out.
    """
    names = {block: ""}
    for row in range(block, tree.end[block]):
        name = ""
        if row != block:
            above = names[tree.parent[row]]
            # Long names in deep nests would take the square of the depth in memory.
            name = f"{above}.{tree.label[row]}" if above and len(above) < MAX_NAME else tree.label[row]
        if tree.is_block(row):
            names[row] = name
        tensor = tree.tensor[row]
        if tensor < 0 and ties is not None:
            tied = ties.of_ghost(tree.value[row])
            tensor = tied.members[0] if tied is not None else -1
        if tensor >= 0:
            yield name, tensor


def pairs(tree: Tree, one: int, other: int, ties: Ties | None = None) -> list[Pair]:
    """The tensors of two blocks by their names: those of the first in order, then those of the second alone.

    Where a name stands for several tensors of a block, the first is paired with the first, and so on.

    Args:
        tree: Holds both blocks.
        one: Row of the first block.
        other: Row of the second block.
        ties: See `named_below`.
    """

    def numbered(block: int) -> dict[tuple[str, int], int]:
        met: Counter[str] = Counter()
        found: dict[tuple[str, int], int] = {}
        for name, tensor in named_below(tree, block, ties):
            found[name, met[name]] = tensor
            met[name] += 1
        return found

    here, there = numbered(one), numbered(other)
    out = [Pair(key[0], tensor, there.get(key, -1)) for key, tensor in here.items()]
    return out + [Pair(key[0], -1, tensor) for key, tensor in there.items() if key not in here]


async def compare_pairs(
    reader: Reader, wanted: Sequence[Pair], progress: Callable[[int, int], None] | None = None
) -> AsyncGenerator[PairOutcome, None]:
    """Compares pairs one after the other; what cannot be compared is an outcome too.

    Args:
        reader: The source.
        wanted: The pairs.
        progress: Told how many elements of the pair at hand were compared, and how many it has.

    Raises:
        EngineError: The process that holds the numbers has ended.
    """
    for pair in wanted:
        if not pair.whole:
            yield PairOutcome(pair, None)
            continue
        try:
            found = await compare(reader, pair.one, pair.other, rows=1, columns=1, progress=progress)
        except EngineError:
            raise
        except ParamtuiError as error:
            yield PairOutcome(pair, None, str(error))
        except MemoryError:
            yield PairOutcome(pair, None, "there is not enough memory to read this")
        else:
            yield PairOutcome(pair, found)


def sum_up(counts: Counter[str], total: int) -> str:
    """``3 tensors: 2 equal bits, 1 different``.

    Args:
        counts: How many pairs have which verdict.
        total: How many there are.
    """
    said = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
    return f"{total:,} name{'' if total == 1 else 's'}{': ' if said else ''}{said}"
