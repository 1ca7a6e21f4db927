"""What rows say of tensors and values, in words that are safe on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.listing import GHOST
from paramtui.core.text import MAX_SHOWN, bytes_text, safe_text, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.core.listing import Listing


def tensor_facts(listing: Listing, tensor: int) -> tuple[str, str, str]:
    """Type with layout, shape, and size of a tensor, as text."""
    extra = listing.extras.get(tensor)
    dtype = safe_text(listing.dtype[tensor])
    if extra is not None and extra.layout:
        dtype = f"{dtype} {extra.layout}"
    return dtype, shape_text(listing.shape[tensor]), bytes_text(listing.nbytes[tensor])


def value_text(listing: Listing, index: int) -> str:
    """A value and its type on one line."""
    kind, text = type_and_value(listing, index)
    return text if kind == GHOST else f"{kind}  {text}"


def type_and_value(
    listing: Listing, index: int, *, entries: int = 20, limit: int = MAX_SHOWN
) -> tuple[str, str]:
    """The type of a value, and the value.

    Args:
        listing: What holds it.
        index: Its place in `Listing.values`.
        entries: Entries of a list that are written out.
        limit: Characters of a text that are written out.
    """
    value = listing.values[index]
    found = value.value
    if isinstance(found, int) and not isinstance(found, bool) and found.bit_length() > 10_000:
        text = f"an integer of {found.bit_length():,} bits"
    elif isinstance(found, list):
        inside = ", ".join(
            repr(item)[:40] if not isinstance(item, int) or item.bit_length() < 1000 else "…"
            for item in found[:entries]
        )
        brackets = {"tuple": ("(", ")"), "set": ("{", "}"), "frozenset": ("{", "}")}
        opening, closing = brackets.get(value.type_name, ("[", "]"))
        text = f"{opening}{inside}{', …' if len(found) > entries else ''}{closing}"
        if len(found) > entries:
            text += f" ({len(found):,} entries)"
    elif isinstance(found, bytes | bytearray):
        text = f"{bytes(found[:24])!r}{'…' if len(found) > 24 else ''} ({len(found):,} bytes)"
    elif isinstance(found, str) and value.type_name != "str":
        text = found
    else:
        text = repr(found) if not isinstance(found, str) else repr(found[:limit])
    return safe_text(value.type_name, 60), safe_text(text, limit)


def group_letters(groups: Iterable[tuple[str, Sequence[int]]]) -> dict[int, str]:
    """The letter of the group that each tensor is in: A to Z, then AA, AB ..."""
    letters: dict[int, str] = {}
    for index, (_, members) in enumerate(groups):
        for member in members:
            letters[member] = letter(index)
    return letters


def letter(index: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    text = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        text = chr(65 + digit) + text
    return text


def all_warnings(listing: Listing) -> list[str]:
    """What the reader warned of, and names that several tensors have."""
    warnings = list(listing.warnings)
    names = listing.names
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice: dict[str, None] = {}
        for name in names:
            if name in seen:
                twice[name] = None
            seen.add(name)
        shown = ", ".join(safe_text(name) or "(tensor)" for name in list(twice)[:5])
        warnings.append(
            f"{len(twice):,} names belong to several tensors ({shown}{', …' if len(twice) > 5 else ''});"
            " give key paths to tell them apart"
        )
    return warnings
