"""What rows say of tensors and values, in words that are safe on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.listing import GHOST
from paramtui.core.text import MAX_SHOWN, bytes_text, count_text, joined, safe_text, shape_text
from paramtui.core.ties import SOME, wasteful

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.core.listing import Listing, Totals
    from paramtui.core.sharing import Slack

# Tensors that a warning names.
MAX_NAMED = 3


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


def elements_words(totals: Totals) -> str:
    """``124 M elements``, and how many are listed where memory that is shared makes them visibly more."""
    distinct, listed = count_text(totals.unique_elements), count_text(totals.elements)
    return f"{distinct} elements ({listed} listed)" if listed != distinct else f"{distinct} elements"


def size_words(totals: Totals) -> str:
    """``498 MB``: distinct bytes; how many are listed, and in storage, where these read otherwise."""
    words = bytes_text(totals.unique_nbytes)
    others = []
    listed = bytes_text(totals.nbytes)
    if listed != words:
        others.append(f"{listed} listed")
    stored = bytes_text(totals.storage_nbytes)
    if totals.storage_nbytes - totals.unique_nbytes >= SOME and stored != words:
        others.append(f"{stored} stored")
    return f"{words} ({', '.join(others)})" if others else words


def slack_words(listing: Listing, slack: Slack, tensors: Sequence[int]) -> str:
    """``x uses 12 B of a storage of 40.0 MB``.

    Args:
        listing: What holds the storage.
        slack: Which.
        tensors: Those that lie in it.
    """
    names = [safe_text(listing.names[tensor], 80) or "(tensor)" for tensor in tensors[:MAX_NAMED]]
    if len(tensors) > MAX_NAMED:
        names.append(f"{len(tensors) - MAX_NAMED:,} more")
    uses = "use" if len(tensors) > 1 else "uses"
    nbytes = bytes_text(listing.locations[slack.location].nbytes)
    shown = joined(names) or "what is listed"
    return f"{shown} {uses} {bytes_text(slack.used)} of a storage of {nbytes}"


def tensors_in(listing: Listing, locations: Iterable[int]) -> dict[int, list[int]]:
    """Ids of the tensors, and of those that have parts, in each of some locations."""
    out: dict[int, list[int]] = {location: [] for location in locations}
    for tensor, location in enumerate(listing.location):
        if location in out:
            out[location].append(tensor)
    for tensor, extra in listing.extras.items():
        for location in {part.location for part in extra.parts.values()} & out.keys():
            out[location].append(tensor)
    return out


def all_warnings(listing: Listing) -> list[str]:
    """What the reader warned of, and names that several tensors have."""
    warnings = [*listing.warnings, *_slack_warnings(listing)]
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


def _slack_warnings(listing: Listing) -> list[str]:
    """Views that keep larger storages, the largest first."""
    found = wasteful(listing)
    if not found:
        return []
    found.sort(key=lambda slack: slack.used - listing.locations[slack.location].nbytes)
    at = tensors_in(listing, [slack.location for slack in found[:MAX_NAMED]])
    named = [slack_words(listing, slack, at[slack.location]) for slack in found[:MAX_NAMED]]
    unused = sum(listing.locations[slack.location].nbytes - slack.used for slack in found)
    more = f", and {len(found) - MAX_NAMED:,} more" if len(found) > MAX_NAMED else ""
    advice = ".clone() gives a view memory of its own size"
    return [f"{bytes_text(unused)} are stored that no tensor uses: {'; '.join(named)}{more} ({advice})"]
