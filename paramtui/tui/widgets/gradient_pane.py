"""The gradient of what the cursor is on, or its optimizer moments: the same window as the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from paramtui.tui.opened import Opened
    from paramtui.tui.page_making import PageMaker


class GradientPane(ValuesPane):
    """Moves its window together with that of the values."""

    def __init__(self) -> None:
        super().__init__("gradient")
        self.border_title = "Gradient"

    def make_maker(self, opened: Opened) -> PageMaker:
        """What makes the pages of a target."""
        from paramtui.tui.gradient_pages import GradientPageMaker

        return GradientPageMaker(opened)
