"""Keys are dealt with in the order in which they were pressed, also when several arrive at once.

Textual deals with some bindings as soon as a key arrives, and with the others after the key has gone through
the queues of all widgets around the focus. On a slow line ``j j e`` would then edit the row on which the
cursor was before. Here a key waits until the one before it has come back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from textual import events

if TYPE_CHECKING:
    from textual.app import App

    _Base = App[None]
else:
    _Base = object

# Seconds after which a key is not waited for any more: some widget has kept it.
PATIENCE: Final = 0.25


class KeyOrderMixin(_Base):
    """Needs `takes_key` and `bubbles` of the app that it is mixed into."""

    _abroad: events.Key | None = None

    def __init__(self) -> None:
        super().__init__()
        self._keys: deque[events.Key] = deque()

    async def takes_key(self, event: events.Key | events.Paste) -> bool:
        """Whether a key is dealt with at once, before anything else sees it."""
        raise NotImplementedError

    def bubbles(self, event: events.Key) -> bool:
        """Whether a key that is handed to the widgets comes back to the app."""
        raise NotImplementedError

    async def on_event(self, event: events.Event) -> None:
        """Hands on keys one after the other."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._keys.append(event)
            await self._hand_on()
            return
        if isinstance(event, events.Paste) and not event.is_forwarded and await self.takes_key(event):
            return
        await super().on_event(event)
        if event is self._abroad:
            self._abroad = None
            await self._hand_on()

    async def _hand_on(self) -> None:
        while self._keys and self._abroad is None:
            event = self._keys.popleft()
            if await self.takes_key(event):
                continue
            comes_back = self.bubbles(event)
            await super().on_event(event)
            if event.is_forwarded and comes_back:
                self._abroad = event
                asyncio.get_running_loop().call_later(PATIENCE, self._not_back, event)

    def _not_back(self, event: events.Key) -> None:
        if event is self._abroad:
            self._abroad = None
            self.call_later(self._hand_on)
