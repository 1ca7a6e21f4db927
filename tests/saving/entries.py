"""State dicts of torch, as the writers of new files take them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from paramtui.checkpoints.state_dict import StateEntry, StateStorage


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """All bytes of the storage below a tensor."""
    storage = tensor.untyped_storage()
    if not storage.nbytes():
        return b""
    return torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tobytes()


def described(state: Mapping[str, torch.Tensor]) -> tuple[list[StateEntry], list[StateStorage]]:
    """Entries and storages of a state dict."""
    entries: list[StateEntry] = []
    storages: list[StateStorage] = []
    numbers: dict[int, int] = {}
    for name, tensor in state.items():
        key = tensor.untyped_storage()._cdata
        if key not in numbers:
            numbers[key] = len(storages)
            storages.append(held(raw_bytes(tensor)))
        entries.append(
            StateEntry(
                name,
                str(tensor.dtype).removeprefix("torch."),
                tuple(tensor.shape),
                tuple(tensor.stride()),
                int(tensor.storage_offset()),
                numbers[key],
                tensor.requires_grad,
                isinstance(tensor, torch.nn.Parameter),
            )
        )
    return entries, storages


def held(raw: bytes) -> StateStorage:
    """A storage of bytes in memory."""
    return StateStorage(len(raw), lambda begin, nbytes: raw[begin : begin + nbytes])
