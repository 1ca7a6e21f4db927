"""Pairs of tensors and what came of comparing them, drawn line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from paramtui.core.comparing import DIFFERENT
from paramtui.tui.comparing_lines import pair_cells, pair_heading, pair_line
from paramtui.tui.widgets.strips import strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from paramtui.core.block_comparing import Pair, PairOutcome


class PairList(ScrollView, can_focus=True):
    """A line a pair, with a cursor.

    Args:
        pairs: What is compared.
        types: The element types of each pair, where they are two; else empty.
    """

    DEFAULT_CSS = """
    PairList { height: auto; overflow-x: hidden; scrollbar-size-vertical: 1; background: $background; }
    """

    class Moved(Message):
        """The cursor stands on another pair."""

    def __init__(self, pairs: Sequence[Pair], types: Sequence[str]) -> None:
        super().__init__(id="pairs")
        self._pairs = pairs
        self._types = types
        self._types_width = max(map(len, types), default=0)
        self._cursor = 0
        self.outcomes: list[PairOutcome] = []

    def on_mount(self) -> None:
        """Takes the height of its lines."""
        self.virtual_size = Size(1, len(self._pairs))

    def get_content_height(self, *_sizes: object) -> int:
        """A line a pair."""
        return len(self._pairs)

    def add(self, outcome: PairOutcome) -> None:
        """Shows what came of the next pair."""
        place = len(self.outcomes)
        self.outcomes.append(outcome)
        if 0 <= place - self.scroll_offset.y < self.size.height:
            self.refresh()
        if place == self._cursor:
            self.post_message(self.Moved())

    @property
    def cells(self) -> list[int]:
        """Widths of the columns after the name."""
        return pair_cells(self.size.width, self._types_width)

    @property
    def outcome(self) -> PairOutcome | None:
        """What came of the pair under the cursor; None while that is not known."""
        return self.outcomes[self._cursor] if self._cursor < len(self.outcomes) else None

    @property
    def pair(self) -> Pair:
        """The pair under the cursor."""
        return self._pairs[self._cursor]

    def move(self, lines: int) -> None:
        """Moves the cursor by lines."""
        self._go(self._cursor + lines)

    def page(self, pages: int) -> None:
        """Moves the cursor by screenfuls."""
        self.move(pages * max(self.size.height - 1, 1))

    def next_different(self, step: int) -> bool:
        """Moves to the next or previous pair that is known to differ; after the last one comes the first.

        Returns:
            Whether there is one.
        """
        count = len(self.outcomes)
        for away in range(1, count + 1):
            place = (self._cursor + step * away) % count
            found = self.outcomes[place].comparison
            if found is not None and found.verdict == DIFFERENT:
                self._go(place)
                return True
        return False

    def _go(self, place: int) -> None:
        place = min(max(place, 0), len(self._pairs) - 1)
        if place == self._cursor:
            return
        self._cursor = place
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if not top <= place < top + height:
            self.scroll_to(y=place if place < top else place - height + 1, animate=False, immediate=True)
        self.refresh()
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        """What stands above the columns moves with them."""
        for heading in self.screen.query(PairHeading):
            heading.refresh()

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on a pair."""
        offset = event.get_content_offset(self)
        if offset is not None:
            self._go(offset.y + self.scroll_offset.y)

    def render_line(self, y: int) -> Strip:
        """One pair."""
        width, base = self.size.width, self.rich_style
        place = y + self.scroll_offset.y
        if place >= len(self._pairs):
            return Strip.blank(width, base)
        outcome = self.outcomes[place] if place < len(self.outcomes) else None
        here = place == self._cursor
        pair, types = self._pairs[place], self._types[place]
        drawn = pair_line(pair, outcome, width, here=here, cells=self.cells, types=types)
        line = base + Style(reverse=True) if here else base
        # Under the cursor what is dim would be hard to read.
        styled = [(text, line if here else line + Style.parse(style)) for text, style in drawn]
        return strip(styled, width, line)


class PairHeading(Widget):
    """A line that says what the columns of a list of pairs are.

    Args:
        pairs: The list below it.
    """

    DEFAULT_CSS = """
    PairHeading { height: 1; color: $text-muted; }
    """

    def __init__(self, pairs: PairList) -> None:
        super().__init__(id="pairs-heading")
        self._list = pairs

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  there is one line
        """The line."""
        width = self._list.size.width
        return strip(
            [(pair_heading(width, self._list.cells), self.rich_style)], self.size.width, self.rich_style
        )
