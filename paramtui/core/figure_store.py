"""What is known of the numbers of all tensors of a tree, and sums of it over blocks."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import pairwise
from math import isclose, isfinite, isnan
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.gradients import NO_GRADIENTS, Gradients
from paramtui.core.ties import geometries, order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from paramtui.core.statistics import Statistics
    from paramtui.core.tree import Tree
    from paramtui.errors import ValuesError

FIGURES: Final = ("std", "abs_max", "mean", "l2", "nan", "inf", "zero", "gradient", "size")
# Columns of what sums are made of, by row: numbers, finite ones, NaN, infinite and zero ones, mean and sum of
# squared differences from it, largest magnitude, Euclidean norm, standard deviation.
_NUMEL, _FINITE, _NAN, _INF, _ZERO, _MEAN, _SPREAD, _MAX, _NORM, _STD = range(10)
# In which column a figure of one row stands, and how many numbers it takes: finite ones for those of these.
_OF_ROWS: Final = {
    "std": (_STD, 2),
    "abs_max": (_MAX, 1),
    "mean": (_MEAN, 1),
    "l2": (_NORM, 1),
    "nan": (_NAN, 1),
    "inf": (_INF, 1),
    "zero": (_ZERO, 1),
}
_OF_FINITE: Final = frozenset({"std", "abs_max", "mean", "l2"})
# Rows that are summed at once, where spans overlap each other.
PIECE: Final = 1_000_000


def _parts(found: Statistics) -> tuple[float, ...]:
    """What sums are made of, in the order of their columns."""
    std = found.std or 0.0
    return (
        found.numel,
        found.finite,
        found.nan,
        found.inf,
        found.zero,
        found.mean or 0.0,
        std * std * max(found.finite - 1, 0),
        found.abs_max or 0.0,
        found.l2 or 0.0,
        std,
    )


def _same(one: Statistics, other: Statistics) -> bool:
    """Whether figures are equal but for the last digits, which depend on how the numbers were divided up."""
    parts = list(zip(_parts(one), _parts(other), strict=True))
    return all(a == b for a, b in parts[:_MEAN]) and all(
        isclose(a, b, rel_tol=1e-9) for a, b in parts[_MEAN:]
    )


class FigureStore:
    """Figures of tensors, exact ones alone. What is one memory is known by all its names, and counted once.

    A block has the figures that its known tensors have together.

    Attributes:
        revision: Grows with each change of any figure.
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
        self._table: npt.NDArray[Any] | None = None
        self._before_rows: npt.NDArray[Any] | None = None
        self._sums: dict[tuple[int, int], tuple[int, dict[str, float | None]]] = {}
        self._norms: tuple[Gradients, dict[tuple[int, int], float | None]] = NO_GRADIENTS, {}
        self._sizes: dict[tuple[int, int], float | None] = {}

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
        self._names = names
        return names

    def names(self, tensor: int) -> tuple[int, ...]:
        """All tensors that are the same elements as one, itself included."""
        return self._aliases().get(tensor, (tensor,))

    # What is known

    @property
    def missing(self) -> int:
        """How many tensors were not looked at, by all their names."""
        return self._tree.tensors[0] - len(self._found) - len(self._why)

    def of(self, tensor: int) -> Statistics | None:
        """Figures of a tensor; None where they are not known."""
        return self._found.get(tensor)

    def why_none(self, tensor: int) -> str:
        """Why a tensor has none; empty where it was not looked at yet."""
        return self._why.get(tensor, "")

    def add(self, tensor: int, found: Statistics | ValuesError) -> None:
        """Takes figures of all elements of a tensor, or why there are none."""
        before = self._found.get(tensor)
        if before == found:
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
        if before is None or isinstance(found, Exception) or not _same(before, found):
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
            self._table = np.zeros((10, len(self._tree)))
        self._table[:, row] = _parts(found)
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
        found = self._found.get(self._tree.tensor[row])
        if self._tree.tensor[row] < 0 or name in ("gradient", "size"):
            return self.span(row, self._tree.end[row], name)
        if found is None:
            return None
        if name == "zero":
            return found.zero / found.numel if found.numel else None
        value = getattr(found, name)
        return None if value is None else float(value)

    def span(self, first: int, last: int, name: str) -> float | None:
        """A figure over the rows from `first` to the one before `last`, as `figure` gives it of a block."""
        if name == "gradient":
            return self._gradient(first, last)
        if name == "size":
            return self._size(first, last)
        known = self._sums.get((first, last))
        if known is None or known[0] != self.revision:
            found: dict[str, float | None] = dict.fromkeys(FIGURES)
            if self._table is not None:
                import numpy as np

                for key, column in self._summed(np.array([first]), np.array([last])).items():
                    found[key] = None if isnan(column[0]) else float(column[0])
            known = self._sums[first, last] = self.revision, found
        return known[1][name]

    def spans(self, firsts: Sequence[int], lasts: Sequence[int], name: str) -> list[float | None]:
        """A figure over each of many spans of rows, at once: 10 ms for 100,000 of one row.

        Args:
            firsts: Their first rows.
            lasts: The rows after their last ones; each span has a row at least.
            name: One of `FIGURES`.
        """
        if name in ("gradient", "size") or len(firsts) == 1:
            return [self.span(first, last, name) for first, last in zip(firsts, lasts, strict=True)]
        out: list[float | None] = []
        for column in self._columns(firsts, lasts, name):
            out += [None if isnan(number) else number for number in column.tolist()]
        return out or [None] * len(firsts)

    def largest(self, firsts: Sequence[int], lasts: Sequence[int], name: str) -> float:
        """The largest finite magnitude of a figure among spans of rows; 0 where none is known."""
        if name in ("gradient", "size"):
            found = (abs(value) for value in self.spans(firsts, lasts, name) if value is not None)
            return max((value for value in found if isfinite(value)), default=0.0)
        import numpy as np

        largest = 0.0
        for column in self._columns(firsts, lasts, name):
            finite = np.abs(column[np.isfinite(column)])
            largest = max(largest, float(finite.max(initial=0.0)))
        return largest

    def _columns(self, firsts: Sequence[int], lasts: Sequence[int], name: str) -> Iterator[npt.NDArray[Any]]:
        """A figure of spans, NaN where there is none, in pieces; nothing where no figures are known."""
        import numpy as np

        if self._table is None or not firsts:
            return
        begins, ends = np.array(firsts, np.int64), np.array(lasts, np.int64)
        rows = np.cumsum(ends - begins)
        if rows[-1] == len(rows):
            yield self._of_rows(begins, name)
            return
        at = 0
        while at < len(rows):
            before = rows[at - 1] if at else 0
            end = max(int(np.searchsorted(rows, before + PIECE, "right")), at + 1)
            yield self._summed(begins[at:end], ends[at:end])[name]
            at = end

    def _of_rows(self, rows: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        """A figure of single rows, NaN where there is none: nothing is to be summed."""
        import numpy as np

        if self._table is None:
            raise KeyError("no figures are known")
        column, least = _OF_ROWS[name]
        found = self._table[column, rows]
        if name == "zero":
            found /= np.maximum(self._table[_NUMEL, rows], 1)
        there = self._table[_FINITE if name in _OF_FINITE else _NUMEL, rows] >= least
        return np.where(there, found, np.nan)

    def _gradient(self, first: int, last: int) -> float | None:
        gradients = self._gradients()
        if self._norms[0] is not gradients:
            self._norms = gradients, {}
        known = self._norms[1]
        if (first, last) not in known:
            tensors = [tensor for tensor in self._tree.tensor[first:last] if tensor >= 0]
            known[first, last] = gradients.block_norm(tensors)
        return known[first, last]

    def _size(self, first: int, last: int) -> float | None:
        tree = self._tree
        if (first, last) not in self._sizes:
            self._aliases()
            sizes, total = tree.listing.nbytes, None
            for row in range(first, last):
                # Names that repeat one before them within the span are the same bytes.
                if tree.tensor[row] >= 0 and self._before.get(row, -1) < first:
                    total = (total or 0) + sizes[tree.tensor[row]]
            self._sizes[first, last] = None if total is None else float(total)
        return self._sizes[first, last]

    def _again(self) -> npt.NDArray[Any] | None:
        """For each row the one before it that is the same memory, or -1; None where no memory repeats."""
        import numpy as np

        self._aliases()
        if self._before and self._before_rows is None:
            self._before_rows = np.full(len(self._tree), -1)
            self._before_rows[list(self._before)] = list(self._before.values())
        return self._before_rows

    def _summed(self, firsts: npt.NDArray[Any], lasts: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Figures of numbers over spans of rows, NaN where there is none: one pass over all their rows."""
        import numpy as np

        if self._table is None:
            raise KeyError("no figures are known")
        lengths = lasts - firsts
        starts = np.cumsum(lengths) - lengths
        # One span is a slice: nothing is copied of a large block.
        rows: Any = slice(firsts[0], lasts[0])
        if len(firsts) > 1:
            rows = np.arange(int(lengths.sum())) + np.repeat(firsts - starts, lengths)
        part = self._table[:, rows]
        before = self._again()
        if before is not None:
            again = before[rows] >= np.repeat(firsts, lengths)
            if again.any():
                part = np.where(again, 0.0, part)

        def added(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.add.reduceat(column, starts)

        def each(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.repeat(column, lengths)

        counts = part[_FINITE]
        numel, count = added(part[_NUMEL]), added(counts)
        with np.errstate(all="ignore"):
            # Shares first: sums of large numbers may not be numbers.
            mean = added(counts / each(np.maximum(count, 1)) * part[_MEAN])
            apart = part[_MEAN] - each(mean)
            spread = added(part[_SPREAD] + np.where(counts > 0, counts * apart * apart, 0.0))
            std = np.sqrt(spread / np.where(count > 1, count - 1, np.nan))
            norm = np.maximum.reduceat(part[_NORM], starts)
            squares = added(np.square(part[_NORM] / each(np.where(norm > 0, norm, 1.0))))
            found = {
                "nan": added(part[_NAN]),
                "inf": added(part[_INF]),
                "zero": added(part[_ZERO]) / numel,
                "abs_max": np.maximum.reduceat(part[_MAX], starts),
                "mean": mean,
                "l2": np.where(np.isinf(norm), norm, norm * np.sqrt(squares)),
                # What is known of one tensor is not worked out again from its square.
                "std": np.where((lengths == 1) & (count > 1), part[_STD][starts], std),
            }
        return {
            name: np.where((count if name in _OF_FINITE else numel) > 0, column, np.nan)
            for name, column in found.items()
        }
