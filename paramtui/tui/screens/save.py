"""Asks where to save, says what will be written, and shows how far it is."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError, SavingStoppedError
from paramtui.tui.editing.progress import Progress
from paramtui.tui.editing.saving_words import (
    Place,
    code_words,
    is_written_whole,
    look_at,
    place_words,
    what_words,
    whole_of,
    whole_words,
)
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.screens.open import PathSuggester
from paramtui.tui.widgets.path_line import PathLine

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.source import Editor, Saved  # noqa: F401  as text in the base class
    from paramtui.core.whole_views import Whole
    from paramtui.tui.opened import Opened

# Seconds between two drawings of the progress: each is a repaint on a slow line.
TICK = 0.25
KEYS = "enter saves   tab completes   ctrl+u empties   esc back"


def _told(text: str) -> Text:
    return Text(text, overflow="fold")


class SaveScreen(Dialog["Saved | None"]):
    """Saves, and gives what came of it; None where nothing was saved.

    Attributes:
        unfinished: Whether a save was begun of which nothing was heard yet.
    """

    AUTO_FOCUS = "Input"
    CSS = """
    SaveScreen { align: center middle; background: $background 60%; }
    #save { width: 98%; max-width: 100; height: auto; max-height: 95%; padding: 0 2;
            border: round $accent; background: $background; }
    #save Input { margin: 1 0; }
    #save-what { height: auto; color: $text-muted; }
    #save-place { height: auto; text-style: bold; }
    #save-progress { height: auto; display: none; }
    #save-problem { height: auto; color: $text-error; }
    SaveScreen.-saving #save-progress { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "cancel", "cancel", show=False),
        Binding("tab", "complete", "complete", show=False, priority=True),
        Binding("y", "agree", "replace", show=False),
    ]

    def __init__(self, opened: Opened, editor: Editor) -> None:
        super().__init__()
        self._opened = opened
        self._editor = editor
        self._place: Place | None = None
        self._whole: Whole | None = None
        self._agreed = ""
        self._progress: Progress | None = None
        self._stopping = False
        self.unfinished = False

    def compose(self) -> ComposeResult:
        """The path, what would be written there, and what is there now."""
        proposed = self._proposed()
        with Vertical(id="save") as box:
            box.border_title = Text("Save")
            box.border_subtitle = Text(KEYS)
            yield PathLine(proposed, compact=True, suggester=PathSuggester(), select_on_focus=False)
            # At once: a screen that is being laid out for the first time misses what grows meanwhile.
            yield Static(_told(self._what(proposed)), id="save-what", markup=False)
            yield Static("", id="save-place", markup=False)
            yield Static("", id="save-progress", markup=False)
            yield Static("", id="save-problem", markup=False)

    def _proposed(self) -> str:
        try:
            return self._editor.save_name()
        except ParamtuiError:
            return ""

    def _tell(self, part: str, text: str) -> None:
        self.query_one(f"#save-{part}", Static).update(_told(text))

    @property
    def saving(self) -> bool:
        """Whether it is being written now."""
        return self._progress is not None

    @property
    def _path(self) -> str:
        return os.path.expanduser(self.query_one(Input).value.strip())  # noqa: PTH111

    # The path

    @on(Input.Changed)
    def _changed(self) -> None:
        self._agreed = ""
        self._tell("problem", "")
        self._tell("what", self._what(self._path))
        self._look()

    def _what(self, path: str) -> str:
        """What would be written to a path."""
        if not is_written_whole(self._opened, path):
            parts = what_words(self._opened, path), code_words(self._opened, path)
            return "\n".join(filter(None, parts))
        # Nothing changes what shares memory while the dialog is there.
        self._whole = self._whole or whole_of(self._opened)
        words = what_words(self._opened, path, self._whole), whole_words(self._whole)
        return "\n".join(part for part in words if part)

    @work(group="look", exclusive=True)
    async def _look(self) -> None:
        await self._looked_at(self._path)

    async def _looked_at(self, path: str) -> Place:
        """What lies at a path; asked of the disk beside the event loop, which may be slow."""
        place = await asyncio.to_thread(look_at, path, self._opened.listing.target)
        if path == self._path:
            self._place = place
            self._tell("place", place_words(place, agreed=self._agreed == path))
        return place

    @on(Input.Submitted)
    def _submitted(self) -> None:
        if not self.saving and self._path:
            self._save(self._path)

    def action_complete(self) -> None:
        """Takes what is proposed to complete the path."""
        self.query_one(Input).action_cursor_right()

    # Saving

    @work(group="save", exclusive=True)
    async def _save(self, path: str) -> None:
        place = await self._looked_at(path)
        over = place.exists
        if over and self._agreed != path:
            # Asked for by another key: the one that saves may be pressed twice, or held.
            self._agreed = path
            self._tell("place", place_words(place, agreed=True))
            self.query_one(Input).disabled = True
            self.query_one("#save").border_subtitle = Text("y replaces it   esc back")
            return
        self._progress, self._stopping, self.unfinished = Progress(), False, True
        self.add_class("-saving")
        self._tell("problem", "")
        self.query_one("#save").border_subtitle = Text("esc stops")
        self.query_one(Input).disabled = True
        ticker = self.set_interval(TICK, self._draw)
        self._draw()
        try:
            saved = await self._editor.save(path, over=over, progress=self._progress.told)
        except ParamtuiError as error:
            self.unfinished = False
            words = "stopped: nothing was saved" if isinstance(error, SavingStoppedError) else str(error)
            self._tell("problem", safe_text(words, 600))
        else:
            self.unfinished = False
            self.dismiss(saved)
        finally:
            ticker.stop()
            self._progress = None
            self.remove_class("-saving")
            self._ask_path()

    def _ask_path(self) -> None:
        """Gives the keys to the path."""
        self._agreed = ""
        line = self.query_one(Input)
        line.disabled = False
        self.set_focus(line)
        self.query_one("#save").border_subtitle = Text(KEYS)

    def action_agree(self) -> None:
        """Saves over what is there."""
        if self._agreed and not self.saving:
            self._save(self._path)

    def _draw(self) -> None:
        if self._progress is not None:
            width = max(self.query_one("#save-progress").size.width, 20)
            words = "stopping…" if self._stopping else self._progress.line(width)
            self._tell("progress", words)

    def action_cancel(self) -> None:
        """Stops what is being saved; goes back to the path; leaves."""
        if not self.saving and self._agreed:
            self._ask_path()
            self._look()
        elif not self.saving:
            self.dismiss(None)
        elif not self._stopping:
            self._stopping = True
            self._draw()
            self._stop()

    @work(group="stop", exclusive=True)
    async def _stop(self) -> None:
        await self._editor.stop_saving()
