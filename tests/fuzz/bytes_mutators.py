"""Changes of bytes that know nothing of what they mean, and numbers that readers trip over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

EXTREMES: Final = (
    0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, (1 << 31) - 1, 1 << 31,
    (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64,
    1 << 100, -1, -2, -(1 << 31), -(1 << 63),
)  # fmt: skip
_WIDTHS: Final = (1, 2, 4, 8)


def packed(number: int, width: int, *, big: bool = False) -> bytes:
    """A number in so many bytes, cut if it has more."""
    return (number & ((1 << 8 * width) - 1)).to_bytes(width, "big" if big else "little")


def _place(rng: Random, data: bytearray) -> int:
    return rng.randrange(len(data) + 1)


def _range(rng: Random, data: bytearray) -> slice:
    begin = _place(rng, data)
    longest = rng.choice((1, 4, 16, 256))
    return slice(begin, min(len(data), begin + rng.randrange(1, longest + 1)))


def _flip(rng: Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _insert(rng: Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 8, 64)))


def _delete(rng: Random, data: bytearray) -> None:
    del data[_range(rng, data)]


def _duplicate(rng: Random, data: bytearray) -> None:
    copied = data[_range(rng, data)]
    at = _place(rng, data)
    data[at:at] = copied * rng.choice((1, 1, 2, 50))


def _swap(rng: Random, data: bytearray) -> None:
    one, other = _range(rng, data), _range(rng, data)
    if one.stop <= other.start:
        data[other], data[one] = data[one], data[other]


def _extreme(rng: Random, data: bytearray) -> None:
    width = rng.choice(_WIDTHS)
    at = _place(rng, data)
    data[at : at + width] = packed(rng.choice(EXTREMES), width, big=rng.random() < 0.2)


def _cut(rng: Random, data: bytearray) -> None:
    del data[_place(rng, data) :]


_CHANGES: Final[tuple[Callable[[Random, bytearray], None], ...]] = (
    _flip, _flip, _set, _set, _insert, _delete, _duplicate, _swap, _extreme, _extreme, _cut,
)  # fmt: skip


def changed_bytes(rng: Random, content: bytes, other: bytes) -> bytes:
    """A few changes anywhere, or the beginning of one content before the end of another."""
    data = bytearray(content)
    if rng.random() < 0.05:
        return bytes(data[: _place(rng, data)] + other[rng.randrange(len(other) + 1) :])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_CHANGES)(rng, data)
    return bytes(data)
