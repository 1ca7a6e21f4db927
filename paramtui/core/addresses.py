"""Sets of bytes that strided tensors touch: their size, and whether two of them meet.

Deciding whether two strided sets intersect is a bounded linear Diophantine problem; the search
below prunes by range and by greatest common divisor, as the one in NumPy's ``mem_overlap.c``
(`numpy.shares_memory`) does.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A search this long has met a stride pattern made to be hard; it then answers "they may meet".
MAX_STEPS = 100_000


class StridedSet(NamedTuple):
    """Bytes ``begin + sum(i_k * stride_k) + [0, run)`` for all ``0 <= i_k < size_k``.

    Attributes:
        run: Length of each contiguous piece, in bytes; 0 for the empty set.
        dims: (stride, size) in bytes, strides ascending and each larger than `run`.
        span: Bytes from the first to the one after the last.
        nbytes: Number of distinct bytes, or None where only counting them one by one could tell.
    """

    run: int
    dims: tuple[tuple[int, int], ...]
    span: int
    nbytes: int | None


EMPTY = StridedSet(0, (), 0, 0)


def strided_set(shape: Sequence[int], stride: Sequence[int], itemsize: int) -> StridedSet:
    """The bytes of a strided tensor, relative to its first element.

    Args:
        shape: Sizes.
        stride: Steps in elements, not negative.
        itemsize: Bytes of one element.
    """
    if 0 in shape:
        return EMPTY
    pairs = sorted(
        (step * itemsize, size) for size, step in zip(shape, stride, strict=True) if size > 1 and step
    )
    run = itemsize
    dims: list[tuple[int, int]] = []
    for step, size in pairs:
        if not dims and step <= run:
            run += step * (size - 1)  # the pieces touch or overlap: one longer piece
        elif dims and dims[-1][0] == step:
            dims[-1] = (step, dims[-1][1] + size - 1)
        else:
            dims.append((step, size))
    span = run
    count: int | None = run
    for step, size in dims:
        if step < span:
            count = None  # pieces of different indices may coincide
        elif count is not None:
            count *= size
        span += step * (size - 1)
    return StridedSet(run, tuple(dims), span, count)


def meet(begin_a: int, a: StridedSet, begin_b: int, b: StridedSet) -> tuple[bool, int]:
    """Whether two sets have a byte in common (or, for patterns made to be hard, may have).

    Returns:
        The answer, and the steps that it took.
    """
    if not a.run or not b.run or begin_a + a.span <= begin_b or begin_b + b.span <= begin_a:
        return False, 1
    if not a.dims and not b.dims:
        return True, 1
    # begin_a + sum(i s) + u == begin_b + sum(j t) + v. Counting j and v from their other end makes
    # all coefficients positive: sum(i s) + sum(j' t) + w == target.
    slack = a.run + b.run - 2
    target = begin_b - begin_a + (b.span - b.run) + b.run - 1
    terms = sorted([*a.dims, *b.dims], reverse=True)
    reach = [slack]
    divisor = [1 if slack else 0]
    for step, size in reversed(terms):
        reach.append(reach[-1] + step * (size - 1))
        divisor.append(gcd(divisor[-1], step))
    reach.reverse()
    divisor.reverse()
    stack = [(0, target)]
    steps = 0
    while stack:
        depth, rest = stack.pop()
        steps += 1
        if steps > MAX_STEPS:
            return True, steps
        if rest < 0 or rest > reach[depth] or (rest % divisor[depth] if divisor[depth] else rest):
            continue
        if depth == len(terms):
            return True, steps
        step, size = terms[depth]
        low = max(0, -((reach[depth + 1] - rest) // step))
        high = min(size - 1, rest // step)
        if high - low > MAX_STEPS:
            return True, steps
        stack.extend((depth + 1, rest - index * step) for index in range(low, high + 1))
    return False, steps


def pieces(begin: int, bytes_set: StridedSet) -> Iterator[tuple[int, int]]:
    """The contiguous pieces of a set as (first byte, byte after the last), in no order."""
    starts = [begin] if bytes_set.run else []
    for step, size in bytes_set.dims:
        starts = [start + step * index for index in range(size) for start in starts]
    for start in starts:
        yield start, start + bytes_set.run


def piece_count(bytes_set: StridedSet) -> int:
    """How many pieces `pieces` would give."""
    count = 1 if bytes_set.run else 0
    for _, size in bytes_set.dims:
        count *= size
    return count


def union_size(intervals: list[tuple[int, int]]) -> int:
    """Number of distinct bytes in a list of half-open intervals."""
    total = 0
    reached = -1
    for first, last in sorted(intervals):
        if last > reached:
            total += last - max(first, reached)
            reached = last
    return total
