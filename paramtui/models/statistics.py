"""Figures of live tensors, counted piece by piece on the devices where they lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch

from paramtui.core.countable import SMALL, alike
from paramtui.core.dtypes import DTYPES
from paramtui.core.finer import bounds_of, finer
from paramtui.core.ranks import RankCounts, RankSearch
from paramtui.core.sums import Sums, exact_quantiles, smallest_normal, unit_of
from paramtui.core.tally import INFINITE, NEGATIVE, TABLE, Tally
from paramtui.errors import ValuesError
from paramtui.models.held_numbers import held_numbers, once, piece_size, pieces, sampled
from paramtui.models.pace import Pace
from paramtui.models.tensor_cells import numbers, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import numpy.typing as npt

    from paramtui.core.statistics import Measured, Statistics
    from paramtui.models.module_listing import ModuleListing
    from paramtui.models.pace import Gate

_INTEGERS: Final = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_TOP: Final = 1 << 63


def measure(
    tensor: torch.Tensor, *, exact: bool = False, sample: int = 0, pace: Pace | None = None
) -> Measured:
    """The figures of a tensor; see `Measurable.measure`.

    Args:
        tensor: Any that a module can hold.
        exact: Whether quantiles of wide types are wanted exactly: they are then read again.
        sample: Look at about so many elements of a strided tensor only; 0 for all.
        pace: What the reading keeps to.

    Raises:
        ValuesError: It has no numbers, or they cannot be read; the message says why.
        RunStoppedError: It was stopped.
    """
    with readable():
        return _Measuring(tensor, sample, pace or Pace()).measured(exact=exact)


def scan(
    listed: ModuleListing,
    tensors: Iterable[int],
    found: Callable[[int, Statistics | ValuesError], None],
    *,
    exact: bool,
    pace: Pace,
    gate_of: Callable[[int], Gate],
) -> None:
    """The figures of many tensors; see `Measurable.scan`.

    Args:
        listed: The model.
        tensors: Ids.
        found: Called with an id and its figures, or why there are none.
        exact: Whether quantiles are wanted exactly.
        pace: What the reading keeps to.
        gate_of: What is held while a tensor is read.

    Raises:
        RunStoppedError: It was stopped.
    """
    together = alike(listed.listing, tensors)
    sizes = [listed.listing.nbytes[same[0]] for same in together]
    pace.total = sum(sizes)
    done = 0
    for same, nbytes in zip(together, sizes, strict=True):
        result: Statistics | ValuesError
        pace.gate = gate_of(same[0])
        try:
            result = measure(listed.tensors[same[0]], exact=exact, pace=pace).statistics
        except ValuesError as error:
            result = error
        done += nbytes
        pace.moved(done)
        for tensor in same:
            found(tensor, result)


class _Measuring:
    """One tensor that is being measured."""

    def __init__(self, tensor: torch.Tensor, sample: int, pace: Pace) -> None:
        self._pace = pace
        with pace.piece():
            held = self._held = held_numbers(tensor)
        self._sample = sample if SMALL < held.elements > sample > 0 and len(held.parts) == 1 else 0
        small = (self._sample or held.elements) <= SMALL
        self._tally = Tally(held.dtype, small=small)
        self._kept = small and not self._tally.patterns
        # What is expanded has each of its numbers many times: they are counted once.
        self._parts = [(part, 1) if small or self._sample else once(part) for part in held.parts]
        if not pace.total:
            pace.total = held.nbytes

    def measured(self, *, exact: bool) -> Measured:
        for piece, times in self._pieces():
            self._count(piece, times)
        self._add_zeros(self._held.zeros)
        per = 2 if self._held.dtype == "float4_e2m1fn_x2" else 1
        numel = self._held.elements * per if self._sample else 0
        found = self._tally.measured(numel=numel)
        bounds = bounds_of(found)
        if bounds:
            found = finer(found, bounds, self._counted(bounds), self._held.dtype)
        if exact and found.statistics.quantile_error:
            search = RankSearch(found.levels, self._held.dtype)
            while between := search.bounds:
                search.take(self._counted(between))
            quantiles = exact_quantiles(found.levels.total, search.order)
            return found._replace(
                statistics=found.statistics._replace(quantiles=quantiles, quantile_error=0.0)
            )
        return found

    def _pieces(self) -> Iterator[tuple[torch.Tensor, int]]:
        """Flat pieces with how often they count; each is worked on while nothing changes."""
        for part, times in self._parts:
            size = part.element_size()
            flat = part.view(_INTEGERS[size]) if self._tally.patterns else part
            cut: Iterable[torch.Tensor]
            cut = sampled(flat, self._sample) if self._sample else pieces(flat, piece_size(flat))
            for piece in cut:
                with self._pace.piece(piece.numel() * times * size):
                    yield piece.reshape(-1).resolve_conj().resolve_neg(), times

    def _count(self, piece: torch.Tensor, times: int) -> None:
        if self._tally.patterns:
            wide = piece.int() & 0xFFFF if piece.dtype == torch.int16 else piece
            bins = 1 << (8 * piece.element_size())
            self._tally.merge(_numpy(torch.bincount(wide, minlength=bins)) * times, Sums(), 0)
        elif self._kept:
            self._tally.add(numbers(piece))
        else:
            table, sums, size = count_piece(piece, self._held.dtype)
            self._tally.merge(table * times, _repeated(sums, times), size)

    def _add_zeros(self, count: int) -> None:
        if count and self._tally.patterns:
            import numpy as np

            table = np.zeros(1 << (8 * DTYPES[self._held.dtype].itemsize), np.int64)
            table[0] = count
            self._tally.merge(table, Sums(), 0)
        else:
            self._tally.add_zeros(count)

    def _counted(self, bounds: list[tuple[float, float]]) -> npt.NDArray[np.int64]:
        """Reads the tensor once more, and counts what lies between bounds; see `RankCounts`."""
        counts = RankCounts(bounds)
        table = counts.table * 0
        for piece, times in self._pieces():
            counts.table[:] = 0
            counts.add(_numpy(_within(piece, bounds)))
            table += counts.table * times
        if self._held.zeros:
            counts.table[:] = 0
            counts.add_zeros(self._held.zeros)
            table += counts.table
        return table


def _within(piece: torch.Tensor, bounds: list[tuple[float, float]]) -> torch.Tensor:
    """The numbers of a piece that lie between some bounds, in float64."""
    real = _real(piece)[0]
    kept = torch.zeros(real.shape, dtype=torch.bool, device=real.device)
    for low, high in bounds:
        kept |= (real >= low) & (real <= high)
    return real[kept].double()


def _repeated(sums: Sums, times: int) -> Sums:
    if times == 1:
        return sums
    names = ("numel", "nan", "posinf", "neginf", "zero", "subnormal", "count", "squares", "l1")
    return replace(sums, **{name: getattr(sums, name) * times for name in names})


def _numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = tensor.cpu().numpy()
    return found


def _real(piece: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Floats, in the order of the numbers and as magnitudes of complex ones; how many of these are NaN."""
    if piece.is_complex():
        # A copy: the values of a compressed sparse tensor cannot be seen as real ones.
        real, imaginary = torch.view_as_real(piece.clone()).double().unbind(-1)
        nan = real.isnan() | imaginary.isnan()
        return torch.hypot(real, imaginary)[~nan], int(nan.sum())
    if piece.dtype in (torch.float32, torch.float64):
        return piece, 0
    return piece.double(), 0


def count_piece(piece: torch.Tensor, dtype: str) -> tuple[npt.NDArray[np.int64], Sums, int]:
    """Counts of a flat piece of a wide type.

    Args:
        piece: float32, float64, whole numbers of 32 or 64 bits, or complex ones, on any device.
        dtype: Element type of the tensor, which tells what is subnormal.

    Returns:
        Counts by the upper 16 bits without zeros, sums, and bytes of the floats, as `Tally.merge` has them.
    """
    if piece.device.type == "mps":
        piece = piece.cpu()  # it has no float64
    sums = Sums(numel=piece.numel())
    real, sums.nan = _real(piece)
    size = real.element_size()
    bits = real.view(_INTEGERS[size])
    upper = (bits >> (8 * size - 16)) & 0xFFFF
    table = _numpy(torch.bincount(upper, minlength=TABLE)).copy()
    first = INFINITE[size]
    odd = bool(table[first:NEGATIVE].any() or table[first | NEGATIVE :].any())
    least = _pattern(smallest_normal(dtype), size)
    past = (least >> (8 * size - 16)) + 1
    if table[:past].any() or table[NEGATIVE : NEGATIVE | past].any():
        # As whole numbers: whoever flushes subnormal numbers takes them for zeros.
        magnitude = bits & ((1 << (8 * size - 1)) - 1)
        negative = int((bits == -(1 << (8 * size - 1))).sum())
        sums.zero = int((magnitude == 0).sum())
        sums.subnormal = max(int((magnitude < least).sum()) - sums.zero, 0)
        table[0] -= sums.zero - negative
        table[NEGATIVE] -= negative
    if odd:
        sums.nan += int(real.isnan().sum())
        sums.posinf, sums.neginf = (int((real == end).sum()) for end in (torch.inf, -torch.inf))
        real = real[real.isfinite()]
    if real.numel():
        _add_sums(sums, real, piece)
    return table, sums, size


def _pattern(number: float, size: int) -> int:
    import numpy as np

    return int(np.array(number, f"f{size}").view(f"u{size}"))


def _add_sums(sums: Sums, finite: torch.Tensor, piece: torch.Tensor) -> None:
    """Sums finite numbers up, in float64."""
    sums.count = finite.numel()
    if piece.dtype == torch.uint64:
        # Their order is that of int64 where the highest bit is the other way round.
        turned = torch.aminmax(piece.view(torch.int64) ^ -_TOP)
        sums.minimum, sums.maximum = (int(bound) + _TOP for bound in turned)
    else:
        bounds = finite if piece.is_complex() else piece
        bounds = bounds.long() if piece.dtype == torch.uint32 else bounds
        bounds = finite if finite.numel() != piece.numel() else bounds
        sums.minimum, sums.maximum = (bound.item() for bound in torch.aminmax(bounds))
    wide = finite.double()
    sums.unit = unit_of(max(abs(sums.minimum), abs(sums.maximum)))
    if sums.unit:
        wide = wide * 2.0**-sums.unit
    total = wide.sum()
    deviations = wide - total / sums.count
    found = torch.stack([total, torch.dot(deviations, deviations), wide.abs().sum()])
    total_found, sums.squares, sums.l1 = found.tolist()
    sums.mean = total_found / sums.count
