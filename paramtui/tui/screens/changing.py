"""The keys that change and save; what they need is imported when the first of them is pressed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import events, work

from paramtui.errors import ParamtuiError
from paramtui.tui.opened import ability
from paramtui.tui.screens.working import WorkMixin
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from paramtui.core.journal import Head, Recovery
    from paramtui.core.source import Differentiable, Outcome, Saved
    from paramtui.tui.editing.desk import EditDesk
    from paramtui.tui.editing.line import EditLine
    from paramtui.tui.screens.browse import BrowseScreen
    from paramtui.tui.widgets.edit_prompt import EditPrompt
    from paramtui.tui.widgets.prompt import Prompt

# Seconds between two looks at whether nothing else is asked.
QUIET = 0.1
# Letters that begin a line while a cursor stands on a cell.
BEGINNINGS = frozenset("0123456789-+.*/=[(")


def _recoverable(head: Callable[[], Head]) -> tuple[Head, list[Recovery]] | None:
    """What is on screen, and the journals that were left behind; None where that cannot be told."""
    from paramtui.core.journal import recoverable

    try:
        found = head()
    except (OSError, ParamtuiError):
        return None  # said when something is to be written
    return found, recoverable(found)


class ChangingMixin(WorkMixin):
    """Needs the prompt and the focus of the screen that it is mixed into."""

    _desk: EditDesk | None = None
    _line: EditLine | None = None

    if TYPE_CHECKING:
        open_prompt: Callable[[Prompt], Awaitable[bool]]
        close_prompt: Callable[[], None]
        to_values: Callable[[], None]
        show_keys: Callable[[], None]

        @property
        def asking(self) -> bool:
            """Whether a line is being typed."""
            raise NotImplementedError

        @property
        def prompt(self) -> Prompt | None:
            """The line that is being typed."""
            raise NotImplementedError

    @property
    def desk(self) -> EditDesk | None:
        """Where what is shown is changed; None before anything was asked of it."""
        return self._desk

    def _at_desk(self) -> EditDesk | None:
        """The desk, made when it is first needed; says why nothing can be changed where that is so."""
        opened = self.opened
        if opened is None:
            return None
        if opened.editor is None:
            self.say(opened.listing.reasons.get("edit", "this can only be looked at"))
            return None
        if self._desk is None:
            from paramtui.tui.editing.desk import EditDesk

            self._desk = EditDesk(cast("BrowseScreen", self), opened)
        return self._desk

    async def close_desk(self) -> None:
        """Lets go of the target that was changed."""
        desk, self._desk = self._desk, None
        if desk is not None:
            await desk.close()

    def build_anew(self, model: Differentiable) -> None:
        """Ends the engine and builds the model anew; what runs comes to nothing."""
        if self._desk is not None:
            self._desk.give_up()
        super().build_anew(model)

    async def built_anew(self, model: Differentiable) -> Outcome:
        """What came of building the model anew; changes that could not be made again are noted as gone."""
        if self._desk is None:
            return await super().built_anew(model)
        before = len(self._desk.editor.history.done)
        outcome = await super().built_anew(model)
        await self._desk.lost(before - len(self._desk.editor.history.done))
        return outcome

    # Cells

    @property
    def _values(self) -> ValuesPane:
        return self.query_one("#values", ValuesPane)

    @property
    def on_cells(self) -> bool:
        """Whether the keys go to a cursor on a cell."""
        return self._values.on_cells and self._values.has_focus

    async def action_edit(self) -> None:
        """Puts a cursor on the cells; from the tree, and on a cell, asks for a change at once."""
        desk, opened = self._at_desk(), self.opened
        if desk is None or opened is None:
            return
        if not isinstance(self.focused, ValuesPane):
            await self._open_line("")
            return
        row = self.query_one(TreePane).row
        tensor = opened.tree.tensor[row] if row >= 0 and not opened.tree.is_block(row) else -1
        reason = desk.editor.edit_reason(tensor) if tensor >= 0 else ""
        if reason:
            self.say(reason)
            return
        if self.focused is not self._values:
            self.to_values()
        if not self._values.shows_file:
            # The word of the tree that its cursor has moved may still be on its way.
            self._values.show_row(row)
        if self._values.on_cells:
            await self._open_line("")
        elif self._values.enter_cells():
            self.say("")
            self.show_keys()
        else:
            from paramtui.tui.tie_lines import declared_words

            otherwise = "there are no cells here: go to a tensor, or i initialises a block"
            self.say((declared_words(opened, row) if row >= 0 else "") or otherwise)

    def on_values_pane_cells_left(self) -> None:
        """The keys are those of the values again."""
        self.show_keys()

    async def begins_line(self, event: events.Event) -> bool:
        """Begins a line with what is typed or pasted on a cell; False if that is for others."""
        if self.asking or not self.on_cells:
            return False
        if isinstance(event, events.Paste):
            await self._open_line(event.text.strip().split("\n")[0])
            return True
        if not isinstance(event, events.Key):
            return False
        if event.key == "enter":
            await self._open_line("")
            return True
        if event.character is None or event.character not in BEGINNINGS:
            return False
        await self._open_line(event.character)
        return True

    async def _open_line(self, text: str) -> None:
        from paramtui.tui.editing.line import EditLine

        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None:
            return
        cell = self._values.cell_index if self.on_cells else None
        block = row < 0 or (opened.tree.is_block(row) and opened.tree.tensor[row] < 0)
        # Of a name that is declared to be a tensor, that tensor changes.
        declared = -1 if block else opened.declared(row)
        tensor = declared if block or declared >= 0 else opened.tree.tensor[row]
        name = opened.tree.name(row) if declared >= 0 else ""
        self._line = EditLine(opened, tensor, cell, name)
        prompt = self._line.prompt(text)
        if await self.open_prompt(prompt) and text:
            self._line.follow(prompt, text)

    def line_changed(self, text: str) -> None:
        """Says what the typed line would change."""
        if self._line is not None and self.prompt is not None:
            self._line.follow(cast("EditPrompt", self.prompt), text)

    def line_done(self, text: str) -> None:
        """Changes what the line says."""
        desk, line = self._at_desk(), self._line
        if desk is None or line is None:
            return
        if text.strip():
            try:
                found = line.meant(text)
            except ParamtuiError:
                self.line_changed(text)  # which says what is wrong
                return
            if desk.hindered:
                cast("EditPrompt", self.prompt).tell(desk.hindered, "", wrong=True)
                return
            desk.apply(found.edit)
        self.close_prompt()

    # The other keys

    async def action_initialise(self) -> None:
        """Initialises a block or a tensor."""
        desk, row = self._at_desk(), self.query_one(TreePane).row
        form = desk.initialiser(row) if desk is not None and row >= 0 else None
        if desk is not None and form is not None:
            await self.app.push_screen(form, partial(desk.initialise, form))

    def action_undo(self) -> None:
        """Takes the last change back."""
        desk = self._at_desk()
        if desk is not None:
            desk.undo()

    def action_redo(self) -> None:
        """Does again what was taken back last."""
        desk = self._at_desk()
        if desk is not None:
            desk.redo()

    async def action_save(self) -> None:
        """Saves."""
        desk = self._at_desk()
        saver = desk.saver() if desk is not None else None
        if desk is not None and saver is not None:

            async def saved(found: Saved | None) -> None:
                await desk.saved(found)

            await self.app.push_screen(saver, saved)

    async def action_changes(self) -> None:
        """Lists all changes."""
        desk = self._at_desk()
        if desk is not None:
            from paramtui.tui.screens.changes import ChangesScreen

            await self.app.push_screen(ChangesScreen(cast("BrowseScreen", self), desk))

    # What an earlier session has left

    @property
    def _remains(self) -> Callable[[], Sequence[tuple[str, int]]] | None:
        return ability(self.opened.source, "leftovers") if self.opened is not None else None

    @work(group="remains", exclusive=True)
    async def look_for_remains(self) -> None:
        """Offers changes that were not saved, and tells of files that an unfinished save has left."""
        opened, left = self.opened, self._remains
        if opened is None:
            return
        if opened.editor is not None and opened.head is not None:
            found = await asyncio.to_thread(_recoverable, opened.head)
            desk = self._at_desk() if found is not None and found[1] else None
            if found is not None and desk is not None:
                # No question takes keys that were meant for something else.
                while self.app.screen is not self or self.asking or self.busy:  # noqa: ASYNC110  nothing tells
                    await asyncio.sleep(QUIET)
                if await desk.offer_recovery(*found):
                    return
        if left is not None and await self._found(left):
            self.say("an unfinished save lies beside it: X removes it")

    async def _found(self, left: Callable[[], Sequence[tuple[str, int]]]) -> Sequence[tuple[str, int]]:
        try:
            return await asyncio.to_thread(left)
        except (OSError, ParamtuiError):
            return ()

    @work(group="desk", exclusive=True)
    async def action_remove_leftovers(self) -> None:
        """Removes what an unfinished save has left, after asking."""
        opened, left = self.opened, self._remains
        found = await self._found(left) if left is not None else ()
        if opened is None or not found:
            self.say("no unfinished save lies here")
            return
        from paramtui.tui.editing.questions import YES, leftovers_question

        if await self.app.push_screen_wait(leftovers_question(found)) != YES:
            return
        remove = ability(opened.source, "remove_leftover")
        if remove is None:
            return
        try:
            for path, _ in found:
                await asyncio.to_thread(remove, path)
        except (OSError, ParamtuiError) as error:
            self.say(f"it could not be removed: {error}")
        else:
            self.say("removed what the unfinished save had left")
