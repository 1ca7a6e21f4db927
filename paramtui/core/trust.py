"""Whether what a pickle refers to is what checkpoints are usually rebuilt with.

A name is judged by tables and by nothing else: the module is not looked for, and nothing is imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.listing import ROOT
from paramtui.core.trust_names import (
    CALLBACKS,
    HARMLESS_ENDS,
    KNOWN,
    KNOWN_CLASSES,
    LIBRARIES,
    OPENING,
    OPENING_BEGIN,
    OPENING_ENDS,
    REACHED,
    RUNNERS,
    RUNNING,
    RUNNING_LAST,
    RUNNING_TORCH,
    STANDARD,
    TORCH_CLASSES,
    TORCHSCRIPT,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.core.listing import Listing

RUNS: Final = "runs code"
UNUSUAL: Final = "unusual"
LIBRARY: Final = "of a library"
USUAL: Final = "known"
VERDICTS: Final = (RUNS, UNUSUAL, LIBRARY, USUAL)
"""From bad to good."""

EXTENSION: Final = "copyreg.extension "
"""What the names of extension codes begin with: numbers for what the loading program has registered."""

COMPUTED: Final = "(computed)"
"""Stands for a module or name that is no text in the file, or is longer than any: no table can judge it."""

NOTHING_RUN: Final = "nothing was executed: the file was read as data"

MAX_PATHS: Final = 10
"""Places of a global that are told; how many there are is counted."""


class GlobalUse(NamedTuple):
    """A class or function that pickles refer to.

    Attributes:
        name: Its full name.
        verdict: One of `VERDICTS`.
        times: At how many places it is used; 0 where all that it makes is thrown away again.
        paths: Keys of the first of these places, at most `MAX_PATHS` different ones; a key in parentheses
            is that of no block.
    """

    name: str
    verdict: str
    times: int
    paths: tuple[tuple[object, ...], ...]

    @property
    def known(self) -> bool:
        """Whether it is nothing unusual for a checkpoint."""
        return self.verdict in (LIBRARY, USUAL)


class Uses(NamedTuple):
    """What pickles refer to.

    Attributes:
        found: Every global, the worst first.
        unread: Sentences about pickles that could not be read.
        whole: Whether all pickles were read to their ends.
    """

    found: Sequence[GlobalUse] = ()
    unread: Sequence[str] = ()
    whole: bool = True

    @property
    def heading(self) -> str:
        """That nothing was run, and what is to be known of the names as a whole."""
        if not self.whole:
            return f"{NOTHING_RUN}; it could not be read to its end, so it may name more than is told"
        return (
            NOTHING_RUN if self.found or self.unread else f"{NOTHING_RUN}; it names no classes or functions"
        )


def verdict(name: str) -> str:
    """One of `VERDICTS` for the full name of a global.

    What makes plain data is known; classes of well-known packages are those of a library; what runs code, or
    leads to what does, is said; the rest is unusual, since loading imports its module and calls it.
    """
    if name in KNOWN:
        return USUAL
    if COMPUTED in name:
        return RUNS
    parts = name.split(".")
    if _runs(parts):
        return RUNS
    if not _is_class(parts[-1]):
        return UNUSUAL
    if name.startswith(TORCHSCRIPT):
        return USUAL
    if _elsewhere(parts):
        return UNUSUAL
    if name.startswith(KNOWN_CLASSES):
        return USUAL
    return LIBRARY if _of_library(name, parts) else UNUSUAL


def _runs(parts: Sequence[str]) -> bool:
    plain = [part.strip("_") for part in parts]
    if parts[0] in RUNNERS or plain[0] in RUNNERS:
        return True
    # A name with dots is looked up step by step, and modules have what they import as attributes.
    if not REACHED.isdisjoint(plain[1:]):
        return True
    for steps in (parts, plain):
        if any(".".join(steps[:count]) in RUNNING for count in range(2, min(len(steps), 6) + 1)):
            return True
    if parts[0] == TORCHSCRIPT.rstrip("."):
        return False
    if parts[-1] in RUNNING_LAST:
        return True
    # What torch's own C++ has to read and run TorchScript.
    native = parts[:2] == ["torch", "_C"] and len(parts) > 2 and plain[2].startswith("jit")
    return native or ("torch" in parts and plain[-1] in RUNNING_TORCH)


def _elsewhere(parts: Sequence[str]) -> bool:
    """Whether a name leads out of its package, through what a module of it imports."""
    if not {"torch", "np", "numpy", "pd", "pandas"}.isdisjoint(parts[1:]):
        return True
    if parts[0] not in ("torch", "numpy"):
        # They have modules of their own that are called as Python's, as scipy.signal.
        return False
    # Modules under the names of classes, as torch.nn.functional is often called.
    return not sys.stdlib_module_names.isdisjoint(parts[1:]) or not {
        "F",
        "_C",
        "_Reduction",
        "_VF",
    }.isdisjoint(parts[2:])


def _of_library(name: str, parts: Sequence[str]) -> bool:
    """Whether a class is one of a library that checkpoints hold, and no way to files or processes."""
    if parts[0] == "torch":
        return any(name.startswith(each) if each[-1] == "." else name == each for each in TORCH_CLASSES)
    if parts[0] in STANDARD and len(parts) != 2:
        return False
    last = parts[-1].lstrip("_")
    if last in CALLBACKS and "callbacks" in parts:
        return parts[0] in LIBRARIES
    if last in OPENING or last.startswith(OPENING_BEGIN):
        return False
    if last.endswith(OPENING_ENDS) and not last.endswith(HARMLESS_ENDS):
        return False
    return parts[0] in LIBRARIES


def _is_class(name: str) -> bool:
    """Whether a name is written as classes are."""
    return name.lstrip("_")[:1].isupper()


def runners(names: Iterable[str]) -> list[str]:
    """Those of some names that run code."""
    return [name for name in names if verdict(name) == RUNS]


def counted_verdicts(names: Iterable[str]) -> dict[str, int]:
    """How many names have each verdict, the worst first; without those that none has."""
    counts = dict.fromkeys(VERDICTS, 0)
    for name in names:
        counts[verdict(name)] += 1
    return {words: count for words, count in counts.items() if count}


def nodes_at(listing: Listing, paths: Iterable[Sequence[object]]) -> list[int]:
    """The nodes that paths lead to, or the last ones on the way that are listed; -1 for none."""
    # Keys of a file are compared and never hashed: they can be made to collide.
    below: dict[int, list[int]] = {}
    for node, parent in enumerate(listing.node_parent):
        below.setdefault(parent, []).append(node)
    keys = listing.node_key

    def follow(path: Sequence[object]) -> int:
        node = ROOT
        for step, key in enumerate(path):
            found = next((child for child in below.get(node, ()) if keys[child] == key), None)
            if found is None:
                return node if step else -1
            node = found
        return node

    return list(map(follow, paths))


def in_order(found: Iterable[GlobalUse]) -> list[GlobalUse]:
    """The worst first, by name within a verdict."""
    return sorted(found, key=lambda use: (VERDICTS.index(use.verdict), use.name))
