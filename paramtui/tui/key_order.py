"""Keys are dealt with in the order in which they were pressed, also when several arrive at once.

Textual deals with some bindings as soon as a key arrives, and with the others after the key has gone through
the queues of all widgets around the focus. On a slow line ``j j e`` would then edit the row on which the
cursor was before, and what is typed after a dialog is closed would be lost in it. Here a key waits until all
of these widgets have seen the one before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from textual import events

if TYPE_CHECKING:
    from textual.app import App
    from textual.dom import DOMNode

    _Base = App[None]
else:
    _Base = object

# Seconds after which a key is not waited for any more: some widget has kept it.
PATIENCE: Final = 0.25
# Seconds until it is looked again at whether a key can be dealt with.
PAUSE: Final = 0.02
# A binding is found when a key has gone all the way, and what it does may be a message that goes it again.
ROUNDS: Final = 2


class KeyOrderMixin(_Base):
    """Needs `takes_key` and `hears` of the app that it is mixed into."""

    _looks_again: bool = False
    _abroad: events.Key | events.Paste | None = None

    def __init__(self) -> None:
        super().__init__()
        self._keys: deque[events.Key | events.Paste] = deque()

    async def takes_key(self, event: events.Key | events.Paste) -> bool:
        """Whether a key is dealt with at once, before anything else sees it."""
        raise NotImplementedError

    @property
    def hears(self) -> bool:
        """Whether a key can be dealt with now; it waits otherwise, so it must not be for long."""
        raise NotImplementedError

    async def on_event(self, event: events.Event) -> None:
        """Hands on keys one after the other."""
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            self._keys.append(event)
            await self._hand_on()
        else:
            await super().on_event(event)

    async def _hand_on(self) -> None:
        while self._keys and self._abroad is None:
            if not self.hears:
                if not self._looks_again:
                    self._looks_again = True
                    asyncio.get_running_loop().call_later(PAUSE, self.call_later, self._look_again)
                return
            event = self._keys.popleft()
            if await self.takes_key(event):
                continue
            target = self.focused or (self.screen if self.screen_stack else self)
            await super().on_event(event)
            if event.is_forwarded:
                self._abroad = event
                asyncio.get_running_loop().call_later(PATIENCE, self.call_later, self._back, event)
                self._follow([*target.ancestors_with_self] * ROUNDS, event)

    async def _look_again(self) -> None:
        self._looks_again = False
        await self._hand_on()

    def _follow(self, ahead: list[DOMNode], event: events.Key | events.Paste) -> None:
        """Goes behind a key through the queues of some widgets; those that are closing take nothing."""
        while ahead:
            node, *ahead = ahead
            if node.call_later(self._follow, ahead, event):
                return
        self.call_later(self._back, event)

    async def _back(self, event: events.Key | events.Paste) -> None:
        if event is self._abroad:
            self._abroad = None
            await self._hand_on()
