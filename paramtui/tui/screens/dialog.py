"""What all screens that give an answer have in common."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen, ScreenResultType


class Question(Screen[ScreenResultType]):
    """Is closed once: of several keys that arrive at once the first one counts."""

    _answered = False

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Closes it with a result; does nothing where it is closed already."""
        if self._answered:
            return AwaitComplete()
        self._answered = True
        return super().dismiss(result)


class Dialog(Question[ScreenResultType], ModalScreen[ScreenResultType]):
    """A window over the screen."""
