"""Histograms in one line of text."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
LETTERS: Final = " .:-=+*%#"


def rebinned(counts: Sequence[int], bins: int) -> list[int]:
    """Counts in fewer bins, each the sum of neighbours; as they are where there are not more."""
    if len(counts) <= bins:
        return list(counts)
    edges = [place * len(counts) // bins for place in range(bins + 1)]
    return [sum(counts[first:last]) for first, last in pairwise(edges)]


def bars(counts: Sequence[int], width: int, *, plain: bool) -> str:
    """A histogram in one line: the highest bar is full, and what is not zero is seen.

    Args:
        counts: By bin.
        width: Most cells.
        plain: Whether there is only ASCII.
    """
    letters = LETTERS if plain else BLOCKS
    found = rebinned(counts, width)
    most = max(found, default=0)
    steps = len(letters) - 1
    return "".join(letters[max(1, round(count / most * steps))] if count else letters[0] for count in found)
