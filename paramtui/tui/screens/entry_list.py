"""A list of entries over the screen, with the whole of the one under the cursor below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from paramtui.core.text import safe_text
from paramtui.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.tui.group_lines import Entry
    from paramtui.tui.opened import Opened

# Lines around the list: the frame, the detail with its rule, what is said.
AROUND = 8


class EntryListScreen(Dialog[int | None]):
    """Gives the row to go to; None for none.

    Args:
        opened: What is listed.
    """

    CSS = """
    EntryListScreen { align: center middle; background: $background 60%; }
    #entries { width: 150; max-width: 98%; height: auto; max-height: 96%; padding: 0 1;
               border: round $accent; background: $background; }
    #entries-list { height: auto; border: none; background: $background; padding: 0;
                    text-wrap: nowrap; text-overflow: ellipsis; }
    #entries-detail { height: 4; border-top: solid $foreground 30%; overflow: hidden; }
    #entries-said { height: 2; text-style: bold; overflow: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "back", "back", show=False),
        Binding("q", "close", "close", show=False),
        Binding("j", "cursor(1)", "down", show=False),
        Binding("k", "cursor(-1)", "up", show=False),
    ]
    NAME: ClassVar[str] = ""
    KEYS: ClassVar[str] = ""

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self._opened = opened
        self._entries: list[Entry] = []

    def compose(self) -> ComposeResult:
        """The list, the whole of the entry under the cursor, and what there is to say."""
        with Vertical(id="entries") as box:
            box.border_title = Text(self.NAME)
            box.border_subtitle = Text(self.KEYS)
            yield OptionList(id="entries-list", markup=False, compact=True)
            yield Static("", id="entries-detail", markup=False)
            yield Static("", id="entries-said", markup=False)

    def on_resize(self) -> None:
        """The list takes the room that is left; what is said below it stays in sight."""
        for listed in self.query(OptionList):
            listed.styles.max_height = max(self.app.size.height * 96 // 100 - AROUND, 3)

    def list_entries(self, entries: Sequence[Entry], usable: Callable[[Entry], bool]) -> list[int]:
        """Shows entries, the cursor on the first one that is usable.

        Args:
            entries: What to list.
            usable: Whether the cursor can stand on one; headings have nothing more to say.

        Returns:
            Places of the usable ones.
        """
        self._entries = list(entries)
        places = [place for place, entry in enumerate(self._entries) if usable(entry)]
        there = frozenset(places)
        # None where the screen is being left.
        for listed in self.query(OptionList):
            listed.clear_options()
            listed.add_options(
                [Option(entry.line, disabled=place not in there) for place, entry in enumerate(self._entries)]
            )
            listed.highlighted = places[0] if places else None
        return places

    def say(self, words: str) -> None:
        """Says something below the list."""
        for said in self.query("#entries-said").results(Static):
            said.update(Text(safe_text(words, 600)))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        detail = Text("\n").join(self._entries[event.option_index].detail)
        for shown in self.query("#entries-detail").results(Static):
            shown.update(detail)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        row = self._entries[event.option_index].row
        if row >= 0:
            self.dismiss(row)
        else:
            self.say("this is no row of the tree")

    def action_cursor(self, step: int) -> None:
        """Moves by entries."""
        listed = self.query_one(OptionList)
        (listed.action_cursor_down if step > 0 else listed.action_cursor_up)()

    def action_back(self) -> None:
        """Closes the list."""
        self.dismiss(None)

    def action_close(self) -> None:
        """Closes the list."""
        self.dismiss(None)
