"""What saving to a path would write, and what lies there now, in words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.text import bytes_text, safe_text
from paramtui.core.ties import DECLARED
from paramtui.core.whole_views import written_whole
from paramtui.tui.pages import counted
from paramtui.tui.tie_lines import names_text

if TYPE_CHECKING:
    from paramtui.core.whole_views import Whole
    from paramtui.tui.opened import Opened

FORMATS: Final = {
    ".safetensors": "safetensors",
    ".pt": "torch zip",
    ".pth": "torch zip",
    ".bin": "torch zip",
    ".ckpt": "torch zip",
}


class Place(NamedTuple):
    """What lies at a path.

    Attributes:
        exists: Whether something does.
        itself: Whether it is the target on screen.
        nbytes: Size of a file; 0 for a directory.
        problem: Why nothing can be written there; empty where nothing is known to be wrong.
        folder: Whether it is a directory.
    """

    exists: bool
    itself: bool = False
    nbytes: int = 0
    problem: str = ""
    folder: bool = False


def look_at(path: str, target: str) -> Place:
    """Looks at a path."""
    # The system's calls: what is there may change between two of them, and nothing here depends on that.
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        folder = os.path.dirname(path) or "."  # noqa: PTH120
        if path and not os.path.isdir(folder):  # noqa: PTH112
            return Place(exists=False, problem="there is no such directory")
        return Place(exists=os.path.lexists(path))
    except ValueError:
        return Place(exists=False, problem="this is no path")
    try:
        home = os.path.dirname(target) or "."  # noqa: PTH120
        itself = os.path.samefile(path, target) or (  # noqa: PTH121
            target.endswith(".index.json") and os.path.samefile(path, home)  # noqa: PTH121
        )
    except (OSError, ValueError):
        itself = False
    is_folder = os.path.isdir(path)  # noqa: PTH112
    return Place(exists=True, itself=itself, nbytes=0 if is_folder else found.st_size, folder=is_folder)


def is_written_whole(opened: Opened, path: str) -> bool:
    """Whether a path asks for a format that keeps no overlapping views, of a target that may hold some."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
    own = os.path.splitext(opened.listing.target)[1].lower()  # noqa: PTH122
    same = opened.listing.live is None and not opened.listing.shards and suffix == own
    return suffix == ".safetensors" and not same and not opened.listing.format.startswith("safetensors")


def whole_of(opened: Opened) -> Whole:
    """What the opened target comes to where each tensor is written whole."""
    listing, live = opened.listing, opened.listing.live
    written = None
    if live is not None:
        written = [tensor for tensor, there in enumerate(live.persistent) if there]
    sharing = [member for tied in opened.ties.groups if tied.kind != DECLARED for member in tied.members]
    return written_whole(listing, sharing, written)


def whole_words(whole: Whole) -> str:
    """Which ties would be lost; empty for none."""
    if not whole.apart:
        return ""
    names = names_text([group[0] for group in whole.apart], 2)
    kept = "; exact ties are kept" if whole.kept else ""
    return (
        f"overlapping views ({counted(len(whole.apart), 'group')}: {names}) are written whole:"
        f" .safetensors cannot keep them tied{kept}"
    )


def what_words(opened: Opened, path: str, whole: Whole | None = None) -> str:
    """``safetensors, about 141 GB, 3 changed tensors``; `whole` where each tensor is written whole."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
    kind = FORMATS.get(suffix)
    if kind is None and opened.listing.shards:
        kind = "a directory of shards, as the opened one"
    elif kind is None:
        own = os.path.splitext(opened.listing.target)[1].lower()  # noqa: PTH122
        kind = "as the opened one" if suffix == own and opened.listing.live is None else ""
    changed = sum(opened.tree.tensor[row] >= 0 for row in opened.changed_rows)
    parts = [
        kind or "its suffix must say the format: .safetensors or .pt",
        f"about {bytes_text(opened.totals.unique_nbytes if whole is None else whole.nbytes)}",
        f"{counted(changed, 'changed tensor')}" if changed else "no changes",
    ]
    return ", ".join(parts)


def code_words(opened: Opened, path: str) -> str:
    """That a copy would run what the target runs; empty where it keeps only tensors."""
    from paramtui.core.trust import runners

    listing = opened.listing
    running = runners(listing.globals) if listing.live is None else []
    if not running or os.path.splitext(path)[1].lower() == ".safetensors":  # noqa: PTH122
        return ""
    others = f" and {len(running) - 1:,} more" if len(running) > 1 else ""
    return f"Loading the copy runs code, as of this file: {safe_text(running[0], 100)}{others}."


def place_words(place: Place, *, agreed: bool) -> str:
    """What a person should know about the place before saving there."""
    if place.problem:
        return place.problem
    if not place.exists:
        return ""
    if place.itself and place.folder:
        words = "This is the opened checkpoint itself: what its changed files hold now will be gone."
    elif place.itself:
        words = "This is the opened file itself: what it holds now will be gone."
    elif place.folder:
        words = "There is a directory already."
    else:
        size = f" of {bytes_text(place.nbytes)}" if place.nbytes else ""
        words = f"There is a file{size} already."
    return f"{words} {'y replaces it' if agreed else 'enter asks once more'}"
