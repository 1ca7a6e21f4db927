"""Saves an edited checkpoint: its files as they are with the changed bytes in place, or as another format."""

from __future__ import annotations

import contextlib
import os
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from paramtui.checkpoints.files import RandomFile, os_error_text
from paramtui.checkpoints.splicing import Patch, spliced
from paramtui.checkpoints.temporary import identity_from, identity_of
from paramtui.checkpoints.writing import FileJob, write_files
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.editable import edit_reason
from paramtui.core.listing import GHOST
from paramtui.core.source import Saved
from paramtui.core.text import bytes_text, safe_text
from paramtui.errors import SavingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.checkpoints.edit_results import View
    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.checkpoints.state_dict import StateEntry, StateStorage
    from paramtui.checkpoints.temporary import Identity
    from paramtui.core.listing import Listing
    from paramtui.core.overlay import State

SAFETENSORS = ".safetensors"
TORCH = (".pt", ".pth", ".bin", ".ckpt")


class Edited(NamedTuple):
    """A checkpoint with changed bytes over it.

    Attributes:
        source: The checkpoint.
        view: Its bytes as they are now.
        state: Which ranges are changed.
    """

    source: CheckpointSource
    view: View
    state: State


def save(
    edited: Edited, path: str, *, over: bool, progress: Callable[[int, int], None] | None = None
) -> Saved:
    """Saves to a path; see `paramtui.core.source.Editor.save`."""
    listing = edited.source.listing
    directory = bool(listing.shards) and not path.endswith((SAFETENSORS, *TORCH))
    if directory:
        return _save_directory(edited, path, over=over, progress=progress)
    if path.endswith("/"):
        raise SavingError("names a directory, and what is saved is one file", where=path)
    check_suffix(path, listing.target)
    if listing.shards or _is_other_format(listing, path):
        return _save_converted(edited, path, over=over, progress=progress)
    own = listing.target
    file = edited.source.files().get(os.path.realpath(own)) or _looked_at(own)
    job = _job(edited, file, path, _replaced(path, file, over=over))
    return _written([job], [file], progress, [])


def check_suffix(path: str, target: str = "") -> None:
    """Refuses a path that says no format: a slip in its suffix must not decide for another one.

    Raises:
        SavingError: Its suffix is neither known nor that of the target.
    """
    suffix = os.path.splitext(path)[1]  # noqa: PTH122
    if suffix not in (SAFETENSORS, *TORCH) and not (target and suffix == os.path.splitext(target)[1]):  # noqa: PTH122
        raise SavingError("its suffix says no format", where=path, hint="end it in .safetensors or .pt")


def _is_other_format(listing: Listing, path: str) -> bool:
    """Whether the suffix of a path asks for another format than that of the file.

    A file may have its format under any name: its own suffix never means another one.
    """
    if _same(path, listing.target) or os.path.splitext(path)[1] == os.path.splitext(listing.target)[1]:  # noqa: PTH122
        return False
    return path.endswith(SAFETENSORS) != (listing.format == "safetensors")


def _replaced(path: str, file: RandomFile | None, *, over: bool) -> Identity | None:
    """Which file may be replaced: the opened one as it was then, another as it is now; None for none."""
    if not over:
        return None
    if file is not None and _same(path, file.path):
        return file.saved_as or identity_from(file.status)
    return there_now(path)


def there_now(path: str) -> Identity | None:
    """What lies at a path and is to be replaced, as it is now; None for nothing.

    Raises:
        SavingError: It cannot be looked at.
    """
    try:
        return identity_of(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SavingError(os_error_text(error), where=path, hint="nothing was changed") from None


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _looked_at(path: str) -> RandomFile:
    """A file that no tensor lies in, as it is now; opened again where it is read."""
    file = RandomFile(path)
    file.close()
    return file


def _patches(edited: Edited, file: RandomFile) -> list[Patch]:
    out: list[Patch] = []
    for location, table in edited.state.items():
        place = edited.source.runs[location].place() if len(table) else None
        if place is None or not _same(place.file.path, file.path):
            continue
        for begin, end in table[:, :2].tolist():
            out.append(Patch(place.begin + begin, end - begin, _reader(edited.view, location, begin)))
    return sorted(out, key=lambda patch: patch.begin)


def _reader(view: View, location: int, begin: int) -> Callable[[int, int], bytes]:
    return lambda offset, nbytes: view.read(location, begin + offset, nbytes)


def _job(edited: Edited, file: RandomFile, path: str, replaces: Identity | None) -> FileJob:
    opened = identity_from(file.status)
    write = spliced(file, _patches(edited, file), None if file.saved_as is not None else opened)
    return FileJob(path, file.nbytes, write, replaces, file.path)


def _written(
    jobs: Sequence[FileJob],
    files: Sequence[RandomFile | None],
    progress: Callable[[int, int], None] | None,
    notes: Sequence[str],
) -> Saved:
    """Writes, and goes on reading what was opened where a file took its place."""
    over = [
        (place, file)
        for place, (job, file) in enumerate(zip(jobs, files, strict=True))
        if file is not None and job.replaces is not None and _same(job.path, file.path)
    ]
    for _, file in over:
        file.pin()
    written = write_files(jobs, progress)
    for place, file in over:
        file.saved_as = written.identities[place]
    nbytes = sum(job.nbytes for job in jobs)
    what = jobs[0].path if len(jobs) == 1 else f"{len(jobs)} files in {os.path.dirname(jobs[0].path) or '.'}"  # noqa: PTH120
    words = [f"saved {safe_text(what, 400)}, {bytes_text(nbytes)}", *notes, *written.notes]
    return Saved(tuple(written.paths), nbytes, "; ".join(words), written.durable)


# Several files


def _save_directory(
    edited: Edited, path: str, *, over: bool, progress: Callable[[int, int], None] | None
) -> Saved:
    source = edited.source
    listing = source.listing
    known = source.files()
    target = listing.target
    home = target if os.path.isdir(target) else os.path.dirname(target) or "."  # noqa: PTH112, PTH120
    shards = [known.get(os.path.realpath(shard)) or _looked_at(shard) for shard in source.paths()]
    if over and _same(path, home):
        changed = [file for file in shards if _patches(edited, file)]
        if not changed:
            raise SavingError("nothing was changed: there is nothing to save over", where=path)
        jobs = [_job(edited, file, file.path, _replaced(file.path, file, over=True)) for file in changed]
        return _written(jobs, changed, progress, [])
    indices = [name for name in _names(home) if name.endswith(".index.json")]
    files = [*shards, *(_looked_at(os.path.join(home, name)) for name in indices)]  # noqa: PTH118
    jobs = []
    for file in files:
        out = os.path.join(path, os.path.relpath(file.path, home))  # noqa: PTH118
        jobs.append(_job(edited, file, out, _replaced(out, None, over=over)))
    left = [name for name in _names(home) if not any(_same(os.path.join(home, name), f.path) for f in files)]  # noqa: PTH118
    notes = [f"not copied: {_some(left)}"] if left else []
    made = not os.path.isdir(path)  # noqa: PTH112
    if made:
        try:
            os.makedirs(path)  # noqa: PTH103
        except OSError as error:
            raise SavingError(f"the directory cannot be made: {os_error_text(error)}", where=path) from None
    try:
        return _written(jobs, files, progress, notes)
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(path)  # noqa: PTH106
        raise


def _names(folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and entry.name[0] != ".")
    except OSError as error:
        raise SavingError(
            f"could not be looked at: {os_error_text(error)}", where=folder, hint="nothing was saved"
        ) from None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(safe_text(name, 60) for name in names[:3]) + more


# Another format


def _save_converted(
    edited: Edited, path: str, *, over: bool, progress: Callable[[int, int], None] | None
) -> Saved:
    """Writes a state dict of the tensors, where they are all that the checkpoint holds."""
    listing = edited.source.listing
    _check_convertible(listing, path)
    if any(_same(path, own) for own in edited.source.paths()):
        raise SavingError("is a file of the checkpoint itself", where=path, hint="choose another name")
    entries, storages = _entries(edited)
    replaces = _replaced(path, None, over=over)
    notes: list[str] = []
    added = [entry.name for entry in entries[len(listing) :]]
    if path.endswith(SAFETENSORS):
        from paramtui.checkpoints.safetensors_writing import safetensors_file_job

        job, notes = safetensors_file_job(
            path, entries, storages, user_metadata={"format": "pt"}, replaces=replaces
        )
    else:
        from paramtui.checkpoints.torch_zip_writing import torch_file_job

        job = torch_file_job(path, entries, storages, replaces=replaces)
        if added:
            notes.append(f"tied as the header declares: {_some(added)}")
    return _written([job], [None], progress, notes)


def _check_convertible(listing: Listing, path: str) -> None:
    suffix = os.path.splitext(listing.target)[1] or ".pt"  # noqa: PTH122
    hint = f"save it as {suffix}, which keeps everything" if not listing.shards else "save it as a directory"
    others = [
        value
        for value in listing.values
        if value.type_name != GHOST and listing.node_name(value.node).partition(".")[0] != "__metadata__"
    ]
    if others and listing.format not in ("safetensors", "safetensors-sharded"):
        names = [listing.node_name(value.node) or value.type_name for value in others]
        raise SavingError(
            f"the checkpoint holds more than tensors ({_some(names)}), which {os.path.basename(path)} cannot"  # noqa: PTH119
            " hold",
            where=path,
            hint=hint,
        )
    if "" in listing.names:
        raise SavingError("a tensor without a name has no place in it", where=path, hint=hint)
    if len(set(listing.names)) < len(listing.names):
        raise SavingError("several tensors have the same name", where=path, hint=hint)
    for tensor, name in enumerate(listing.names):
        reason = edit_reason(listing, tensor)
        if reason:
            raise SavingError(f"{safe_text(name)}: {reason}", where=path, hint=hint)


def _entries(edited: Edited) -> tuple[list[StateEntry], list[StateStorage]]:
    from paramtui.checkpoints.declared import HEADER
    from paramtui.checkpoints.state_dict import StateEntry, StateStorage

    listing, view = edited.source.listing, edited.view
    single = listing.format in ("safetensors", "safetensors-sharded")
    entries: list[StateEntry] = []
    storages: list[StateStorage] = []
    places: dict[int, int] = {}
    for tensor, name in enumerate(listing.names):
        geometry = listing.geometry(tensor)
        size = ITEMSIZE[geometry.dtype]
        if geometry.location >= 0 and view.big_endian(geometry.location):
            raise SavingError(f"{safe_text(name)} is big-endian: only its own format can keep it")
        if geometry.location < 0:
            place, offset = len(storages), 0
            storages.append(StateStorage(0, lambda _begin, _nbytes: b""))
        elif single:
            # All tensors of such a file lie in one run, which is no storage that they share.
            nbytes = prod(geometry.shape) * size
            place, offset = len(storages), 0
            storages.append(StateStorage(nbytes, _reader(view, geometry.location, geometry.begin)))
        else:
            if geometry.location not in places:
                places[geometry.location] = len(storages)
                nbytes = view.nbytes(geometry.location)
                storages.append(StateStorage(nbytes, _reader(view, geometry.location, 0)))
            place, offset = places[geometry.location], geometry.begin // size
        entries.append(
            StateEntry(
                name,
                geometry.dtype,
                geometry.shape,
                geometry.stride,
                offset,
                place,
                listing.requires_grad[tensor],
                listing.kind[tensor] == "parameter",
            )
        )
    for declared in listing.declared:
        # Left out of the file because it was the same tensor, and needed by who loads the state dict.
        for ghost in declared.ghosts if declared.by == HEADER else ():
            name = listing.node_name(listing.values[ghost].node)
            entries.append(entries[declared.tensor]._replace(name=name))
    return entries, storages
