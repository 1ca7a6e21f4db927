"""Text that is safe on a terminal, and numbers as people read them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_SHOWN = 200
MAX_COMBINING = 4
MAX_INTEGER_BITS = 10_000

# Letters that a terminal draws as nothing, or that turn the direction of what follows.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Drawn over the letter before them, in any number.
_MARKS = frozenset({"Mn", "Me"})


def safe_text(text: str, limit: int = MAX_SHOWN) -> str:
    r"""Text from a file, made safe for a terminal.

    Whatever is not printable (control and direction characters, lone surrogates) becomes
    ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``; long text is cut in the middle and runs of combining
    marks after `MAX_COMBINING`.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    if len(text) > limit:
        half = (limit - 1) // 2
        text = text[:half] + "…" + text[len(text) - (limit - 1 - half) :]
    if text.isascii() and text.isprintable():
        return text
    import unicodedata  # only odd names need it

    out: list[str] = []
    combining = 0
    for char in text:
        kind = unicodedata.category(char)
        if kind in _MARKS:
            combining += 1
            if combining > MAX_COMBINING:
                continue
        else:
            combining = 0
        if kind in _UNSEEN or (char.isspace() and char != " "):
            code = ord(char)
            out.append(
                f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
            )
        else:
            out.append(char)
    return "".join(out)


def key_text(key: object) -> str:
    """One key of a path as it stands in a dotted name."""
    if type(key) is str:
        return key
    if type(key) is bytes:
        return key.decode("utf-8", "backslashreplace")
    if type(key) is int and key.bit_length() > MAX_INTEGER_BITS:
        # Python refuses to write integers of more than 4,300 digits.
        return f"an integer of {key.bit_length():,} bits"
    return repr(key)


@lru_cache(maxsize=4096)
def bytes_text(count: int) -> str:
    """A number of bytes with three digits and a decimal unit, as in ``141 GB``."""
    if count < 1000:
        return f"{count} B"
    return _scaled(count, ("kB", "MB", "GB", "TB", "PB", "EB", "ZB"))


@lru_cache(maxsize=4096)
def count_text(count: int) -> str:
    """A number of elements with three digits and a unit, as in ``70.6 B``; below 10,000 exact."""
    if count < 10_000:
        return f"{count:,}"
    return _scaled(count, ("K", "M", "B", "T", "Q"))


def _scaled(count: int, units: tuple[str, ...]) -> str:
    exponent = 3
    for unit in units:
        # 999.5 and more would round to four digits.
        if 2 * count < 1999 * 10**exponent:
            scaled = count / 10**exponent
            return f"{scaled:.{0 if scaled >= 99.95 else 1}f} {unit}"
        exponent += 3
    return f"10^{len(str(count)) - 1}" if count < 10**1000 else "over 10^1000"


@lru_cache(maxsize=4096)
def shape_text(shape: tuple[int | None, ...]) -> str:
    """Sizes in brackets, as in ``[8192, 1024]``; a ragged dimension is ``*``."""
    return "[" + ", ".join(["*" if size is None else str(size) for size in shape]) + "]"


def joined(texts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    parts: Sequence[str] = list(texts)
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
