"""Figures of tensors before and after an edit that is not made yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paramtui.core.source import Preview
from paramtui.core.summary import histogram, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from paramtui.core.source import Window
    from paramtui.core.summary import Summary

    Pieces = Callable[[int], Iterable[npt.NDArray[Any]]]

# Tensors whose figures are worked out: more than a person reads.
MAX_TENSORS: Final = 50
BINS: Final = 24


class Figures:
    """Works out a preview in two steps: what is there before, and what is there after.

    Args:
        tensors: Ids of those that change.
    """

    def __init__(self, tensors: Sequence[int]) -> None:
        self._tensors = tensors[:MAX_TENSORS]
        self._summaries: dict[bool, dict[int, Summary]] = {}
        self._histograms: dict[bool, dict[int, tuple[int, ...]]] = {}

    def look(self, pieces: Pieces, *, after: bool) -> None:
        """Sums up the numbers as they are now."""
        self._summaries[after] = {tensor: summarise(pieces(tensor)) for tensor in self._tensors}

    def count(self, pieces: Pieces, *, after: bool) -> None:
        """Counts the numbers as they are now in bins over the range before and after; both were looked at."""
        counted: dict[int, tuple[int, ...]] = {}
        for tensor in self._tensors:
            bounds = self._bounds(tensor)
            if bounds is not None:
                counted[tensor] = histogram(pieces(tensor), *bounds, BINS)
        self._histograms[after] = counted

    def _bounds(self, tensor: int) -> tuple[float, float] | None:
        both = [self._summaries[after][tensor] for after in (False, True)]
        lows = [each.min for each in both if each.min is not None]
        highs = [each.max for each in both if each.max is not None]
        return (min(lows), max(highs)) if lows and highs else None

    def preview(self, before: Window | None, after: Window | None) -> Preview:
        """All that was worked out, with some cells."""
        was, now = self._summaries[False], self._summaries[True]
        counted: tuple[Mapping[int, tuple[int, ...]], ...] = (self._histograms[False], self._histograms[True])
        return Preview(
            {tensor: (was[tensor], now[tensor]) for tensor in self._tensors},
            {tensor: (counted[0][tensor], counted[1][tensor]) for tensor in counted[0]},
            before,
            after,
        )
