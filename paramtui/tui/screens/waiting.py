"""What the browser says while a target is being opened, and when it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual.widgets import Static

from paramtui.core.text import safe_text
from paramtui.tui.opened import base_name
from paramtui.tui.pages import counted
from paramtui.tui.widgets.lines import TitleLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from paramtui.tui.opened import Opened

    _Base = Screen[None]
else:
    _Base = object

OUTLINE_ROWS: Final = 200


class WaitingMixin(_Base):
    """Needs `opened` and `say` of the screen that it is mixed into."""

    _target: str = ""

    if TYPE_CHECKING:

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

        say: Callable[[str], None]

    def opening_words(self) -> str:
        """``opening net.pt…``; empty before anything was asked for."""
        return f"opening {base_name(self._target)}…" if self._target else ""

    def wait_for(self, target: str) -> None:
        """Says that another target is being opened; what was shown stays until it is there."""
        self._target = target
        self.query_one(TitleLine).wait_for(target)
        if self.opened is None:
            self.remove_class("-failed")
            self.query_one("#note", Static).update(Text(self.opening_words()))

    def outline(self, names: list[tuple[str, int]], painted: Callable[[], None]) -> None:
        """First rows while the rest is read: labels, and how many tensors lie below each."""
        if self.opened is None:
            shown = [(safe_text(label), count) for label, count in names[:OUTLINE_ROWS]]
            width = max((len(label) for label, _ in shown), default=0)
            lines = [f"▸ {label.ljust(width)}  {counted(count, 'tensor')}" for label, count in shown]
            self.query_one("#note", Static).update(Text("\n".join(lines), no_wrap=True))
        self.call_after_refresh(painted)

    def progress(self, words: str) -> None:
        """Says how far the opening of a target is."""
        self.query_one(TitleLine).progress(words)

    def stopped(self, advice: str = "") -> None:
        """Says that a target is not waited for any more."""
        title = self.query_one(TitleLine)
        title.progress("")
        if self.opened is not None:
            self.say(f"{base_name(self._target)} was not opened")
        else:
            self.add_class("-failed")
            self.query_one("#note", Static).update(Text(f"stopped: {advice}o opens another target, q quits"))

    def fail(self, message: str, advice: str = "") -> None:
        """Says why the target cannot be opened: in the tree's place, or below what is shown."""
        if self.opened is not None:
            self.query_one(TitleLine).open(self.opened)
            self.say(message)
            return
        self.query_one(TitleLine).progress("")
        self.add_class("-failed")
        words = f"{safe_text(message, 2000)}\n\n{advice}o opens another target, q quits"
        self.query_one("#note", Static).update(Text(words))
