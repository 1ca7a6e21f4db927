"""Previews and work as plain data, to be sent between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paramtui.core.computing import Work, WorkTensor
from paramtui.core.edits import call_from, plain_call
from paramtui.core.plain import plain_window, window_from
from paramtui.core.source import Preview
from paramtui.core.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Sequence


def plain_preview(preview: Preview) -> tuple[dict[str, Any], bytes]:
    """A preview as plain data and the bytes of its windows."""
    windows = [window for window in (preview.before, preview.after) if window is not None]
    plain = [plain_window(window) for window in windows]
    return {
        "summaries": [[tensor, list(was), list(now)] for tensor, (was, now) in preview.summaries.items()],
        "histograms": [[tensor, list(was), list(now)] for tensor, (was, now) in preview.histograms.items()],
        "windows": [[head, len(data)] for head, data in plain],
        "tensor": windows[0].tensor if windows else -1,
    }, b"".join(data for _, data in plain)


def preview_from(plain: dict[str, Any], data: bytes, picks: Sequence[Sequence[int]]) -> Preview:
    """What `plain_preview` wrote."""
    windows = []
    at = 0
    for head, nbytes in plain["windows"]:
        windows.append(window_from(plain["tensor"], tuple(picks), head, data[at : at + nbytes]))
        at += nbytes
    before, after = windows or (None, None)
    return Preview(
        {tensor: (Summary(*was), Summary(*now)) for tensor, was, now in plain["summaries"]},
        {tensor: (tuple(was), tuple(now)) for tensor, was, now in plain["histograms"]},
        before,
        after,
    )


def plain_work(work: Work) -> dict[str, Any]:
    """Work as plain data."""
    return {
        "path": work.path,
        "ids": list(work.ids),
        "tensors": [list(tensor) for tensor in work.tensors],
        "steps": [[number, plain_call(call)] for number, call in work.steps],
        "recipe": work.recipe,
        "call": None if work.call is None else plain_call(work.call),
        "seed": work.seed,
    }


def work_from(plain: dict[str, Any]) -> Work:
    """What `plain_work` wrote."""
    tensors = [
        WorkTensor(begin, dtype, tuple(shape), tuple(stride))
        for begin, dtype, shape, stride in plain["tensors"]
    ]
    return Work(
        plain["path"],
        tuple(plain["ids"]),
        tuple(tensors),
        tuple((number, call_from(call)) for number, call in plain["steps"]),
        plain["recipe"],
        None if plain["call"] is None else call_from(plain["call"]),
        plain["seed"],
    )
