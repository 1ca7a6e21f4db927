"""``paramtui stats``: what the numbers of each tensor are like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.bars import bars
from paramtui.core.jsonable import jsonable
from paramtui.core.ordering import natural_key
from paramtui.core.statistics import QUANTILES, Statistics, digits_apart
from paramtui.core.text import count_text, safe_text, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from paramtui.core.listing import Listing
    from paramtui.errors import ValuesError

    Found = Mapping[int, Statistics | ValuesError]

BARS: Final = 16
MAX_NAME: Final = 60
SORTS: Final = ("stored", "name", "std", "abs_max", "mean", "l2", "zero", "nan", "inf")
_FIGURES: Final = ("min", "max", "mean", "std", "l1", "l2", "abs_max")
_COUNTS: Final = ("nan", "posinf", "neginf", "inf", "zero", "subnormal")


def entry(listing: Listing, tensor: int, found: Statistics | ValuesError) -> dict[str, Any]:
    """One tensor of ``stats --json``; of one that cannot be read the reason, and nothing else known."""
    known: dict[str, Any] = {"name": listing.names[tensor]}
    if not isinstance(found, Statistics):
        known["numel"] = listing.numel(tensor)
        known |= dict.fromkeys((*_FIGURES, *_COUNTS, "quantiles", "quantile_error", "histogram"))
        return {**known, "problem": str(found)}
    known["numel"] = found.numel
    for name in (*_FIGURES, *_COUNTS):
        known[name] = jsonable(getattr(found, name))
    known["quantiles"] = (
        None
        if found.quantiles is None
        else {str(share): jsonable(number) for share, number in zip(QUANTILES, found.quantiles, strict=True)}
    )
    known["quantile_error"] = found.quantile_error
    known["histogram"] = None if found.histogram is None else jsonable(found.histogram._asdict())
    return known


def in_order(listing: Listing, tensors: Sequence[int], found: Found, order: str) -> list[int]:
    """Tensors in one of `SORTS`: largest figures first, those without any last."""
    out = list(tensors)
    if order == "name":
        out.sort(key=lambda tensor: natural_key(listing.names[tensor]))
    elif order != "stored":

        def key(tensor: int) -> tuple[bool, float, int]:
            result = found.get(tensor)
            figure = getattr(result, order) if isinstance(result, Statistics) else None
            if order == "zero" and isinstance(result, Statistics):
                figure = result.zero / (result.numel or 1)
            # Of tensors that are equally dead the largest matters most.
            return figure is None, -(figure or 0), -listing.numel(tensor) if order == "zero" else 0

        out.sort(key=key)
    return out


def stats_json(listing: Listing, tensors: Sequence[int], found: Found) -> Iterator[str]:
    """All figures as one JSON object, in pieces."""
    yield '{"tensors": ['
    separator = "\n  "
    for tensor in tensors:
        yield separator + json.dumps(entry(listing, tensor, found[tensor]))
        separator = ",\n  "
    yield "]}\n"


def stats_text(listing: Listing, tensors: Sequence[int], found: Found, *, plain: bool) -> Iterator[str]:
    """A table with a line a tensor, and what is remarkable below it.

    Args:
        listing: What there is.
        tensors: Ids, in the order of the lines.
        found: Figures by id, or why there are none.
        plain: Whether there is only ASCII.
    """
    head = ("name", "dtype", "shape", "histogram", "mean", "std", "min", "max", "")
    rows = [_row(listing, tensor, found[tensor], plain=plain) for tensor in tensors]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(8)]
    widths[0] = min(widths[0], MAX_NAME)
    for row in [head, *rows]:
        left = "  ".join(f"{text:<{width}}" for text, width in zip(row[:4], widths[:4], strict=True))
        right = "  ".join(f"{text:>{width}}" for text, width in zip(row[4:8], widths[4:], strict=True))
        yield f"{left}  {right}  {row[8]}".rstrip() + "\n"
    yield from _foot(tensors, found)


def _row(listing: Listing, tensor: int, found: Statistics | ValuesError, *, plain: bool) -> tuple[str, ...]:
    name = safe_text(listing.names[tensor]) or "(tensor)"
    facts = (name, listing.dtype[tensor], shape_text(listing.shape[tensor]))
    if not isinstance(found, Statistics):
        return (*facts, "", "", "", "", "", f"? {safe_text(str(found), 200)}")
    drawn = bars(found.histogram.counts, BARS, plain=plain) if found.histogram is not None else ""
    digits = 4 if found.min is None or found.max is None else digits_apart(found.min, found.max, 4)
    figures = [
        _figure_text(getattr(found, name), 4 if name == "std" else digits)
        for name in ("mean", "std", "min", "max")
    ]
    return (*facts, drawn, *figures, remarks(found))


def remarks(found: Statistics) -> str:
    """``zero 12  NaN 3 of 4,096``: only what there is."""
    words = []
    if found.nan:
        words.append(f"NaN {found.nan:,}")
    if found.inf:
        words.append(f"Inf {found.inf:,}")
    if found.numel and found.zero == found.numel:
        words.append("all zero")
    elif found.zero:
        words.append(f"zero {found.zero:,}")
    if found.subnormal:
        words.append(f"subnormal {found.subnormal:,}")
    return "  ".join(words)


def _figure_text(number: float | int | None, digits: int) -> str:  # noqa: PYI041  whole ones are written otherwise
    """As all figures; whole numbers that are not too long as they are."""
    if isinstance(number, int) and abs(number) < 10**6:
        return str(number)
    return "-" if number is None else f"{number:.{digits}g}"


def _foot(tensors: Sequence[int], found: Found) -> Iterator[str]:
    results = [result for tensor in tensors if isinstance(result := found[tensor], Statistics)]
    counts = {
        "with NaN": sum(result.nan > 0 for result in results),
        "with infinities": sum(result.inf > 0 for result in results),
        "all zero": sum(0 < result.numel == result.zero for result in results),
        "not readable": len(tensors) - len(results),
    }
    odd = "".join(f"  {count:,} {words}" for words, count in counts.items() if count)
    elements = sum(result.numel for result in results)
    noun = "tensor" if len(tensors) == 1 else "tensors"
    yield f"{len(tensors):,} {noun}  {count_text(elements)} elements{odd or '  all finite'}\n"
