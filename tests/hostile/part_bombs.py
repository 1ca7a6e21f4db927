"""Archives of tensors whose parts lie: tables that claim the same bytes, or places that are none."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tests.hostile.opcodes import (
    FALSE,
    NONE,
    PROTO,
    STOP,
    archive,
    call,
    dict_of,
    integer,
    name,
    storage,
    tensor,
    text,
    tuple_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UTILS = "torch._utils"
KINDS = {"q": "LongStorage", "f": "FloatStorage", "b": "QInt8Storage", "d": "DoubleStorage"}


class _Parts:
    """Storages of one archive, and tensors over them."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    def part(self, kind: str, numbers: list[int], sizes: list[int], strides: list[int]) -> bytes:
        """A strided tensor over a storage of its own."""
        return tensor(_of(sizes), _of(strides), held=self.held(kind, numbers))

    def held(self, kind: str, numbers: list[int]) -> bytes:
        """A storage."""
        key = str(len(self.records) + 1)
        self.records[f"data/{key}"] = struct.pack(f"<{len(numbers)}{kind}", *numbers)
        return storage(key, KINDS[kind], integer(len(numbers)))

    def around(self, odd: bytes) -> bytes:
        """The archive of a tensor that was made from them."""
        return archive(PROTO + dict_of(text("w"), odd) + STOP, deflated=False, **self.records)


def _of(numbers: list[int]) -> bytes:
    return tuple_of(*map(integer, numbers))


def _sparse(layout: str, sizes: list[int], *parts: tuple[str, list[int], list[int], list[int]]) -> bytes:
    made = _Parts()
    data = tuple_of(*(made.part(*each) for each in parts), _of(sizes))
    return made.around(call(UTILS, "_rebuild_sparse_tensor", name("torch", layout), data))


def _nested(buffer: list[int], rows: int, size: list[int], stride: list[int]) -> bytes:
    made = _Parts()
    columns = len(size)
    table = [rows, columns], [columns, 1]
    return made.around(
        call(
            UTILS,
            "_rebuild_nested_tensor",
            made.part("f", buffer, [len(buffer)], [1]),
            made.part("q", size * rows, *table),
            made.part("q", stride * rows, *table),
            made.part("q", [0] * rows, [rows], [1]),
        )
    )


def _jagged(count: int, rows: int, table: int, length: int) -> bytes:
    """Rows that each are `length` of `count` numbers; tables of as many entries, or of one for all."""
    made = _Parts()
    step = [int(table > 1)]
    pairs = {
        "values": made.part("f", [1] * count, [count], [1]),
        "offsets": made.part("q", [0] * (table + step[0]), [rows + 1], step),
        "lengths": made.part("q", [length] * table, [rows], step),
    }
    found = dict_of(*(each for key, part in pairs.items() for each in (text(key), part)))
    return made.around(call("torch.nested._internal.nested_tensor", "_rebuild_njt", found))


def _quantised(count: int) -> bytes:
    made = _Parts()
    scales = made.part("d", [1], [count], [0]), made.part("q", [0], [count], [0])
    scheme = tuple_of(name("torch", "per_channel_affine"), *scales, integer(0))
    held, sizes, strides = made.held("b", [1] * 4), _of([count, 1]), _of([0, 1])
    return made.around(call(UTILS, "_rebuild_qtensor", held, integer(0), sizes, strides, scheme, FALSE, NONE))


MILLIONS = 16_000_000
WRAPS = [0, 2**62, -(2**63), -(2**62), 0, 1]

PARTS: dict[str, Callable[[], bytes]] = {
    "rows whose differences wrap around": lambda: _sparse(
        "sparse_csr", [5, 4], ("q", WRAPS, [6], [1]), ("q", [0], [1], [1]), ("f", [1], [1], [1])
    ),
    "columns whose differences wrap around": lambda: _sparse(
        "sparse_csc", [4, 5], ("q", WRAPS, [6], [1]), ("q", [0], [1], [1]), ("f", [1], [1], [1])
    ),
    "coordinates of 16 million by strides of 0": lambda: _sparse(
        "sparse_coo", [10], ("q", [0], [1, MILLIONS], [0, 0]), ("f", [1], [MILLIONS], [0])
    ),
    "coordinates of a million by strides of 0": lambda: _sparse(
        "sparse_coo", [2_000_000], ("q", [0], [1, 1 << 20], [0, 0]), ("f", [1], [1 << 20], [0])
    ),
    "sparse sizes beyond 64 bits": lambda: _sparse(
        "sparse_coo", [1 << 32, 1 << 33], ("q", [0] * 4, [2, 2], [2, 1]), ("f", [1, 2], [2], [1])
    ),
    "values of more numbers than the sizes": lambda: _sparse(
        "sparse_csr",
        [2, 4],
        ("q", [0, 1, 2], [3], [1]),
        ("q", [0, 1], [2], [1]),
        ("f", [1] * 6, [2, 3], [3, 1]),
    ),
    "a block of 16 million by strides of 0": lambda: _sparse(
        "sparse_bsr",
        [4000, 4000],
        ("q", [0, 1], [2], [1]),
        ("q", [0], [1], [1]),
        ("f", [1], [1, 4000, 4000], [0, 0, 0]),
    ),
    "a batch of 500,000 by strides of 0": lambda: _sparse(
        "sparse_csr",
        [500_000, 1, 1],
        ("q", [0, 1], [500_000, 2], [0, 1]),
        ("q", [0], [500_000, 1], [0, 1]),
        ("f", [1], [500_000, 1], [0, 1]),
    ),
    "scales of 16 million by a stride of 0": lambda: _quantised(MILLIONS),
    "a component of 16 million by a stride of 0": lambda: _nested([1], 1, [MILLIONS], [0]),
    "2,000 components of 16 million": lambda: _nested([1], 2000, [MILLIONS], [0]),
    "20,000 components that overlap": lambda: _nested([1] * 60_000, 20_000, [3, 4], [7, 1]),
    "30,000 rows that are all values": lambda: _jagged(100_000, 30_000, 30_000, 100_000),
    "60,000 rows of one number": lambda: _jagged(1000, 60_000, 60_000, 1),
    "2^45 rows by a stride of 0": lambda: _jagged(4, 1 << 45, 1, 1),
    "60,000 rows by a stride of 0": lambda: _jagged(30_000, 60_000, 1, 2),
}  # fmt: skip
