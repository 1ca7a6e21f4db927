"""Finds the tensor or value that a person names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.jsonable import json_key
from paramtui.core.text import key_text, safe_text
from paramtui.errors import NameLookupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.listing import Listing
    from paramtui.core.tree import Tree


def tensor_id(listing: Listing, name: str | Sequence[str | int]) -> int:
    """The id of the tensor with a dotted name, or with a key path given as a list.

    Raises:
        NameLookupError: None has it, or several have it; the message lists what could be meant.
    """
    if isinstance(name, str):
        path = written_path(name)
        if path is None or listing.ids_named(name):
            return _by_name(listing, name)
    else:
        path = list(name)
    wanted = [key_text(key) for key in path]
    exact: list[int] = []
    for tensor in listing.ids_named(".".join(wanted)):
        keys = listing.path(listing.node[tensor])
        if [key_text(key) for key in keys] == wanted:
            if keys == path:
                return tensor
            exact.append(tensor)
    if len(exact) == 1:
        return exact[0]
    if exact:
        raise NameLookupError("several tensors have this key path but for the types of its keys")
    raise NameLookupError(f"no tensor has the key path {path!r}", hint="list them with: paramtui ls --flat")


def written_path(text: str) -> list[str | int] | None:
    """A key path written as JSON, such as ``["model", "0.weight"]``."""
    if not text.startswith("["):
        return None
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and all(type(key) in (str, int) for key in found):
        return found
    return None


def _by_name(listing: Listing, name: str) -> int:
    found = listing.ids_named(name)
    if len(found) == 1:
        return found[0]
    shown = safe_text(name) or "(tensor)"
    if found:
        paths = "; ".join(path_text(listing, tensor) for tensor in found[:4])
        raise NameLookupError(
            f"{len(found)} tensors are named {shown}", hint=f"give the key path instead: {paths}"
        )
    below = [other for other in listing.names if other.startswith(name + ".")]
    if below:
        raise NameLookupError(
            f"{shown} is a block of {len(below):,} tensors, not a tensor",
            hint=f"for example {safe_text(below[0])}",
        )
    from difflib import get_close_matches

    near = get_close_matches(name, listing.names[:20_000], 3)
    hint = f"did you mean {', '.join(safe_text(other) for other in near)}?" if near else None
    raise NameLookupError(f"no tensor is named {shown}", hint=hint)


def path_text(listing: Listing, tensor: int) -> str:
    """The key path of a tensor as JSON, which `tensor_id` takes."""
    return node_text(listing, listing.node[tensor])


def node_text(listing: Listing, node: int) -> str:
    """The key path of a node as JSON."""
    import json

    return json.dumps(list(map(json_key, listing.path(node))))


def rows_named(tree: Tree, name: str) -> list[int]:
    """Rows with a dotted name, or with a key path written as JSON; several can share a name.

    A block that only dots make has no key path.
    """
    found = tree.find(name)
    path = written_path(name)
    if found or path is None:
        return found
    wanted = [key_text(key) for key in path]
    listing = tree.listing
    return [
        row
        for row in tree.find(".".join(wanted))
        if tree.node[row] >= 0 and [key_text(key) for key in listing.path(tree.node[row])] == wanted
    ]


def name_of_row(tree: Tree, row: int) -> str:
    """What `rows_named` finds the row by: its dotted name, or its key path where others have that name."""
    name = tree.name(row)
    if tree.node[row] >= 0 and (tree.find(name) != [row] or written_path(name) is not None):
        return node_text(tree.listing, tree.node[row])
    return name
