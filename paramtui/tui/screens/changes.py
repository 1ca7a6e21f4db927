"""All changes to a target, in words; and as a Python script or as JSON, for others to make them again."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from paramtui.core.edits import edit_text
from paramtui.core.file_names import free_name
from paramtui.core.new_text import write_new
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui.pages import counted
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.screens.open import PathSuggester
from paramtui.tui.widgets.typed_line import TypedLine

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.history import Change
    from paramtui.core.journal import Head
    from paramtui.tui.editing.desk import EditDesk
    from paramtui.tui.screens.browse import BrowseScreen

SCRIPT = ".changes.py"
JOURNAL = ".changes.json"


class ChangesScreen(Dialog[None]):
    """A list that changes while things are taken back and done again.

    Args:
        browser: Where changes are carried out.
        desk: Whose changes they are.
    """

    AUTO_FOCUS = "#changes-list"
    CSS = """
    ChangesScreen { align: center middle; background: $background 60%; }
    #changes { width: 110; max-width: 98%; height: auto; max-height: 90%; padding: 0 1;
               border: round $accent; background: $background; }
    #changes-list { height: auto; max-height: 24; border: none; background: $background; padding: 0; }
    #changes-environment { height: auto; color: $text-muted; margin: 0 1; }
    #changes-path { display: none; margin: 1 1 0 1; }
    #changes-said { height: auto; margin: 1 1 0 1; text-style: bold; }
    ChangesScreen.-path #changes-path { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "back", "back", show=False),
        Binding("q,C", "close", "close", show=False),
        Binding("u", "undo", "undo", show=False),
        Binding("U", "redo", "redo", show=False),
        Binding("x", "write('script')", "script", show=False),
        Binding("j", "write('journal')", "JSON", show=False),
        Binding("tab", "complete", "complete", show=False, priority=True),
    ]

    def __init__(self, browser: BrowseScreen, desk: EditDesk) -> None:
        super().__init__()
        self._browser = browser
        self._desk = desk
        self._kind = ""

    def compose(self) -> ComposeResult:
        """The list, what the same bits depend on, a line for a path, and what was done."""
        with Vertical(id="changes") as box:
            box.border_title = Text("Changes")
            box.border_subtitle = Text("u undo   U redo   x Python script   j JSON   esc closes")
            yield OptionList(id="changes-list", markup=False, compact=True)
            yield Static("", id="changes-environment", markup=False)
            yield TypedLine(id="changes-path", compact=True, suggester=PathSuggester(), select_on_focus=False)
            yield Static("", id="changes-said", markup=False)

    def on_mount(self) -> None:
        """Lists what there is."""
        self._fill()
        self._tell_environment()

    def _fill(self) -> None:
        history = self._desk.editor.history
        entries = self.query_one(OptionList)
        entries.clear_options()
        if not history.done and not history.undone:
            entries.add_option(
                Option("nothing was changed yet: e edits numbers, i initialises", disabled=True)
            )
            return
        entries.add_options([Option(change_line(change)) for change in history.done])
        entries.add_options([Option(change_line(change, undone=True)) for change in reversed(history.undone)])
        entries.highlighted = max(len(history.done) - 1, 0)

    @work(group="environment", exclusive=True)
    async def _tell_environment(self) -> None:
        try:
            head = await self._desk.current_head()
        except (ParamtuiError, OSError):
            return
        words = "  ".join(f"{name} {value}" for name, value in head.environment)
        if words:
            self.query_one("#changes-environment", Static).update(
                Text(f"the same bits with: {safe_text(words, 400)}")
            )

    def _say(self, words: str) -> None:
        self.query_one("#changes-said", Static).update(Text(safe_text(words, 400)))

    # Undo and redo

    @work(group="history")
    async def _carry(self, *, redo: bool) -> None:
        (self._desk.redo if redo else self._desk.undo)()
        await self._desk.quiet.wait()
        self._fill()
        self._say(self._browser.said)

    def action_undo(self) -> None:
        """Takes the last change back."""
        self._carry(redo=False)

    def action_redo(self) -> None:
        """Does again what was taken back last."""
        self._carry(redo=True)

    # Writing

    def action_write(self, kind: str) -> None:
        """Asks for a path to write to."""
        if not self._desk.editor.history.done:
            self._say("there is nothing to write down")
            return
        self._kind = kind
        line = self.query_one(Input)
        target = self._desk.editor.listing.target
        # Beside a file; a model has no place of its own.
        beside = target if os.path.exists(target) else os.path.basename(target) or "model"  # noqa: PTH110, PTH119
        line.value = free_name(beside.rstrip("/") + (SCRIPT if kind == "script" else JOURNAL))
        line.cursor_position = len(line.value)
        self.add_class("-path")
        self.set_focus(line)
        self._say("enter writes it, esc does not")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key counts: while a path is typed, letters are letters."""
        typing = self.has_class("-path")
        return action in ("back", "complete") if typing else action != "complete"

    def action_complete(self) -> None:
        """Takes what is proposed to complete the path."""
        self.query_one(Input).action_cursor_right()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        path = os.path.expanduser(event.value.strip())  # noqa: PTH111
        if path:
            self._write(path, self._kind)

    @work(group="write", exclusive=True)
    async def _write(self, path: str, kind: str) -> None:
        editor = self._desk.editor
        changes = list(editor.history.done)
        try:
            if kind == "script":
                text = await editor.script()
            else:
                text = await asyncio.to_thread(_journal, await self._desk.current_head(), changes)
            await asyncio.to_thread(write_new, path, text)
        except FileExistsError:
            self._say("there is a file already: write to another path")
            return
        except OSError as error:
            self._say(f"it could not be written: {str(error.strerror or error).lower()}")
            return
        except ParamtuiError as error:
            self._say(str(error))
        else:
            self._say(f"{counted(len(changes), 'change')} written to {path}")
        self._end_path()

    def _end_path(self) -> None:
        self.remove_class("-path")
        self.set_focus(self.query_one(OptionList))

    # The end

    def action_back(self) -> None:
        """From the path to the list, from there out; what runs is stopped first."""
        if self.has_class("-path"):
            self._end_path()
            self._say("")
        elif not self._browser.stop_running():
            self.dismiss(None)

    def action_close(self) -> None:
        """Closes the list."""
        self.dismiss(None)


def change_line(change: Change, *, undone: bool = False) -> Text:
    """``3  normal_(std=0.01) on 12 tensors, seed 7   14 tensors``."""
    line = Text(no_wrap=True, overflow="ellipsis", style="dim" if undone else "")
    line.append(f"{change.number:>4}  {edit_text(change.edit)}")
    line.append(f"   {counted(len(change.tensors), 'tensor')}", "dim")
    if undone:
        line.append("   undone")
    return line


def _journal(head: Head, changes: list[Change]) -> str:
    from paramtui.core.journal import journal_json

    return journal_json(head, changes)
