"""The title at the top and the keys at the bottom: one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import Static

from paramtui.core.text import bytes_text, count_text
from paramtui.tui.actions import footer
from paramtui.tui.opened import base_name
from paramtui.tui.pages import counted
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from paramtui.tui.opened import Opened

STATE = "read only"


class TitleLine(Static):
    """Where I am, what it is, how big, and in which state."""

    def __init__(self, target: str) -> None:
        super().__init__(id="title", markup=False)
        self._target = target
        self._opened: Opened | None = None

    def open(self, opened: Opened) -> None:
        """Shows what the target turned out to be."""
        self._opened = opened
        self.refresh()

    def render(self) -> Text:
        """As many facts as fit; the name and the state stay longest."""
        width = self.size.width
        state = STATE if self._opened is not None else ""
        parts: list[str] = []
        if self._opened is not None:
            totals = self._opened.totals
            parts = [
                self._opened.listing.format,
                counted(totals.tensors, "tensor"),
                f"{count_text(totals.elements)} elements",
                bytes_text(totals.nbytes),
            ]
            warnings = len(self._opened.listing.warnings)
            if warnings:
                state = f"{counted(warnings, 'warning')} (a)  {state}"
        name = base_name(self._target)
        # From the least to the most telling: elements, format, number of tensors, size.
        for drop in (2, 0, 0, 0):
            if len(parts) > drop and cell_len("   ".join(["paramtui  " + name, *parts, state])) > width:
                del parts[drop]
        name = fit(name, max(width - 10 - len(state) - 3, 1))
        line = Text("paramtui", style="bold", no_wrap=True, overflow="crop", end="")
        line.append(f"  {name}", style="bold")
        facts = "".join(f"   {part}" for part in parts)
        line.append(facts, style="not bold")
        line.append(" " * max(width - line.cell_len - len(state), 1))
        line.append(state, style="not bold dim")
        return line


class KeyLine(Static):
    """What a person can do here."""

    def __init__(self) -> None:
        super().__init__(id="keys", markup=False)
        self._places: tuple[str, ...] = ("app",)
        self._full = False

    def show_keys(self, *places: str, full: bool = False) -> None:
        """Shows the keys of some places; `full` when values fill the screen, and q goes back."""
        self._places = places
        self._full = full
        self.refresh()

    def render(self) -> Text:
        """Keys, then words; those that do not fit are left out."""
        line = Text(no_wrap=True, overflow="crop", end="")
        for keys, words in footer(*self._places):
            shown = "back" if self._full and words == "quit" else words
            if self._full and words == "back":
                continue
            if line.cell_len + cell_len(keys) + cell_len(shown) + 3 > self.size.width:
                continue
            line.append(f"{'  ' if line.plain else ''}{keys}", style="bold")
            line.append(f" {shown}")
        return line
