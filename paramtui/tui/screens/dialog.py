"""What all screens that give an answer have in common."""

from __future__ import annotations

from textual import events
from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen, ScreenResultType


class Question(Screen[ScreenResultType]):
    """Is closed once: of several keys that arrive at once the first one counts.

    What comes afterwards would meet widgets that are gone.
    """

    # Whether it is closed, or about to be.
    answered = False

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Closes it with a result; does nothing where it is closed already."""
        if self.answered:
            return AwaitComplete()
        self.answered = True
        return super().dismiss(result)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key counts any more once it is closed."""
        return False if self.answered else super().check_action(action, parameters)

    async def on_event(self, event: events.Event) -> None:
        """Passes over keys and sizes once it is closed."""
        if not (self.answered and isinstance(event, (events.InputEvent, events.Resize))):
            await super().on_event(event)


class Dialog(Question[ScreenResultType], ModalScreen[ScreenResultType]):
    """A window over the screen."""
