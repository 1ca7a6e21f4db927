"""Checkpoints in several files: Hugging Face indices, and directories of shards without one.

An index is JSON with a ``weight_map`` from tensor name to file name, as written by
``huggingface_hub`` (``serialization/_torch.py``) and by Transformers' ``save_pretrained``.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from paramtui.checkpoints.beside import judge_beside
from paramtui.checkpoints.files import RandomFile, os_error_text
from paramtui.checkpoints.merging import append_listing
from paramtui.checkpoints.safetensors import add_file, add_metadata, parse_strict
from paramtui.checkpoints.source import CheckpointSource, Run, StoredPickle
from paramtui.core.gc_pause import paused_gc
from paramtui.core.listing import ARGUMENT, ROOT, Listing, Shard
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned
from paramtui.errors import FormatError, ParamtuiError, TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.checkpoints.inert_pickle import Pickle
    from paramtui.core.source import Watch

MAX_INDEX: Final = 1 << 30
_TORCH_SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt")
# Hugging Face Trainer's checkpoints hold these beside the model's weights.
_OPTIMIZER: Final = "optimizer.pt"
_BESIDE_WEIGHTS: Final = ("training_args", "optimizer", "scheduler", "rng_state", "scaler", "random_states")


def open_file(file: RandomFile, target: str, watch: Watch | None = None) -> CheckpointSource:
    """Opens the shards that an index names.

    Raises:
        FormatError: It is no index, or none of its shards can be read.
    """
    if file.nbytes > MAX_INDEX:
        raise FormatError(f"is JSON of {file.nbytes:,} bytes, too large for an index", where=target)
    fields = parse_strict(file.read(0, file.nbytes), target, at=0)
    weight_map = fields.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise FormatError(
            "is JSON, but no index of shards: it has no weight_map from tensor names to files", where=target
        )
    folder = os.path.dirname(target)  # noqa: PTH120
    shards = list(dict.fromkeys(weight_map.values()))
    paths: dict[str, str] = {}
    for shard in shards:
        _refuse_escape(shard, target)
        path = os.path.normpath(shard)
        if path in paths:
            words = f"'{safe_text(shard)}' and '{safe_text(paths[path])}'"
            raise FormatError(f"names one file as {words}", where=target)
        paths[path] = shard
    if watch is not None:
        watch.outline(weight_map)
    source = _open_shards(target, folder, shards, watch)
    source.complete = _compare_with_index(source.listing, weight_map, shards) and source.complete
    if source.complete:
        _compare_size(source.listing, fields.get("metadata"))
    return source


def open_directory(target: str, watch: Watch | None = None) -> CheckpointSource:
    """Opens the checkpoint that a directory holds, and the optimizer that lies beside it.

    Raises:
        TargetError: The directory holds none, or several to choose from.
    """
    try:
        names = sorted(os.listdir(target))  # noqa: PTH208
    except OSError as error:
        raise TargetError(os_error_text(error), where=target) from None
    source = _open_weights(target, names, watch)
    if _OPTIMIZER in names:
        with paused_gc():
            _add_beside(source, target, _OPTIMIZER)
    judge_beside(source.listing, target, names)
    return source


def _add_beside(source: CheckpointSource, folder: str, name: str) -> None:
    """Lists a file as a block of its own beside what the source lists; if damaged, a warning says so."""
    from paramtui.checkpoints.registry import open_part

    listing = source.listing
    path = os.path.join(folder, name)  # noqa: PTH118
    if path == listing.target or ROOT in listing.node or any(value.node == ROOT for value in listing.values):
        return
    try:
        opened = open_part(path, alone=True)
    except ParamtuiError as error:
        words = f"{safe_text(name)}: {safe_text(error.what)}; it is not listed"
        listing.warnings.append(Warned(words, "unreadable-file", name))
        _keep_named(listing, source.pickles, error, name)
        return
    if not listing.shards:
        listing.shards.append(Shard(0, listing.target, listing.format, listing.globals, listing.protocol))
    added = opened.listing
    # The block stands for the file itself: no step leads to it from the object of another file.
    block = listing.add_node(ROOT, name, ARGUMENT)
    listing.shards.append(Shard(block, path, added.format, added.globals, added.protocol))
    listing.disjoint = listing.disjoint and added.disjoint
    append_listing(listing, source.runs, opened, name, block)
    source.pickles += [stored._replace(below=(name, *stored.below)) for stored in opened.pickles]


def _keep_named(listing: Listing, pickles: list[StoredPickle], error: ParamtuiError, name: str) -> None:
    """Keeps what a file names that cannot be read: a program calls that before it comes to the damage."""
    if not isinstance(error, FormatError) or error.named is None:
        return
    named = error.named

    def read() -> Pickle:
        raise FormatError(error.what, where=error.where, named=named)

    listing.globals = sorted({*listing.globals, *named})
    pickles.append(StoredPickle((f"({name})",), read))


def _open_weights(target: str, names: list[str], watch: Watch | None) -> CheckpointSource:
    """Opens the weights among the files of a directory."""
    indices = [name for name in names if name.endswith(".index.json")]
    for suffix in (".safetensors.index.json", ".index.json"):
        chosen = [name for name in indices if name.endswith(suffix)]
        if len(chosen) == 1:
            path = os.path.join(target, chosen[0])  # noqa: PTH118
            with RandomFile(path) as file:
                return open_file(file, path, watch)
        if chosen:
            raise _choice(target, chosen, "indices")
    tensors = [name for name in names if name.endswith(".safetensors")]
    if tensors:
        if len(tensors) == 1:
            return _single(target, tensors[0])
        source = _open_shards(target, target, tensors, watch)
        missing = _missing_numbers(tensors)
        if missing:
            source.listing.warnings.append(Warned(f"shards are missing: {missing}", "missing-shard"))
            source.complete = False
        return source
    saved = [name for name in names if name.endswith(_TORCH_SUFFIXES)]
    weights = [name for name in saved if not name.startswith(_BESIDE_WEIGHTS)] or saved
    if len(weights) == 1:
        return _single(target, weights[0])
    if weights and all(_shard_number(name) for name in weights):
        source = _open_shards(target, target, weights, watch)
        missing = _missing_numbers(weights)
        if missing:
            source.listing.warnings.append(Warned(f"shards are missing: {missing}", "missing-shard"))
            source.complete = False
        return source
    if weights:
        raise _choice(target, weights, "checkpoints")
    held = ", ".join(safe_text(name, 40) for name in names[:4]) or "nothing"
    raise TargetError(
        f"is a directory without a checkpoint; it holds {held}{', …' if len(names) > 4 else ''}",
        where=target,
        hint="expected *.safetensors, *.index.json, or one of *.pt *.pth *.ckpt *.bin",
    )


def _single(folder: str, name: str) -> CheckpointSource:
    from paramtui.checkpoints.registry import open_part

    return open_part(os.path.join(folder, name))  # noqa: PTH118


def _choice(target: str, names: list[str], what: str) -> TargetError:
    shown = ", ".join(safe_text(name, 60) for name in names[:6])
    return TargetError(
        f"is a directory with {len(names)} {what}: {shown}{', …' if len(names) > 6 else ''}",
        where=target,
        hint="name one of them",
    )


def _refuse_escape(shard: str, target: str) -> None:
    """An index from a stranger must not point at other people's files."""
    parts = shard.replace("\\", "/").split("/")
    if shard.startswith(("/", "\\")) or ".." in parts or not shard or "\0" in shard:
        raise FormatError(
            f"names a shard outside its directory: '{safe_text(shard)}'", where=target, hint="refused"
        )


def _open_shards(
    target: str, folder: str, shards: Sequence[str], watch: Watch | None = None
) -> CheckpointSource:
    """All tensors of several files as one listing; a shard that cannot be read is a warning."""
    listing = Listing(target, "safetensors-sharded")
    runs: list[Run] = []
    pickles: list[StoredPickle] = []
    metadata: dict[str, str] = {}
    formats: set[str] = set()
    failures: list[ParamtuiError] = []
    known: dict[tuple[int, int], str] = {}
    with paused_gc():
        for done, shard in enumerate(shards):
            if watch is not None:
                watch.progress(done, len(shards), "shard")
            path = os.path.join(folder, shard)  # noqa: PTH118
            first_node = len(listing.node_parent)
            try:
                with RandomFile(path) as file:
                    same = known.setdefault((file.status.st_dev, file.status.st_ino), shard)
                    if same != shard:
                        raise FormatError(f"is the same file as {safe_text(same)}", where=path)
                    head = file.read(0, min(4, file.nbytes))
                    if shard.endswith(".safetensors") and head != b"PK\x03\x04":
                        metadata.update(add_file(listing, runs, file, shard))
                        formats.add("safetensors-sharded")
                        listing.shards.append(Shard(first_node, path, "safetensors", []))
                        continue
                from paramtui.checkpoints.registry import open_part

                opened = open_part(path, alone=True)
                append_listing(listing, runs, opened, shard)
                pickles += opened.pickles
                formats.add("torch-sharded")
                added = opened.listing
                listing.shards.append(Shard(first_node, path, added.format, added.globals, added.protocol))
            except ParamtuiError as error:
                failures.append(error)
                words = f"shard {safe_text(shard)}: {safe_text(error.what)}; its tensors are missing"
                there = os.path.exists(path)  # noqa: PTH110
                rule = "unreadable-file" if there else "missing-shard"
                listing.warnings.append(Warned(words, rule, shard))
                _keep_named(listing, pickles, error, shard)
        if not formats:
            if failures:
                words = f"none of its shards can be read; the first: {failures[0]}"
                raise FormatError(words, where=target, named=listing.globals)
            raise FormatError("names no shards", where=target)
        if "torch-sharded" in formats:
            listing.format = "torch-sharded"
            listing.disjoint = False
        listing.shards.append(Shard(len(listing.node_parent), "", "", []))
        add_metadata(listing, metadata)
    source = CheckpointSource(listing, runs)
    source.complete = not failures
    source.pickles = pickles
    return source


def _compare_with_index(listing: Listing, weight_map: dict[str, Any], shards: Sequence[str]) -> bool:
    """Warns of what only one of them has; returns whether all that the index names is listed."""
    # Not `Listing.names`, which would be kept: an optimizer may yet be listed beside the shards.
    above, keys = listing.node_parent, listing.node_key
    listed = [
        key if above[node] == ROOT and type(key := keys[node]) is str else listing.node_name(node)
        for node in listing.node
    ]
    names = set(listed)
    absent = [name for name in weight_map if name not in names]
    if absent:
        words = f"the index names {len(absent):,} tensors that no readable shard holds"
        words += f", the first {safe_text(absent[0])}"
        listing.warnings.append(Warned(words, "missing-tensor", absent[0]))
    extra = len(names) - (len(weight_map) - len(absent))
    if extra:
        first = next(name for name in listed if name not in weight_map)
        words = f"{extra:,} tensors of the {len(shards):,} shards are not in the index"
        words += f", the first {safe_text(first)}"
        listing.warnings.append(Warned(words, "not-in-index", first))
    _compare_places(listing, listed, weight_map, shards)
    return not absent


def _compare_places(
    listing: Listing, listed: Sequence[str], weight_map: dict[str, Any], shards: Sequence[str]
) -> None:
    """Warns of tensors that lie in another shard than the index says."""
    named = {os.path.join(os.path.dirname(listing.target), shard): shard for shard in shards}  # noqa: PTH118, PTH120
    wrong: list[tuple[str, str]] = []
    for place, shard in enumerate(listing.shards):
        name = named.get(shard.path)
        if name is None:
            continue
        last = listing.shards[place + 1].first_node if place + 1 < len(listing.shards) else None
        begin = bisect_left(listing.node, shard.first_node)
        end = len(listed) if last is None else bisect_left(listing.node, last)
        held = listed[begin:end]
        if list(map(weight_map.get, held)).count(name) < len(held):
            wrong += [(tensor, name) for tensor in held if weight_map.get(tensor, name) != name]
    if wrong:
        first, holder = wrong[0]
        words = f"{len(wrong):,} tensors lie in another shard than the index says"
        words += f", the first {safe_text(first)} in {safe_text(holder)}"
        listing.warnings.append(Warned(words, "wrong-shard", first))


def _compare_size(listing: Listing, metadata: object) -> None:
    """Warns where the files do not hold as many bytes as the index says."""
    said = metadata.get("total_size") if isinstance(metadata, dict) else None
    if type(said) not in (int, float) or said == sum(listing.nbytes):
        return
    # Not what the listing would keep: an optimizer may yet be listed beside the shards.
    totals = listing.totals(range(len(listing)))
    # What is shared is counted once by some writers, and storages as a whole by others.
    if said not in (totals.unique_nbytes, totals.storage_nbytes):
        # An integer can be too large for a float.
        shown = f"{said:,}" if type(said) is int else f"{said:,.0f}"
        words = f"the index says that its tensors take {shown} bytes; the shards hold {totals.nbytes:,}"
        listing.warnings.append(Warned(words, "index-size"))


def _shard_number(name: str) -> tuple[int, int] | None:
    """(5, 17) of ``model-00005-of-00017.bin``."""
    stem = name.rsplit(".", 1)[0]
    parts = stem.rsplit("-", 3)
    if len(parts) >= 3 and parts[-2] == "of" and parts[-1].isdecimal() and parts[-3].isdecimal():
        return int(parts[-3]), int(parts[-1])
    return None


def _missing_numbers(names: list[str]) -> str:
    numbers = [number for name in names if (number := _shard_number(name))]
    if not numbers:
        return ""
    have = {number for number, _ in numbers}
    total = min(max(total for _, total in numbers), 100_000)
    # Some writers count from 0.
    first = 0 if 0 in have else 1
    missing = [str(number) for number in range(first, first + total) if number not in have]
    more = f" and {len(missing) - 8:,} more" if len(missing) > 8 else ""
    return f"{', '.join(missing[:8])}{more} of {total:,}" if missing else ""
