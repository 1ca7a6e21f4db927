"""What a file's pickles name, which of it would run code, and what is wrong with the file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding

from paramtui.core.health import check
from paramtui.core.trust import Uses
from paramtui.errors import ParamtuiError
from paramtui.tui.opened import ability
from paramtui.tui.screens.entry_list import EntryListScreen
from paramtui.tui.trust_lines import figures_known, trust_entries

if TYPE_CHECKING:
    from textual.binding import BindingType

    from paramtui.tui.group_lines import Entry

READING = "reading the pickles as data…"


class TrustScreen(EntryListScreen):
    """Gives the row to go to; None for none."""

    NAME = "Trust and health"
    KEYS = "enter goes there   esc closes"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("O", "close", "close", show=False)]

    def on_mount(self) -> None:
        """Begins to read."""
        self.say(READING)
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

        # What leads nowhere can still be read in full.
        self.list_entries(await asyncio.to_thread(entries), lambda entry: bool(entry.detail))
        self.say(words)
