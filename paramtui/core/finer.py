"""Levels of numbers that lie close together: they are read once more, and told apart between their bounds.

Of wider types a level is what has the upper 16 bits in common: 1.001 and 1.004 are one. Around zero that is
fine enough for any picture; the numbers of a normalisation's weight may all lie in two or three levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from paramtui.core.levels import Levels
from paramtui.core.ranks import parts_of
from paramtui.core.sums import histogram, quantiles_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from paramtui.core.statistics import Measured

# Numbers of one sign in fewer levels are told apart as a whole, of both signs level by level.
FEW: Final = 256
FEWEST: Final = 16


def bounds_of(found: Measured) -> list[tuple[float, float]]:
    """Between which numbers `RankCounts` should count once more; empty where the levels tell enough."""
    levels = found.levels
    if found.statistics.sampled or not len(levels.count) or levels.exact:
        return []
    first, last = float(levels.low[0]), float(levels.high[-1])
    if len(levels.count) < FEW and (first > 0 or last < 0):
        return [(first, last)]
    if len(levels.count) > FEWEST:
        return []
    wide = levels.low < levels.high
    return list(zip(levels.low[wide].tolist(), levels.high[wide].tolist(), strict=True))


def finer(
    found: Measured, bounds: list[tuple[float, float]], table: npt.NDArray[np.int64], dtype: str
) -> Measured:
    """The same figures with levels, quantiles and a histogram from what was counted once more.

    Args:
        found: What `bounds_of` was asked for.
        bounds: What it said.
        table: What `RankCounts` has counted there.
        dtype: Element type, which tells what numbers there can be.
    """
    levels = found.levels
    kept = np.ones(len(levels.count), bool)
    lows: list[Any] = []
    highs: list[Any] = []
    counts: list[Any] = []
    for place, (low, high) in enumerate(bounds):
        kept &= ~((levels.low >= low) & (levels.high <= high))
        least, most, count = parts_of(low, high, table[place << 16 : (place + 1) << 16], dtype)
        lows.append(least)
        highs.append(most)
        counts.append(count)
    joined = [
        np.concatenate([column[kept], *parts])
        for column, parts in zip(levels, (lows, highs, counts), strict=True)
    ]
    order = np.argsort(joined[0], kind="stable")
    told = Levels(*(column[order] for column in joined))
    quantiles, error = quantiles_of(told)
    statistics = found.statistics._replace(
        quantiles=quantiles, quantile_error=error, histogram=histogram(told)
    )
    return found._replace(statistics=statistics, levels=told)
