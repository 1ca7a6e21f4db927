"""Joins the listings of several files into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.geometry import Extra, Geometry, Quantizer
from paramtui.core.listing import ROOT, Listing, Location
from paramtui.core.text import safe_text
from paramtui.core.warned import of_part

if TYPE_CHECKING:
    from paramtui.checkpoints.source import CheckpointSource, Run


def append_listing(
    listing: Listing, runs: list[Run], opened: CheckpointSource, shard: str, below: int = ROOT
) -> None:
    """Adds all that `opened` lists to `listing`, its runs to `runs`.

    Storage names get the shard's name before them, since each file counts its own from 0. What `opened`
    has at its root comes to lie below the node `below`.
    """
    added = opened.listing
    location_shift = len(runs)
    node_shift = len(listing.node_parent) - 1
    tensor_shift = len(listing)

    def node(index: int) -> int:
        return index + node_shift if index != ROOT else below

    listing.locations += [
        Location(f"{shard}:{place.key}" if place.key is not None else None, place.nbytes)
        for place in added.locations
    ]
    runs += opened.runs
    listing.node_parent += [node(parent) for parent in added.node_parent[1:]]
    listing.node_key += added.node_key[1:]
    listing.node_step += added.node_step[1:]
    listing.node_class.update({node(at): name for at, name in added.node_class.items()})
    listing.modules += [node(at) for at in added.modules]
    listing.repeated |= {node(at) for at in added.repeated}
    listing.node += [node(at) for at in added.node]
    listing.location += [at + location_shift if at >= 0 else at for at in added.location]
    for column in ("kind", "dtype", "shape", "stride", "offset", "nbytes", "requires_grad", "begin"):
        getattr(listing, column).extend(getattr(added, column))
    listing.values += [value._replace(node=node(value.node)) for value in added.values]
    for tensor, extra in added.extras.items():
        listing.extras[tensor + tensor_shift] = _shifted(extra, location_shift)
    listing.globals = sorted({*listing.globals, *added.globals})
    listing.warnings += [of_part(shard, warning, safe_text(shard)) for warning in added.warnings]


def _shifted(extra: Extra, shift: int) -> Extra:
    def moved(found: Geometry) -> Geometry:
        return found._replace(location=found.location + shift) if found.location >= 0 else found

    extra.parts = {name: moved(part) for name, part in extra.parts.items()}
    if extra.quantizer is not None:
        scales, zero_points = extra.quantizer.scales, extra.quantizer.zero_points
        extra.quantizer = Quantizer(
            extra.quantizer.scheme,
            moved(scales) if isinstance(scales, Geometry) else scales,
            moved(zero_points) if isinstance(zero_points, Geometry) else zero_points,
            extra.quantizer.axis,
        )
    return extra
