"""Blocks that are built alike: found once the screen is there, folded and unfolded in the tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import work

from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from paramtui.tui.opened import Opened
    from paramtui.tui.widgets.values_pane import ValuesPane

    _Base = Screen[None]
else:
    _Base = object


async def know_folds(opened: Opened) -> None:
    """Finds what is built alike in a tree, unless it is known."""
    view = opened.view
    if view.folds is None:
        from paramtui.core.folding import Folds

        folds = await asyncio.to_thread(Folds, opened.tree)
        if view.folds is None:
            view.take_folds(folds)


async def carry_folds(before: Opened, opened: Opened) -> None:
    """Folds in a tree what is folded in another one of the same target, as far as that is known there."""
    folds, view = before.view.folds, opened.view
    if folds is None:
        return
    view.folding = before.view.folding
    await know_folds(opened)
    old, new = before.tree, opened.tree
    closed = {old.name(fold.stand_in) for fold in folds if before.view.is_folded(fold)}
    for fold in view.folds or ():
        if new.name(fold.stand_in) in closed:
            view.fold(fold)


class FoldingMixin(_Base):
    """Needs `say` and `panes` of the screen that it is mixed into."""

    if TYPE_CHECKING:
        say: Callable[[str], None]

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

        @property
        def panes(self) -> list[ValuesPane]:
            """Values and gradient."""
            raise NotImplementedError

    @work(group="folds", exclusive=True)
    async def explore_folds(self) -> None:
        """Finds, before a block is opened, what is built alike."""
        opened = self.opened
        if opened is not None:
            await know_folds(opened)
            # None where the screen is being left.
            for tree in self.query(TreePane):
                tree.refresh()

    @work(group="folds", exclusive=True)
    async def action_toggle_folds(self) -> None:
        """Folds again what is unfolded under the cursor, else all blocks that are built alike, or none."""
        opened = self.opened
        if opened is None:
            return
        tree, view = self.query_one(TreePane), opened.view
        if tree.flat is not None or view.filtered:
            self.say("blocks are folded in the whole tree only: esc ends the list or the filter")
            return
        if view.folds is None:
            await know_folds(opened)
            if opened is not self.opened:
                return
        if not view.folds:
            self.say("no three blocks after each other are built alike here")
        elif tree.fold_again():
            self.say("folded again: Z here unfolds all such blocks")
        else:
            on = not view.folding
            tree.fold_everywhere(on=on)
            count = (
                f"{len(view.folds):,} run{'s' if len(view.folds) != 1 else ''} of blocks that are built alike"
            )
            self.say(f"{'folded' if on else 'unfolded'}: {count}")

    def on_tree_pane_refolded(self, event: TreePane.Refolded) -> None:
        """What the row under the cursor stands for has changed: its page is made anew."""
        for pane in self.panes:
            pane.row_changed(event.row)
