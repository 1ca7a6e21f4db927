"""Pickles that a trainer keeps beside the weights and loads when it resumes; nothing of them is listed."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from paramtui.core.gc_pause import paused_gc
from paramtui.core.text import joined, safe_text
from paramtui.core.trust import RUNS, UNUSUAL, verdict
from paramtui.core.warned import Warned
from paramtui.errors import FormatError, ParamtuiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.listing import Listing

# As ``transformers/trainer.py`` and ``accelerate`` name them; the optimizer is listed.
_NAMES: Final = (
    "training_args.bin",
    "scheduler*.pt",
    "scheduler*.bin",
    "scaler.pt",
    "rng_state*.pth",
    "random_states*.pkl",
)
_SHOWN: Final = 3
_LIES: Final = "lies beside the weights and is loaded by a trainer that resumes"


def judge_beside(listing: Listing, folder: str, names: Iterable[str]) -> None:
    """Warns of what lies beside the weights and runs code, is unusual, or cannot be read.

    Args:
        listing: Of the weights.
        folder: Where they lie.
        names: All that lies there.
    """
    for name in names:
        path = os.path.join(folder, name)  # noqa: PTH118
        if path != listing.target and any(fnmatchcase(name, pattern) for pattern in _NAMES):
            with paused_gc():
                _judge(listing, path, name)


def _judge(listing: Listing, path: str, name: str) -> None:
    from paramtui.checkpoints.registry import open_part

    shown = safe_text(name)
    try:
        named = open_part(path, alone=True).listing.globals
    except ParamtuiError as error:
        named = (error.named or []) if isinstance(error, FormatError) else []
        words = f"{shown} {_LIES}, and may name more than is told: {safe_text(error.what)}"
        listing.warnings.append(Warned(words, "unreadable-pickle", name))
    for wanted, rule, what in (
        (RUNS, "runs-code", "it runs code by"),
        (UNUSUAL, "unusual-global", "not usual in checkpoints are"),
    ):
        found = [safe_text(each) for each in named if verdict(each) == wanted]
        if found:
            more = [f"{len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else []
            words = f"{shown} {_LIES}: {what} {joined(found[:_SHOWN] + more)}"
            listing.warnings.append(Warned(words, rule, name))
