"""Writes a state dict as a ``.safetensors`` file.

The format knows no ties. As ``safetensors.torch.save_model`` does, tensors that are the same
elements in the same order are written once, under the first of their names in alphabetical order, and
the other names are declared in the metadata as ``{dropped: kept}``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.safetensors import DTYPE_NAMES, MAX_HEADER
from paramtui.checkpoints.state_dict import PIECE, check_entries, is_contiguous, listed, numel, pieces
from paramtui.checkpoints.writing import FileJob
from paramtui.core.dtypes import ITEMSIZE
from paramtui.core.text import safe_text
from paramtui.core.whole_views import apart_words
from paramtui.errors import SavingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from paramtui.checkpoints.state_dict import StateEntry, StateStorage
    from paramtui.checkpoints.writing import Identity, Sink

_CODES: Final = {dtype: code for code, dtype in DTYPE_NAMES.items()}
_METADATA: Final = "__metadata__"
# Pieces of a tensor that is not in row-major order, gathered at once: eight bytes of place for each.
_GATHERED: Final = 1 << 19


def safetensors_file_job(
    path: str,
    entries: Sequence[StateEntry],
    storages: Sequence[StateStorage],
    *,
    user_metadata: Mapping[str, str] | None = None,
    replaces: Identity | None = None,
    mode_of: str | None = None,
) -> tuple[FileJob, list[str]]:
    """A job that writes a ``.safetensors`` file, and what a person should know about it.

    Args:
        path: Where.
        entries: The tensors. Larger elements are written first, so that all are aligned; otherwise in
            the order given.
        storages: What they lie in.
        user_metadata: Texts that the header is to hold besides.
        replaces: As in `FileJob`.
        mode_of: As in `FileJob`.

    Returns:
        The job, and sentences about the ties that the file cannot keep.

    Raises:
        SavingError: The format cannot hold these tensors.
    """
    check_entries(path, entries, storages)
    for entry in entries:
        if entry.dtype not in _CODES:
            raise SavingError(
                f"{safe_text(entry.name)} is {entry.dtype}, for which safetensors has no type",
                where=path,
                hint="save as .pt",
            )
        if entry.name == _METADATA:
            raise SavingError(f"no tensor of a safetensors file can be named {_METADATA}", where=path)
    notes: list[str] = []
    metadata = dict(user_metadata or {})
    dropped = _aliases(entries)
    for name, kept in dropped.items():
        if metadata.setdefault(name, kept) != kept:
            notes.append(
                f"{safe_text(name)} is written as {safe_text(kept)}, and the metadata cannot say so:"
                " they hold a text of that name"
            )
    written = [entry for entry in entries if entry.name not in dropped]
    lost = apart_words(len(listed(written).sharing.groups), kept=bool(dropped))
    if lost:
        notes.append(lost)
    written.sort(key=lambda entry: -ITEMSIZE[entry.dtype])
    header = _header(path, written, metadata)
    nbytes = len(header) + sum(numel(entry) * ITEMSIZE[entry.dtype] for entry in written)

    def write(sink: Sink) -> None:
        sink.append(header)
        for entry in written:
            for piece in _row_major(entry, storages):
                sink.append(piece)

    return FileJob(path, nbytes, write, replaces, mode_of), notes


def _aliases(entries: Sequence[StateEntry]) -> dict[str, str]:
    """Names that are not written, and the names that stand for them."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for entry in entries:
        if numel(entry):
            moving = tuple(s for n, s in zip(entry.shape, entry.stride, strict=True) if n > 1)
            key = (entry.storage, entry.offset, entry.dtype, entry.shape, moving)
            groups.setdefault(key, []).append(entry.name)
    return {name: min(names) for names in groups.values() for name in sorted(names) if name != min(names)}


def _header(path: str, entries: Sequence[StateEntry], metadata: Mapping[str, str]) -> bytes:
    """The length of the JSON header and the header, padded to a multiple of eight bytes."""
    fields: dict[str, object] = {_METADATA: metadata} if metadata else {}
    end = 0
    for entry in entries:
        begin, end = end, end + numel(entry) * ITEMSIZE[entry.dtype]
        shape = list(entry.shape)
        if entry.dtype == "float4_e2m1fn_x2":
            if not shape:
                raise SavingError(
                    f"{safe_text(entry.name)} is a pair of 4-bit numbers without a dimension", where=path
                )
            shape[-1] *= 2  # PyTorch counts pairs
        fields[entry.name] = {"dtype": _CODES[entry.dtype], "shape": shape, "data_offsets": [begin, end]}
    try:
        raw = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise SavingError("a name is no text that UTF-8 can hold", where=path) from None
    raw += b" " * (-len(raw) % 8)
    if len(raw) > MAX_HEADER:
        raise SavingError(
            f"needs a header of {len(raw):,} bytes; the format allows {MAX_HEADER:,}", where=path
        )
    return len(raw).to_bytes(8, "little") + raw


class _Runs:
    """Storages as runs of bytes."""

    def __init__(self, storages: Sequence[StateStorage]) -> None:
        self._storages = storages

    def read(self, location: int, begin: int, nbytes: int) -> bytes:
        return self._storages[location].read(begin, nbytes)


def _row_major(entry: StateEntry, storages: Sequence[StateStorage]) -> Iterator[bytes | memoryview]:
    """The elements of a tensor in row-major order, a few MiB at a time."""
    size = ITEMSIZE[entry.dtype]
    count = numel(entry)
    if not count:
        return
    storage = storages[entry.storage]
    if is_contiguous(entry):
        yield from pieces(storage, entry.offset * size, count * size)
        return
    import numpy as np  # most tensors need no places computed

    from paramtui.core.windows import gather

    outer, run = _outer(entry)
    shape = tuple(entry.shape[:outer])
    steps = min(_GATHERED, max(1, PIECE // (run * size)))
    rows = count // run
    runs = _Runs(storages)
    for first in range(0, rows, steps):
        places = np.full(min(steps, rows - first), entry.offset, np.int64)
        for index, stride in zip(
            np.unravel_index(np.arange(first, first + len(places)), shape),
            entry.stride[:outer],
            strict=True,
        ):
            places += index * stride
        if run * size > PIECE:
            yield from pieces(storage, int(places[0]) * size, run * size)
        else:
            yield gather(runs, entry.storage, places * size, run * size).data


def _outer(entry: StateEntry) -> tuple[int, int]:
    """Number of leading dimensions that scatter the elements, and elements of one piece behind them.

    The tensor is not in row-major order: some dimension scatters.
    """
    outer, run = len(entry.shape), 1
    while entry.shape[outer - 1] == 1 or entry.stride[outer - 1] == run:
        outer -= 1
        run *= entry.shape[outer]
    return outer, run
