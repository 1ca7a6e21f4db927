"""All that shares memory in one list: what it is, how large, and what sharing saves; equal copies too."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui.group_lines import Entry, copies_entries, entries, outcome_words
from paramtui.tui.opened import ability
from paramtui.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.tui.opened import Opened

KEYS = "enter goes there   c equal copies   esc closes"
# Lines around the list: the frame, the detail with its rule, what is said.
AROUND = 8


class GroupsScreen(Dialog[int | None]):
    """Gives the row to go to; None for none.

    Args:
        opened: What is listed.
    """

    CSS = """
    GroupsScreen { align: center middle; background: $background 60%; }
    #groups { width: 130; max-width: 98%; height: auto; max-height: 96%; padding: 0 1;
              border: round $accent; background: $background; }
    #groups-list { height: auto; border: none; background: $background; padding: 0;
                   text-wrap: nowrap; text-overflow: ellipsis; }
    #groups-detail { height: 4; border-top: solid $foreground 30%; overflow: hidden; }
    #groups-said { height: 2; text-style: bold; overflow: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "back", "back", show=False),
        Binding("q,P", "close", "close", show=False),
        Binding("c", "copies", "equal copies", show=False),
        Binding("j", "cursor(1)", "down", show=False),
        Binding("k", "cursor(-1)", "up", show=False),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self._opened = opened
        self._entries: list[Entry] = []
        self._searching = False

    def compose(self) -> ComposeResult:
        """The list, the whole of the entry under the cursor, and what the search for copies has come to."""
        with Vertical(id="groups") as box:
            box.border_title = Text("Shared memory")
            box.border_subtitle = Text(KEYS)
            yield OptionList(id="groups-list", markup=False, compact=True)
            yield Static("", id="groups-detail", markup=False)
            yield Static("", id="groups-said", markup=False)

    def on_resize(self) -> None:
        """The list takes the room that is left; what is said below it stays in sight."""
        self.query_one(OptionList).styles.max_height = max(self.app.size.height * 96 // 100 - AROUND, 3)

    def on_mount(self) -> None:
        """Lists what is known without reading numbers."""
        self._entries = entries(self._opened)
        listed = self.query_one(OptionList)
        listed.add_options([Option(entry.line, disabled=entry.row < 0) for entry in self._entries])
        first = next((place for place, entry in enumerate(self._entries) if entry.row >= 0), None)
        listed.highlighted = first
        self._say("" if first is not None else "c reads all numbers and finds equal copies, if there are any")

    def _say(self, words: str) -> None:
        self.query_one("#groups-said", Static).update(Text(safe_text(words, 600)))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        detail = Text("\n").join(self._entries[event.option_index].detail)
        self.query_one("#groups-detail", Static).update(detail)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._entries[event.option_index].row)

    def action_cursor(self, step: int) -> None:
        """Moves by entries."""
        listed = self.query_one(OptionList)
        (listed.action_cursor_down if step > 0 else listed.action_cursor_up)()

    # Equal copies

    def action_copies(self) -> None:
        """Reads all numbers, and lists tensors that are equal copies."""
        if not self._searching:
            self._search()

    @work(group="copies", exclusive=True)
    async def _search(self) -> None:
        search = ability(self._opened.source, "copies")
        if search is None:
            self._say("the numbers of this cannot be searched")
            return
        self._searching = True
        self._say("looking for equal copies…   esc stops")
        try:
            found = await search(self._progress)
        except (ParamtuiError, OSError) as error:
            self._say(str(error))
            return
        except MemoryError:
            self._say("there is not enough memory to look for equal copies")
            return
        finally:
            self._searching = False
        added = copies_entries(self._opened, found)
        listed = self.query_one(OptionList)
        before = len(self._entries)
        self._entries = [entry for entry in self._entries if not entry.copies] + added
        listed.clear_options()
        listed.add_options([Option(entry.line, disabled=entry.row < 0) for entry in self._entries])
        usable = [place for place, entry in enumerate(self._entries) if entry.row >= 0]
        fresh = [place for place in usable if self._entries[place].copies]
        if usable:
            listed.highlighted = fresh[0] if fresh and before else usable[0]
        self._say(outcome_words(self._opened, found))

    def _progress(self, done: int, total: int) -> None:
        """From any thread."""
        self.app.call_later(self._progressed, done, total)

    def _progressed(self, done: int, total: int) -> None:
        if self._searching and self.is_mounted:
            from paramtui.core.text import bytes_text

            share = f"  {100 * done // total} %" if total else ""
            words = f"looking for equal copies: {bytes_text(done)} of {bytes_text(total)}{share}   esc stops"
            self._say(words)

    # The end

    def action_back(self) -> None:
        """Stops the search, else closes."""
        if self._searching:
            self.workers.cancel_group(self, "copies")
            self._searching = False
            self._say("stopped: equal copies were not looked for to the end")
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        """Closes the list."""
        self.workers.cancel_group(self, "copies")
        self.dismiss(None)
