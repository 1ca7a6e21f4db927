"""What is asked of a process that counts: tensors, and where their bytes lie, as plain data.

A work is told as JSON with the descriptors of the files beside it, so that a process reads the very files
that were opened, whatever lies at their paths now.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.dtypes import DTYPES, ITEMSIZE
from paramtui.core.geometry import Extra, Geometry, Quantizer
from paramtui.core.listing import ITEM, ROOT, Listing
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COUNT: Final = "count"
RANKS: Final = "ranks"
OVERVIEW: Final = "overview"


class Segment(NamedTuple):
    """Bytes of a run that lie one after the other in a file.

    Attributes:
        begin, end: First byte in the run, and the one after the last.
        file: Which of the files that go with the work.
        position: Where the first byte lies in it.
    """

    begin: int
    end: int
    file: int
    position: int


class SegmentRuns:
    """Runs of bytes that lie in pieces in open files.

    Args:
        runs: By location: their length, whether they are big-endian, and their segments in order.
        fill: Reads as many bytes as a buffer has from a file into it: file, position, buffer.
    """

    def __init__(
        self,
        runs: dict[int, tuple[int, bool, Sequence[Segment]]],
        fill: Callable[[int, int, memoryview], None],
    ) -> None:
        self._runs = runs
        self._begins = {location: [each.begin for each in run[2]] for location, run in runs.items()}
        self._fill = fill

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes from byte `begin` of a run."""
        buffer = bytearray(nbytes)
        self.read_into(location, begin, buffer)
        return bytes(buffer)

    def read_into(self, location: int, begin: int, buffer: bytearray | memoryview) -> None:
        """As `read`, as many bytes as the buffer has, into it."""
        length, _, segments = self._runs[location]
        view = memoryview(buffer)
        end = begin + len(view)
        if begin < 0 or end > length:
            raise ValuesError(f"bytes {begin:,} to {end:,} lie outside the {length:,} bytes stored")
        at, place = begin, bisect_right(self._begins[location], begin) - 1
        while at < end:
            if not 0 <= place < len(segments) or not segments[place].begin <= at < segments[place].end:
                raise ValuesError(f"byte {at:,} is not among those asked for")
            segment = segments[place]
            stop = min(segment.end, end)
            self._fill(segment.file, segment.position + at - segment.begin, view[at - begin : stop - begin])
            at, place = stop, place + 1

    def big_endian(self, location: int) -> bool:
        """Whether the numbers of a run are big-endian."""
        return location >= 0 and self._runs[location][1]

    def nbytes(self, location: int) -> int:
        """Length of a run."""
        return self._runs[location][0]


def plain_tensor(listing: Listing, tensor: int) -> dict[str, Any]:
    """All that is needed to read a tensor, as plain data."""
    extra = listing.extras.get(tensor)
    return {
        "id": tensor,
        "place": list(listing.geometry(tensor)),
        "shape": list(listing.shape[tensor]),
        "stride": listing.stride[tensor],
        "extra": None if extra is None else _plain_extra(extra),
    }


def _plain_extra(extra: Extra) -> dict[str, Any]:
    quantizer = extra.quantizer
    return {
        "layout": extra.layout,
        "parts": {name: list(part) for name, part in extra.parts.items()},
        "options": extra.options,
        "conj": extra.conj,
        "neg": extra.neg,
        "problem": extra.problem,
        "quantizer": None
        if quantizer is None
        else [
            quantizer.scheme,
            _plain_factors(quantizer.scales),
            _plain_factors(quantizer.zero_points),
            quantizer.axis,
        ],
    }


def _plain_factors(found: Geometry | tuple[float, ...]) -> list[Any]:
    return [isinstance(found, Geometry), list(found)]


def _geometry(plain: Sequence[Any]) -> Geometry:
    location, begin, dtype, shape, stride = plain
    return Geometry(location, begin, dtype, tuple(shape), tuple(stride))


def _factors(plain: Sequence[Any]) -> Geometry | tuple[float, ...]:
    is_tensor, found = plain
    return _geometry(found) if is_tensor else tuple(found)


def listing_of(plain: dict[str, Any]) -> Listing:
    """A listing of the one tensor that `plain_tensor` wrote."""
    listing = Listing("", "")
    location, begin, dtype, _, _ = plain["place"]
    extra = None
    if plain["extra"] is not None:
        extra = Extra(plain["extra"]["problem"])
        extra.layout, extra.options = plain["extra"]["layout"], plain["extra"]["options"]
        extra.conj, extra.neg = plain["extra"]["conj"], plain["extra"]["neg"]
        extra.parts = {name: _geometry(part) for name, part in plain["extra"]["parts"].items()}
        if plain["extra"]["quantizer"] is not None:
            scheme, scales, zeros, axis = plain["extra"]["quantizer"]
            extra.quantizer = Quantizer(scheme, _factors(scales), _factors(zeros), axis)
    stride = None if plain["stride"] is None else tuple(plain["stride"])
    listing.add_tensor(
        listing.add_node(ROOT, "tensor", ITEM),
        "tensor",
        location,
        begin,
        dtype,
        tuple(plain["shape"]),
        stride,
        0,
        0,
        False,  # noqa: FBT003  as the column
        extra,
    )
    return listing


def places_of(listing: Listing, tensor: int) -> list[Geometry]:
    """Where all bytes lie that a tensor is made from."""
    extra = listing.extras.get(tensor)
    out = [listing.geometry(tensor)] if listing.location[tensor] >= 0 else []
    if extra is not None:
        out += extra.parts.values()
        if extra.quantizer is not None:
            out += [
                each
                for each in (extra.quantizer.scales, extra.quantizer.zero_points)
                if isinstance(each, Geometry)
            ]
    return [place for place in out if place.location >= 0]


def reach(place: Geometry) -> tuple[int, int]:
    """The first byte that a strided tensor may touch, and the one after the last."""
    if 0 in place.shape:
        return place.begin, place.begin
    last = sum((size - 1) * step for size, step in zip(place.shape, place.stride, strict=True))
    bits = DTYPES[place.dtype].bits
    size = ITEMSIZE[place.dtype]
    return place.begin, place.begin + ((last + 1) * bits + 7) // 8 if bits < 8 else place.begin + (
        last + 1
    ) * size
