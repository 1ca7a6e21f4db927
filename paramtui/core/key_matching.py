"""Which tensors of a checkpoint belong to which names of a model, and what would make more of them fit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.listing import ROOT
from paramtui.core.text import key_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paramtui.core.listing import Key, Listing

MAX_DEPTH: Final = 6
MAX_CONTAINERS: Final = 30
# Dotted parts of a name that are tried as a prefix; prefixes that are tried whole.
MAX_PARTS: Final = 6
MAX_PREFIXES: Final = 3


class Entry(NamedTuple):
    """One entry of a model's state dict.

    Attributes:
        name: Dotted name.
        shape: Sizes; None while it has none, and any fits.
        dtype: Name of its type.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str


class Choice(NamedTuple):
    """From where in a checkpoint, and under which names, a model is loaded.

    Attributes:
        entry: Key path of the dict or module to load from; empty for the whole file.
        remove: Taken off the names of the checkpoint.
        add: Put before them.
    """

    entry: tuple[Key, ...] = ()
    remove: str = ""
    add: str = ""

    @property
    def words(self) -> str:
        """``the entry model without the prefix module.``."""
        parts = []
        if self.entry:
            parts.append(f"the entry {'.'.join(map(key_text, self.entry))}")
        if self.remove:
            parts.append(f"without the prefix {self.remove}")
        if self.add:
            parts.append(f"with the prefix {self.add}")
        if not self.entry and parts:
            parts.insert(0, "its names")
        return " ".join(parts) or "its names as they are"


class Match(NamedTuple):
    """What fits and what does not.

    Attributes:
        choice: From where and under which names.
        pairs: Name in the model and id in the checkpoint, of the same name and shape.
        missing: Names in the model that the checkpoint lacks.
        unexpected: Ids in the checkpoint that the model lacks.
        mismatched: Name and id, of the same name and another shape.
    """

    choice: Choice
    pairs: list[tuple[str, int]]
    missing: list[str]
    unexpected: list[int]
    mismatched: list[tuple[str, int]]

    @property
    def complete(self) -> bool:
        """Whether everything fits."""
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def words(self) -> str:
        """``12 of 14 loaded; 2 missing, 1 unexpected, 1 of another shape``."""
        total = len(self.pairs) + len(self.missing) + len(self.mismatched)
        problems = [
            f"{len(found):,} {word}"
            for word, found in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", self.mismatched),
            )
            if found
        ]
        return f"{len(self.pairs):,} of {total:,} loaded" + (f"; {', '.join(problems)}" if problems else "")

    @property
    def score(self) -> tuple[int, int]:
        """How well it fits: more is better."""
        return len(self.pairs), -len(self.missing) - len(self.unexpected) - len(self.mismatched)


def match(listing: Listing, entries: Sequence[Entry], choice: Choice, aliases: Mapping[str, str]) -> Match:
    """Joins a checkpoint's tensors to a model's entries by name.

    Args:
        listing: Of the checkpoint.
        entries: The model's state dict, in order.
        choice: From where and under which names.
        aliases: Of each name in the model that is the same memory as an earlier one, that one: where one of
            them is loaded, the others are not missing.
    """
    node = _node_at(listing, choice.entry)
    names = _names_below(listing, node) if node is not None else {}
    return _joined(listing, entries, choice, aliases, names)


def _node_at(listing: Listing, entry: Sequence[Key]) -> int | None:
    """The node with a key path."""
    node = ROOT
    for key in entry:
        found = next(
            (
                child
                for child, parent in enumerate(listing.node_parent)
                if parent == node and listing.node_key[child] == key
            ),
            None,
        )
        if found is None:
            return None
        node = found
    return node


def _names_below(listing: Listing, node: int) -> dict[str, int]:
    """Tensors below a node by their names from there on; optimizer state is none of them."""
    kinds = listing.kind
    if node == ROOT:
        found = zip(listing.names, range(len(listing)), strict=True)
        return {name: tensor for name, tensor in found if kinds[tensor] != "optimizer"}
    below = bytearray(len(listing.node_parent))
    below[node] = 1
    # Parents come before their children.
    for child, parent in enumerate(listing.node_parent[1:], start=1):
        below[child] |= below[parent]
    start = len(listing.node_name(node)) + 1
    return {
        listing.names[tensor][start:]: tensor
        for tensor, at in enumerate(listing.node)
        if below[at] and at != node and kinds[tensor] != "optimizer"
    }


def _renamed(names: Mapping[str, int], choice: Choice) -> dict[str, int]:
    if not choice.remove and not choice.add:
        return dict(names)
    out: dict[str, int] = {}
    for name, tensor in names.items():
        # A name of the same kind with its prefix wins over one that never had it.
        if name.startswith(choice.remove):
            out[choice.add + name[len(choice.remove) :]] = tensor
        else:
            out.setdefault(choice.add + name, tensor)
    return out


def _joined(
    listing: Listing,
    entries: Sequence[Entry],
    choice: Choice,
    aliases: Mapping[str, str],
    names: Mapping[str, int],
) -> Match:
    rest = _renamed(names, choice)
    pairs: list[tuple[str, int]] = []
    missing: list[str] = []
    mismatched: list[tuple[str, int]] = []
    for name, shape, _ in entries:
        tensor = rest.pop(name, None)
        if tensor is None:
            missing.append(name)
        elif shape is None or listing.shape[tensor] == shape:
            pairs.append((name, tensor))
        else:
            mismatched.append((name, tensor))
    if missing and aliases:
        # Names of the same memory, by the first of them.
        loaded = {aliases.get(name, name) for name, _ in pairs}
        missing = [name for name in missing if aliases.get(name, name) not in loaded]
    return Match(choice, pairs, missing, sorted(rest.values()), mismatched)


def propose(listing: Listing, entries: Sequence[Entry], aliases: Mapping[str, str]) -> Choice | None:
    """The way of loading that fits best, where it fits better than names as they are; else None."""
    plain = match(listing, entries, Choice(), aliases)
    best, best_rank = plain, (*plain.score, 0)
    wanted = {entry.name for entry in entries}
    for entry, names in _containers(listing, len(entries)):
        for remove, add in _prefixes(names, wanted):
            choice = Choice(entry, remove, add)
            if choice == Choice():
                continue
            found = _joined(listing, entries, choice, aliases, names)
            # Rather an entry of the file than a prefix that is the entry's name.
            rank = (*found.score, -len(entry) - 2 * (remove.count(".") + add.count(".")))
            if found.score > plain.score and rank > best_rank:
                best, best_rank = found, rank
    return best.choice if best is not plain else None


def _containers(listing: Listing, wanted: int) -> list[tuple[tuple[Key, ...], dict[str, int]]]:
    """The root and the containers with tensors enough, outermost first: key path, and names below."""
    count: Counter[int] = Counter()
    parents = listing.node_parent
    for tensor, node in enumerate(listing.node):
        if listing.kind[tensor] != "optimizer":
            count[parents[node]] += 1
    depth = [0] * len(parents)
    for child, parent in enumerate(parents[1:], start=1):
        depth[child] = depth[parent] + 1
    for node in range(len(parents) - 1, ROOT, -1):
        if node in count:
            count[parents[node]] += count[node]
    enough = max(wanted // 4, 1)
    nodes = [
        node
        for node in sorted(count, key=lambda at: (depth[at], at))
        if node != ROOT and depth[node] <= MAX_DEPTH and count[node] >= enough
    ]
    return [
        (tuple(listing.path(node)), _names_below(listing, node)) for node in [ROOT, *nodes[:MAX_CONTAINERS]]
    ]


def _prefixes(names: Mapping[str, int], wanted: set[str]) -> list[tuple[str, str]]:
    """What to take off and put before names so that more of them are wanted: the most telling ones."""
    removed: Counter[str] = Counter()
    added: Counter[str] = Counter()
    for name in names:
        at = 0
        for _ in range(MAX_PARTS):
            at = name.find(".", at) + 1
            if not at:
                break
            if name[at:] in wanted:
                removed[name[:at]] += 1
    for name in wanted:
        at = 0
        for _ in range(MAX_PARTS):
            at = name.find(".", at) + 1
            if not at:
                break
            if name[at:] in names:
                added[name[:at]] += 1
    out = [("", "")]
    out += [(prefix, "") for prefix, _ in removed.most_common(MAX_PREFIXES)]
    out += [("", prefix) for prefix, _ in added.most_common(MAX_PREFIXES)]
    return out
