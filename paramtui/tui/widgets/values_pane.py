"""What the cursor is on: facts, and a window of its numbers that is read when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.message import Message

from paramtui.tui.actions import bindings
from paramtui.tui.cells import MAX_PRECISION
from paramtui.tui.widgets.page_view import PageView

if TYPE_CHECKING:
    from textual import events
    from textual.binding import BindingType


class ValuesPane(PageView):
    """Moves the window of numbers, and changes how they are written."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("values")

    class Left(Message):
        """A person wants to go back to the tree."""

    def _move(self, *, top: int | None = None, left: int | None = None) -> None:
        grid = self._aim
        height, width = self._room()
        if grid is not None:
            self._aim_at(
                grid.at(
                    top=grid.top if top is None else top,
                    left=grid.left if left is None else left,
                    height=height,
                    width=width,
                )
            )
        elif top is not None and self._page is not None:
            _, body = self._wrapped()
            before, self._top = self._top, max(min(top, len(body) - height), 0)
            if before != self._top:
                self._label()
                self.refresh()

    def _first(self) -> int:
        """The first row or line that is asked for."""
        return self._aim.top if self._aim is not None else self._top

    def go_to(self, text: str) -> None:
        """Goes to an index as typed in Python.

        Raises:
            IndexSyntaxError: It is none, or lies outside the tensor.
        """
        from paramtui.core.indexing import apply_index, parse_index
        from paramtui.errors import IndexSyntaxError

        if self._aim is None:
            raise IndexSyntaxError("there are no numbers here to go to")
        selection = apply_index(parse_index(text), self._aim.shape)
        if not all(len(pick) for pick in selection.picks):
            raise IndexSyntaxError(f"index {text!r} selects nothing")
        aim = self._aim.gone_to(selection)
        height, width = self._room()
        self._aim_at(aim.at(top=aim.top, left=aim.left, height=height, width=width))

    def action_scroll_rows(self, rows: int) -> None:
        """Moves by rows or lines."""
        self._move(top=self._first() + rows)

    def action_scroll_page(self, page: int) -> None:
        """Moves by screenfuls."""
        self._move(top=self._first() + page * self._room()[0])

    def action_first_row(self) -> None:
        """Moves to the first row."""
        self._move(top=0)

    def action_last_row(self) -> None:
        """Moves to the last row."""
        self._move(top=self._aim.rows if self._aim is not None else len(self._wrapped()[1]))

    def action_scroll_columns(self, columns: int) -> None:
        """Moves by columns; to the left of the first one lies the tree."""
        if columns < 0 and (self._aim is None or self._aim.left == 0):
            self.post_message(self.Left())
        elif self._aim is not None:
            self._move(left=self._aim.left + columns)

    def action_scroll_page_columns(self, page: int) -> None:
        """Moves sideways by screenfuls."""
        if self._aim is not None:
            self._move(left=self._aim.left + page * self._room()[1])

    def action_first_column(self) -> None:
        """Moves to the first column."""
        self._move(left=0)

    def action_last_column(self) -> None:
        """Moves to the last column."""
        if self._aim is not None:
            self._move(left=self._aim.columns)

    def action_step(self, slices: int) -> None:
        """Moves to another slice of the other dimensions."""
        if self._aim is not None:
            self._aim_at(self._aim.stepped(slices))

    def action_stepped_dim(self) -> None:
        """Chooses which of the other dimensions is stepped."""
        if self._aim is not None:
            self._aim_at(self._aim.next_stepped_dim())

    def action_other_rows(self) -> None:
        """Puts another dimension into the rows."""
        if self._aim is not None:
            self._aim_at(self._aim.other_rows())

    def action_other_columns(self) -> None:
        """Puts another dimension into the columns."""
        if self._aim is not None:
            self._aim_at(self._aim.other_columns())

    def action_back(self) -> None:
        """Goes back to the tree."""
        self.post_message(self.Left())

    # Ways of writing

    def toggle_heat(self) -> None:
        """Shows colours instead of numbers, or numbers again."""
        self._heat = not self._heat
        self._ask(0)

    def change_precision(self, digits: int) -> None:
        """Writes floats with more or fewer digits."""
        precision = max(min(self._format.precision + digits, MAX_PRECISION), 1)
        self._format = self._format.restyled(precision, scientific=self._format.scientific)
        self._ask(0)

    def toggle_scientific(self) -> None:
        """Writes all floats in powers of ten, or none."""
        self._format = self._format.restyled(self._format.precision, scientific=not self._format.scientific)
        self._ask(0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows down."""
        event.stop()
        self.action_scroll_rows(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows up."""
        event.stop()
        self.action_scroll_rows(-3)
