"""All that shares memory in one list: what it is, how large, and what sharing saves; equal copies too."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding
from textual.widgets import OptionList

from paramtui.errors import ParamtuiError
from paramtui.tui.group_lines import Entry, copies_entries, entries, outcome_words
from paramtui.tui.opened import ability
from paramtui.tui.screens.entry_list import EntryListScreen

if TYPE_CHECKING:
    from textual.binding import BindingType


class GroupsScreen(EntryListScreen):
    """Gives the row to go to; None for none."""

    NAME = "Shared memory"
    KEYS = "enter goes there   c equal copies   esc closes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "close", "close", show=False),
        Binding("c", "copies", "equal copies", show=False),
    ]
    _searching = False

    def on_mount(self) -> None:
        """Lists what is known without reading numbers."""
        if not self.list_entries(entries(self._opened), _leads):
            self.say("c reads all numbers and finds equal copies, if there are any")

    # Equal copies

    def action_copies(self) -> None:
        """Reads all numbers, and lists tensors that are equal copies."""
        if not self._searching:
            self._search()

    @work(group="copies", exclusive=True)
    async def _search(self) -> None:
        search = ability(self._opened.source, "copies")
        if search is None:
            self.say("the numbers of this cannot be searched")
            return
        self._searching = True
        self.say("looking for equal copies…   esc stops")
        try:
            found = await search(self._progress)
        except (ParamtuiError, OSError) as error:
            self.say(str(error))
            return
        except MemoryError:
            self.say("there is not enough memory to look for equal copies")
            return
        finally:
            self._searching = False
        before = bool(self._entries)
        kept = [entry for entry in self._entries if not entry.copies]
        places = self.list_entries([*kept, *copies_entries(self._opened, found)], _leads)
        fresh = [place for place in places if self._entries[place].copies]
        if fresh and before:
            self.query_one(OptionList).highlighted = fresh[0]
        self.say(outcome_words(self._opened, found))

    def _progress(self, done: int, total: int) -> None:
        """From any thread."""
        self.app.call_later(self._progressed, done, total)

    def _progressed(self, done: int, total: int) -> None:
        if self._searching and self.is_mounted:
            from paramtui.core.text import bytes_text

            share = f"  {100 * done // total} %" if total else ""
            words = f"looking for equal copies: {bytes_text(done)} of {bytes_text(total)}{share}   esc stops"
            self.say(words)

    # The end

    def action_back(self) -> None:
        """Stops the search, else closes."""
        if self._searching:
            self.workers.cancel_group(self, "copies")
            self._searching = False
            self.say("stopped: equal copies were not looked for to the end")
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        """Closes the list."""
        self.workers.cancel_group(self, "copies")
        self.dismiss(None)


def _leads(entry: Entry) -> bool:
    return entry.row >= 0
