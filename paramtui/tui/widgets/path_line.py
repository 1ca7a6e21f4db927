"""A line for a path."""

from __future__ import annotations

from paramtui.tui.widgets.typed_line import TypedLine


class PathLine(TypedLine):
    """Shows the end of a path that is longer than the line: there the name is that a person may change."""

    def on_resize(self) -> None:
        """The cursor, which begins at the end, stays in sight."""
        self.scroll_to(x=max(self.cursor_position + 1 - self.size.width, 0), animate=False, force=True)
