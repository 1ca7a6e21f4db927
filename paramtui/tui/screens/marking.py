"""Marking a row, and comparing another with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.text import shape_text
from paramtui.tui.screens.working import WorkMixin
from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.tui.comparing_sides import Destination, Side
    from paramtui.tui.opened import Opened

NO_NUMBERS: Final = "is neither a tensor nor a block with tensors: it has no numbers to compare"


class MarkingMixin(WorkMixin):
    """Needs `jump_keeping`, `to_values` and `go_to_index` of the screen that it is mixed into."""

    if TYPE_CHECKING:
        jump_keeping: Callable[[int], None]
        to_values: Callable[[], None]
        go_to_index: Callable[[str], None]

    def action_mark(self) -> None:
        """Marks the row under the cursor, or takes the mark away."""
        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None or row < 0:
            return
        side = self._side(opened, row)
        if side is None:
            return
        if opened.marked == row:
            opened.marked = -1
            self.say(f"{side.name} is no longer marked")
        else:
            opened.marked = row
            self.say(f"marked {side.name}: go to another row, = compares")
        self.query_one(TreePane).refresh()

    def _side(self, opened: Opened, row: int) -> Side | None:
        """What is compared of a row; None after saying why nothing is."""
        from paramtui.tui.comparing_sides import side_of
        from paramtui.tui.pages import row_title

        side = side_of(opened, row)
        if side is None:
            self.say(f"{row_title(opened, row)} {NO_NUMBERS}")
        return side

    async def action_compare(self) -> None:
        """Compares the row under the cursor with the marked one."""
        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None or row < 0 or not self.ready():
            return
        if opened.marked < 0:
            self.say("mark a row first: m, then = on another one")
            return
        if row == opened.marked:
            self.say("this is the marked row: go to another one, = compares")
            return
        one, other = self._side(opened, opened.marked), self._side(opened, row)
        if one is None or other is None:
            return
        if one.tensor < 0 and other.tensor < 0:
            await self._compare_blocks(opened, one, other)
        else:
            await self._compare_tensors(opened, one, other)

    async def _compare_tensors(self, opened: Opened, one: Side, other: Side) -> None:
        if one.tensor < 0 or other.tensor < 0:
            block, tensor = (one, other) if one.tensor < 0 else (other, one)
            self.say(
                f"a block and a tensor cannot be compared: {block.name} is a block, {tensor.name} is none"
            )
            return
        here, there = (opened.listing.shape[side.tensor] for side in (one, other))
        if here != there:
            self.say(f"shapes differ: {one.name} {shape_text(here)}, {other.name} {shape_text(there)}")
            return
        from paramtui.tui.screens.compare import CompareScreen

        await self.app.push_screen(CompareScreen(opened, one, other), self._go_there)

    async def _compare_blocks(self, opened: Opened, one: Side, other: Side) -> None:
        from paramtui.core.block_comparing import pairs
        from paramtui.tui.screens.compare_blocks import CompareBlocksScreen

        found = pairs(opened.tree, one.row, other.row, opened.ties)
        await self.app.push_screen(CompareBlocksScreen(opened, one, other, found), self._go_there)

    def _go_there(self, destination: Destination | None) -> None:
        """Shows a place in a tensor that was compared."""
        if destination is None or self.opened is None:
            return
        if self.query_one(TreePane).row != destination.row:
            self.jump_keeping(destination.row)
        self.to_values()
        self.go_to_index(destination.place)
