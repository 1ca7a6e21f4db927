"""What the person's own code has printed, over the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from paramtui.core.text import safe_text
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.widgets.strips import text_strip

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.output_log import OutputLog

REFRESH = 0.25


class OutputLines(ScrollView, can_focus=True):
    """The last lines; follows what is printed while the end is in view."""

    def __init__(self, log: OutputLog) -> None:
        super().__init__(id="output")
        self._log = log
        self._lines: list[str] = []
        self._placed = False
        # Whether it is on its way to the end.
        self._going = False
        self.border_title = "What the model's code printed"
        self.border_subtitle = Text("p closes")

    def on_mount(self) -> None:
        """Looks for more a few times a second."""
        self._look()
        self.set_interval(REFRESH, self._look)

    def _look(self) -> None:
        lines = self._log.lines or ["(nothing yet)"]
        if lines == self._lines:
            return
        at_end = self._going or self.scroll_offset.y >= len(self._lines) - self.size.height
        self._lines = lines
        dropped = self._log.dropped
        if dropped:
            self.border_title = f"What the model's code printed: the last {len(lines):,} lines"
        self.virtual_size = Size(1, len(lines))
        if at_end:
            self._to_end()
        self.refresh()

    def _to_end(self) -> None:
        # How far it can be scrolled is known once the new size has been laid out.
        self._going = True
        self.call_after_refresh(self._at_end)

    def _at_end(self) -> None:
        end = max(len(self._lines) - self.size.height, 0)
        self.scroll_to(y=end, animate=False, immediate=True)
        if self.scroll_offset.y < end and self.size.height:
            self.call_after_refresh(self._at_end)
        else:
            self._going = False

    def on_resize(self) -> None:
        """The end is known once there is a height."""
        if not self._placed:
            self._placed = self.size.height > 0
            self._to_end()

    def render_line(self, y: int) -> Strip:
        """One line, safe for a terminal."""
        at = y + self.scroll_offset.y
        if at >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        text = Text(safe_text(self._lines[at].expandtabs(4), 1000), no_wrap=True)
        return text_strip(text, self.size.width, self.rich_style, self.app.console)


class OutputScreen(Dialog[None]):
    """A window onto the output; any of its keys closes it."""

    CSS = """
    OutputScreen { align: center middle; background: $background 60%; }
    #output { width: 96%; height: 80%; border: round $accent; background: $background; overflow-x: hidden;
              scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,p,enter,backspace", "dismiss", "close", show=False),
        Binding("j", "lines(1)", "down", show=False),
        Binding("k", "lines(-1)", "up", show=False),
    ]

    def __init__(self, log: OutputLog) -> None:
        super().__init__()
        self._log = log

    def compose(self) -> ComposeResult:
        """The lines."""
        yield OutputLines(self._log)

    def action_lines(self, lines: int) -> None:
        """Moves by lines."""
        self.query_one(OutputLines).scroll_relative(y=lines, animate=False)
