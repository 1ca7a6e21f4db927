"""A source for tests of figures: a real file, counted by brute force, whose answers can be made to wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from paramtui.core.levels import Levels
from paramtui.core.statistics import QUANTILES, Measured, Statistics
from tests.tui.screens import open_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.core.listing import Listing
    from paramtui.core.source import Reader, Watch, Window


def measured(values: Any, *, sampled: int = 0, error: float = 0.0) -> Measured:
    """Figures of numbers by NumPy; quantiles are said to be off by `error`."""
    numbers = np.asarray(values, np.float64).reshape(-1)
    looked = numbers[:sampled] if sampled else numbers
    finite = looked[np.isfinite(looked)]
    some = len(finite) > 0
    found, count = np.unique(finite, return_counts=True)
    statistics = Statistics(
        numel=len(numbers),
        nan=int(np.isnan(looked).sum()),
        posinf=int((looked == np.inf).sum()),
        neginf=int((looked == -np.inf).sum()),
        zero=int((looked == 0).sum()),
        subnormal=int(((finite != 0) & (np.abs(finite) < 2.0**-126)).sum()),
        min=float(finite.min()) if some else None,
        max=float(finite.max()) if some else None,
        mean=float(finite.mean()) if some else None,
        std=float(finite.std(ddof=1)) if len(finite) > 1 else None,
        l1=float(np.abs(finite).sum()) if some else None,
        l2=float(np.sqrt((finite**2).sum())) if some else None,
        abs_max=float(np.abs(finite).max()) if some else None,
        quantiles=tuple(np.quantile(finite, QUANTILES).tolist()) if some else None,
        quantile_error=error,
        histogram=None,
        sampled=sampled,
    )
    return Measured(statistics, Levels(found, found, count.astype(np.int64)))


class CountedSource:
    """Reads a file, and counts its tensors by brute force.

    Attributes:
        asked: Tensor, whether of the gradient, sample and exactness of each question, in order.
        gate: Where there is one, exact answers wait until it is set.
        ended: Tensors whose measuring was cancelled.
        errors: What is raised for a tensor instead of an answer.
        error: How far quantiles are off where they are not asked for exactly.
        told: Bytes done and in all, which are told before waiting.
    """

    def __init__(self, base: Reader) -> None:
        self.base = base
        self.asked: list[tuple[int, bool, int, bool]] = []
        self.gate: asyncio.Event | None = None
        self.ended: list[int] = []
        self.errors: dict[int, Exception] = {}
        self.error = 0.0
        self.told: tuple[int, int] | None = None

    @property
    def listing(self) -> Listing:
        return self.base.listing

    async def window(self, tensor: int, picks: tuple[range, ...]) -> Window:
        return await self.base.window(tensor, picks)

    async def measure(
        self,
        tensor: int,
        *,
        gradient: bool = False,
        exact: bool = False,
        sample: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Measured:
        self.asked.append((tensor, gradient, sample, exact))
        if tensor in self.errors:
            raise self.errors[tensor]
        if not sample and self.gate is not None:
            if progress is not None and self.told is not None:
                progress(*self.told)
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.ended.append(tensor)
                raise
        window = await self.base.window(
            tensor, tuple(range(size or 0) for size in self.listing.shape[tensor])
        )
        return measured(window.values, sampled=sample, error=0.0 if exact else self.error)


class Counting:
    """Opens files as sources that count; the last one is kept.

    Args:
        change: Is called with each source before it is shown.
    """

    def __init__(self, change: Callable[[CountedSource], None] = lambda source: None) -> None:
        self._change = change
        self.sources: list[CountedSource] = []

    @property
    def source(self) -> CountedSource:
        return self.sources[-1]

    async def __call__(self, target: str, watch: Watch) -> Any:
        source = CountedSource(await open_file(target, watch))
        self._change(source)
        self.sources.append(source)
        return source
