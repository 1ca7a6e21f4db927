"""Places: going to one from anywhere, and back to those visited before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.core.trail import Trail
from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from paramtui.tui.widgets.values_pane import ValuesPane

    _Base = Screen[None]
else:
    _Base = object


class PlacesMixin(_Base):
    """Needs `to_tree`, `say` and `panes` of the screen that it is mixed into."""

    _trail: Trail

    if TYPE_CHECKING:
        to_tree: Callable[[], None]
        say: Callable[[str], None]

        @property
        def panes(self) -> list[ValuesPane]:
            """Values and gradient."""
            raise NotImplementedError

    def forget_places(self) -> None:
        """Begins a new way: another target is shown."""
        self._trail = Trail()

    def visited(self, *rows: int) -> None:
        """Notes places for the way back."""
        for row in rows:
            self._trail.visit(row)

    def jump(self, row: int) -> None:
        """Puts the cursor on a row of the tree, from wherever the focus is."""
        self.to_tree()
        self.query_one(TreePane).go_to_row(row)

    def jump_keeping(self, row: int) -> None:
        """Puts the cursor on a row; what has the focus keeps it, and shows the same window of numbers."""
        self.query_one(TreePane).go_to_row(row)
        for pane in self.panes:
            pane.show_row(row, at_once=True, keep=True)

    def action_place_before(self) -> None:
        """Goes back to the place visited before."""
        tree = self.query_one(TreePane)
        self._revisit(self._trail.back(tree.row), "there is no place to go back to")

    def action_place_after(self) -> None:
        """Goes forward to the place that was gone back from."""
        self._revisit(self._trail.forward(), "there is no place to go forward to")

    def _revisit(self, row: int | None, otherwise: str) -> None:
        if row is None:
            self.say(otherwise)
            return
        with self.prevent(TreePane.Jumped):
            self.query_one(TreePane).go_to_row(row)
