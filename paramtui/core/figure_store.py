"""What is known of the numbers of all tensors of a tree, and sums of it over blocks."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import pairwise
from math import inf, sqrt
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.gradients import NO_GRADIENTS, Gradients
from paramtui.core.ties import geometries, order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from paramtui.core.statistics import Statistics
    from paramtui.core.tree import Tree
    from paramtui.errors import ValuesError

FIGURES: Final = ("std", "abs_max", "mean", "l2", "nan", "inf", "zero", "gradient", "size")
# Columns of what sums are made of, by row: numbers, finite ones, NaN, infinite and zero ones, mean and sum of
# squared differences from it, largest magnitude, Euclidean norm.
_NUMEL, _FINITE, _NAN, _INF, _ZERO, _MEAN, _SPREAD, _MAX, _NORM = range(9)


class FigureStore:
    """Figures of tensors, exact ones alone. What is one memory is known by all its names, and counted once.

    A block has the figures that its known tensors have together.

    Attributes:
        revision: Grows with each change.
        bad_rows: Rows of tensors that are known to have NaN or infinite numbers, ascending.
    """

    def __init__(self, tree: Tree, gradients: Callable[[], Gradients] = lambda: NO_GRADIENTS) -> None:
        self.revision = 0
        self.bad_rows: list[int] = []
        self._tree = tree
        self._gradients = gradients
        self._found: dict[int, Statistics] = {}
        self._why: dict[int, str] = {}
        self._names: dict[int, tuple[int, ...]] | None = None
        # Rows before which each repeated name has appeared last.
        self._before: dict[int, int] = {}
        self._repeats: list[int] = []
        self._table: npt.NDArray[Any] | None = None
        self._sums: dict[int, tuple[int, dict[str, float | None]]] = {}
        self._norms: tuple[Gradients, dict[int, float | None]] = NO_GRADIENTS, {}
        self._sizes: dict[int, float | None] = {}

    # Names of one memory

    def _aliases(self) -> dict[int, tuple[int, ...]]:
        """All names of each tensor that has several, itself included, in the order of rows."""
        if self._names is not None:
            return self._names
        names: dict[int, tuple[int, ...]] = {}
        listing, row_of = self._tree.listing, self._tree.row_of
        for group in listing.sharing.groups:
            same: dict[object, list[int]] = {}
            for tensor in group.members:
                places = [(at.location, at.begin, order(at)) for at in geometries(listing, tensor)]
                extra = listing.extras.get(tensor)
                kind = (
                    None
                    if extra is None
                    else (extra.layout, extra.conj, extra.neg, repr(extra.options), repr(extra.quantizer))
                )
                same.setdefault((*places, kind), []).append(tensor)
            for members in same.values():
                if len(members) > 1:
                    rows = sorted((row, tensor) for tensor in members if (row := row_of(tensor)) is not None)
                    together = tuple(members)
                    names |= dict.fromkeys(members, together)
                    for (before, _), (row, _) in pairwise(rows):
                        self._before[row] = before
        self._repeats = sorted(self._before)
        self._names = names
        return names

    def names(self, tensor: int) -> tuple[int, ...]:
        """All tensors that are the same elements as one, itself included."""
        return self._aliases().get(tensor, (tensor,))

    # What is known

    def of(self, tensor: int) -> Statistics | None:
        """Figures of a tensor; None where they are not known."""
        return self._found.get(tensor)

    def why_none(self, tensor: int) -> str:
        """Why a tensor has none; empty where it was not looked at yet."""
        return self._why.get(tensor, "")

    def add(self, tensor: int, found: Statistics | ValuesError) -> None:
        """Takes figures of all elements of a tensor, or why there are none."""
        if self._found.get(tensor) == found:
            return  # told by another name already
        for name in self.names(tensor):
            if isinstance(found, Exception):
                self._drop(name)
                self._why[name] = str(found) or "its numbers cannot be read"
                continue
            self._why.pop(name, None)
            self._found[name] = found
            row = self._tree.row_of(name)
            if row is not None:
                self._fill(row, found)
        self.revision += 1

    def forget(self, tensors: Iterable[int]) -> None:
        """Knows nothing of some tensors any more."""
        for tensor in tensors:
            for name in self.names(tensor):
                self._drop(name)
                self._why.pop(name, None)
        self.revision += 1

    def unknown(self) -> list[int]:
        """Tensors of the tree that were not looked at, each memory once, in the order of rows."""
        out: list[int] = []
        self._aliases()
        for row, tensor in enumerate(self._tree.tensor):
            if tensor < 0 or row in self._before or tensor in self._found or tensor in self._why:
                continue
            out.append(tensor)
        return out

    def known_rows(self) -> list[int]:
        """Rows of the tensors whose figures are known, each memory once, ascending."""
        self._aliases()
        return [
            row
            for row, tensor in enumerate(self._tree.tensor)
            if tensor in self._found and row not in self._before
        ]

    def unreadable(self) -> int:
        """How many tensors have no figures, each memory once."""
        return sum(self.names(tensor)[0] == tensor for tensor in self._why)

    def _drop(self, tensor: int) -> None:
        row = self._tree.row_of(tensor)
        if self._found.pop(tensor, None) is None or row is None:
            return
        if self._table is not None:
            self._table[:, row] = 0.0
        self._mark(row, bad=False)

    def _fill(self, row: int, found: Statistics) -> None:
        """Notes what sums are made of."""
        import numpy as np  # not before there is something to sum

        if self._table is None:
            self._table = np.zeros((9, len(self._tree)))
        spread = 0.0 if found.std is None else found.std * found.std * max(found.finite - 1, 0)
        self._table[:, row] = (
            found.numel,
            found.finite,
            found.nan,
            found.inf,
            found.zero,
            found.mean or 0.0,
            spread,
            found.abs_max or 0.0,
            found.l2 or 0.0,
        )
        self._mark(row, bad=bool(found.nan or found.inf))

    def _mark(self, row: int, *, bad: bool) -> None:
        at = bisect_left(self.bad_rows, row)
        there = at < len(self.bad_rows) and self.bad_rows[at] == row
        if bad and not there:
            insort(self.bad_rows, row)
        elif there and not bad:
            del self.bad_rows[at]

    # Figures of rows

    def figure(self, row: int, name: str) -> float | None:
        """A figure of a tensor's row, or over what lies below a block.

        Args:
            row: Of the tree.
            name: One of `FIGURES`. ``zero`` is a share from 0 to 1, ``gradient`` a norm, ``size`` in bytes.

        Returns:
            None where nothing is known.
        """
        tensor = self._tree.tensor[row]
        if name == "gradient":
            return self._gradient(row)
        if name == "size":
            return self._size(row)
        if tensor < 0:
            return self._block(row)[name] if self._tree.tensors[row] else None
        found = self._found.get(tensor)
        if found is None:
            return None
        if name == "zero":
            return found.zero / found.numel if found.numel else None
        value = getattr(found, name)
        return None if value is None else float(value)

    def _gradient(self, row: int) -> float | None:
        gradients = self._gradients()
        if self._norms[0] is not gradients:
            self._norms = gradients, {}
        known = self._norms[1]
        if row not in known:
            known[row] = gradients.block_norm(self._tree.tensors_below(row))
        return known[row]

    def _repeated(self, row: int) -> list[int]:
        """Rows at and below a block of which an earlier name lies there too."""
        self._aliases()
        first, last = bisect_left(self._repeats, row), bisect_left(self._repeats, self._tree.end[row])
        return [at for at in self._repeats[first:last] if self._before[at] >= row]

    def _size(self, row: int) -> float | None:
        tree = self._tree
        if not tree.tensors[row]:
            return None
        if row not in self._sizes:
            sizes = tree.listing.nbytes
            again = sum(sizes[tree.tensor[at]] for at in self._repeated(row))
            self._sizes[row] = float(tree.nbytes[row] - again)
        return self._sizes[row]

    def _block(self, row: int) -> dict[str, float | None]:
        known = self._sums.get(row)
        if known is None or known[0] != self.revision:
            known = self._sums[row] = self.revision, self._summed(row)
        return known[1]

    def _summed(self, row: int) -> dict[str, float | None]:
        """Figures over a block: one pass over its rows."""
        out: dict[str, float | None] = dict.fromkeys(FIGURES)
        if self._table is None:
            return out
        import numpy as np

        part = self._table[:, row : self._tree.end[row]]
        repeated = self._repeated(row)
        if repeated:
            part = part.copy()
            part[:, np.array(repeated) - row] = 0.0
        numel = float(part[_NUMEL].sum())
        if not numel:
            return out
        for name, column in (("nan", _NAN), ("inf", _INF)):
            out[name] = float(part[column].sum())
        out["zero"] = float(part[_ZERO].sum()) / numel
        counts = part[_FINITE]
        count = float(counts.sum())
        if not count:
            return out
        with np.errstate(over="ignore", invalid="ignore"):
            largest = float(part[_MAX].max())
            # Shares first: sums of large numbers may not be numbers.
            mean = float((counts / count * part[_MEAN]).sum())
            apart = (part[_MEAN] - mean)[counts > 0]
            spread = float(part[_SPREAD].sum() + (counts[counts > 0] * apart * apart).sum())
            norm = float(part[_NORM].max())
            squares = float(np.square(part[_NORM] / norm).sum()) if norm and norm != inf else 1.0
        out |= {"abs_max": largest, "mean": mean, "l2": norm * sqrt(squares)}
        if count > 1:
            out["std"] = sqrt(spread / (count - 1))
        return out
