"""What a file's pickles name, which of it would run code, and what is wrong with the file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from paramtui.core.health import check
from paramtui.core.text import safe_text
from paramtui.core.trust import Uses
from paramtui.errors import ParamtuiError
from paramtui.tui.opened import ability
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.trust_lines import figures_known, trust_entries

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.tui.group_lines import Entry
    from paramtui.tui.opened import Opened

KEYS = "enter goes there   esc closes"
READING = "reading the pickles as data…"
# Lines around the list: the frame, the detail with its rule, what is said.
AROUND = 8


class TrustScreen(Dialog[int | None]):
    """Gives the row to go to; None for none.

    Args:
        opened: What is checked.
    """

    CSS = """
    TrustScreen { align: center middle; background: $background 60%; }
    #trust { width: 150; max-width: 98%; height: auto; max-height: 96%; padding: 0 1;
             border: round $accent; background: $background; }
    #trust-list { height: auto; border: none; background: $background; padding: 0;
                  text-wrap: nowrap; text-overflow: ellipsis; }
    #trust-detail { height: 4; border-top: solid $foreground 30%; overflow: hidden; }
    #trust-said { height: 1; text-style: bold; overflow: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g,q,O", "close", "close", show=False),
        Binding("j", "cursor(1)", "down", show=False),
        Binding("k", "cursor(-1)", "up", show=False),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self._opened = opened
        self._entries: list[Entry] = []

    def compose(self) -> ComposeResult:
        """The list, the whole of the entry under the cursor, and what went wrong."""
        with Vertical(id="trust") as box:
            box.border_title = Text("Trust and health")
            box.border_subtitle = Text(KEYS)
            yield OptionList(id="trust-list", markup=False, compact=True)
            yield Static("", id="trust-detail", markup=False)
            yield Static(Text(READING), id="trust-said", markup=False)

    def on_resize(self) -> None:
        """The list takes the room that is left; what is said below it stays in sight."""
        self.query_one(OptionList).styles.max_height = max(self.app.size.height * 96 // 100 - AROUND, 3)

    def on_mount(self) -> None:
        """Begins to read."""
        self._read()

    @work(group="trust-read", exclusive=True)
    async def _read(self) -> None:
        opened = self._opened
        uses, words = Uses(), ""
        # A model has no pickles.
        read = ability(opened.source, "uses") if opened.listing.live is None else None
        try:
            if read is not None:
                uses = await read()
        except (ParamtuiError, OSError) as error:
            words = f"its pickles could not be read again: {error}"
        figures = figures_known(opened)

        def entries() -> list[Entry]:
            return trust_entries(opened, uses, check(opened.listing, uses, figures))

        self._entries = await asyncio.to_thread(entries)
        listed = self.query_one(OptionList)
        # Headings have nothing more to say; the rest can be read in full, even if it leads nowhere.
        listed.add_options([Option(entry.line, disabled=not entry.detail) for entry in self._entries])
        listed.highlighted = next((place for place, entry in enumerate(self._entries) if entry.detail), None)
        self._say(words)

    def _say(self, words: str) -> None:
        self.query_one("#trust-said", Static).update(Text(safe_text(words, 600)))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        detail = Text("\n").join(self._entries[event.option_index].detail)
        self.query_one("#trust-detail", Static).update(detail)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        row = self._entries[event.option_index].row
        if row >= 0:
            self.dismiss(row)
        else:
            self._say("this is no row of the tree")

    def action_cursor(self, step: int) -> None:
        """Moves by entries."""
        listed = self.query_one(OptionList)
        (listed.action_cursor_down if step > 0 else listed.action_cursor_up)()

    def action_close(self) -> None:
        """Closes the list."""
        self.dismiss(None)
