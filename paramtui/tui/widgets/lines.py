"""The title at the top and the keys at the bottom: one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import Static

from paramtui.core.describe import elements_words, size_words
from paramtui.core.geometry import UNSTORED
from paramtui.core.text import bytes_text, safe_text
from paramtui.tui.opened import base_name
from paramtui.tui.pages import counted
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramtui.tui.actions import Keys
    from paramtui.tui.opened import Opened

STATE = "read only"
# The last entries of the footer: help, and the way out.
LAST = 2
FOR_MODELS = frozenset({"backward"})
FOR_EDITORS = frozenset({"initialise", "edit", "undo", "save"})
FOR_TIES = frozenset({"ties"})
CELL_KEYS = (
    ("0-9 -", "set"),
    ("*0.5", "scale"),
    ("[", "other cells"),
    ("enter", "a line"),
    ("u", "undo"),
    ("s", "save"),
    ("esc", "leave"),
)


def changes_state(opened: Opened) -> str:
    """``3 changes``, ``saved`` or ``clean``; nothing where nothing can be changed."""
    if opened.editor is None:
        return ""
    history = opened.editor.history
    if history.unsaved:
        return counted(len(history.done), "change") if history.done else "unsaved"
    return "saved" if history.done else "clean"


def _state(opened: Opened) -> str:
    """One or two words: what can be done, or what has happened."""
    live = opened.listing.live
    changes = changes_state(opened)
    if live is None or opened.model is None:
        return changes or STATE
    if opened.model.ended:
        return "engine ended"
    devices = sorted(set(live.device))
    parts = [
        changes,
        devices[0] if len(devices) == 1 else f"{len(devices)} devices" if devices else "",
        live.mode(),
    ]
    return "  ".join(part for part in parts if part)


def _facts(opened: Opened) -> Iterator[tuple[str, ...]]:
    """What a target is and how big, in fewer and fewer words; the size stays longest."""
    totals = opened.totals
    kind, tensors = opened.listing.format, counted(totals.tensors, "tensor")
    long, short = size_words(totals), bytes_text(totals.unique_nbytes)
    yield kind, tensors, elements_words(totals), long
    yield kind, tensors, long
    yield tensors, long
    yield tensors, short
    yield (short,)
    yield ()


def _runs_code(opened: Opened) -> bool:
    """Whether a pickle names what would run code."""
    if not opened.listing.globals:
        return False
    from paramtui.core.trust import runners

    return bool(runners(opened.listing.globals))


class TitleLine(Static):
    """Where I am, what it is, how big, and in which state."""

    def __init__(self, target: str) -> None:
        super().__init__(id="title", markup=False)
        self._target = target
        self._opened: Opened | None = None
        self._waiting = ""
        self._work_words = ""
        self._runs = False
        self._damaged = 0

    def open(self, opened: Opened) -> None:
        """Shows what the target turned out to be."""
        self._opened = opened
        self._target = opened.listing.target
        self._waiting = ""
        self._runs = _runs_code(opened)
        self._damaged = sum(
            extra.problem is not None and extra.layout not in UNSTORED
            for extra in opened.listing.extras.values()
        )
        self.refresh()

    def wait_for(self, target: str) -> None:
        """Says that a target is being opened."""
        if self._opened is None:
            self._target = target
            self.refresh()
        else:
            self.progress(f"opening {base_name(target)}…")

    def progress(self, words: str) -> None:
        """Says how far the opening is, in place of the state; empty words end that."""
        self._waiting = words
        self.refresh()

    def running(self, words: str) -> None:
        """Says what is being done, in place of the state; empty words end that."""
        if words != self._work_words:
            self._work_words = words
            self.refresh()

    def _alarms(self, width: int) -> list[str]:
        """What a person must know, the worst first; in a word each where there are few cells."""
        assert self._opened is not None  # noqa: S101  nothing else has any
        warnings = len(self._opened.listing.warnings) + bool(self._opened.wasted)
        found = [
            (self._runs, "a pickle that runs code (O)", "!! runs code"),
            (self._damaged, f"{self._damaged:,} not readable (O)", f"{self._damaged:,} bad"),
            (self._opened.outdated, "changed on disk (ctrl+r)", "changed"),
            (warnings, f"{counted(warnings, 'warning')} (a)", "warned"),
        ]
        long = [words for there, words, _ in found if there]
        if cell_len("  ".join(long)) <= width:
            return long
        return [word for there, _, word in found if there]

    def render(self) -> Text:
        """As many facts as fit; the name and the state stay longest."""
        width = self.size.width
        state = ""
        if self._opened is not None:
            state = "  ".join([*self._alarms(width // 2), _state(self._opened)])
        state = self._waiting or self._work_words or state
        name = base_name(self._target) if self._target else ""
        parts: tuple[str, ...] = ()
        if self._opened is not None:
            for parts in _facts(self._opened):
                if cell_len("   ".join(["paramtui  " + name, *parts, state])) <= width:
                    break
        own = "paramtui  " if len(state) + 20 <= width else ""
        name = fit(name, max(width - len(own) - len(state) - 3, 1))
        line = Text(f"{own}{name}", style="bold", no_wrap=True, overflow="crop", end="")
        facts = "".join(f"   {part}" for part in parts)
        line.append(facts, style="not bold")
        line.append(" " * max(width - line.cell_len - len(state), 1))
        line.append(state, style="not bold dim")
        return line


class KeyLine(Static):
    """What a person can do here, or one sentence about what just happened."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(id="keys", markup=False)
        self._keys = keys
        self._places: tuple[str, ...] = ("app",)
        self._full = False
        self._can: frozenset[str] = frozenset()
        self._cells = False
        self._said = ""

    def show_keys(
        self, *places: str, full: bool = False, can: frozenset[str] = frozenset(), cells: bool = False
    ) -> None:
        """Shows the keys of some places.

        Args:
            places: Places of the table of actions.
            full: Whether values fill the screen, and q goes back.
            can: ``model`` and ``edit``, where the target has a model in it or can be changed: keys for that
                alone come first there, and nowhere else. ``ties``, where names share memory: so do theirs.
            cells: Whether a cursor stands on a cell, and other keys count.
        """
        if (places, full, can, cells) != (self._places, self._full, self._can, self._cells):
            self._places, self._full, self._can, self._cells = places, full, can, cells
            self.refresh()

    @property
    def said(self) -> str:
        """The sentence in place of the keys; empty for none."""
        return self._said

    def say(self, words: str) -> None:
        """Shows a sentence instead of the keys; an empty one brings them back."""
        if words != self._said:
            self._said = words
            self.refresh()

    def render(self) -> Text:
        """Keys, then words; those that do not fit are left out."""
        width = self.size.width
        if self._said:
            return Text(fit(safe_text(self._said, 1000), width), no_wrap=True, end="", style="bold")
        entries = [
            (keys, "back" if self._full and words == "quit" else words)
            for keys, words in self._keys.footer(*self._places)
            if not (self._full and words == "back")
        ]
        special = [
            *[entry for entry in entries if entry[1] in FOR_MODELS and "model" in self._can],
            *[entry for entry in entries if entry[1] in FOR_EDITORS and "edit" in self._can],
            *[entry for entry in entries if entry[1] in FOR_TIES and "ties" in self._can],
        ]
        first = FOR_MODELS | FOR_EDITORS | (FOR_TIES & self._can)
        entries = [entry for entry in entries if entry[1] not in first]
        entries[1:1] = special
        if self._cells:
            entries = [*CELL_KEYS, *entries[-LAST:]]
        sizes = [cell_len(keys) + cell_len(words) + 3 for keys, words in entries]
        # How to get help and out is told in any case; of the others, those that fit.
        room = width + 2 - sum(sizes[-LAST:])
        line = Text(no_wrap=True, overflow="crop", end="")
        for place, ((keys, words), size) in enumerate(zip(entries, sizes, strict=True)):
            if place < len(entries) - LAST:
                if size > room:
                    continue
                room -= size
            line.append(f"{'  ' if line.plain else ''}{keys}", style="bold")
            line.append(f" {words}")
        return line
