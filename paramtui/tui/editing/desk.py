"""What a person does to one target: changes, takes back, saves; each is noted in a journal."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len

from paramtui.core.edits import edit_text
from paramtui.core.text import safe_text
from paramtui.errors import EditError, NoRoomError, ParamtuiError, RunStoppedError
from paramtui.tui.editing import questions
from paramtui.tui.editing.log import Log
from paramtui.tui.opened import base_name
from paramtui.tui.pages import counted
from paramtui.tui.tie_lines import declared_words
from paramtui.tui.widgets.lines import KeyLine, TitleLine
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from paramtui.core.edits import Edit
    from paramtui.core.journal import Head, Recovery
    from paramtui.core.source import Editor, Outcome, Saved
    from paramtui.tui.opened import Opened
    from paramtui.tui.screens.browse import BrowseScreen
    from paramtui.tui.screens.initialise import InitialiseScreen
    from paramtui.tui.screens.save import SaveScreen

# What was asked for while something else ran, as keys do that arrive at once.
MAX_WAITING: Final = 20
# Seconds that keys wait for a change; most take far less, and esc must stop the others.
SOON: Final = 0.4
# Cells of a name that was saved to, however much else is to be said of it.
MIN_SAVED_NAME: Final = 12


class EditDesk:
    """Changes one target and tells the browser what to show.

    Args:
        screen: The browser.
        opened: The target; its editor must be there.

    Attributes:
        discard: Whether changes that are not saved are given up when the target is let go of.
        quiet: Is set while nothing is being done here.
    """

    def __init__(self, screen: BrowseScreen, opened: Opened) -> None:
        assert opened.editor is not None  # noqa: S101  asked before a desk is made
        self._screen = screen
        self.editor: Editor = opened.editor
        self.head: Callable[[], Head] | None = opened.head
        self.log = Log(opened.head)
        self.discard = False
        self.quiet = asyncio.Event()
        self.quiet.set()
        self._working = False
        self._began = 0.0
        self._waiting: deque[tuple[str, Callable[[], Awaitable[Outcome]]]] = deque()
        self._saver: SaveScreen | None = None
        self._remembered: Any = None

    @property
    def unsaved(self) -> bool:
        """Whether something would be lost if the target were let go of now."""
        return self.editor.history.unsaved or self.log.pending

    @property
    def hindered(self) -> str:
        """Why nothing can be changed just now; empty where it can."""
        screen = self._screen
        return f"{screen.busy} is still running" if screen.busy and not self._working else ""

    # One after the other

    def _begin(self, words: str, change: Callable[[], Awaitable[Outcome]]) -> None:
        """Does something now, or after what is being done here."""
        if self._working and not self._screen.stopping:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append((words, change))
        elif self._screen.ready():
            self._working, self._began = True, time.monotonic()
            self.quiet.clear()
            self._screen.carry_out(words, self._all(change))

    @property
    def soon_done(self) -> bool:
        """Whether something was begun just now: what is pressed next can wait for it."""
        return self._working and time.monotonic() - self._began < SOON

    async def _all(self, change: Callable[[], Awaitable[Outcome]]) -> None:
        """Does something, and then what was asked for meanwhile."""
        try:
            await self._screen.took(await change())
            while self._waiting:
                words, change = self._waiting.popleft()
                self._screen.progress_of(words)
                await self._screen.took(await change())
        finally:
            self._end()
            problem = self.log.take_problem()
            if problem:
                self._screen.notify(problem, title="Journal", severity="warning", markup=False)

    def give_up(self) -> None:
        """What is being done ends with the engine that does it: nothing comes of it."""
        self.log.failed()
        self._end()

    async def lost(self, count: int) -> None:
        """The last so many changes are not there any more."""
        for _ in range(count):
            await self.log.undone()

    def _end(self) -> None:
        self._working = False
        self._waiting.clear()
        self.quiet.set()

    # Changes

    def apply(self, edit: Edit, words: str = "changing numbers") -> None:
        """Makes a change."""
        self._begin(words, lambda: self._apply(edit))

    async def _apply(self, edit: Edit) -> Outcome:
        # On the disk before anything happens: what was asked for outlives a dropped line.
        await self.log.intent(edit)
        try:
            try:
                outcome = await self.editor.apply(edit)
            except NoRoomError as error:
                if not error.undo:
                    raise
                answer = await self._screen.app.push_screen_wait(questions.room_question(error))
                if answer != questions.YES:
                    raise EditError("not applied: there is no room to keep what it overwrites") from None
                outcome = await self.editor.apply(edit, without_undo=True)
        except ParamtuiError:
            self.log.failed()
            raise
        await self.log.done(self.editor.history.done[-1].digest)
        return outcome if outcome.said else outcome._replace(said=edit_text(edit))

    def undo(self) -> None:
        """Takes the last change back."""
        self._begin("undoing", self._undo)

    async def _undo(self) -> Outcome:
        done = self.editor.history.done
        if not done:
            raise EditError("there is nothing to undo")
        change = done[-1]
        outcome = await self.editor.undo()
        await self.log.undone()
        return outcome if outcome.said else outcome._replace(said=f"undone: {edit_text(change.edit)}")

    def redo(self) -> None:
        """Does again what was taken back last."""
        self._begin("doing it again", self._redo)

    async def _redo(self) -> Outcome:
        undone = self.editor.history.undone
        if not undone:
            raise EditError("there is nothing to do again")
        change = undone[-1]
        outcome = await self.editor.redo()
        await self.log.redone()
        return outcome if outcome.said else outcome._replace(said=f"done again: {edit_text(change.edit)}")

    def initialiser(self, row: int) -> InitialiseScreen | None:
        """Asks how to initialise what is on a row; says why not where that cannot be done."""
        from paramtui.tui.screens.initialise import InitialiseScreen

        opened, screen = self._screen.opened, self._screen
        if opened is None or not screen.ready():
            return None
        tensor = opened.tree.tensor[row]
        if not opened.tree.is_block(row):
            reason = self.editor.edit_reason(tensor) if tensor >= 0 else self._empty(opened, row)
            if reason:
                screen.say(reason)
                return None
        return InitialiseScreen(opened, self.editor, row, self._remembered)

    @staticmethod
    def _empty(opened: Opened, row: int) -> str:
        """Why there is nothing to initialise on a row without tensors."""
        declared = declared_words(opened, row)
        if declared:
            return declared
        class_name = opened.tree.class_name(row)
        if class_name is None:
            return "a value has no numbers to initialise"
        return f"{safe_text(class_name.rpartition('.')[2], 40)} has no parameters: go to a block around it"

    def initialise(self, form: InitialiseScreen, edit: Edit | None) -> None:
        """Does what a form says."""
        self._remembered = form.remembered
        if edit is not None:
            self.apply(edit, "initialising")

    # Saving

    def saver(self) -> SaveScreen | None:
        """Asks where to save, and saves; says why not where something else runs."""
        from paramtui.tui.screens.save import SaveScreen

        opened = self._screen.opened
        if opened is None or not self._screen.ready():
            return None
        self._saver = SaveScreen(opened, self.editor)
        return self._saver

    async def saved(self, saved: Saved | None) -> bool:
        """Notes what was saved, and says it; False where nothing was."""
        if saved is None:
            return False
        await self.log.saved(saved.paths[0] if saved.paths else "")
        self._screen.query_one(TitleLine).refresh()
        durable = "" if saved.durable else "; the system has not confirmed that it lies on the disk"
        words = saved.said + durable
        if saved.paths:
            # Where it lies was typed just now: the rest needs the room.
            path, name = safe_text(saved.paths[0], 400), base_name(saved.paths[0])
            room = self._screen.query_one(KeyLine).size.width - cell_len(words.replace(path, "", 1))
            words = words.replace(path, fit(name, max(room, MIN_SAVED_NAME)), 1)
        self._screen.say(words)
        return True

    async def current_head(self) -> Head:
        """What the changes are made to, as far as it is known now."""
        from paramtui.core.journal import Head

        if self.head is None:
            return Head(self.editor.listing.target)
        return await asyncio.to_thread(self.head)

    # What was left behind

    async def offer_recovery(self, head: Head, found: Sequence[Recovery]) -> bool:
        """Offers changes of before that were not saved; True if some are being made again.

        Args:
            head: What is on screen.
            found: Journals, the newest first.
        """
        from paramtui.core.journal import set_aside

        for number, recovery in enumerate(found, 1):
            question = questions.recovery_question(recovery, head, number, len(found))
            answer = await self._screen.app.push_screen_wait(question)
            if answer == questions.YES:
                self._begin(f"change 1 of {len(recovery.changes):,}", self._recovering(recovery))
                return True
            if answer != questions.DISCARD:
                return False
            aside = await asyncio.to_thread(set_aside, recovery.path)
            self._screen.notify(
                f"{counted(len(recovery.changes), 'change')} discarded; paramtui replay {aside} TARGET -o OUT"
                " would still make them",
                markup=False,
            )
        return False

    def _recovering(self, recovery: Recovery) -> Callable[[], Awaitable[Outcome]]:
        return lambda: self._recover(recovery)

    async def _recover(self, recovery: Recovery) -> Outcome:
        """Makes the changes of a journal again, and takes its place."""
        total, changed, different = len(recovery.changes), set[int](), list[int]()
        outcome: Outcome | None = None
        for number, recorded in enumerate(recovery.changes, 1):
            self._screen.progress_of(f"change {number:,} of {total:,}")
            try:
                outcome = await self._apply(recorded.edit)
            except ParamtuiError as error:
                if outcome is not None:
                    await self._screen.took(outcome._replace(said="", changed=tuple(sorted(changed))))
                if isinstance(error, RunStoppedError):
                    raise RunStoppedError(
                        f"stopped after {number - 1:,} of {total:,}: all are offered again next time"
                    ) from None
                raise EditError(f"change {number:,} of {total:,} cannot be made again: {error}") from None
            changed.update(outcome.changed)
            if recorded.digest and self.editor.history.done[-1].digest != recorded.digest:
                different.append(number)
        await self.log.adopt(recovery)
        assert outcome is not None  # noqa: S101  a recovery has changes
        words = f"{total:,} changes made again" if total > 1 else "the change was made again"
        if different:
            words += f"; {questions.differing(different)}"
        return outcome._replace(said=words, changed=tuple(sorted(changed)))

    # The end

    async def close(self) -> None:
        """Lets go of the target; its changes are offered again unless they are saved or given up."""
        if self._saver is not None and self._saver.unfinished:
            await self.editor.stop_saving()
        await self.log.close(keep=self.unsaved and not self.discard)
