"""A listing of a live model, its gradients and windows as plain data, to be sent between processes.

A listing becomes lines of JSON, one piece of a column each, so that reading a large one back never holds
the interpreter for long.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from paramtui.core.geometry import Extra, Geometry
from paramtui.core.gradients import Figures, Gradients
from paramtui.core.listing import Listing, Location, Value
from paramtui.core.live import LiveFacts, WeightsReport
from paramtui.core.source import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PIECE: Final = 20_000

_COLUMNS: Final = (
    "node_parent",
    "node_key",
    "node",
    "kind",
    "dtype",
    "shape",
    "stride",
    "offset",
    "nbytes",
    "requires_grad",
    "location",
    "begin",
    "modules",
    "warnings",
)
_LIVE_COLUMNS: Final = ("type_name", "device", "is_leaf", "persistent", "same", "replaced")
_LIVE_MAPS: Final = ("text", "training", "repeats", "same_module", "notes")


def listing_lines(listing: Listing) -> Iterator[str]:
    """A listing as lines of JSON, each a list of a column's name and a piece of it."""

    def line(name: str, content: object) -> str:
        return json.dumps([name, content], separators=(",", ":"))

    def pieces(name: str, column: list[Any]) -> Iterator[str]:
        for at in range(0, len(column), PIECE):
            yield line(name, column[at : at + PIECE])

    yield line("target", [listing.target, listing.format])
    for name in _COLUMNS:
        yield from pieces(name, getattr(listing, name))
    yield from pieces("node_step", list(listing.node_step))
    yield from pieces("node_class", list(listing.node_class.items()))
    yield from pieces("values", [list(value) for value in listing.values])
    yield from pieces("locations", [list(place) for place in listing.locations])
    yield from pieces("extras", [[tensor, _plain_extra(extra)] for tensor, extra in listing.extras.items()])
    yield line("reasons", listing.reasons)
    live = listing.live
    if live is not None:
        for name in _LIVE_COLUMNS:
            yield from pieces(f"live.{name}", getattr(live, name))
        for name in _LIVE_MAPS:
            yield from pieces(f"live.{name}", list(getattr(live, name).items()))
        yield line("live", [live.built, live.setup, live.seed, live.command])
        if live.weights is not None:
            yield line("live.weights", list(live.weights))


def _plain_extra(extra: Extra) -> dict[str, object]:
    return {
        "class_name": extra.class_name,
        "layout": extra.layout,
        "parts": {name: list(part) for name, part in extra.parts.items()},
        "options": extra.options,
        "conj": extra.conj,
        "neg": extra.neg,
        "problem": extra.problem,
    }


def _extra(plain: dict[str, Any]) -> Extra:
    extra = Extra(plain["problem"])
    extra.class_name, extra.layout = plain["class_name"], plain["layout"]
    extra.options, extra.conj, extra.neg = plain["options"], plain["conj"], plain["neg"]
    extra.parts = {
        name: Geometry(place, begin, dtype, tuple(shape), tuple(stride))
        for name, (place, begin, dtype, shape, stride) in plain["parts"].items()
    }
    return extra


def _tuple(entry: list[Any] | None) -> tuple[Any, ...] | None:
    return None if entry is None else tuple(entry)


def listing_from(lines: Iterable[str | bytes]) -> Listing:
    """The listing that `listing_lines` wrote.

    Raises:
        ValueError: The lines are not such.
    """
    listing = Listing("", "module")
    live = LiveFacts()
    listing.node_parent.clear()
    listing.node_key.clear()
    listing.node_step.clear()
    makers: dict[str, Callable[[Any], Any]] = {
        "shape": _tuple,
        "stride": _tuple,
        "values": lambda plain: Value(*plain),
        "locations": lambda plain: Location(*plain),
    }
    for text in lines:
        name, content = json.loads(text)
        head, _, tail = name.partition(".")
        if name == "target":
            listing.target, listing.format = content
        elif name == "live":
            live.built, live.setup, live.seed, live.command = content
            listing.live = live
        elif name == "live.weights":
            path, words, proposal, missing, unexpected, mismatched = content
            live.weights = WeightsReport(
                path,
                words,
                proposal,
                missing,
                [(name, dtype, tuple(shape)) for name, dtype, shape in unexpected],
                [(name, tuple(here), tuple(there)) for name, here, there in mismatched],
            )
        elif name == "reasons":
            listing.reasons = content
        elif name == "extras":
            listing.extras.update((tensor, _extra(plain)) for tensor, plain in content)
        elif name == "node_class":
            listing.node_class.update(content)
        elif head == "live" and tail in _LIVE_MAPS:
            getattr(live, tail).update(content)
        elif head == "live" and tail in _LIVE_COLUMNS:
            getattr(live, tail).extend(content)
        elif name in _COLUMNS or name in ("node_step", "values", "locations"):
            maker = makers.get(name)
            getattr(listing, name).extend(map(maker, content) if maker else content)
        else:
            raise ValueError(f"a listing has no column {name}")
    return listing


def gradient_lines(gradients: Gradients) -> Iterator[str]:
    """Gradients as lines of JSON, as `listing_lines`."""
    yield json.dumps(["gradients", list(gradients[:-1])])
    figures = [[tensor, *figure] for tensor, figure in gradients.figures.items()]
    for at in range(0, len(figures), PIECE):
        yield json.dumps(["figures", figures[at : at + PIECE]], separators=(",", ":"))


def answer_from(lines: Iterable[bytes]) -> tuple[Gradients, Listing | None]:
    """What `gradient_lines`, and after it perhaps `listing_lines`, wrote.

    Raises:
        ValueError: The lines are not such.
    """
    rest = iter(lines)
    name, head = json.loads(next(rest, b"[null, null]"))
    if name != "gradients":
        raise ValueError("there are no gradients")
    figures: dict[int, Figures] = {}
    first: bytes | None = None
    for line in rest:
        if not line.startswith(b'["figures"'):
            first = line
            break
        figures.update((tensor, Figures(*figure)) for tensor, *figure in json.loads(line)[1])
    passes, loss, loss_from, inputs, seed = head
    gradients = Gradients(passes, loss, loss_from, inputs, seed, figures)
    return gradients, None if first is None else listing_from(chain([first], rest))


def plain_window(window: Window) -> tuple[list[object], bytes]:
    """A window as a list of type and shape of each of its arrays, and their bytes."""
    arrays = window.parts if window.values is None else [window.values]
    heads = [[array.dtype.str, list(array.shape)] for array in arrays]
    return [window.values is None, heads], b"".join(array.tobytes() for array in arrays)


def window_from(tensor: int, picks: tuple[Any, ...], plain: list[Any], data: bytes) -> Window:
    """What `plain_window` wrote."""
    import numpy as np

    ragged, heads = plain
    arrays = []
    at = 0
    for dtype, shape in heads:
        kind = np.dtype(dtype)
        count = 1
        for size in shape:
            count *= size
        arrays.append(np.frombuffer(data, kind, count, at).reshape(shape))
        at += count * kind.itemsize
    if ragged:
        return Window(tensor, picks, None, arrays)
    return Window(tensor, picks, arrays[0])
