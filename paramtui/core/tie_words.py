"""How names stand for one tensor, in words for a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.listing import ROOT
from paramtui.core.text import bytes_text, safe_text
from paramtui.core.ties import ALIAS, APART, DECLARED, OVERLAP, geometries, order, relation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.listing import Listing
    from paramtui.core.ties import Tied

WORDS: Final = {
    ALIAS: "the same memory",
    OVERLAP: "overlapping memory",
    DECLARED: "declared to be the same",
    APART: "views of one storage that do not all touch",
}
# Partners that are told apart by comparing their places in memory.
MAX_COMPARED: Final = 200


def how(listing: Listing, tied: Tied) -> str:
    """How a group came about, and what follows from it; empty where nothing more is known."""
    if tied.kind == DECLARED:
        return f"declared by {safe_text(tied.by, 80)}: stored once"
    kinds = Counter(listing.kind[member] for member in tied.members)
    if listing.live is not None:
        return _how_live(listing, tied, kinds)
    if 0 < kinds["optimizer"] < len(tied.members):
        return "optimizer state that is the memory of what it optimizes"
    # Each place but the first repeats one that is in the group.
    again = sum(_repeated(listing, member) for member in tied.members) if listing.repeated else 0
    if tied.kind == ALIAS and again == len(tied.members) - 1:
        return _places(tied, kinds)
    return ""


def _places(tied: Tied, kinds: Counter[str]) -> str:
    noun = "Parameter" if kinds["parameter"] else "buffer" if kinds["buffer"] else "tensor"
    return f"one {noun} of a module that is used at {len(tied.members):,} places"


def _how_live(listing: Listing, tied: Tied, kinds: Counter[str]) -> str:
    live = listing.live
    assert live is not None  # noqa: S101  asked before
    objects = {live.same[member] for member in tied.members}
    if tied.kind == ALIAS and len(objects) == 1:
        noun = "Parameter" if kinds["parameter"] else "buffer"
        if all(_repeated(listing, member) for member in tied.members if member not in objects):
            return _places(tied, kinds)
        words = f"one {noun} under {len(tied.members):,} names"
        if not kinds["parameter"]:
            return words
        if not listing.requires_grad[tied.members[0]]:
            return f"{words}: it is frozen and gets no gradient"
        return f"{words}: its gradient is the sum over them"
    parameters = {live.same[member] for member in tied.members if listing.kind[member] == "parameter"}
    trained = sum(listing.requires_grad[parameter] for parameter in parameters)
    if kinds["buffer"] and kinds["parameter"]:
        if not trained:
            return "a buffer is a view of a frozen parameter: what changes one changes the other"
        return "a buffer is a view of a parameter: a step of the optimizer changes both"
    if len(parameters) > 1 and tied.kind != APART:
        words = f"{len(parameters):,} Parameters over one storage"
        if not trained:
            return f"{words}: they are frozen and get no gradient"
        each = "each" if trained == len(parameters) else "each that is trained"
        return f"{words}: {each} has a gradient of its own"
    return ""


def _repeated(listing: Listing, tensor: int) -> bool:
    """Whether a tensor lies in a module that is listed elsewhere before."""
    repeats = listing.repeated if listing.live is None else listing.live.repeats
    node = listing.node[tensor]
    while node > ROOT:
        node = listing.node_parent[node]
        if node in repeats:
            return True
    return False


def partners(listing: Listing, tied: Tied, tensor: int) -> list[tuple[str, list[str]]]:
    """The other names of a group, by what they have to do with one of its tensors.

    Returns:
        Words such as ``the same memory as``, and the names.
    """
    names = listing.names
    others = [member for member in tied.members if member != tensor]
    if tied.kind == DECLARED:
        ghosts = [listing.node_name(listing.values[ghost].node) for ghost in tied.ghosts]
        return [(f"declared by {safe_text(tied.by, 80)} to be", ghosts)]
    if tied.kind == ALIAS:
        return [("the same memory as", [names[other] for other in others])]
    out: dict[str, list[str]] = {
        "the same memory as": [],
        "overlaps": [],
        "touches only through others": [],
        "in one storage, without a byte in common, with": [],
    }
    words = dict(zip((ALIAS, OVERLAP, "", APART), out, strict=True))
    words[""] = words[APART] if tied.kind == APART else "touches only through others"
    if tied.kind == OVERLAP:
        words[APART] = words[""]
    for place, other in enumerate(others):
        found = relation(listing, tensor, other) if place < MAX_COMPARED else ""
        name = names[other]
        if found == OVERLAP:
            mine, its = index_in(listing, tensor, other), index_in(listing, other, tensor)
            name += f" (this is its [{mine}])" if mine else f" (its place here: [{its}])" if its else ""
        out[words[found]].append(name)
    return [(what, found) for what, found in out.items() if found]


def index_in(listing: Listing, part: int, whole: int) -> str:
    """The index by which one tensor gives another as a view, ``16:32, :``; empty where slices do not."""
    if part in listing.extras or whole in listing.extras:
        return ""
    a, b = listing.geometry(part), listing.geometry(whole)
    if a.location != b.location or a.dtype != b.dtype or len(a.shape) != len(b.shape) or 0 in a.shape:
        return ""
    if any(mine > its for mine, its in zip(a.shape, b.shape, strict=True)):
        return ""
    # A dimension of one entry has no step that would tell anything.
    moving = [dim for dim, size in enumerate(b.shape) if size > 1]
    if any(a.stride[dim] != b.stride[dim] or not a.stride[dim] for dim in moving):
        return ""
    rest, uneven = divmod(a.begin - b.begin, ITEMSIZE[a.dtype])
    if rest < 0 or uneven:
        return ""
    slices = [":"] * len(a.shape)
    for dim in sorted(moving, key=lambda dim: -a.stride[dim]):
        first, rest = divmod(rest, a.stride[dim])
        if first + a.shape[dim] > b.shape[dim]:
            return ""
        slices[dim] = ":" if a.shape[dim] == b.shape[dim] else f"{first}:{first + a.shape[dim]}"
    while len(slices) > 1 and slices[-1] == ":":
        slices.pop()
    return "" if rest or a.shape == b.shape else ", ".join(slices)


def strands(listing: Listing, tied: Tied) -> list[list[str]]:
    """Names of a group, those that are exactly the same elements together, in order of their first."""
    names = listing.names
    found: dict[object, list[str]] = {}
    for member in tied.members:
        places = tuple((part.location, part.begin, order(part)) for part in geometries(listing, member))
        found.setdefault(places, []).append(names[member])
    return [*found.values(), *([listing.node_name(listing.values[ghost].node)] for ghost in tied.ghosts)]


def saving_words(tied: Tied) -> str:
    """``saves 154 MB``; nothing where nothing is saved."""
    return f"saves {bytes_text(tied.saved)}" if tied.saved > 0 else ""


def all_names(listing: Listing, tied: Tied) -> Iterable[str]:
    """The names of a group: of tensors, then those without numbers of their own."""
    for member in tied.members:
        yield listing.names[member]
    for ghost in tied.ghosts:
        yield listing.node_name(listing.values[ghost].node)
