"""What the distribution panel shows of a row: what is measured for it, and what was measured before."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.statistics import Measured
from paramtui.core.text import safe_text
from paramtui.tui.opened import ability
from paramtui.tui.pages import counted, row_title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paramtui.errors import ValuesError
    from paramtui.tui.opened import Opened

# Elements that are looked at before all are; tensors that have no more are measured at once.
SAMPLE: Final = 65_536
KEPT: Final = 64
WEIGHT, GRADIENT, MOMENT = "weight", "gradient", "moment"
NO_STATISTICS: Final = "This source has no statistics."
SCAN_WORDS: Final = "I looks at every tensor."


class Asked(NamedTuple):
    """Something that can be measured.

    Attributes:
        name: What it is called in the panel, safe to show.
        kind: `WEIGHT`, `GRADIENT` or `MOMENT`.
        tensor: Id of the tensor, of which it is the gradient where its kind says so.
    """

    name: str
    kind: str
    tensor: int

    @property
    def key(self) -> tuple[int, bool]:
        """What tells it from others."""
        return self.tensor, self.kind == GRADIENT


class Pass(NamedTuple):
    """One way to measure: about so many elements or 0 for all, and whether quantiles are exact."""

    sample: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """What the panel shows of a row.

    Attributes:
        row: Which.
        title: Its name.
        asked: What is to be measured; what is most important comes first.
        figures: Words and numbers that are known without measuring, and whether something is wrong with them.
        words: What stands there instead of a distribution, or below the figures.
    """

    row: int
    title: str
    asked: tuple[Asked, ...] = ()
    figures: tuple[tuple[str, float, bool], ...] = field(default=())
    words: str = ""


class DistributionMaker:
    """Measures for one target, and keeps what it measured last."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._kept: OrderedDict[tuple[int, bool], Measured] = OrderedDict()
        self._revision = 0

    def forget(self, tensors: Iterable[int]) -> None:
        """Measures some tensors anew from now on, and all gradients."""
        self._revision += 1
        changed = set(tensors)
        for key in [key for key in self._kept if key[1] or key[0] in changed]:
            del self._kept[key]

    def known(self, asked: Asked) -> Measured | None:
        """What was found before."""
        return self._kept.get(asked.key)

    def passes(self, asked: Asked, *, refine: bool) -> list[Pass]:
        """What is still to be done.

        Args:
            asked: What is measured.
            refine: Whether quantiles are wanted exactly.
        """
        found = self.known(asked)
        if found is not None and not found.statistics.sampled:
            return [Pass(0, exact=True)] if refine and found.statistics.quantile_error else []
        large = self._opened.listing.numel(asked.tensor) > SAMPLE
        first = [Pass(SAMPLE, exact=False)] if large and found is None else []
        return [*first, Pass(0, exact=refine)]

    async def measure(
        self, asked: Asked, how: Pass, progress: Callable[[int, int], None] | None = None
    ) -> Measured:
        """Measures and keeps what came of it.

        Raises:
            ParamtuiError: There are no numbers, or the process that holds them has ended.
        """
        measure, revision = ability(self._opened.source, "measure"), self._revision
        assert measure is not None  # noqa: S101  asked for only where it is
        found = await measure(
            asked.tensor,
            gradient=asked.kind == GRADIENT,
            exact=how.exact,
            sample=how.sample,
            progress=progress,
        )
        assert isinstance(found, Measured)  # noqa: S101  asked for only where it is
        if revision == self._revision:
            self._kept[asked.key] = found
            self._kept.move_to_end(asked.key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            store = getattr(self._opened, "figures", None)
            if store is not None and asked.kind != GRADIENT and not found.statistics.sampled:
                store.add(asked.tensor, found.statistics)
        return found

    def without(self, asked: Asked, error: ValuesError) -> None:
        """Notes why something has no figures."""
        store = getattr(self._opened, "figures", None)
        if store is not None and asked.kind != GRADIENT:
            store.add(asked.tensor, error)

    # What is measured

    async def subject(self, row: int) -> Subject:
        """What there is to show of a row; -1 for the file as a whole."""
        opened, row = self._opened, max(row, 0)
        tree, listing = opened.tree, opened.listing
        title = row_title(opened, row)
        if tree.is_block(row):
            return await asyncio.to_thread(self._block, row, title)
        tensor = tree.tensor[row] if tree.tensor[row] >= 0 else opened.declared(row)
        if tensor < 0:
            return Subject(row, title, words="No tensor: there are no numbers to count.")
        problem = listing.problem(tensor)
        if problem:
            return Subject(row, title, words=_sentence(problem))
        if 0 in listing.shape[tensor]:
            return Subject(row, title, words="A size is 0: there are no numbers.")
        if ability(opened.source, "measure") is None:
            return Subject(row, title, words=NO_STATISTICS)
        others = await self._others(tensor)
        name = WEIGHT if others or listing.kind[tensor] == "parameter" else "values"
        return Subject(row, title, (Asked(name, WEIGHT, tensor), *others))

    async def _others(self, tensor: int) -> list[Asked]:
        """The gradient of a tensor, or what optimizers keep for it."""
        opened = self._opened
        if opened.model is not None:
            from paramtui.tui.gradient_pages import why_none

            known = opened.gradients.figures.get(tensor)
            there = known is not None and known.norm is not None and not why_none(opened, tensor)
            return [Asked(GRADIENT, GRADIENT, tensor)] if there else []
        if "optimizer" not in opened.listing.kind or opened.listing.kind[tensor] == "optimizer":
            return []
        if opened.moments is None:
            from paramtui.core.moments import join_moments

            opened.moments = await asyncio.to_thread(join_moments, opened.listing)
        return [
            Asked(safe_text(name, 40), MOMENT, moment)
            for entry in opened.moments.of.get(tensor, ())
            for name, moment in entry.moments
            if 0 not in opened.listing.shape[moment] and not opened.listing.problem(moment)
        ]

    def _block(self, row: int, title: str) -> Subject:
        opened, store = self._opened, getattr(self._opened, "figures", None)
        tensors = opened.tree.tensors_below(row)
        if not len(tensors):
            return Subject(row, title, words="There are no tensors below.")
        if ability(opened.source, "measure") is None:
            return Subject(row, title, words=NO_STATISTICS)
        known = sum(store.of(tensor) is not None for tensor in tensors) if store is not None else 0
        if store is None or not known:
            words = f"Figures over {counted(len(tensors), 'tensor')} stand here once these were looked at."
            return Subject(row, title, words=f"{words} {SCAN_WORDS}")
        figures = []
        for name, word in _BLOCK_FIGURES:
            number = store.figure(row, name)
            if number is not None:
                figures.append((word, number, word in ("NaN", "Inf") and number > 0))
        figures.sort(key=lambda each: not each[2])
        rest = len(tensors) - known
        words = f"Over {'all ' if not rest else ''}{counted(known, 'tensor')}"
        words += f" of {len(tensors):,} that were looked at. {SCAN_WORDS}" if rest else " below."
        return Subject(row, title, figures=tuple(figures), words=words)


_BLOCK_FIGURES: Final = (
    ("nan", "NaN"),
    ("inf", "Inf"),
    ("mean", "mean"),
    ("std", "std"),
    ("abs_max", "max |x|"),
    ("l2", "L2"),
    ("zero", "zero"),
)


def _sentence(words: str) -> str:
    return safe_text(f"{words[:1].upper()}{words[1:]}{'' if words.endswith(('.', '?', '!')) else '.'}", 1000)
