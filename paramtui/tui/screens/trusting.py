"""Opening the list of what a file names and of what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from paramtui.tui.opened import Opened

    _Base = Screen[None]
else:
    _Base = object


class TrustingMixin(_Base):
    """Needs `opened` and `jump` of the screen that it is mixed into."""

    if TYPE_CHECKING:
        jump: Callable[[int], None]

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

    @work(group="trust", exclusive=True)
    async def action_trust(self) -> None:
        """Lists what the file's pickles name and what is wrong with it; goes to what is chosen."""
        opened = self.opened
        if opened is None:
            return
        from paramtui.tui.screens.trust import TrustScreen

        row = await self.app.push_screen_wait(TrustScreen(opened))
        if row is not None and row >= 0 and opened is self.opened:
            self.jump(row)
