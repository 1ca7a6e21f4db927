"""What shares memory: shown in the tree, gone through by keys, listed, tied and untied."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import work

from paramtui.core.text import safe_text
from paramtui.core.ties import DECLARED
from paramtui.tui.screens.working import WorkMixin
from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paramtui.tui.editing.desk import EditDesk
    from paramtui.tui.opened import Opened

# Seconds that the next key waits for what shares memory to be known.
SOON = 0.2
NO_TIES = "no names share memory here"
NOT_LIVE = "only the parameters of a live model are tied and untied: paramtui file.py, or browse(model)"


class TyingMixin(WorkMixin):
    """Needs `jump_keeping` and the desk of the screen that it is mixed into."""

    if TYPE_CHECKING:
        jump_keeping: Callable[[int], None]
        _at_desk: Callable[[], EditDesk | None]

    # Seen

    @work(group="explore", exclusive=True)
    async def explore_ties(self) -> None:
        """Finds, before a key or a page asks for it, where the names of one tensor stand."""
        opened = self.opened
        if opened is not None:
            await asyncio.to_thread(lambda: opened.tie_rows)

    @work(group="ties", exclusive=True)
    async def action_toggle_ties(self) -> None:
        """Shows colours and signs of what shares memory, or no longer."""
        opened = self.opened
        if opened is None:
            return
        await asyncio.to_thread(lambda: opened.tie_rows)
        opened.ties_shown = not opened.ties_shown
        self.query_one(TreePane).marks_changed()
        if not opened.ties_shown:
            self.say("shared memory: only letters")
        elif opened.tie_rows.rows:
            self.say("A= same  A~ overlaps  A: declared  a/ apart  A+ several   ) } next  P list")
        else:
            self.say(f"{NO_TIES}: P looks for equal copies")

    def action_member(self, step: int) -> None:
        """Goes to the next or previous name of the same memory."""
        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None or row < 0:
            return
        found = opened.tie_rows.next_member(row, step)
        if found is None and opened.tree.is_block(row):
            # From a block that holds names of some group to the first of these.
            rows = [at for at in opened.tie_rows.rows if row < at < opened.tree.end[row]]
            found = rows[0 if step > 0 else -1] if rows else None
        if found is None:
            advice = ": } goes to what does" if opened.tie_rows.rows else ""
            self.say(f"this shares memory with nothing{advice}")
        elif found == row:
            self.say("the other names of this memory are not listed")
        else:
            self._go(opened, found)

    def action_group(self, step: int) -> None:
        """Goes to the first name of the next or previous group."""
        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None or row < 0:
            return
        found = opened.tie_rows.next_group(row, step)
        if found is None:
            self.say(NO_TIES)
        else:
            self._go(opened, found)

    def _go(self, opened: Opened, row: int) -> None:
        self.jump_keeping(row)
        tied = opened.tie_rows.of(row)
        if tied is None:
            return
        rows = opened.tie_rows.members(row)
        place = f"name {rows.index(row) + 1:,} of {len(rows):,}"
        self.say(f"{tied.letter}{tied.sign}  {place}   ) next name   }} next group")

    # Listed

    async def action_groups(self) -> None:
        """Lists all that shares memory."""
        opened = self.opened
        if opened is None:
            return
        found = asyncio.ensure_future(asyncio.to_thread(lambda: opened.tie_rows))
        # Mostly at once, so that the next key is for the list.
        await asyncio.wait([found], timeout=SOON)
        if found.done():
            await self._list_groups(opened)
        else:
            self._list_later(opened, found)

    @work(group="groups", exclusive=True)
    async def _list_later(self, opened: Opened, found: Awaitable[object]) -> None:
        await found
        if opened is self.opened and self.is_current:
            await self._list_groups(opened)

    async def _list_groups(self, opened: Opened) -> None:
        from paramtui.tui.screens.groups import GroupsScreen

        def there(row: int | None) -> None:
            if row is not None and opened is self.opened:
                self._go(opened, row)

        await self.app.push_screen(GroupsScreen(opened), there)

    # Changed

    def _here(self) -> tuple[EditDesk, Opened, int] | None:
        """The desk, and the tensor under the cursor; None after saying why nothing can be tied here."""
        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None:
            return None
        if opened.model is None:
            self.say(NOT_LIVE)
            return None
        desk = self._at_desk()
        tensor = opened.tree.tensor[row] if row >= 0 else -1
        if desk is not None and desk.hindered:
            self.say(desk.hindered)
        elif tensor < 0:
            self.say("go to a parameter first")
        elif desk is not None:
            return desk, opened, tensor
        return None

    @work(group="tie", exclusive=True)
    async def action_tie(self) -> None:
        """Ties the parameter under the cursor to the marked one, after asking."""
        here = self._here()
        if here is None:
            return
        desk, opened, tensor = here
        to = opened.tree.tensor[opened.marked] if opened.marked >= 0 else -1
        if to < 0:
            self.say("mark the parameter to tie it to first: m there, then B here")
            return
        from paramtui.core.planning import address
        from paramtui.tui.editing.questions import YES
        from paramtui.tui.editing.tie_questions import tie_question, why_not_tied

        reason = why_not_tied(opened, tensor, to)
        if reason:
            self.say(reason)
            return
        if await self.app.push_screen_wait(tie_question(opened, tensor, to)) == YES:
            from paramtui.core.edits import Tie

            desk.apply(Tie(address(opened.listing, tensor), address(opened.listing, to)), "tying")

    @work(group="tie", exclusive=True)
    async def action_untie(self) -> None:
        """Gives the parameter under the cursor memory of its own, after asking."""
        here = self._here()
        if here is None:
            return
        desk, opened, tensor = here
        tied = opened.ties.of(tensor)
        if tied is None or tied.kind == DECLARED:
            self.say(f"{safe_text(opened.listing.names[tensor], 200)} shares memory with nothing")
            return
        from paramtui.core.edits import Untie
        from paramtui.core.planning import address
        from paramtui.tui.editing.questions import YES
        from paramtui.tui.editing.tie_questions import ALL, untie_question

        answer = await self.app.push_screen_wait(untie_question(opened, tensor, tied))
        chosen = {YES: (tensor,), ALL: tied.members}.get(answer or "")
        if chosen:
            desk.apply(Untie(tuple(address(opened.listing, each) for each in chosen)), "untying")
