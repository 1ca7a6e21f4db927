"""``paramtui grad``: every parameter's gradient after one backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.gradients import FINITE, FROZEN, INF, NAN, UNREACHED, ZERO
from paramtui.core.jsonable import jsonable
from paramtui.core.text import count_text, safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramtui.core.gradients import Figures, Gradients
    from paramtui.core.listing import Listing

MAX_NAME_COLUMN = 60


def _owners(gradients: Gradients) -> list[tuple[int, Figures]]:
    """Each parameter once, as ``named_parameters()`` gives them."""
    return [(tensor, figure) for tensor, figure in gradients.figures.items() if figure.owner == tensor]


def grad_json(listing: Listing, gradients: Gradients) -> Iterator[str]:
    """The gradients as one JSON object, in pieces."""
    import json

    def text(value: object) -> str:
        return json.dumps(value, separators=(", ", ": "))

    head = {
        "loss": gradients.loss,
        "loss_from": gradients.loss_from,
        "inputs": gradients.inputs,
        "seed": gradients.seed,
    }
    yield text({name: jsonable(value) for name, value in head.items()})[:-1] + ',\n "parameters": ['
    separator = "\n  "
    for tensor, figure in _owners(gradients):
        known = figure.norm is not None
        entry = {
            "name": listing.names[tensor],
            "norm": figure.norm,
            "max_abs": figure.max_abs,
            "nan": figure.nan if known else None,
            "inf": figure.inf if known else None,
            "zero": figure.zero if known else None,
            "requires_grad": figure.requires_grad,
        }
        yield separator + text({name: jsonable(value) for name, value in entry.items()})
        separator = ",\n  "
    yield "]}\n"


def mark(listing: Listing, gradients: Gradients, tensor: int) -> str:
    """What is to be said of a gradient beside its figures, in a few words; empty for nothing."""
    figure = gradients.figures[tensor]
    state = gradients.state(tensor)
    words = {
        FROZEN: "frozen: requires no gradient",
        UNREACHED: "None: not reached by backward",
        ZERO: "exactly zero",
        NAN: f"{figure.nan:,} NaN of {figure.numel:,}",
        INF: f"{figure.inf:,} infinite of {figure.numel:,}",
        FINITE: "",
    }.get(state or "", "")
    shared = sum(other.owner == tensor for other in gradients.figures.values())
    if shared > 1 and state not in (FROZEN, UNREACHED):
        words += f"{'; ' if words else ''}sum over {shared} places"
    return words if listing.live is not None else ""


def grad_text(listing: Listing, gradients: Gradients) -> Iterator[str]:
    """A table with a line per parameter, and what was run."""
    rows = []
    for tensor, figure in _owners(gradients):
        name = safe_text(listing.names[tensor])
        numbers = [number_text(figure.norm), number_text(figure.ratio), number_text(figure.max_abs)]
        rows.append((name, *numbers, mark(listing, gradients, tensor)))
    head = ("parameter", "norm", "grad/weight", "largest", "")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(4)]
    widths[0] = min(widths[0], MAX_NAME_COLUMN)
    loss = "" if gradients.loss is None else f"loss {gradients.loss:.6g}"
    yield f"{safe_text(listing.target)}  {loss} ({safe_text(gradients.loss_from, 200)})\n"
    yield f"inputs {safe_text(gradients.inputs, 500)}  seed {gradients.seed}\n"
    for name, norm, ratio, largest, words in [head, *rows]:
        line = (
            f"{name:<{widths[0]}}  {norm:>{widths[1]}}  {ratio:>{widths[2]}}  {largest:>{widths[3]}}  {words}"
        )
        yield line.rstrip() + "\n"
    total = gradients.block_norm(gradients.figures)
    elements = sum(figure.numel for _, figure in _owners(gradients))
    yield f"norm over all {number_text(total)}  {count_text(elements)} elements with a gradient\n"


def number_text(number: float | None) -> str:
    """Four digits; ``-`` where there is none."""
    return "-" if number is None else f"{number:.4g}"
