"""Which tensors hold equal bits without sharing memory: found exactly, with few reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from paramtui.core.addresses import meet
from paramtui.core.claims import beyond, words
from paramtui.core.dtypes import DTYPES, ITEMSIZE, PACKED
from paramtui.core.geometry import Geometry, row_major
from paramtui.core.partition import CHUNK, Partition
from paramtui.core.raw_cells import claims_too_much, fills_its_span, span
from paramtui.core.runs import filling
from paramtui.core.text import safe_text
from paramtui.core.ties import touched
from paramtui.core.touching import groups_by_member
from paramtui.errors import RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from threading import Event

    from paramtui.core.geometry import Quantizer
    from paramtui.core.listing import Listing
    from paramtui.core.partition import Pieces
    from paramtui.core.runs import ByteRuns

P = TypeVar("P")

# Bytes read at once of what has to be put in order: that takes longer than reading.
SCATTERED: Final = CHUNK // 2
# Bytes of buffers that wait to be filled again.
MAX_SPARE: Final = 8 << 20
# Seconds between two words of how far a search is.
PAUSE: Final = 0.05
# Pairs of overlapping spans that are compared before the rest of a group counts as shared.
MAX_PAIRS: Final = 200_000


class Copies(NamedTuple):
    """Tensors of one dtype and shape with equal bits, each in memory of its own.

    Attributes:
        members: Two or more ids, ascending; of exact aliases the lowest alone.
        nbytes: Of one copy.
        constant: The one value as text if all elements have the same bits, as ``0`` or ``1``; else empty.
    """

    members: tuple[int, ...]
    nbytes: int
    constant: str

    @property
    def again(self) -> int:
        """Bytes of all copies but one: what sharing them would save."""
        return (len(self.members) - 1) * self.nbytes


class CopySearch(NamedTuple):
    """What a search for copies found.

    Attributes:
        groups: Those first that take most bytes beside one copy.
        compared: Distinct memories with elements that could be compared, whether or not a byte had to be
            read: most are told apart by dtype and shape.
        skipped: Ids of tensors that cannot be compared, with the reason.
        nbytes_read: Bytes that were read.
    """

    groups: tuple[Copies, ...]
    compared: int
    skipped: tuple[tuple[int, str], ...]
    nbytes_read: int


class Candidates(NamedTuple):
    """Distinct memories of one dtype and shape.

    Attributes:
        tensors: Their ids, two or more, in the order of their memory.
        linear: Whether their elements lie in the same order without gaps: bytes are compared as they lie.
        nbytes: Bytes to compare of each.
    """

    tensors: list[int]
    linear: bool
    nbytes: int


def find_copies(
    listing: Listing,
    runs: ByteRuns,
    progress: Callable[[int, int], None] | None = None,
    stop: Event | None = None,
) -> CopySearch:
    """Finds equal tensors among those whose bytes can be read by location.

    Numbers are compared, so that big-endian ones can be copies of little-endian ones.

    Args:
        listing: What there is.
        runs: The bytes.
        progress: Told bytes dealt with and bytes that may have to be read, first before any is; the latter
            shrink when a tensor turns out to be alone.
        stop: Ends the search when it is set.

    Raises:
        RunStoppedError: It was set.
    """
    spare = _Spare()
    return search(listing, lambda found: _RunPieces(listing, runs, found, stop, spare), progress)


def search(
    listing: Listing,
    pieces_of: Callable[[Candidates], Pieces[P]],
    progress: Callable[[int, int], None] | None,
) -> CopySearch:
    """As `find_copies`, whatever form the bytes have.

    Args:
        listing: What there is.
        pieces_of: Gives pieces of some candidates, by tensor id.
        progress: As in `find_copies`.
    """
    found, compared, skipped = _candidates(listing)
    told = _Progress(progress, sum(len(each.tensors) * each.nbytes for each in found))
    groups: list[Copies] = []
    nbytes_read = 0
    for each in found:
        partition = Partition(pieces_of(each), told.moved)
        first = each.tensors[0]
        itemsize = ITEMSIZE[listing.dtype[first]]
        for equal in partition.equal(
            each.tensors, each.nbytes, itemsize, CHUNK if each.linear else SCATTERED
        ):
            members = _apart(listing, sorted(equal.members))
            if len(members) > 1:
                constant = _value_text(listing, first, equal.element) if equal.element else ""
                groups.append(Copies(members, listing.nbytes[first], constant))
        nbytes_read += partition.nbytes_read
        skipped += [(tensor, safe_text(why, 400)) for tensor, why in partition.failed]
    told.tell()
    groups.sort(key=lambda group: (-group.again, group.members))
    failed = {tensor for tensor, _ in skipped}
    compared -= sum(tensor in failed for each in found for tensor in each.tensors)
    return CopySearch(tuple(groups), compared, tuple(sorted(skipped)), nbytes_read)


class _Progress:
    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress = progress
        self._done = 0
        self._total = total
        self._told = time.monotonic()
        # The first pieces can take long.
        self.tell()

    def moved(self, done: int, left: int) -> None:
        self._done += done
        self._total -= left
        now = time.monotonic()
        if now - self._told >= PAUSE:
            self._told = now
            self.tell()

    def tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)


def skip_reason(listing: Listing, tensor: int) -> str:
    """Why a tensor cannot be compared with others byte by byte; empty where it can."""
    extra = listing.extras.get(tensor)
    if extra is not None:
        if extra.problem:
            return extra.problem
        if extra.layout == "wrapper":
            return "its numbers lie in the tensors below it"
        if extra.layout is not None:
            return f"a tensor of layout {safe_text(extra.layout, 40)}: its parts are not compared"
        if extra.quantizer is not None and _elsewhere(extra.quantizer):
            return "a quantised tensor whose scales lie elsewhere"
        if extra.quantizer is None and DTYPES[listing.dtype[tensor]].family == "quantized":
            return "a quantised tensor: what its integers stand for lies elsewhere"
    if listing.dtype[tensor] in PACKED:
        return f"several elements of {listing.dtype[tensor]} share a byte"
    if not listing.numel(tensor):
        return ""
    if listing.location[tensor] < 0:
        return "has no numbers of its own"
    if claims_too_much(listing.geometry(tensor)):
        return "has far more elements than memory"
    return ""


def _elsewhere(quantizer: Quantizer) -> bool:
    return isinstance(quantizer.scales, Geometry) or isinstance(quantizer.zero_points, Geometry)


def _candidates(listing: Listing) -> tuple[list[Candidates], int, list[tuple[int, str]]]:
    """What has to be read, how many memories can be compared, and what cannot be with the reason."""
    skipped: list[tuple[int, str]] = []
    alike: dict[Hashable, dict[Hashable, int]] = {}
    extras = listing.extras
    for tensor in range(len(listing)):
        reason = skip_reason(listing, tensor)
        if reason:
            skipped.append((tensor, reason))
            continue
        if not listing.numel(tensor):
            continue
        extra = extras.get(tensor)
        odd = (extra.conj, extra.neg, extra.quantizer) if extra is not None else (False, False, None)
        place = listing.location[tensor], listing.begin[tensor], _moving(listing, tensor)
        # Of exact aliases the first is kept.
        alike.setdefault((listing.dtype[tensor], listing.shape[tensor], *odd), {}).setdefault(place, tensor)
    compared = sum(map(len, alike.values()))
    several = [list(places.values()) for places in alike.values() if len(places) > 1]
    refused = beyond(listing, (tensor for tensors in several for tensor in tensors))
    skipped += [(tensor, words(times, "compared")) for tensor, times in refused.items()]
    compared -= len(refused)
    kept = ([tensor for tensor in tensors if tensor not in refused] for tensors in several)
    found = [_candidate(listing, tensors) for tensors in kept if len(tensors) > 1]
    found.sort(key=lambda each: _place(listing, each.tensors[0]))
    return found, compared, skipped


def _place(listing: Listing, tensor: int) -> tuple[int, int]:
    return listing.location[tensor], listing.begin[tensor]


def _moving(listing: Listing, tensor: int) -> tuple[int, ...]:
    """Strides of the dimensions that have more than one place."""
    sizes = zip(listing.shape[tensor], listing.stride[tensor] or (), strict=False)
    return tuple(step for size, step in sizes if size != 1)


def _candidate(listing: Listing, tensors: list[int]) -> Candidates:
    tensors.sort(key=lambda tensor: _place(listing, tensor))
    geometry = listing.geometry(tensors[0])
    strides = {_moving(listing, tensor) for tensor in tensors}
    if len(strides) == 1 and fills_its_span(geometry):
        return Candidates(tensors, linear=True, nbytes=span(geometry))
    nbytes = listing.numel(tensors[0]) * ITEMSIZE[geometry.dtype]
    return Candidates(tensors, linear=False, nbytes=nbytes)


class _Spare:
    """Buffers to be filled again: fresh memory for each piece can cost ten times what reading it does."""

    def __init__(self) -> None:
        self._buffers: dict[int, list[bytearray]] = {}
        self._held = 0

    def take(self, nbytes: int) -> bytearray:
        buffers = self._buffers.get(nbytes)
        if not buffers:
            return bytearray(nbytes)
        self._held -= nbytes
        return buffers.pop()

    def give(self, buffer: bytearray) -> None:
        if self._held + len(buffer) > MAX_SPARE:
            self._buffers.clear()
            self._held = 0
        self._held += len(buffer)
        self._buffers.setdefault(len(buffer), []).append(buffer)


class _RunPieces:
    """Pieces of some candidates as little-endian bytes."""

    def __init__(
        self, listing: Listing, runs: ByteRuns, found: Candidates, stop: Event | None, spare: _Spare
    ) -> None:
        self._runs = runs
        self._filling = filling(runs)
        self._stop = stop
        self._spare = spare
        places = {tensor: listing.geometry(tensor) for tensor in found.tensors}
        dtype = DTYPES[listing.dtype[found.tensors[0]]]
        # A complex number is two numbers, each with its own order of bytes.
        self._unit = dtype.itemsize // 2 if dtype.family == "complex" else dtype.itemsize
        self._places = {
            tensor: (
                place,
                found.linear or row_major(place),
                self._unit > 1 and runs.big_endian(place.location),
            )
            for tensor, place in places.items()
        }
        self._tile = b""

    def piece(self, member: int, at: int, nbytes: int) -> bytes | bytearray:
        if self._stop is not None and self._stop.is_set():
            raise RunStoppedError("stopped")
        place, linear, swap = self._places[member]
        if linear and not swap and self._filling is not None:
            buffer = self._spare.take(nbytes)
            self._filling.read_into(place.location, place.begin + at, buffer)
            return buffer
        if linear:
            data = self._runs.read(place.location, place.begin + at, nbytes)
        else:
            from paramtui.core.flat_cells import flat_bytes

            data = flat_bytes(self._runs, place, at, nbytes)
        if swap:
            import numpy as np

            data = np.frombuffer(data, np.uint8).reshape(-1, self._unit)[:, ::-1].tobytes()
        return data

    def done(self, piece: bytes | bytearray) -> None:
        if isinstance(piece, bytearray):
            self._spare.give(piece)

    def same(self, one: bytes | bytearray, other: bytes | bytearray) -> bool:
        return one == other

    def key(self, piece: bytes | bytearray) -> int:
        # No copy of it: thousands of pieces are held as it is.
        return hash(bytes(piece))

    def element(self, piece: bytes | bytearray, nbytes: int) -> bytes:
        return bytes(piece[:nbytes])

    def repeats(self, piece: bytes | bytearray, element: bytes) -> bool:
        # Most are no constants, which the second element tells.
        if piece[len(element) : 2 * len(element)] not in (element, b""):
            return False
        if len(self._tile) != len(piece) or not self._tile.startswith(element):
            self._tile = element * (len(piece) // len(element))
        return piece == self._tile


def _apart(listing: Listing, members: Iterable[int]) -> tuple[int, ...]:
    """Ids of equal tensors, ascending, without those that have bytes in common with one that is kept."""
    groups = groups_by_member(listing)
    kept: list[int] = []
    sharing: list[tuple[int, int, int]] = []
    for tensor in members:
        if tensor in groups:
            sharing.append((*_place(listing, tensor), tensor))
        else:
            kept.append(tensor)
    pairs = 0
    active: list[tuple[int, int, Geometry]] = []
    for location, begin, tensor in sorted(sharing):
        place = listing.geometry(tensor)
        bytes_set = touched(place)
        # What is kept and reaches as far: location, byte after the last, geometry.
        active = [each for each in active if each[0] == location and each[1] > begin]
        pairs += len(active)
        if active and (
            pairs > MAX_PAIRS
            or any(meet(other.begin, touched(other), begin, bytes_set) for _, _, other in active)
        ):
            continue
        kept.append(tensor)
        active.append((location, begin + bytes_set.span, place))
    return tuple(sorted(kept))


def _value_text(listing: Listing, tensor: int, element: bytes) -> str:
    """The number that the little-endian bytes of an element are, as short as it can be told."""
    import numpy as np

    from paramtui.core.decoding import decode

    number = decode(np.frombuffer(element, np.uint8).reshape(1, -1), listing.dtype[tensor])[0]
    extra = listing.extras.get(tensor)
    if extra is not None:
        if extra.quantizer is not None:
            scale, zero = np.ravel(extra.quantizer.scales), np.ravel(extra.quantizer.zero_points)
            if len(scale) != 1 or len(zero) != 1:
                return f"stored {number}"
            number = np.float32(int(number) - int(zero[0])) * np.float32(scale[0])
        number = number.conj() if extra.conj else number
        number = -number if extra.neg else number
    texts = [str(each).removesuffix(".0") for each in np.ravel(number)]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
