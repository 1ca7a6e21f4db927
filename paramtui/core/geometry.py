"""Where the elements of a tensor lie, and what unusual tensors have besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes by dimension; None for the ragged dimension of a nested tensor."""

# Layouts of what has no numbers of its own: they lie in the tensors below it, or do not exist yet.
UNCOUNTED = ("wrapper", "uninitialized")
# Those, and what never had numbers: that they cannot be read is nothing wrong.
UNSTORED = ("meta", *UNCOUNTED)
# More dimensions no tensor has; PyTorch counts elements in integers of 64 bits with a sign.
MAX_DIMS = 128
MAX_SIZE = (1 << 63) - 1
# Stored elements of a sparse tensor that are held at once.
MAX_STORED = 50_000_000


class Geometry(NamedTuple):
    """Where the elements of a strided tensor lie.

    Attributes:
        location: Index of the run of bytes that holds them, see `Listing.locations`; -1 for none.
        begin: Byte in that run where element [0, ..., 0] starts.
        dtype: Element type.
        shape: Sizes.
        stride: Steps between neighbours, in elements.
    """

    location: int
    begin: int
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Quantizer(NamedTuple):
    """How stored integers stand for numbers: ``(stored - zero_point) * scale``.

    `axis` is None for one scale and zero point; otherwise they are given along that dimension,
    as numbers or as 1-d tensors of the file.
    """

    scheme: str
    scales: Geometry | tuple[float, ...]
    zero_points: Geometry | tuple[float, ...]
    axis: int | None


class Extra:
    """What only unusual tensors have.

    Attributes:
        class_name: The tensor's Python class, where it is not ``torch.Tensor``.
        layout: ``sparse_coo``, ``sparse_csr``, ..., ``nested``, ``jagged``, ``meta`` or
            ``wrapper`` (a subclass whose numbers lie in the tensors listed below it).
        parts: Components of a layout that is not strided, by their PyTorch names.
        options: Plain facts about the layout, such as the ragged dimension.
        quantizer: Of a quantised tensor.
        conj: Elements are to be conjugated (a lazy conjugate view).
        neg: Elements are to be negated (a lazy negative view).
        problem: Why the values cannot be read, in words for a person.
    """

    # No dataclass: importing dataclasses takes 7 ms of every start.
    __slots__ = ("class_name", "conj", "layout", "neg", "options", "parts", "problem", "quantizer")

    def __init__(self, problem: str | None = None) -> None:
        self.class_name: str | None = None
        self.layout: str | None = None
        self.parts: dict[str, Geometry] = {}
        self.options: dict[str, int] = {}
        self.quantizer: Quantizer | None = None
        self.conj = False
        self.neg = False
        self.problem = problem


def contiguous_stride(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a row-major tensor of `shape`, as PyTorch gives them (sizes 0 count as 1)."""
    stride: list[int] = []
    step = 1
    for size in reversed(shape):
        stride.append(step)
        step *= size or 1
    stride.reverse()
    return tuple(stride)


def row_major(geometry: Geometry) -> bool:
    """Whether the elements of a tensor lie in row-major order without gaps."""
    if 0 in geometry.shape:
        return True
    steps = zip(geometry.shape, geometry.stride, contiguous_stride(geometry.shape), strict=True)
    return all(size == 1 or step == plain for size, step, plain in steps)
