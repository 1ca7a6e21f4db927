"""Which tensors are left out of what goes through many: a small file can claim more than it holds."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from paramtui.core.countable import MIN_ROWS, RAGGED, ROW, is_plain, refusal
from paramtui.core.dtypes import DTYPES, ITEMSIZE, PACKED
from paramtui.core.raw_cells import fills_its_span, overlaps_itself
from paramtui.core.scan_work import places_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.geometry import Geometry
    from paramtui.core.listing import Listing

# How often all bytes of a location may be gone through.
TIMES: Final = 64
# Bytes beyond that which all locations have together, besides as many as they hold.
POOL: Final = 1 << 28
# An element that is fetched by itself takes as long as so many bytes that lie in order.
SCATTERED: Final = 16
# How often the components of a ragged tensor may go through what is stored of it.
OVERLAP: Final = TIMES // SCATTERED
# What a location takes of a file besides its bytes.
RECORD: Final = 1 << 10
# To take up a tensor, or a part of one, costs as so many bytes: never too much for a location of its own.
PART: Final = TIMES * RECORD


def beyond(listing: Listing, tensors: Iterable[int]) -> dict[int, int]:
    """The tensors that are not to be gone through, because together they claim far more than is stored.

    What lies in a location of its own is never among them, nor what a location is listed for a few times.

    Args:
        listing: What has them.
        tensors: Ids of what would be gone through, of exact aliases one.

    Returns:
        By id how many times what their location holds is claimed of it.
    """
    parts: dict[int, list[Geometry]] = {}
    claimed: dict[int, int] = {}
    several: set[int] = set()

    def claim(location: int, nbytes: int) -> None:
        if location in claimed:
            several.add(location)
        claimed[location] = claimed.get(location, 0) + nbytes

    for tensor in tensors:
        if refusal(listing, tensor) or not listing.numel(tensor):
            continue
        parts[tensor] = places_of(listing, tensor) if tensor in listing.extras else []
        if tensor not in listing.extras:
            claim(listing.location[tensor], listing.nbytes[tensor])
        for place in parts[tensor]:
            claim(place.location, _nbytes(place))
    locations = listing.locations
    # One location is all of a file where there are no storages: as many tensors lie in it as there are.
    close = {
        at
        for at, nbytes in claimed.items()
        if nbytes * SCATTERED > TIMES * locations[at].nbytes
        or (at in several and locations[at].key is not None)
    }
    if not close:
        return {}
    free = {at: TIMES * (locations[at].nbytes + RECORD) for at in close}
    total = sum(location.nbytes for location in locations)
    pool, rows = POOL + total, MIN_ROWS + total // ROW
    out: dict[int, int] = {}
    for tensor, places in parts.items():
        if not places and listing.location[tensor] not in close:
            continue
        costs = {at: cost for at, cost in _costs(listing, tensor, places).items() if at in close}
        lacking = {at: cost - free[at] for at, cost in costs.items() if cost > free[at]}
        components = _components(listing, tensor)
        if components > rows:
            out[tensor] = 0
            continue
        if sum(lacking.values()) > pool:
            out[tensor] = max(claimed[at] // max(locations[at].nbytes, 1) for at in lacking)
            continue
        rows -= components
        pool -= sum(lacking.values())
        for at, cost in costs.items():
            free[at] = max(free[at] - cost, 0)
    return out


def words(times: int, what: str) -> str:
    """Why such a tensor is not ``counted``, or not ``compared``."""
    if times < 2:
        return f"is not {what}: too many tensors lie in the same bytes"
    return f"is not {what}: the tensors claim {times:,} times what the file holds"


def _costs(listing: Listing, tensor: int, parts: list[Geometry]) -> dict[int, int]:
    """By location how many bytes in order take as long as a tensor."""
    plain = is_plain(listing, tensor)
    extra = listing.extras.get(tensor)
    times = OVERLAP if extra is not None and extra.layout in RAGGED else 1
    out: dict[int, int] = {}
    for place in parts or [listing.geometry(tensor)]:
        count = prod(place.shape)
        ordered = plain and place.dtype not in PACKED and fills_its_span(place) and not overlaps_itself(place)
        cost = PART + count * (ITEMSIZE[place.dtype] if ordered else SCATTERED * times)
        out[place.location] = out.get(place.location, 0) + cost
    return out


def _components(listing: Listing, tensor: int) -> int:
    """How many components a ragged tensor has."""
    extra = listing.extras.get(tensor)
    return (listing.shape[tensor][0] or 0) if extra is not None and extra.layout in RAGGED else 0


def _nbytes(place: Geometry) -> int:
    return prod(place.shape) * DTYPES[place.dtype].bits // 8
