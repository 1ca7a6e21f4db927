"""Ties that a file declares and does not store: safetensors' alias map, and ``config.json``.

``safetensors.torch.save_model`` writes tensors that share memory once, and the names that it left out
into the metadata, as ``{left_out: kept}``. Transformers leaves out what its configuration ties.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from paramtui.core.listing import GHOST, ITEM, ROOT, Declared, Shard, Value
from paramtui.core.text import safe_text, shape_text
from paramtui.core.warned import Warned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.checkpoints.hf_config import Claim
    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.listing import Listing

HEADER: Final = "the header"
"""What declares the ties of an alias map."""

_COMPARE: Final = "; compare them"
_RULE: Final = "contradicted-tie"
_WEIGHTS: Final = (".safetensors", ".bin", ".pt", ".pth", ".index.json")
_FORMATS: Final = ("safetensors", "safetensors-sharded", "torch-zip", "torch-legacy", "torch-sharded")
# Warnings of one sort, and state dicts in one file, that are looked at.
_MAX_WARNINGS: Final = 5
_MAX_DICTS: Final = 16


def declare(source: CheckpointSource, config: str | None) -> None:
    """Lists the names that are declared to be other tensors, and says where the file contradicts.

    Args:
        source: A checkpoint, opened as a whole.
        config: Path of the ``config.json`` beside it, if there is something.
    """
    listing = source.listing
    problems = [*_declare_aliases(listing)]
    if config is not None and _is_model(listing):
        problems += _declare_config(source, config)
    shown = problems[:_MAX_WARNINGS]
    listing.warnings += [Warned(words, _RULE) if type(words) is str else words for words in shown]
    if len(problems) > len(shown):
        words = f"and {len(problems) - len(shown):,} more names are declared to be what they are not"
        listing.warnings.append(Warned(words, _RULE))


# The alias map


def _declare_aliases(listing: Listing) -> Iterable[str]:
    aliases = _alias_map(listing)
    if not aliases:
        return
    tensors = _at_root(listing, {*aliases, *aliases.values()})
    known: dict[str, int] = {}
    ghosts: dict[int, list[int]] = {}
    for name, said in aliases.items():
        tensor = _follow(said, aliases, tensors, known)
        if tensor < 0:
            continue
        own = tensors.get(name)
        if own is None:
            ghosts.setdefault(tensor, []).append(_add_ghost(listing, ROOT, name, tensor, HEADER))
        elif own != tensor and not _is_alias(listing, own, tensor):
            problem = (
                f"{HEADER} says that {_shown(listing, own)} is {_shown(listing, tensor)},"
                " but the file stores both"
            )
            listing.declared.append(Declared(tensor, (), (own,), HEADER, problem))
            yield problem + _COMPARE
    listing.declared += [Declared(tensor, tuple(places), (), HEADER) for tensor, places in ghosts.items()]


def _alias_map(listing: Listing) -> dict[str, str]:
    """The texts of a safetensors header, but for the one that names the framework."""
    out: dict[str, str] = {}
    if listing.format in ("safetensors", "safetensors-sharded"):
        parents, keys = listing.node_parent, listing.node_key
        for node, _, text in listing.values:
            above = parents[node] if node > ROOT else ROOT
            key = keys[node]
            in_metadata = above > ROOT and parents[above] == ROOT and keys[above] == "__metadata__"
            if in_metadata and isinstance(key, str) and isinstance(text, str) and key not in ("format", text):
                out[key] = text
    return out


def _at_root(listing: Listing, wanted: set[str]) -> dict[str, int]:
    """Ids of the tensors with these keys."""
    parents, keys = listing.node_parent, listing.node_key
    return {
        key: tensor
        for tensor, node in enumerate(listing.node)
        if node > ROOT and parents[node] == ROOT and type(key := keys[node]) is str and key in wanted
    }


def _follow(name: str, aliases: dict[str, str], tensors: dict[str, int], known: dict[str, int]) -> int:
    """The tensor that a name leads to; -1 for a text that is no name, and for a circle."""
    passed: list[str] = []
    found = -1
    while True:
        tensor = tensors.get(name, known.get(name))
        if tensor is not None:
            found = tensor
            break
        if name not in aliases:
            break
        # A circle comes back to this.
        known[name] = -1
        passed.append(name)
        name = aliases[name]
    for step in passed:
        known[step] = found
    return found


# config.json


def _is_model(listing: Listing) -> bool:
    """Whether a configuration beside a checkpoint speaks of it, and all of its tensors are listed."""
    name = os.path.basename(listing.target)  # noqa: PTH119
    is_file = name.endswith(_WEIGHTS)
    if is_file and (name.startswith("adapter_") or "-of-" in name):
        return False
    return listing.format in _FORMATS and (is_file or bool(listing.shards))


def _declare_config(source: CheckpointSource, path: str) -> list[str]:
    from paramtui.checkpoints.hf_config import FLAG, Broken, claim, find_match, is_odd, read_config

    config = read_config(path)
    if config is None:
        return []
    listing = source.listing
    dicts = list(_state_dicts(listing).items())[:_MAX_DICTS]
    if isinstance(config, Broken):
        # Beside other tensors than a language model's it may be any file.
        words = f"config.json beside it is broken (byte {config.byte:,}): what it declares is not known"
        return [Warned(words, "config", path)] if dicts else []
    said = claim(config)
    if said is None:
        words = f"config.json: {FLAG} is neither true nor false: not looked at"
        return [Warned(words, "config", path)] if dicts and is_odd(config) else []
    problems: list[str] = []
    for holder, stored in dicts:
        declared = _header_ghosts(listing) if holder == ROOT else {}
        match = find_match(stored.keys() | declared.keys(), said.model_type)
        if match is None:
            continue
        places = _Places(listing, holder, stored, declared, complete=source.complete)
        if said.tied:
            for output, other in (match.head, *match.others):
                problems += places.tie(output, other, said)
        else:
            problems += places.separate(*match.head)
    return problems


def _state_dicts(listing: Listing) -> dict[int, dict[str, int]]:
    """Ids of the tensors that could matter by key, for each dict that holds some by flat names."""
    from paramtui.checkpoints.hf_config import ENDINGS

    parents, keys, steps = listing.node_parent, listing.node_key, listing.node_step
    out: dict[int, dict[str, int]] = {}
    for tensor, node in enumerate(listing.node):
        key = keys[node]
        if type(key) is str and key.endswith(ENDINGS) and node > ROOT and steps[node] == ITEM:
            out.setdefault(parents[node], {})[key] = tensor
    return out


def _header_ghosts(listing: Listing) -> dict[str, int]:
    """Tensors of the names that the alias map declares."""
    return {
        listing.node_name(listing.values[place].node): declared.tensor
        for declared in listing.declared
        for place in declared.ghosts
    }


class _Places:
    """One dict of the file, and what a configuration says of its entries.

    Args:
        listing: Of the file.
        holder: Node of the dict.
        stored: Tensor ids by key.
        declared: Tensor ids by keys that only the header has.
        complete: What is not listed is not there.
    """

    def __init__(
        self,
        listing: Listing,
        holder: int,
        stored: dict[str, int],
        declared: dict[str, int],
        *,
        complete: bool,
    ) -> None:
        self._listing = listing
        self._holder = holder
        self._stored = stored
        self._declared = declared
        self._complete = complete

    def tie(self, output: str, other: str, said: Claim) -> Iterable[str]:
        """Lists the output as another name of a tensor; gives what contradicts it."""
        listing = self._listing
        here, there = self._stored.get(output), self._stored.get(other)
        if here is None and there is not None:
            if self._is_absent(output):
                ghost = _add_ghost(listing, self._holder, output, there, said.by)
                listing.declared.append(Declared(there, (ghost,), (), said.by))
        elif here is not None and there is not None and not _is_alias(listing, here, there):
            problem = f"{said.by} ties {_shown(listing, here)} to {_shown(listing, there)},"
            problem += " but the file stores both"
            shapes = [listing.shape[here], listing.shape[there]]
            if shapes[0] != shapes[1]:
                problem += f", of shapes {shape_text(shapes[0])} and {shape_text(shapes[1])}"
                hint = ""
            else:
                problem += (
                    ": transformers 5 ties them only where their numbers are equal, earlier versions always"
                )
                hint = _COMPARE
            listing.declared.append(Declared(there, (), (here,), said.by, problem))
            yield problem + hint

    def separate(self, output: str, other: str) -> Iterable[str]:
        """Gives what contradicts that the output has numbers of its own."""
        listing = self._listing
        here, there = self._stored.get(output), self._stored.get(other)
        head = safe_text(self._name(output))
        says = f"config.json says that {head} is not tied"
        if here is not None and there is not None:
            if not _is_alias(listing, here, there):
                return
            tensor, problem = there, f"{says}, but it is the same memory as {_shown(listing, there)}"
        elif there is not None and self._declared.get(output) == there:
            tensor, problem = there, f"{says}, but {HEADER} says that it is {_shown(listing, there)}"
        elif here is not None and self._declared.get(other) == here:
            name = safe_text(self._name(other))
            tensor, problem = here, f"{says}, but {HEADER} says that {name} is the same tensor"
        elif there is not None and self._is_absent(output):
            tensor, problem = there, f"{says}, but the file has none"
        else:
            return
        listing.declared.append(Declared(tensor, (), (), "config.json", problem))
        yield problem

    def _name(self, key: str) -> str:
        above = self._listing.node_name(self._holder)
        return f"{above}.{key}" if above else key

    def _is_absent(self, output: str) -> bool:
        """Whether the file has no such entry, nor what a quantised or adapted layer keeps in its stead."""
        if not self._complete or output in self._declared:
            return False
        stem = output.removesuffix("weight").removesuffix("bias")
        own = (f"{stem}weight", f"{stem}bias")
        listing = self._listing
        parents = listing.node_parent
        return not any(
            type(key) is str
            and key.startswith(stem)
            and (key not in own or key == output)
            and parents[node] == self._holder
            for node, key in enumerate(listing.node_key)
        )


# Both


def _add_ghost(listing: Listing, holder: int, key: str, tensor: int, by: str) -> int:
    """Lists a name that stands for a tensor; returns its place among the values."""
    if listing.shards and listing.shards[-1].path:
        # The node is none of the last file's.
        listing.shards.append(Shard(len(listing.node_parent), "", "", []))
    node = listing.add_node(holder, key, ITEM)
    text = f"= {listing.node_name(listing.node[tensor])} (declared by {by})"
    listing.values.append(Value(node, GHOST, text))
    return len(listing.values) - 1


def _is_alias(listing: Listing, one: int, other: int) -> bool:
    """Whether two tensors are the same elements in the same memory."""
    if listing.disjoint:
        return False
    from paramtui.core.ties import ALIAS, relation

    return relation(listing, one, other) == ALIAS


def _shown(listing: Listing, tensor: int) -> str:
    return safe_text(listing.node_name(listing.node[tensor]))
