"""Saves the state dict of a live model, streaming from the memory that it lies in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from paramtui.checkpoints.safetensors_writing import safetensors_file_job
from paramtui.checkpoints.saving import check_suffix, there_now
from paramtui.checkpoints.state_dict import StateEntry, StateStorage
from paramtui.checkpoints.torch_zip_writing import torch_file_job
from paramtui.checkpoints.writing import write_files
from paramtui.core.source import Saved
from paramtui.core.text import bytes_text, safe_text
from paramtui.errors import RunStoppedError, SavingError, SavingStoppedError
from paramtui.models.shield import stoppable, whole
from paramtui.models.snapshots import copied, storage_of
from paramtui.models.tensor_listing import dtype_name
from paramtui.models.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def save_model(
    model: nn.Module, path: str, *, over: bool, progress: Callable[[int, int], None] | None = None
) -> Saved:
    """Saves to ``.safetensors`` or to ``.pt``; see `paramtui.core.source.Editor.save`."""
    check_suffix(path)

    def told(done: int, total: int) -> None:
        # Between two pieces stopping leaves nothing behind; once the file is in its place, it was saved.
        stoppable(lambda: progress(done, total) if progress is not None else None)

    try:
        return whole(lambda: _saved(model, path, over=over, progress=told))
    except KeyboardInterrupt:
        raise SavingStoppedError("stopped: nothing was saved") from None


def _state_of(model: nn.Module) -> dict[str, Any]:
    with user_code("state_dict()"):
        return model.state_dict()


def _saved(model: nn.Module, path: str, *, over: bool, progress: Callable[[int, int], None]) -> Saved:
    try:
        state = stoppable(lambda: _state_of(model))
    except RunStoppedError:
        raise SavingStoppedError("stopped: nothing was saved") from None
    entries, storages = _entries(state, path)
    replaces = there_now(path) if over else None
    notes: list[str] = []
    if path.endswith(".safetensors"):
        job, notes = safetensors_file_job(
            path, entries, storages, user_metadata={"format": "pt"}, replaces=replaces
        )
    else:
        metadata = getattr(state, "_metadata", None)
        job = torch_file_job(path, entries, storages, metadata=metadata, replaces=replaces)
    written = write_files([job], progress)
    words = [f"saved {safe_text(path, 400)}, {bytes_text(job.nbytes)}", *notes]
    return Saved(tuple(written.paths), job.nbytes, "; ".join([*words, *written.notes]), written.durable)


def _entries(state: dict[str, Any], path: str) -> tuple[list[StateEntry], list[StateStorage]]:
    entries: list[StateEntry] = []
    storages: list[StateStorage] = []
    places: dict[tuple[str, int], int] = {}
    for name, value in state.items():
        tensor = _plain(name, value, path)
        memory = storage_of(tensor)
        key = (str(tensor.device), memory.data_ptr()) if memory is not None else ("", len(storages))
        if key not in places:
            places[key] = len(storages)
            storages.append(StateStorage(memory.numel() if memory is not None else 0, _reader(memory)))
        entries.append(
            StateEntry(
                name,
                dtype_name(tensor),
                tuple(map(int, tensor.shape)),
                tuple(map(int, tensor.stride())),
                int(tensor.storage_offset()),
                places[key],
                tensor.requires_grad,
                isinstance(value, torch.nn.Parameter),
            )
        )
    return entries, storages


def _plain(name: str, value: object, path: str) -> torch.Tensor:
    where, shown = path, safe_text(name)
    if not isinstance(value, torch.Tensor):
        raise SavingError(
            f"{shown} is no tensor but a {type(value).__name__}: only tensors can be saved from here",
            where=where,
            hint="torch.save(model.state_dict(), ...) in your own code keeps it",
        )
    if value.device.type == "meta":
        raise SavingError(f"{shown} is on the meta device: it has no numbers", where=where)
    plain = value.layout == torch.strided and not value.is_nested and not value.is_quantized
    if not plain or (value.numel() and storage_of(value) is None) or value.is_conj() or value.is_neg():
        raise SavingError(
            f"{shown} is no plain tensor ({type(value).__name__}, {value.layout})",
            where=where,
            hint="torch.save(model.state_dict(), ...) in your own code keeps it",
        )
    return value


def _reader(memory: torch.Tensor | None) -> Callable[[int, int], bytes]:
    if memory is None:
        return lambda _begin, _nbytes: b""
    return lambda begin, nbytes: copied(memory[begin : begin + nbytes]).numpy().tobytes()
