"""Finding what shares memory among 92,000 tensors: seconds, for every way in which they can share."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from paramtui.core.listing import ITEM, ROOT, Listing, Location
from paramtui.core.sharing import find_sharing
from paramtui.core.ties import Ties

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 92_000
LIMIT = 0.3
ROUNDS = 5

Shape = tuple[int, ...]
# Storage, first element, shape and strides of the n-th tensor.
Layout = tuple[int, int, Shape, Shape]
SQUARE: Shape = (64, 64)
ROWS: Shape = (64, 1)


def _fused(number: int) -> Layout:
    storage, part = divmod(number, 4)
    if not part:
        return storage, 0, (192, 64), ROWS
    return storage, (part - 1) * 4096, SQUARE, ROWS


LAYOUTS: dict[str, Callable[[int], Layout]] = {
    "each alone": lambda number: (number, 0, SQUARE, ROWS),
    "tied in pairs": lambda number: (number // 2, 0, SQUARE, ROWS),
    "all the same": lambda _: (0, 0, SQUARE, ROWS),
    "one after the other in one storage": lambda number: (0, number * 4096, SQUARE, ROWS),
    "fused with its three parts": _fused,
    "64 columns of a matrix": lambda number: (number // 64, number % 64, (64,), (64,)),
}


def listing_of(layout: Callable[[int], Layout]) -> Listing:
    """A listing of `COUNT` tensors of float32."""
    listing = Listing("benchmark", "torch-zip")
    sizes: dict[int, int] = {}
    for number in range(COUNT):
        storage, begin, shape, stride = layout(number)
        elements = 1
        for size in shape:
            elements *= size
        last = begin + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        sizes[storage] = max(sizes.get(storage, 0), 4 * (last + 1))
        node = listing.add_node(ROOT, f"layers.{number}.weight", ITEM)
        listing.add_tensor(
            node, "tensor", storage, 4 * begin, "float32", shape, stride, begin, 4 * elements, False
        )
    listing.locations = [Location(str(storage), size) for storage, size in sorted(sizes.items())]
    return listing


def main() -> None:
    """Prints a line for each way."""
    for name, layout in LAYOUTS.items():
        listing = listing_of(layout)
        seconds = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            find_sharing(listing)
            Ties(listing)
            seconds.append(time.perf_counter() - begin)
        middle = statistics.median(seconds)
        kept = "kept" if middle <= LIMIT else "BROKEN"
        print(f"{COUNT:,} tensors grouped, {name}: {middle:.3f} s  (limit {LIMIT}) {kept}", flush=True)


if __name__ == "__main__":
    main()
