"""The start screen: what could be opened, and a line for anything else."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.suggester import Suggester
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from paramtui.core.search import Query
from paramtui.core.text import safe_text
from paramtui.tui.screens.dialog import Question
from paramtui.tui.widgets.strips import fit
from paramtui.tui.widgets.typed_line import TypedLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.tui.home import Home, Offer

KEYS = (
    ("enter", "open"),
    ("↑ ↓", "choose"),
    ("/", "filter, or type a path"),
    ("esc", "back"),
    ("q", "close"),
)
MAX_LABEL = 60
NOTE_WIDTH = 12


class PathSuggester(Suggester):
    """Completes a path from what its directory holds."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first entry that begins like the text, with a slash after directories."""
        if "/" not in value and not value.startswith(("~", ".")):
            return None
        return await asyncio.to_thread(_completed, value)


def _completed(value: str) -> str | None:
    folder, begin = os.path.split(value)
    if not begin:
        return None
    place = os.path.expanduser(folder) or "."  # noqa: PTH111
    try:
        with os.scandir(place) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if entry.name.startswith(begin))
    except (OSError, ValueError):
        return None
    if not found or not found[0][0].isprintable():
        return None
    name, is_folder = found[0]
    return value + name[len(begin) :] + ("/" if is_folder else "")


class OpenScreen(Question[str | None]):
    """Gives the target that a person chose, or None."""

    AUTO_FOCUS = "#offers"
    CSS = """
    #open-title { height: 1; width: 100%; padding: 0 1; background: $panel; color: $text; }
    #open-line { margin: 1 1 0 1; }
    #offers { height: 1fr; margin: 1 1 0 1; border: round $foreground 30%; background: $background; }
    #offers:focus { border: round $accent; }
    #open-keys { height: 1; width: 100%; padding: 0 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "back", "back", show=False),
        Binding("q", "close", "close", show=False),
        # The letters after it are typed into the line, also when all arrive at once.
        Binding("slash", "type", "type", show=False, priority=True),
        Binding("down", "list(1)", "down", show=False),
        Binding("j", "list(1)", "down", show=False),
        Binding("k", "list(-1)", "up", show=False),
    ]

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._home = home
        self._found: list[Sequence[Offer] | None] = [None] * len(home.sections)
        self._shown: dict[str, Offer] = {}
        self._text = ""

    def compose(self) -> ComposeResult:
        """Title, line, offers, keys."""
        yield Static(
            Text("paramtui  opens a PyTorch model or checkpoint as a tree of blocks", "bold"), id="open-title"
        )
        yield TypedLine(
            placeholder="/ then a path, or a few letters of what is listed below",
            id="open-line",
            compact=True,
            suggester=PathSuggester(),
        )
        yield OptionList(id="offers", markup=False, compact=True)
        keys = Text(no_wrap=True, overflow="crop")
        for key, words in KEYS:
            keys.append(f"{'  ' if keys.plain else ''}{key}", "bold")
            keys.append(f" {words}")
        yield Static(keys, id="open-keys", markup=False)

    def on_mount(self) -> None:
        """Looks for targets, each kind in its own time."""
        self._fill()
        for number in range(len(self._home.sections)):
            self._look(number)

    @work(group="offers")
    async def _look(self, number: int) -> None:
        self._found[number] = await asyncio.to_thread(self._home.sections[number].find)
        self._fill()

    def on_resize(self) -> None:
        """Labels are as wide as there is room for."""
        self._fill()

    def _fill(self) -> None:
        """Writes the list; the highlighted target stays highlighted."""
        offers = self.query_one(OptionList)
        highlighted = offers.highlighted
        before = offers.get_option_at_index(highlighted).id if highlighted is not None else None
        query = Query.parse(self._text)
        width = max(self.size.width - 8, 20)
        options: list[Option] = []
        self._shown = {}
        for number, section in enumerate(self._home.sections):
            found = self._found[number]
            lines: list[Option] = []
            longest = max((len(offer.label) for offer in found or ()), default=0)
            room = min(longest, MAX_LABEL, max(width - NOTE_WIDTH, width // 2))
            for place, offer in enumerate(found or ()):
                if query is not None and not query.matches(offer.label):
                    continue
                key = f"{number}-{place}"
                self._shown[key] = offer
                lines.append(Option(_line(offer, room, width), id=key))
            if not lines and query is not None:
                continue
            if found:
                options += [
                    Option(Text(section.title, "bold"), disabled=True),
                    *lines,
                    Option("", disabled=True),
                ]
            else:
                words = "looking…" if found is None else section.nothing
                options.append(Option(Text.assemble((section.title, "bold"), f": {words}"), disabled=True))
        offers.clear_options()
        offers.add_options(options)
        if before in self._shown:
            offers.highlighted = offers.get_option_index(before)
        elif self._shown:
            offers.highlighted = offers.get_option_index(next(iter(self._shown)))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._text = "" if os.sep in event.value else event.value
        self._fill()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        typed = os.path.expanduser(event.value.strip())  # noqa: PTH111
        if not typed:
            self.set_focus(self.query_one(OptionList))
        elif os.path.lexists(typed) or not self._shown or os.sep in typed:
            self.dismiss(typed)
        else:
            self.query_one(OptionList).action_select()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        offer = self._shown.get(event.option_id or "")
        if offer is not None:
            self.dismiss(offer.target)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key counts: in the line, a slash is a letter."""
        return action != "type" or self.focused is not self.query_one(Input)

    def action_type(self) -> None:
        """Goes to the line."""
        self.set_focus(self.query_one(Input))

    def action_list(self, step: int) -> None:
        """Moves in the list."""
        offers = self.query_one(OptionList)
        if self.focused is offers:
            offers.action_cursor_down() if step > 0 else offers.action_cursor_up()
        self.set_focus(offers)

    def action_back(self) -> None:
        """From the line to the list, from there out."""
        line = self.query_one(Input)
        if self.focused is line:
            line.value = ""
            self.set_focus(self.query_one(OptionList))
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        """Leaves without a target."""
        self.dismiss(None)


def _line(offer: Offer, room: int, width: int) -> Text:
    """Label, then what is known about it."""
    line = Text("  ")
    if not offer.note:
        return line.append(fit(safe_text(offer.label), width))
    label = fit(safe_text(offer.label), room)
    line.append(label.ljust(room))
    line.append(f"  {fit(safe_text(offer.note), width - room - 2)}", "dim")
    return line
