"""How the application lets go of a target: asks about unsaved changes, and closes what holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from paramtui.core.source import Differentiable, Editor, Saved
    from paramtui.tui.opened import Opened
    from paramtui.tui.screens.browse import BrowseScreen

    _Base = App[None]
else:
    _Base = object


class LeavingMixin(_Base):
    """Needs the browser of the app that it is mixed into."""

    _held: Differentiable | Editor | None = None
    _asking_to_leave: bool = False
    # How many changes that were not saved a journal keeps of what was let go of last.
    left_behind: int = 0

    if TYPE_CHECKING:
        _guest: bool

        @property
        def browser(self) -> BrowseScreen:
            """The screen at the bottom."""
            raise NotImplementedError

    def hold(self, opened: Opened) -> None:
        """What is to be closed when the target is let go of."""
        self._held = opened.editor or opened.model

    def _unsaved(self) -> bool:
        """Whether something would be lost; in a process of somebody else the model stays as it is."""
        desk = self.browser.desk
        return desk is not None and desk.unsaved and not self._guest

    async def leave_then(self, words: str, then: Callable[[], None]) -> None:
        """Does what lets go of the target, after asking where changes are not saved.

        Args:
            words: What follows, for the question.
            then: Lets go of it.
        """
        desk = self.browser.desk
        if desk is None or not self._unsaved():
            then()
            return
        from paramtui.tui.editing.questions import DISCARD, NO, SAVE, leaving_question

        async def answered(answer: str | None) -> None:
            self._asking_to_leave = False
            saver = desk.saver() if answer == SAVE else None
            if saver is not None:
                await self.push_screen(saver, saved)
            elif answer not in (None, NO, SAVE):
                desk.discard = answer == DISCARD
                then()

        async def saved(found: Saved | None) -> None:
            if await desk.saved(found):
                then()

        log, count = desk.log, len(desk.editor.history.done)
        self._asking_to_leave = True
        opened = self.browser.opened
        outdated = opened.outdated if opened is not None else ""
        question = leaving_question(count, kept=log.kept, problem=log.problem, then=words, outdated=outdated)
        await self.push_screen(question, answered)

    def changes_stay(self) -> None:
        """The target is not let go of after all."""
        desk = self.browser.desk
        if desk is not None:
            desk.discard = False

    async def let_go(self) -> None:
        """Lets go of the target on screen, if there is one."""
        desk = self.browser.desk
        keeps = desk is not None and self._unsaved() and not desk.discard and desk.log.kept
        self.left_behind = len(desk.editor.history.done) if keeps and desk is not None else 0
        await self.browser.close_desk()
        held, self._held = self._held, None
        if held is not None:
            held.close()
