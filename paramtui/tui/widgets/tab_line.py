"""The line of tabs where one panel is seen at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual.message import Message
from textual.widgets import Static

if TYPE_CHECKING:
    from textual import events

PANELS: Final = ("values", "gradient", "distribution")


class TabLine(Static):
    """The names of the panels; the one that is seen is marked."""

    class Picked(Message):
        """A person clicked a tab."""

        def __init__(self, panel: str) -> None:
            super().__init__()
            self.panel = panel

    def __init__(self) -> None:
        super().__init__(id="tabs", markup=False)
        self._panel = PANELS[0]

    def show_panel(self, panel: str) -> None:
        """Marks a tab."""
        if panel != self._panel:
            self._panel = panel
            self.refresh()

    def render(self) -> Text:
        """``[1 Values]  2 Gradient   3 Distribution``."""
        line = Text(no_wrap=True, overflow="crop", end="")
        for number, panel in enumerate(PANELS, start=1):
            here = panel == self._panel
            words = f"{number} {panel.capitalize()}"
            line.append(f"[{words}]" if here else f" {words} ", style="bold reverse" if here else "")
            line.append(" ")
        return line

    def on_click(self, event: events.Click) -> None:
        """Picks the tab under the mouse."""
        at = 0
        for number, panel in enumerate(PANELS, start=1):
            at += len(f" {number} {panel} ") + 1
            if event.x < at:
                self.post_message(self.Picked(panel))
                return
